//! The expansion of [`export_mode!`](crate::export_mode). Public for the macro only; not part
//! of the SDK's stable API.

use std::cell::RefCell;
use std::sync::Once;

pub use crate::bindings::{announcer, strategy};
use crate::{Announcer, LocalMember, Mode, ModeConfig, Problem, Snapshot, log};

/// The mode value of a component instance.
pub struct Instance<M>(RefCell<Option<M>>);

impl<M> Instance<M> {
    /// An instance before `configure`.
    pub const fn new() -> Self {
        Self(RefCell::new(None))
    }

    fn with<T>(&self, call: impl FnOnce(&mut M) -> Result<T, Problem>) -> Result<T, Problem> {
        let mut mode = self.0.borrow_mut();
        let Some(mode) = mode.as_mut() else {
            return Err(Problem::Failed("called before a successful configure".to_owned()));
        };
        call(mode)
    }
}

impl<M> Default for Instance<M> {
    fn default() -> Self {
        Self::new()
    }
}

impl<M: Mode> Instance<M> {
    /// See [`Mode::configure`].
    pub fn configure(&self, config: ModeConfig, me: LocalMember) -> Result<(), Problem> {
        log_panics();
        #[cfg(feature = "tracing")]
        crate::trace::install();
        let mode = M::configure(config, me)?;
        self.0.replace(Some(mode));
        Ok(())
    }

    /// See [`Mode::discover`].
    pub fn discover(&self) -> Result<Snapshot, Problem> {
        self.with(M::discover)
    }
}

impl<M: Announcer> Instance<M> {
    /// See [`Announcer::announce`].
    pub fn announce(&self) -> Result<Option<u32>, Problem> {
        self.with(M::announce)
    }

    /// See [`Announcer::withdraw`].
    pub fn withdraw(&self) -> Result<(), Problem> {
        self.with(M::withdraw)
    }
}

/// Logs panics: the host sees only a trap, without the panic's message.
fn log_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(|panic| {
            let message = panic.payload_as_str().unwrap_or("panicked without a message");
            match panic.location() {
                Some(place) => {
                    let location = format!("{}:{}", place.file(), place.line());
                    log::error(&format!("panicked: {message}"), &[("at", &location)]);
                }
                None => log::error(&format!("panicked: {message}"), &[]),
            }
        }));
    });
}

/// Exports a type that implements [`Mode`](crate::Mode) as a component.
///
/// `export_mode!(Type)` exports `strategy`; `export_mode!(Type, announcer)` also exports
/// `announcer`, for a type that implements [`Announcer`](crate::Announcer). Use it once in a
/// crate. On targets other than WebAssembly it only checks the types.
#[macro_export]
macro_rules! export_mode {
    ($mode:ty) => {
        $crate::export_mode!(@component $mode, {});
    };
    ($mode:ty, announcer) => {
        // Also on other targets, so that missing implementations are errors, and used functions
        // are not reported as dead code.
        const _: fn(&$crate::glue::Instance<$mode>) -> Result<Option<u32>, $crate::Problem> =
            $crate::glue::Instance::announce;
        $crate::export_mode!(@component $mode, {
            impl $crate::glue::announcer::exports::convoke::discovery::announcer::Guest
                for Component
            {
                fn announce() -> Result<Option<u32>, $crate::Problem> {
                    INSTANCE.with($crate::glue::Instance::announce)
                }

                fn withdraw() -> Result<(), $crate::Problem> {
                    INSTANCE.with($crate::glue::Instance::withdraw)
                }
            }

            $crate::glue::announcer::export_announcer!(
                Component with_types_in $crate::glue::announcer
            );
        });
    };
    (@component $mode:ty, { $($announcer:tt)* }) => {
        const _: fn(&$crate::glue::Instance<$mode>) -> Result<$crate::Snapshot, $crate::Problem> =
            $crate::glue::Instance::discover;

        #[cfg(target_arch = "wasm32")]
        #[allow(unsafe_code, missing_docs, reason = "generated glue of the component model")]
        const _: () = {
            std::thread_local! {
                static INSTANCE: $crate::glue::Instance<$mode> =
                    const { $crate::glue::Instance::new() };
            }

            struct Component;

            impl $crate::glue::strategy::exports::convoke::discovery::strategy::Guest
                for Component
            {
                fn configure(
                    config: $crate::ModeConfig,
                    me: $crate::LocalMember,
                ) -> Result<(), $crate::Problem> {
                    INSTANCE.with(|instance| instance.configure(config, me))
                }

                fn discover() -> Result<$crate::Snapshot, $crate::Problem> {
                    INSTANCE.with($crate::glue::Instance::discover)
                }
            }

            $crate::glue::strategy::export_strategy!(
                Component with_types_in $crate::glue::strategy
            );

            $($announcer)*
        };
    };
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::log::{Level, captured};

    struct Fragile;

    impl Mode for Fragile {
        fn configure(config: ModeConfig, _me: LocalMember) -> Result<Self, Problem> {
            if config.argument.is_empty() {
                return Err(Problem::Misconfigured("the argument is empty".to_owned()));
            }
            Ok(Self)
        }

        fn discover(&mut self) -> Result<Snapshot, Problem> {
            panic!("shelf {} is empty", 3)
        }
    }

    impl Announcer for Fragile {
        fn announce(&mut self) -> Result<Option<u32>, Problem> {
            Ok(Some(1_000))
        }
    }

    fn configured() -> Instance<Fragile> {
        let instance = Instance::new();
        instance.configure(ModeConfig::of("x"), LocalMember::at("10.0.0.7", 6900)).unwrap();
        instance
    }

    #[test]
    fn a_panic_is_logged_with_its_message_and_location() {
        let instance = configured();
        let (result, lines) = captured(|| catch_unwind(AssertUnwindSafe(|| instance.discover())));
        assert!(result.is_err());
        assert_eq!((lines.len(), lines[0].level), (1, Level::Error));
        assert_eq!(lines[0].message, "panicked: shelf 3 is empty");
        let (key, place) = &lines[0].fields[0];
        assert_eq!(key, "at");
        assert!(place.contains("glue.rs:"), "{place}");
    }

    #[test]
    fn a_mode_that_is_not_configured_is_not_called() {
        let instance = Instance::<Fragile>::new();
        let before = Problem::Failed("called before a successful configure".to_owned());
        assert_eq!(instance.discover(), Err(before.clone()));
        let refused = instance.configure(ModeConfig::of(""), LocalMember::at("10.0.0.7", 6900));
        assert_eq!(refused, Err(Problem::Misconfigured("the argument is empty".to_owned())));
        assert_eq!(instance.announce(), Err(before));
    }

    #[test]
    fn withdraw_does_nothing_by_default() {
        let instance = configured();
        assert_eq!(instance.announce(), Ok(Some(1_000)));
        assert_eq!(instance.withdraw(), Ok(()));
    }
}
