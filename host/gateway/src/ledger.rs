//! What is held in memory for clients, all of them together: requests that arrive, are
//! under way or wait for `EXEC`, answers and messages that are not taken yet.
//!
//! Each of them has an [`Account`]. Beyond [`HELD_BYTES_MAX`] commands on data are refused
//! as busy, and a request of which more than [`FREE_BYTES`] have arrived is not read on.
//! One at a time is, so that what has begun to arrive comes to its end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Waker;

use parking_lot::Mutex;

/// Bytes held for all clients together, without what is free.
pub(crate) const HELD_BYTES_MAX: usize = 512 << 20;
/// Bytes of each client that do not count.
pub(crate) const FREE_BYTES: usize = 64 << 10;

/// See the [module](self).
#[derive(Default)]
pub(crate) struct Ledger {
    held: AtomicUsize,
    /// One client goes on reading beyond the bound.
    is_overdrawn: AtomicBool,
    waiting: Mutex<Vec<Waker>>,
    is_waited_for: AtomicBool,
}

impl Ledger {
    /// Bytes that are held and count.
    pub(crate) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Whether nothing more is to be held.
    pub(crate) fn is_full(&self) -> bool {
        self.held() >= HELD_BYTES_MAX
    }

    fn wake(&self) {
        if self.is_waited_for.load(Ordering::SeqCst) {
            let waiting = {
                let mut waiting = self.waiting.lock();
                self.is_waited_for.store(false, Ordering::SeqCst);
                std::mem::take(&mut *waiting)
            };
            waiting.into_iter().for_each(Waker::wake);
        }
    }
}

/// What is held for one client.
pub(crate) struct Account {
    ledger: Arc<Ledger>,
    counted: usize,
    is_overdrawn: bool,
}

impl Account {
    pub(crate) fn new(ledger: &Arc<Ledger>) -> Self {
        Self { ledger: Arc::clone(ledger), counted: 0, is_overdrawn: false }
    }

    /// Sets how many bytes are held for the client now.
    pub(crate) fn set(&mut self, held: usize) {
        let counts = held.saturating_sub(FREE_BYTES);
        if counts > self.counted {
            self.ledger.held.fetch_add(counts - self.counted, Ordering::SeqCst);
        } else if counts < self.counted {
            let less = self.counted - counts;
            let before = self.ledger.held.fetch_sub(less, Ordering::SeqCst);
            if before >= HELD_BYTES_MAX && before - less < HELD_BYTES_MAX {
                self.ledger.wake();
            }
        }
        self.counted = counts;
    }

    /// Whether more of a long request may be read; if not, `waker` is woken when it may be.
    /// One client at a time goes beyond the bound.
    pub(crate) fn may_grow(&mut self, waker: &Waker) -> bool {
        if self.is_overdrawn || !self.ledger.is_full() {
            return true;
        }
        let ledger = &self.ledger;
        {
            let mut waiting = ledger.waiting.lock();
            if !waiting.iter().any(|known| known.will_wake(waker)) {
                waiting.push(waker.clone());
            }
            ledger.is_waited_for.store(true, Ordering::SeqCst);
        }
        // What changed before it waited has woken nobody.
        self.is_overdrawn = !ledger.is_overdrawn.swap(true, Ordering::SeqCst);
        self.is_overdrawn || ledger.held.load(Ordering::SeqCst) < HELD_BYTES_MAX
    }

    /// A request has arrived whole: another client may be the one beyond the bound.
    pub(crate) fn has_arrived(&mut self) {
        if std::mem::take(&mut self.is_overdrawn) {
            self.ledger.is_overdrawn.store(false, Ordering::SeqCst);
            self.ledger.wake();
        }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.set(0);
        self.has_arrived();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn at_the_bound_one_client_goes_on() {
        let ledger = Arc::new(Ledger::default());
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let mut accounts: Vec<Account> = (0..4).map(|_| Account::new(&ledger)).collect();
        for account in &mut accounts[..3] {
            account.set(FREE_BYTES + HELD_BYTES_MAX / 2);
        }
        accounts[3].set(FREE_BYTES);
        assert!(ledger.is_full());
        let may: Vec<bool> = accounts.iter_mut().map(|account| account.may_grow(&waker)).collect();
        assert_eq!(may, [true, false, false, false]);
        assert!(accounts[0].may_grow(&waker), "it stays the one");
        accounts[0].has_arrived();
        assert_eq!(count.0.load(Ordering::SeqCst), 1, "one waker that waited several times");
        assert!(accounts[1].may_grow(&waker) && !accounts[2].may_grow(&waker));
        accounts.remove(1);
        assert!(ledger.is_full());
        accounts[0].set(0);
        assert!(!ledger.is_full() && accounts[1].may_grow(&waker));
        assert!(count.0.load(Ordering::SeqCst) > 1);
        drop(accounts);
        assert_eq!(ledger.held(), 0);
    }
}
