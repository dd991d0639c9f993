//! What the admin pages of a domain server show.

use serde::Serialize;

/// The members of the cluster and the modes of this member.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Overview {
    /// Name of the cluster.
    pub cluster: String,
    /// The current view, such as `1.7`; empty if there is none yet.
    pub view: String,
    /// All members, oldest first.
    pub members: Vec<MemberRow>,
    /// The discovery modes of this member.
    pub modes: Vec<ModeRow>,
}

/// A member of the cluster.
#[derive(Clone, Debug, Serialize)]
pub struct MemberRow {
    /// Name.
    pub name: String,
    /// Group.
    pub group: String,
    /// Member ID, a UUID.
    pub id: String,
    /// Address at which other members connect to it.
    pub address: String,
    /// HTTP address; `None` if HTTP is turned off.
    pub http: Option<String>,
    /// Whether it is a lite member, which stores no data.
    pub lite: bool,
    /// Whether it is the member that serves this page.
    pub this: bool,
    /// Whether it is the coordinator.
    pub coordinator: bool,
    /// Start time of its process, in RFC 3339, by its own clock.
    pub since: String,
    /// Uptime in milliseconds.
    pub up_ms: u64,
    /// Its discovery modes.
    pub found_by: String,
    /// Liveness.
    pub health: Health,
}

/// Liveness of a member, as seen by the member that serves this page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    /// The member answers probes.
    Alive,
    /// The member does not answer probes; it is removed unless it refutes the suspicion (SWIM
    /// §4.2).
    Suspected,
}

/// A discovery mode of the member that serves this page.
#[derive(Clone, Debug, Serialize)]
pub struct ModeRow {
    /// Name.
    pub name: String,
    /// State, such as `ready`.
    pub state: String,
    /// Number of candidates that its last run reported.
    pub candidates: usize,
    /// Last problem that it reported; empty if there was none.
    pub problem: String,
}
