//! Schemas of compact records: those that this member has used, and how they are stored. A schema
//! never changes, and is never removed.

use std::collections::HashMap;
use std::sync::Arc;

use convoke_hazelcast::codec::client;
use convoke_hazelcast::message::Message;
use convoke_hazelcast::query::Layout;
use convoke_hazelcast::schema::Schema;
use parking_lot::RwLock;

/// The layouts of schemas that this member knows; see the [module](self). `None` for a schema with a
/// type of field that is unknown.
#[derive(Default)]
pub(super) struct Schemas(RwLock<HashMap<i64, Option<Arc<Layout>>>>);

impl Schemas {
    /// The layout of a schema that has been used here: `None` if it has not.
    pub(super) fn known(&self, id: i64) -> Option<Option<Arc<Layout>>> {
        self.0.read().get(&id).cloned()
    }

    /// Forgets all, as if this member had just started.
    #[cfg(test)]
    pub(super) fn forget_all(&self) {
        self.0.write().clear();
    }

    /// Remembers a schema.
    pub(super) fn remember(&self, schema: &Schema<'_>, id: i64) {
        self.0.write().insert(id, Layout::new(schema).map(Arc::new));
    }
}

/// The data structure with which a schema is sent.
pub(super) fn encoded(schema: Schema<'_>) -> Option<Vec<u8>> {
    let mut message = Vec::new();
    client::FetchSchema::respond(&mut message, 0, 0, Some(schema));
    let frames = Message::parse(&message).ok()?.frames();
    Some(frames.rest().to_vec())
}

#[cfg(test)]
mod tests {
    use convoke_hazelcast::codec::{Encoded, List};
    use convoke_hazelcast::schema::FieldDescriptor;

    use super::*;

    #[test]
    fn a_stored_schema_is_the_one_that_was_sent() {
        let fields = [FieldDescriptor { kind: 9, field_name: "n" }];
        let schema = Schema { type_name: "t", fields: List::from(&fields) };
        let stored = encoded(schema).unwrap();
        let decoded: Schema<'_> = Encoded::from_bytes(&stored).unwrap().decode().unwrap();
        assert_eq!((decoded.id(), decoded), (schema.id(), schema));
    }
}
