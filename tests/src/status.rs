//! The response of `/status`.

use std::net::SocketAddr;

use serde::Deserialize;
use serde_json::Value;

/// The response.
#[derive(Clone, Debug, Deserialize)]
pub struct Status {
    /// The member that responds.
    pub member: ThisMember,
    /// The cluster it is in.
    pub cluster: ClusterStatus,
    /// The data that this member stores, and whether all replicas are complete.
    pub data: Value,
    /// Each configured mode.
    pub modes: Vec<ModeStatus>,
    /// Counters since the start, some of them in groups.
    pub counters: Value,
}

/// The member that responds.
#[derive(Clone, Debug, Deserialize)]
pub struct ThisMember {
    /// Its UUID.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its group.
    pub group: String,
    /// Whether it is a lite member.
    pub lite: bool,
    /// The address for other members.
    pub address: SocketAddr,
    /// The HTTP port.
    pub http_port: Option<u16>,
    /// The RESP port, if there is one.
    pub resp_port: Option<u16>,
    /// The port for clients of Hazelcast.
    pub hazelcast_port: Option<u16>,
}

/// A cluster as one member sees it.
#[derive(Clone, Debug, Deserialize)]
pub struct ClusterStatus {
    /// Its name.
    pub name: String,
    /// Raised by each merge, and when a member takes over from a lost coordinator.
    pub epoch: u64,
    /// Raised by each change within an epoch.
    pub version: u64,
    /// Number of members.
    pub size: usize,
    /// UUID of the oldest member.
    pub coordinator: String,
    /// Oldest first.
    pub members: Vec<ListedMember>,
}

/// One member of the list.
#[derive(Clone, Debug, Deserialize)]
pub struct ListedMember {
    /// Its UUID.
    pub id: String,
    /// Its address.
    pub address: SocketAddr,
    /// Its name.
    pub name: String,
    /// Its group.
    pub group: String,
    /// Whether it is a lite member.
    pub lite: bool,
    /// Its place in the order: lower is older.
    pub age: u64,
    /// Whether it is the member that responds.
    pub this: bool,
}

/// One configured mode.
#[derive(Clone, Debug, Deserialize)]
pub struct ModeStatus {
    /// Its configured name.
    pub name: String,
    /// Such as `ready`.
    pub state: String,
    /// Lookups that it has completed.
    #[serde(rename = "looks")]
    pub lookups: u64,
    /// Instances built after a failure.
    pub restarts: u64,
    /// Versions of its file that were loaded.
    pub reloads: u64,
    /// All other fields.
    #[serde(flatten)]
    pub more: serde_json::Map<String, Value>,
}

impl Status {
    /// Sum of all counters whose name, or the name of whose group, contains one
    /// of `words`.
    #[must_use]
    pub fn counted(&self, words: &[&str]) -> u64 {
        sum(&self.counters, words, false)
    }
}

fn sum(value: &Value, words: &[&str], within: bool) -> u64 {
    match value {
        Value::Number(number) if within => number.as_u64().unwrap_or(0),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| {
                sum(value, words, within || words.iter().any(|word| name.contains(word)))
            })
            .sum(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_summed_by_name_and_by_group() {
        let counters = serde_json::json!({
            "datagrams_refused": 2, "streams": { "refused_by_us": 3, "opened": 5 },
            "refused": { "unreadable": 7, "late": 11 },
        });
        assert_eq!(sum(&counters, &["refused"], false), 23);
        assert_eq!(sum(&counters, &["opened", "late"], false), 16);
    }
}
