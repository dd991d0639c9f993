//! Logs when this member is ready, or what it is waiting for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tracing::{info, warn};

use super::state::MemberState;
use crate::status::Status;

/// A start that takes longer than this logs what it is waiting for, in milliseconds.
const SLOW_START_MS: u64 = 5_000;

/// Logs once that this member is in a cluster, and until then what it is waiting for.
pub(super) async fn log_ready(
    mut member_state: watch::Receiver<Arc<MemberState>>,
    status: Arc<Status>,
    member: SocketAddr,
    http: SocketAddr,
) {
    let started = tokio::time::Instant::now();
    let in_a_cluster =
        async { member_state.wait_for(|member_state| member_state.view.is_some()).await.is_ok() };
    tokio::pin!(in_a_cluster);
    // Doubled each time, so that the line does not appear every few seconds.
    let mut delay_ms = SLOW_START_MS;
    loop {
        let delay = tokio::time::sleep(Duration::from_millis(delay_ms));
        delay_ms = delay_ms.saturating_mul(2);
        tokio::select! {
            here = &mut in_a_cluster => {
                if here {
                    let elapsed_ms = started.elapsed().as_millis();
                    info!(%member, %http, elapsed_ms, "ready");
                }
                return;
            }
            () = delay => {
                let waiting: Vec<String> = status
                    .modes
                    .get()
                    .into_iter()
                    .flatten()
                    .map(|mode| mode.borrow().clone())
                    .filter(|mode| !mode.has_looked)
                    .map(|mode| match (mode.last_problem, mode.last_trap) {
                        (Some(problem), _) => format!("{}: {problem}", mode.name),
                        (None, Some(trap)) => format!("{} {trap}", mode.name),
                        (None, None) => format!("{} has not completed a lookup yet", mode.name),
                    })
                    .collect();
                if status.is_refused() {
                    continue;
                }
                let waiting = if waiting.is_empty() { "candidates to be called".to_owned() } else { waiting.join("; ") };
                warn!(%waiting, "not in a cluster yet; still looking for members. No cluster is founded until every mode has completed a lookup");
            }
        }
    }
}
