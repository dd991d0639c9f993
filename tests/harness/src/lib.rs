//! Harnesses of decoders: each is a test with the same inputs in every run, and a fuzz target.
//!
//! A harness is a closure that takes bytes, decodes them and checks the result. [`check!`] runs it
//! in a test whose name begins with `fuzz_`:
//!
//! ```
//! // The body of `fn fuzz_number()`:
//! convoke_harness::check!(&["17", "-4"], |bytes| {
//!     let Ok(text) = std::str::from_utf8(bytes) else { return };
//!     let Ok(number) = text.parse::<i32>() else { return };
//!     assert_eq!(number.to_string().parse(), Ok(number));
//! });
//! ```
//!
//! The samples are valid input, or nearly so. `cargo test` runs the harness with each sample, with
//! mutations of them and with random bytes ([`Repeatable`]). `cargo xtask fuzz` builds the same
//! tests with `--cfg fuzzing` and the instrumentation of libFuzzer, which starts with the samples
//! and keeps each input that reaches new code. In both cases bolero runs the harness.

mod mutate;
mod repeatable;
mod samples;

#[doc(hidden)]
pub use bolero;

pub use mutate::{mutate, noise};
pub use repeatable::{BYTES_MAX, INPUTS, Repeatable};
pub use samples::{SAMPLES, write_samples};

/// Runs a harness, the second argument, which takes `&[u8]`. The first argument is a slice of
/// samples, of any type that is `AsRef<[u8]>`.
///
/// A panic of the harness is a finding. What the closure captures has to be `RefUnwindSafe`.
#[cfg(not(fuzzing))]
#[macro_export]
macro_rules! check {
    ($samples:expr, $harness:expr $(,)?) => {
        $crate::bolero::TestTarget::new($crate::Repeatable::new($samples)).for_each($harness)
    };
}

/// Runs a harness, the second argument, as a fuzz target. The first argument is a slice of samples.
#[cfg(fuzzing)]
#[macro_export]
macro_rules! check {
    ($samples:expr, $harness:expr $(,)?) => {
        $crate::write_samples($samples);
        $crate::bolero::check!().for_each($harness)
    };
}
