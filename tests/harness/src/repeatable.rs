//! The engine of a harness in an ordinary test.

use std::env;

use bolero::{Engine, Test};
use bolero_engine::{driver, panic};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::{mutate, noise};

/// Inputs of a harness in one test, in addition to its samples.
pub const INPUTS: usize = 384;

/// Maximum length of an input of random bytes. Mutations of a sample may be as long as the sample.
pub const BYTES_MAX: usize = 512;

/// One input in this many is random bytes. The others are mutated samples.
const NOISE_ONE_IN: u32 = 4;

/// Maximum number of runs that shrinking an input may take.
const SHRINKING_RUNS_MAX: usize = 10_000;

/// Environment variable with another seed.
const SEED: &str = "CONVOKE_FUZZ_SEED";

/// Environment variable with another number of inputs.
const COUNT: &str = "CONVOKE_FUZZ_INPUTS";

/// An engine of bolero whose inputs are the same in every run: the samples, then mutated samples and
/// random bytes, which follow from a seed.
///
/// Bolero's own engine for tests takes its seeds from the operating system, and reads samples from
/// files only.
#[derive(Clone, Debug)]
pub struct Repeatable {
    samples: Vec<Vec<u8>>,
    seed: u64,
    inputs: usize,
}

impl Repeatable {
    /// [`INPUTS`] inputs, unless the environment says otherwise: `CONVOKE_FUZZ_SEED` and
    /// `CONVOKE_FUZZ_INPUTS` are numbers.
    #[must_use]
    pub fn new<T: AsRef<[u8]>>(samples: &[T]) -> Self {
        let number = |name| env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
        Self {
            samples: samples.iter().map(|sample| sample.as_ref().to_vec()).collect(),
            seed: number(SEED).unwrap_or(0),
            inputs: number(COUNT).map_or(INPUTS, |count| usize::try_from(count).unwrap_or(INPUTS)),
        }
    }

    /// All inputs.
    fn inputs(&self) -> impl Iterator<Item = Vec<u8>> {
        let mut random = StdRng::seed_from_u64(self.seed);
        let made = (0..self.inputs).map(move |_| {
            if self.samples.is_empty() || random.random_ratio(1, NOISE_ONE_IN) {
                return noise(&mut random, BYTES_MAX);
            }
            let mut pick = || &self.samples[random.random_range(0..self.samples.len())];
            let (mut bytes, other) = (pick().clone(), pick());
            mutate(&mut random, &mut bytes, other);
            bytes
        });
        self.samples.iter().cloned().chain(made)
    }
}

impl<T: Test> Engine<T> for Repeatable
where
    T::Value: std::fmt::Debug,
{
    type Output = ();

    fn run(self, mut test: T, _: driver::Options) {
        // The panic of a harness is caught, and shown with its input below.
        panic::set_hook();
        let is_shown = panic::forward_panic(false);
        let mut error = |mut input: &[u8]| test.test(&mut input).err();
        let found = self.inputs().find(|input| error(input).is_some());
        let found = found.map(|input| shrunk(input, |smaller| error(smaller).is_some()));
        let failure = found.and_then(|input| Some((error(&input)?, input)));
        panic::forward_panic(is_shown);
        if let Some((error, input)) = failure {
            panic!("{error}\ninput: b\"{}\"", input.escape_ascii());
        }
    }
}

/// Shrinks a failing input: returns one that also fails and from which no piece can be removed.
/// Bolero does not shrink byte slices.
fn shrunk(mut input: Vec<u8>, mut fails: impl FnMut(&[u8]) -> bool) -> Vec<u8> {
    let mut runs = 0;
    let mut piece = input.len();
    while piece > 0 {
        let mut at = 0;
        while at < input.len() && runs < SHRINKING_RUNS_MAX {
            runs += 1;
            let mut smaller = input.clone();
            drop(smaller.drain(at..input.len().min(at + piece)));
            if fails(&smaller) {
                input = smaller;
            } else {
                at += piece;
            }
        }
        piece /= 2;
    }
    input
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Mutex;

    use super::*;

    fn engine(samples: &[&str], seed: u64) -> Repeatable {
        Repeatable { seed, inputs: INPUTS, ..Repeatable::new(samples) }
    }

    #[test]
    fn the_inputs_of_a_seed_are_the_same_in_every_run() {
        let inputs = |seed| engine(&["one", "two"], seed).inputs().collect::<Vec<_>>();
        assert_eq!(inputs(1), inputs(1));
        assert_ne!(inputs(1), inputs(2));
        assert_eq!(inputs(1)[..2], [b"one", b"two"]);
        assert_eq!(inputs(1).len(), 2 + INPUTS);
        let is_near = |input: &&Vec<u8>| input.starts_with(b"on") || input.starts_with(b"tw");
        assert!(inputs(1).iter().filter(is_near).count() > INPUTS / 8);
    }

    #[test]
    fn a_harness_sees_every_input_of_its_engine() {
        let seen = Mutex::new(Vec::new());
        bolero::TestTarget::new(engine(&["sample"], 1))
            .for_each(|bytes: &[u8]| seen.lock().unwrap().push(bytes.to_vec()));
        let expected: Vec<_> = engine(&["sample"], 1).inputs().collect();
        assert_eq!(seen.into_inner().unwrap(), expected);
    }

    #[test]
    fn a_finding_is_shrunk_and_shown() {
        let found = catch_unwind(AssertUnwindSafe(|| {
            bolero::TestTarget::new(engine(&["some text with an X in it"], 1))
                .for_each(|bytes: &[u8]| assert!(!bytes.contains(&b'X'), "an X"));
        }));
        let text = *found.unwrap_err().downcast::<String>().unwrap();
        assert!(text.contains("an X"), "{text}");
        assert!(text.ends_with("input: b\"X\""), "{text}");
    }
}
