//! The configuration and the status of a mode.

use std::fmt;

use convoke_fetch::Digest;
use serde::Serialize;

use crate::candidate::{Problem, Snapshot};
use crate::capability::multicast::MulticastCounters;
use crate::grant::Grants;
use crate::source::Source;

/// The configuration of one mode, from a `[[discovery]]` table.
#[derive(Clone, Debug)]
pub struct ModeSpec {
    /// The name of the mode, used in all log lines about it.
    pub name: String,
    /// Where its component comes from.
    pub source: Source,
    /// The expected digest of the component, checked before it is compiled; rejected for a
    /// built-in mode.
    pub digest: Option<Digest>,
    /// The text after the colon in a command-line specification.
    pub argument: String,
    /// The mode's own settings, in the order of the configuration.
    pub settings: Vec<(String, String)>,
    /// The grants of the mode.
    pub grants: Grants,
}

/// Reports of a running mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModeEvent {
    /// A call of `discover` succeeded. Sent after each such call, even if the result did not
    /// change.
    Snapshot {
        /// The mode's name.
        mode: String,
        /// The result.
        snapshot: Snapshot,
    },
    /// The mode stopped with `Misconfigured` or `Denied` and is not called again. Its last
    /// result stays valid.
    Stopped {
        /// The mode's name.
        mode: String,
        /// The reason.
        problem: Problem,
    },
}

/// The life-cycle state of a mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModeState {
    /// No call has succeeded yet.
    Starting,
    /// The last call succeeded.
    Ready,
    /// The last call failed; another one follows.
    BackingOff,
    /// The member is leaving.
    Stopped,
    /// The mode reported that only an operator can fix it; it is not called again.
    StoppedMisconfigured,
    /// The mode reported that a capability was denied; it is not called again.
    StoppedDenied,
}

impl fmt::Display for ModeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::BackingOff => "backing-off",
            Self::Stopped => "stopped",
            Self::StoppedMisconfigured => "stopped-misconfigured",
            Self::StoppedDenied => "stopped-denied",
        })
    }
}

/// The status of a running mode, for `/status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ModeStatus {
    /// The mode's name.
    pub name: String,
    /// `built-in`, or where its component comes from, such as the path of its file.
    pub source: String,
    /// The digest of its component, unless it is built in: `sha256:…`.
    pub digest: Option<String>,
    /// The number of new versions of its file that took over.
    pub reloads: u64,
    /// The life-cycle state.
    pub state: ModeState,
    /// The number of successful calls of `discover`.
    pub looks: u64,
    /// Whether one of them was conclusive. Before that, this member does not found a cluster.
    pub has_looked: bool,
    /// The last successful result; kept when later calls fail.
    pub last_snapshot: Option<SnapshotStatus>,
    /// The last problem that the mode reported; kept when later calls succeed.
    pub last_problem: Option<Problem>,
    /// The last trap, timeout or exceeded limit, with a short backtrace; kept when later calls
    /// succeed.
    pub last_trap: Option<String>,
    /// The number of instances created after such a failure.
    pub restarts: u64,
    /// Its multicast counters.
    pub multicast: MulticastCounters,
}

/// A summary of the last successful result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SnapshotStatus {
    /// The number of candidates that were kept.
    pub candidates: usize,
    /// The number of candidates that were dropped.
    pub dropped: usize,
    /// When the result was received, in milliseconds since the Unix epoch.
    pub taken_at_ms: u64,
}
