//! A grid in a process in which no time passes, for tests.

use std::sync::Arc;
use std::time::Duration;

use convoke_membership::{MemberId, View};

use crate::core::{GridSettings, Host, Report};
use crate::grid::Later;
use crate::map::MapCatalog;
use crate::{Grid, KeyHasher};

struct Process;

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

    fn spawn(&self, _: Later<()>) {}

    fn report(&self, _: Report) {}
}

/// A grid with seven partitions, before its first view.
pub(crate) fn grid(me: MemberId) -> Grid {
    let settings =
        GridSettings { partitions: Some(7), min_members: 1, hasher: KeyHasher::new([7; 16]) };
    Grid::new(me, Arc::new(Process), settings, MapCatalog::default())
}

/// Makes a grid adopt a view.
pub(crate) fn adopt_view(grid: &Grid, view: &View) {
    grid.expect_view(view);
    grid.handle_view(view);
    grid.tick();
}
