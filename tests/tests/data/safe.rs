//! Waiting until every replica is complete and on the right member.

use std::time::Duration;

use convoke_tests::{Cluster, Member};
use serde_json::Value;

/// From a change of members until all replicas are complete again.
pub(crate) const SAFE_MAX: Duration = Duration::from_secs(60);

/// Waits until the members agree, and all replicas of all partitions are on them and complete.
#[track_caller]
pub(crate) fn wait_until_safe(cluster: &Cluster, members: &[Member]) {
    wait_until_safe_within(SAFE_MAX, cluster, members);
}

/// The same with another bound.
#[track_caller]
pub(crate) fn wait_until_safe_within(bound: Duration, cluster: &Cluster, members: &[Member]) {
    cluster.agree_within(bound, members);
    members[0].wait_for_status(bound, "data that is safe", |_| {
        let all: Vec<Value> = members.iter().map(|member| member.status().data).collect();
        is_safe(&all).then_some(())
    });
}

/// Whether all members report it, and their reports match one table: some may still count a member
/// that was just lost.
fn is_safe(all: &[Value]) -> bool {
    let number = |value: &Value| value.as_u64().unwrap_or(0);
    let sum = |name: &str| all.iter().map(|data| number(&data[name])).sum::<u64>();
    let (partitions, wanted) = (number(&all[0]["partitions"]), number(&all[0]["copies"]["wanted"]));
    let is_complete =
        |data: &Value| data["safe"] == true && number(&data["copies"]["wanted"]) == wanted;
    all.iter().all(is_complete)
        && sum("primary") == partitions
        && sum("primary") + sum("backup") == wanted
}

#[test]
fn members_that_count_a_lost_member_are_not_safe() {
    let data = |primary: u64, backup: u64| {
        serde_json::json!({
            "safe": true, "partitions": 10, "primary": primary, "backup": backup,
            "copies": { "complete": 20, "wanted": 20 },
        })
    };
    assert!(is_safe(&[data(5, 5), data(5, 5)]));
    assert!(!is_safe(&[data(4, 4), data(4, 3)]), "a third member has the rest");
    assert!(!is_safe(&[data(5, 5), data(6, 4)]), "they have different tables");
}
