//! Publishes changes of the cluster to the topics that clients of this member subscribe to.

use std::sync::Arc;

use bytes::Bytes;
use convoke_gateway::{MEMBERS_TOPIC, Node as _, PARTITIONS_TOPIC};
use serde_json::Value;
use tokio::sync::{Notify, watch};

use super::state::MemberState;
use crate::status::Status;

/// Publishes each change, for as long as the process runs. `changed` is notified whenever data may
/// have changed.
pub(crate) async fn publish_changes(
    status: Arc<Status>,
    mut member_state: watch::Receiver<Arc<MemberState>>,
    changed: Arc<Notify>,
) {
    let (mut members, mut partitions) = (Value::Null, Value::Null);
    loop {
        publish_change(&status, MEMBERS_TOPIC, &mut members, status.members());
        publish_change(&status, PARTITIONS_TOPIC, &mut partitions, status.partitions());
        tokio::select! {
            moved = member_state.changed() => if moved.is_err() {
                // Without a cluster the view never changes.
                changed.notified().await;
            },
            () = changed.notified() => {}
        }
    }
}

fn publish_change(status: &Status, topic: &'static str, before: &mut Value, now: Value) {
    if *before != now {
        status.grid.publish_here(&Bytes::from(topic), &Bytes::from(now.to_string()));
        *before = now;
    }
}
