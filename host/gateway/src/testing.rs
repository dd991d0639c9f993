//! A grid of one member, for tests.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use convoke_grid::{Grid, GridSettings, Host, KeyHasher, MapCatalog, Report};
use convoke_membership::{Member, MemberId, View};

/// The process of the test.
struct Process {
    started: Instant,
}

impl Host for Process {
    fn now(&self) -> Duration {
        self.started.elapsed()
    }

    fn unix_ms(&self) -> u64 {
        crate::resp::server::now_ms()
    }

    fn random(&self) -> u64 {
        4
    }

    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        tokio::spawn(task);
    }

    fn report(&self, _: Report) {}
}

/// A member alone, ready to serve. Needs a runtime, whose test does not pause: the
/// grid is driven only here.
pub(crate) fn lone_grid() -> Grid {
    let settings = GridSettings { partitions: 7, min_members: 1, hasher: KeyHasher::new([7; 16]) };
    let me = MemberId::new_now();
    let process = Arc::new(Process { started: Instant::now() });
    let grid = Grid::new(me, process, settings, MapCatalog::default());
    let member = Member {
        id: me,
        addresses: vec!["127.0.0.1:6900".parse().unwrap()],
        name: "lone".into(),
        group: "test".into(),
        lite: false,
        modes: String::new(),
        http_port: None,
        resp_port: None,
        generation: 1,
        age: 1,
    };
    let view = View::founded_by(member);
    grid.expect_view(&view);
    grid.handle_view(&view);
    grid.tick();
    grid
}
