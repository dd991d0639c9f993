//! What a mode is configured with, and what is known of it while it runs.

use std::fmt;
use std::net::IpAddr;

use serde::Serialize;

use crate::bindings::types;
use crate::{Digest, Grants, MulticastCounters, Problem, Snapshot, Source};

/// One `[[discovery]]` of the configuration.
#[derive(Clone, Debug)]
pub struct ModeSpec {
    /// As the operator names it, in every line about it.
    pub name: String,
    /// Where its component comes from.
    pub source: Source,
    /// Checked before a file is compiled; refused on a built-in mode.
    pub digest: Option<Digest>,
    /// The text after the colon on the command line.
    pub argument: String,
    /// The mode's own settings, in the order they were written.
    pub settings: Vec<(String, String)>,
    /// What it may do.
    pub grants: Grants,
}

/// The member that is looking for others, as modes see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalMember {
    /// Only members of the same name join each other.
    pub cluster_name: String,
    /// The member's identity, as text.
    pub member_id: String,
    /// Where others dial it.
    pub addresses: Vec<IpAddr>,
    /// The port at each of these addresses.
    pub port: u16,
    /// Hints for others, such as `zone`.
    pub attributes: Vec<(String, String)>,
}

impl LocalMember {
    pub(crate) fn to_wit(&self) -> types::LocalMember {
        types::LocalMember {
            cluster_name: self.cluster_name.clone(),
            member_id: self.member_id.clone(),
            addresses: self.addresses.iter().map(IpAddr::to_string).collect(),
            port: self.port,
            attributes: self.attributes.clone(),
        }
    }
}

/// What a running mode reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModeEvent {
    /// A look succeeded. Sent after each look, changed or not.
    Snapshot {
        /// The mode's name.
        mode: String,
        /// What it found.
        snapshot: Snapshot,
    },
    /// The mode will not be asked again: `Misconfigured` or `Denied`. What it
    /// found before still stands.
    Stopped {
        /// The mode's name.
        mode: String,
        /// Why.
        problem: Problem,
    },
}

/// Where a mode is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModeState {
    /// No call has succeeded yet.
    Starting,
    /// The last call succeeded.
    Ready,
    /// The last call failed; another follows.
    BackingOff,
    /// The member leaves.
    Stopped,
    /// The mode says that only an operator can mend it; not asked again.
    StoppedMisconfigured,
    /// The mode says that a capability was refused; not asked again.
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

/// What is known of a running mode, for the status page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ModeStatus {
    /// The mode's name.
    pub name: String,
    /// `built-in`, or the path of its file.
    pub source: String,
    /// What its component is pinned by, unless it is built in: `sha256:…`.
    pub digest: Option<String>,
    /// Times that a new version of its file took over.
    pub reloads: u64,
    /// Where it is in its life.
    pub state: ModeState,
    /// Looks that succeeded.
    pub looks: u64,
    /// Whether one of them has shown who is there, leaving nothing in doubt: before, this
    /// member founds no cluster.
    pub has_looked: bool,
    /// The last look that succeeded; it stays when later ones fail.
    pub last_snapshot: Option<SnapshotStatus>,
    /// The last problem that the mode reported; it stays when later calls succeed.
    pub last_problem: Option<Problem>,
    /// The last trap, time-out or broken limit, with a short backtrace; it stays too.
    pub last_trap: Option<String>,
    /// Instances built after such a failure.
    pub restarts: u64,
    /// What it did with multicast groups.
    pub multicast: MulticastCounters,
}

/// The last look that succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SnapshotStatus {
    /// Candidates that were kept.
    pub candidates: usize,
    /// Candidates that were dropped.
    pub dropped: usize,
    /// When it was taken, in milliseconds since 1970.
    pub taken_at_ms: u64,
}
