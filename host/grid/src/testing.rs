//! A process for tests, whose clocks always read zero.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use convoke_membership::MemberId;

use crate::hasher::KeyHasher;
use crate::host::{GridSettings, Host, Report};
use crate::map::MapCatalog;
use crate::shared::Shared;

pub(crate) struct Process;

impl Host for Process {
    fn now(&self) -> Duration {
        Duration::ZERO
    }

    fn unix_ms(&self) -> u64 {
        0
    }

    fn random(&self) -> u64 {
        4
    }

    fn spawn(&self, _: Pin<Box<dyn Future<Output = ()> + Send>>) {}

    fn report(&self, _: Report) {}
}

/// The settings of a grid with seven partitions.
pub(crate) fn settings() -> GridSettings {
    GridSettings { partitions: Some(7), min_members: 1, hasher: KeyHasher::new([7; 16]) }
}

/// The shared state of a member before its first view.
pub(crate) fn shared(me: MemberId) -> Shared {
    Shared::new(me, Arc::new(Process), settings(), MapCatalog::default())
}
