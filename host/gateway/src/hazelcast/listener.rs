//! Accepts clients of a [`Server`], disconnects those that take too long, and finishes when the
//! member leaves.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use convoke_grid::grid::OP_MS_MAX;
use tokio::net::TcpListener;
use tracing::warn;

use super::client_info::ClientInfo;
use super::connection::Connection;
use super::destroyed;
use super::lock_reports;
use super::server::Server;
use super::session::Session;
use crate::lanes::{Lanes, without_assumed_readiness};
use crate::{FINISH_MS_MAX, FINISH_POLL_MS};

/// A client that does not authenticate within this time is disconnected, in milliseconds.
const UNAUTHENTICATED_MS_MAX: u64 = 10_000;
/// A client that does not read pending output for this long is disconnected, in milliseconds.
const STALLED_MS_MAX: u64 = 60_000;
/// A client that sends no more data of a large incomplete request for this long is disconnected, in
/// milliseconds.
const STARVED_MS_MAX: u64 = 60_000;
/// Interval at which clients and locks are checked, in milliseconds.
const CLIENT_CHECK_MS: u64 = 1_000;
/// Minimum time between two changes of members and partitions that clients are sent, in milliseconds:
/// there may be many in a row.
const VIEW_PAUSE_MS: u64 = 50;
/// Interval at which a member that starts checks whether it has a partition table, in milliseconds.
const PARTITIONS_POLL_MS: u64 = 5;
/// Pause after a failed `accept`, in milliseconds.
const ACCEPT_PAUSE_MS: u64 = 100;

impl Server {
    /// Accepts clients on all `listeners`; never returns.
    pub async fn serve(self: Arc<Self>, listeners: Vec<TcpListener>) {
        let lanes = self.lanes.get_or_init(|| {
            let lanes = Lanes::new(tokio::runtime::Handle::current().metrics().num_workers());
            lanes.start();
            lanes
        });
        self.await_partitions().await;
        let _followed = (destroyed::follow(&self), lock_reports::follow(&self));
        self.refresh_view();
        for listener in listeners {
            tokio::spawn(Arc::clone(&self).accept(listener, Arc::clone(lanes)));
        }
        tokio::spawn(Arc::clone(&self).follow_objects());
        let mut losses = self.announce_losses(u64::MAX);
        let mut check = tokio::time::interval(Duration::from_millis(CLIENT_CHECK_MS));
        check.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut seen = self.grid.changes();
        let mut checked_ms = 0;
        let mut maintaining: Option<tokio::task::JoinHandle<()>> = None;
        loop {
            tokio::select! {
                _ = check.tick() => {}
                changes = self.grid.changed(seen) => {
                    seen = changes;
                    self.refresh_view();
                    tokio::time::sleep(Duration::from_millis(VIEW_PAUSE_MS)).await;
                }
            }
            // Also what was not known yet when the grid reported its change.
            self.refresh_view();
            losses = self.announce_losses(losses);
            let now = self.elapsed_ms();
            if now.saturating_sub(checked_ms) < CLIENT_CHECK_MS {
                continue;
            }
            checked_ms = now;
            self.kill_timed_out(now);
            // One at a time: an operation on a lock may wait for another member.
            if maintaining.as_ref().is_none_or(tokio::task::JoinHandle::is_finished) {
                let (server, due) = (Arc::clone(&self), self.clients.tick(now));
                maintaining = Some(tokio::spawn(async move { server.maintain_locks(due).await }));
            }
        }
    }

    /// Accepts clients on one more listener until the future is dropped. Does nothing before
    /// [`serve`](Self::serve).
    pub async fn listen(self: Arc<Self>, listener: TcpListener) {
        if let Some(lanes) = self.lanes.get().cloned() {
            self.accept(listener, lanes).await;
        }
    }

    /// Waits until the number of partitions is known, so that the first clients of a member that
    /// starts get no errors; for at most [`OP_MS_MAX`], as an operation would.
    async fn await_partitions(&self) {
        let end = Instant::now() + Duration::from_millis(OP_MS_MAX);
        while self.grid.table().is_none() && Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(PARTITIONS_POLL_MS)).await;
        }
    }

    /// Refuses further clients, stops beginning requests, and closes each connection once its
    /// responses are sent. Reports the locks of its clients to other members. Waits for at most
    /// [`FINISH_MS_MAX`]. Requests that wait for a lock are not waited for; they have changed nothing.
    /// Those that wait for items end, and clients send them to another member.
    pub async fn finish(&self) {
        self.is_finishing.store(true, Ordering::SeqCst);
        self.finishing.notify_waiters();
        self.waits.leave();
        let wait = Duration::from_millis(FINISH_MS_MAX);
        let locks = self.clients.unreported();
        let report = self.report_locks(lock_reports::Kind::Held, &locks);
        let _ = tokio::join!(tokio::time::timeout(wait, report), self.close_connections(wait));
    }

    /// Waits until all connections are closed, for at most this time.
    async fn close_connections(&self, wait: Duration) {
        let end = Instant::now() + wait;
        loop {
            let infos = self.infos();
            for info in &infos {
                info.waker.wake();
            }
            if infos.is_empty() || Instant::now() >= end {
                return;
            }
            tokio::time::sleep(Duration::from_millis(FINISH_POLL_MS)).await;
        }
    }

    async fn accept(self: Arc<Self>, listener: TcpListener, lanes: Arc<Lanes>) {
        let finishing = self.finishing.notified();
        tokio::pin!(finishing);
        finishing.as_mut().enable();
        while !self.is_finishing.load(Ordering::SeqCst) {
            let accepted = tokio::select! {
                biased;
                () = &mut finishing => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, from)) => {
                    if self.connections() >= self.settings.clients_max {
                        self.counters.turned_away.fetch_add(1, Ordering::Relaxed);
                        self.refusals
                            .add(from, "there are as many clients as --max-clients allows");
                        continue;
                    }
                    let Ok(stream) = without_assumed_readiness(stream) else { continue };
                    let _ = stream.set_nodelay(true);
                    self.counters.accepted.fetch_add(1, Ordering::Relaxed);
                    let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
                    let events = self.pubsub.output_buffer();
                    let info = Arc::new(ClientInfo::new(id, from, self.elapsed_ms(), events));
                    self.add(&info);
                    let session = Session::new(&self, info);
                    let assignment = Arc::new(lanes.assign(from.ip()));
                    let connection = Connection::new(stream, session, Arc::clone(&assignment));
                    assignment.spawn(Box::new(connection));
                }
                Err(error) => {
                    warn!(%error, "failed to accept a connection of a Hazelcast client");
                    tokio::time::sleep(Duration::from_millis(ACCEPT_PAUSE_MS)).await;
                }
            }
        }
    }

    /// Disconnects clients that are idle, do not authenticate, do not read responses or do not
    /// complete a request, as of `now` in [`Server::elapsed_ms`].
    fn kill_timed_out(&self, now: u64) {
        let idle_ms = self.settings.idle.map(|idle| idle.as_millis() as u64);
        for info in self.infos() {
            let past = |since: &AtomicU64, ms: u64| {
                let since = since.load(Ordering::Relaxed);
                since > 0 && now.saturating_sub(since) > ms
            };
            let is_busy = info.is_busy.load(Ordering::Relaxed);
            let is_idle = !is_busy && idle_ms.is_some_and(|ms| past(&info.active_ms, ms));
            let is_trusted = info.is_trusted.load(Ordering::Relaxed);
            let is_unauthenticated =
                !is_trusted && now.saturating_sub(info.since_ms) > UNAUTHENTICATED_MS_MAX;
            let is_stalled = past(&info.stalled_ms, STALLED_MS_MAX);
            if is_stalled {
                self.counters.cut_off.fetch_add(1, Ordering::Relaxed);
                warn!(client = %info.peer, "closing the connection of a client that does not read its responses");
            }
            let is_starved = past(&info.starved_ms, STARVED_MS_MAX);
            if is_starved {
                self.counters.cut_off.fetch_add(1, Ordering::Relaxed);
                warn!(client = %info.peer, "closing the connection of a client that does not complete a large request");
            }
            if is_idle || is_unauthenticated || is_stalled || is_starved {
                info.kill();
            }
        }
    }
}
