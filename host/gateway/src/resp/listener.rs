//! Accepts clients of a [`Server`], disconnects those that take too long, and finishes when the
//! member leaves.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use convoke_grid::grid::OP_MS_MAX;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tracing::{debug, warn};

use super::client::Client;
use super::client_info::ClientInfo;
use super::connection::Connection;
use super::server::Server;
use crate::lanes::{Lanes, without_assumed_readiness};
use crate::{FINISH_MS_MAX, FINISH_POLL_MS};

/// A client that does not authenticate within this time is disconnected, in milliseconds.
const UNAUTHENTICATED_MS_MAX: u64 = 10_000;
/// A client that does not read pending output for this long is disconnected, in milliseconds.
const STALLED_MS_MAX: u64 = 60_000;
/// A client that sends no more data of a large incomplete request for this long is disconnected, in
/// milliseconds.
const STARVED_MS_MAX: u64 = 60_000;
/// Interval at which clients are checked for these timeouts, in milliseconds.
const CLIENT_CHECK_MS: u64 = 1_000;
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
        for listener in listeners {
            tokio::spawn(Arc::clone(&self).accept(listener, Arc::clone(lanes)));
        }
        let mut check = tokio::time::interval(Duration::from_millis(CLIENT_CHECK_MS));
        loop {
            check.tick().await;
            self.kill_timed_out(self.elapsed_ms());
            self.stats.tick(self.counters.commands.sum());
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
        while self.grid.partitions() == 0 && Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(PARTITIONS_POLL_MS)).await;
        }
    }

    /// Refuses further clients, stops starting commands, and closes each connection once its pending replies are sent. Waits
    /// for at most [`FINISH_MS_MAX`]. Blocked commands are not waited for; they have changed
    /// nothing.
    pub async fn finish(&self) {
        self.is_finishing.store(true, Ordering::SeqCst);
        self.finishing.notify_waiters();
        let end = Instant::now() + Duration::from_millis(FINISH_MS_MAX);
        loop {
            let mut is_open = false;
            for info in self.client_infos() {
                is_open |= !info.is_blocked.load(Ordering::Relaxed);
                info.waker.wake();
            }
            if !is_open || Instant::now() >= end {
                return;
            }
            tokio::time::sleep(Duration::from_millis(FINISH_POLL_MS)).await;
        }
    }

    async fn accept(self: Arc<Self>, listener: TcpListener, lanes: Arc<Lanes>) {
        let finishing = self.finishing.notified();
        tokio::pin!(finishing);
        finishing.as_mut().enable();
        // A client that is refused connects to another member; one whose connection is closed after
        // its first command may not.
        while !self.is_finishing.load(Ordering::SeqCst) {
            let accepted = tokio::select! {
                biased;
                () = &mut finishing => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, from)) => {
                    if self.clients() >= self.settings.clients_max {
                        self.counters.turned_away.fetch_add(1, Ordering::Relaxed);
                        self.refusals
                            .add(from, "there are as many clients as --max-clients allows");
                        tokio::spawn(reject(stream));
                        continue;
                    }
                    let Ok(at) = stream.local_addr() else { continue };
                    let Ok(stream) = without_assumed_readiness(stream) else { continue };
                    let _ = stream.set_nodelay(true);
                    self.counters.accepted.fetch_add(1, Ordering::Relaxed);
                    let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
                    let buffer = self.pubsub.output_buffer();
                    let info = ClientInfo::new(id, from, at, self.elapsed_ms(), buffer);
                    let info = Arc::new(info);
                    self.add_client(&info);
                    if let Some(client) = Client::new(&self, info) {
                        let assignment = Arc::new(lanes.assign(from.ip()));
                        let connection = Connection::new(stream, client, Arc::clone(&assignment));
                        assignment.spawn(Box::new(connection));
                    } else {
                        self.remove_client(id);
                    }
                }
                Err(error) => {
                    warn!(%error, "failed to accept a RESP connection");
                    tokio::time::sleep(Duration::from_millis(ACCEPT_PAUSE_MS)).await;
                }
            }
        }
    }

    /// Disconnects clients that are idle, do not authenticate, do not read replies or do not
    /// complete a request, as of `now` in [`Server::elapsed_ms`].
    fn kill_timed_out(&self, now: u64) {
        let idle_ms = self.settings.idle.map(|idle| idle.as_millis() as u64);
        for info in self.client_infos() {
            let past = |since: &AtomicU64, ms: u64| {
                let since = since.load(Ordering::Relaxed);
                since > 0 && now.saturating_sub(since) > ms
            };
            let may_idle = info.is_blocked.load(Ordering::Relaxed) || info.is_subscribed();
            let is_idle = !may_idle && idle_ms.is_some_and(|ms| past(&info.active_ms, ms));
            let is_trusted = info.is_trusted.load(Ordering::Relaxed);
            let is_unauthenticated =
                !is_trusted && now.saturating_sub(info.since_ms) > UNAUTHENTICATED_MS_MAX;
            let is_stalled = past(&info.stalled_ms, STALLED_MS_MAX);
            if is_stalled {
                self.counters.cut_off.fetch_add(1, Ordering::Relaxed);
                warn!(client = %info.peer, "closing the connection of a client that does not read its replies");
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

async fn reject(mut stream: TcpStream) {
    let message = b"-ERR max number of clients reached\r\n";
    if let Err(error) = stream.write_all(message).await {
        debug!(%error, "client disconnected before it was rejected");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::server::RespSettings;
    use crate::testing::{client_of, server_with, single_member_grid};
    use crate::trust::Trust;

    #[tokio::test]
    async fn clients_are_disconnected_when_idle_or_not_reading_for_too_long() {
        let idle_ms = 30 * 60_000;
        let settings = RespSettings {
            clients_max: 10,
            idle: Some(Duration::from_millis(idle_ms)),
            ..RespSettings::default()
        };
        let server = server_with(single_member_grid(), settings);
        let client = client_of(&server, Trust::Full);
        let info = &client.info;
        server.add_client(info);
        // No timeout has expired yet.
        let now = server.elapsed_ms();
        assert!(now > 0 && now < idle_ms, "{now}");
        server.kill_timed_out(now);
        assert!(!info.is_killed());
        server.kill_timed_out(info.active_ms.load(Ordering::Relaxed) + idle_ms);
        assert!(!info.is_killed());
        info.stalled_ms.store(now, Ordering::Relaxed);
        server.kill_timed_out(now + STALLED_MS_MAX);
        assert!(!info.is_killed());
        server.kill_timed_out(now + STALLED_MS_MAX + 1);
        assert!(info.is_killed());

        let client = client_of(&server, Trust::Full);
        server.add_client(&client.info);
        let active = client.info.active_ms.load(Ordering::Relaxed);
        server.kill_timed_out(active + idle_ms + 1);
        assert!(client.info.is_killed());
    }
}
