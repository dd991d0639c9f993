//! Lends a run's commands to the function of the state that executes them. The function is made once
//! with the state, so it cannot borrow them; one made for each run, as by [`mlua::Lua::scope`], takes
//! as long as the rest of a short script.

#![allow(unsafe_code, reason = "the lifetime of a borrow is that of a call, see `Lent`")]

use std::cell::Cell;
use std::mem;
use std::ptr::NonNull;

use super::Commands;

/// Commands that are lent for the time of a call. The invariant: while there is a pointer, the frame
/// of [`lend`](Self::lend) that stored it is still on the stack of this thread and does not use the
/// commands.
#[derive(Default)]
pub(super) struct Lent(Cell<Option<NonNull<dyn Commands>>>);

/// Puts a former pointer back at the end of a scope, also if it is left by a panic.
struct Restored<'a>(&'a Lent, Option<NonNull<dyn Commands>>);

impl Drop for Restored<'_> {
    fn drop(&mut self) {
        self.0.0.set(self.1);
    }
}

impl Lent {
    /// Calls `work`, during which [`with`](Self::with) reaches these commands.
    pub(super) fn lend<R>(&self, commands: &mut dyn Commands, work: impl FnOnce() -> R) -> R {
        let pointer = NonNull::from(commands);
        // SAFETY: the types differ in a lifetime only. The pointer is removed before this function
        // returns or unwinds, and `commands` is borrowed mutably until then.
        let pointer =
            unsafe { mem::transmute::<NonNull<dyn Commands + '_>, NonNull<dyn Commands>>(pointer) };
        let _restored = Restored(self, self.0.replace(Some(pointer)));
        work()
    }

    /// Passes the commands to `work`; `None` if none are lent, or if they are in use.
    pub(super) fn with<R>(&self, work: impl FnOnce(&mut dyn Commands) -> R) -> Option<R> {
        // Taken, so that there is one reference at a time.
        let mut pointer = self.0.take()?;
        let _restored = Restored(self, Some(pointer));
        // SAFETY: by the invariant of `Lent`, what it points to is alive and not used elsewhere. The
        // type is neither `Send` nor `Sync`, so this is the thread of `lend`.
        Some(work(unsafe { pointer.as_mut() }))
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::super::{Interrupt, LogLevel, Value, Words};
    use super::*;

    struct Counter<'a>(&'a mut u32);

    impl Commands for Counter<'_> {
        fn call(&mut self, _: Words<'_>) -> Result<Value, Interrupt> {
            Err(Interrupt)
        }

        fn is_allowed(&mut self, _: Words<'_>) -> Option<bool> {
            *self.0 += 1;
            None
        }

        fn log(&mut self, _: LogLevel, _: &[u8]) {}
    }

    fn call(lent: &Lent) -> bool {
        let words = crate::words::WordBuffer::default();
        lent.with(|commands| commands.is_allowed(words.words())).is_some()
    }

    #[test]
    fn commands_are_reached_while_they_are_lent_and_one_at_a_time() {
        let (lent, mut outer, mut inner) = (Lent::default(), 0, 0);
        assert!(!call(&lent));
        lent.lend(&mut Counter(&mut outer), || {
            assert!(call(&lent));
            assert_eq!(lent.with(|_| call(&lent)), Some(false), "they are in use");
            lent.lend(&mut Counter(&mut inner), || assert!(call(&lent)));
            assert!(call(&lent));
        });
        assert!(!call(&lent));
        assert_eq!((outer, inner), (2, 1));
    }

    #[test]
    fn commands_are_not_reached_after_a_panic() {
        let (lent, mut count) = (Lent::default(), 0);
        let panics = || lent.lend(&mut Counter(&mut count), || lent.with(|_| panic!("of a test")));
        assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
        assert!(!call(&lent));
    }
}
