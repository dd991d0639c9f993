//! All partitions of this member, each behind a lock.
//!
//! A thread locks one at a time, and passes [`Shared`](crate::shared::Shared) to it, from which no
//! other partition can be reached.

use std::ops::Deref;
use std::sync::OnceLock;

use parking_lot::Mutex;

use crate::host::Host;
use crate::partition::Partition;

/// All partitions; empty before their number is known.
#[derive(Default)]
pub(crate) struct Partitions(OnceLock<Box<[Mutex<Partition>]>>);

impl Partitions {
    /// Creates `count` partitions, unless their number is known already.
    pub(crate) fn create(&self, count: u16, host: &dyn Host) {
        let new = |number| Mutex::new(Partition::new(number, host.random()));
        self.0.get_or_init(|| (0..count).map(new).collect());
    }
}

impl Deref for Partitions {
    type Target = [Mutex<Partition>];

    fn deref(&self) -> &Self::Target {
        self.0.get().map_or(&[], |partitions| partitions)
    }
}

impl<'a> IntoIterator for &'a Partitions {
    type Item = &'a Mutex<Partition>;
    type IntoIter = std::slice::Iter<'a, Mutex<Partition>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
