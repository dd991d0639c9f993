//! A grid for tests, whose clocks always read zero.

use std::sync::Arc;

use convoke_membership::{Member, MemberId, View};

use super::state::Grid;
use crate::map::MapCatalog;
use crate::testing::{Process, settings};

/// A member of this age.
pub(super) fn member(age: u64, lite: bool) -> Member {
    Member {
        id: MemberId::new_now(),
        addresses: vec!["127.0.0.1:6900".parse().unwrap()],
        name: "m".into(),
        group: "g".into(),
        lite,
        modes: String::new(),
        http: None,
        resp: None,
        hazelcast: None,
        generation: 1,
        age,
    }
}

/// A grid with seven partitions, before its first view.
pub(super) fn grid(me: MemberId) -> Grid {
    Grid::new(me, Arc::new(Process), settings(), MapCatalog::default())
}

/// Makes a grid adopt a view.
pub(super) fn adopt_view(grid: &Grid, view: &View) {
    grid.expect_view(view);
    grid.handle_view(view);
    grid.tick();
}
