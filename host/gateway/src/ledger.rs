//! Accounting of the memory held for clients: incoming requests, requests in progress, queued
//! transactions, replies and messages that clients have not read yet.
//!
//! Each client has an [`Account`]. Once the total reaches [`HELD_BYTES_MAX`], commands on data are
//! refused as busy, and a request of which more than [`FREE_BYTES`] have arrived is not read
//! further. One such request at a time is read, so that requests that have begun to arrive
//! complete.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Waker;

use parking_lot::Mutex;

/// Limit of the memory held for all clients, in bytes, without what is not counted.
pub(crate) const HELD_BYTES_MAX: usize = 512 << 20;
/// Bytes of each client that are not counted.
pub(crate) const FREE_BYTES: usize = 64 << 10;

/// The memory held for all clients together; see the [module](self).
#[derive(Default)]
pub(crate) struct Ledger {
    held: AtomicUsize,
    /// One client may read beyond the limit.
    is_overdrawn: AtomicBool,
    waiting: Mutex<Vec<Waker>>,
    is_waited_for: AtomicBool,
}

impl Ledger {
    /// Memory held, in bytes, as far as it is counted.
    pub(crate) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Whether the limit is reached.
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

/// The memory held for one client.
pub(crate) struct Account {
    ledger: Arc<Ledger>,
    counted: usize,
    is_overdrawn: bool,
}

impl Account {
    pub(crate) fn new(ledger: &Arc<Ledger>) -> Self {
        Self { ledger: Arc::clone(ledger), counted: 0, is_overdrawn: false }
    }

    /// Sets the memory held for the client, in bytes.
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

    /// Whether more of a large request may be read; if not, `waker` is woken once it may. One
    /// client at a time may exceed the limit.
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
        // Checked again after the waker was added: an earlier change has not woken it.
        self.is_overdrawn = !ledger.is_overdrawn.swap(true, Ordering::SeqCst);
        self.is_overdrawn || ledger.held.load(Ordering::SeqCst) < HELD_BYTES_MAX
    }

    /// Called when a request is complete: another client may exceed the limit now.
    pub(crate) fn request_completed(&mut self) {
        if std::mem::take(&mut self.is_overdrawn) {
            self.ledger.is_overdrawn.store(false, Ordering::SeqCst);
            self.ledger.wake();
        }
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.set(0);
        self.request_completed();
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
    fn at_the_limit_one_client_may_continue() {
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
        assert!(accounts[0].may_grow(&waker), "the same client may continue");
        accounts[0].request_completed();
        assert_eq!(
            count.0.load(Ordering::SeqCst),
            1,
            "a waker that was registered several times is woken once"
        );
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
