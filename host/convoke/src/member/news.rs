//! What happens to the cluster, as messages to those who subscribed on this member.

use std::sync::Arc;

use bytes::Bytes;
use convoke_gateway::{MEMBERS_TOPIC, Node as _, PARTITIONS_TOPIC};
use serde_json::Value;
use tokio::sync::{Notify, watch};

use super::state::Place;
use crate::status::Status;

/// Tells each change, for as long as the process runs. `changed` is told when the
/// data may be another way.
pub(crate) async fn tell(
    status: Arc<Status>,
    mut place: watch::Receiver<Arc<Place>>,
    changed: Arc<Notify>,
) {
    let (mut members, mut partitions) = (Value::Null, Value::Null);
    loop {
        publish_change(&status, MEMBERS_TOPIC, &mut members, status.members());
        publish_change(&status, PARTITIONS_TOPIC, &mut partitions, status.partitions());
        tokio::select! {
            moved = place.changed() => if moved.is_err() {
                // A lone member stays where it is.
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
