//! What [`export_mode!`](crate::export_mode) expands to. Public for the macro
//! only; none of it is part of the SDK's promise.

use std::cell::RefCell;
use std::sync::Once;

pub use crate::bindings::{announcer, strategy};
use crate::{Announcer, LocalMember, Mode, ModeConfig, Problem, Snapshot, log};

/// The one mode value of a component instance.
pub struct Instance<M>(RefCell<Option<M>>);

impl<M> Instance<M> {
    /// Before `configure`.
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

/// A panic in a component reaches the host as a bare trap: its message would
/// be lost.
fn log_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        std::panic::set_hook(Box::new(|panic| {
            let message = panic.payload_as_str().unwrap_or("panicked without a message");
            match panic.location() {
                Some(place) => {
                    let place = format!("{}:{}", place.file(), place.line());
                    log::error(&format!("panicked: {message}"), &[("at", &place)]);
                }
                None => log::error(&format!("panicked: {message}"), &[]),
            }
        }));
    });
}

/// Makes a component of a type that implements [`Mode`](crate::Mode).
///
/// `export_mode!(Type)` exports `strategy`; `export_mode!(Type, announcer)`
/// exports `announcer` too, for a type that implements
/// [`Announcer`](crate::Announcer). Once in a crate; nothing away from
/// WebAssembly.
#[macro_export]
macro_rules! export_mode {
    ($mode:ty) => {
        $crate::export_mode!(@component $mode, {});
    };
    ($mode:ty, announcer) => {
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
