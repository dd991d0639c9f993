//! Requests about schemas of compact records, which clients send before the first record. They are
//! stored in a map of the grid, so that all members can read them.

use std::sync::Arc;

use convoke_grid::op::{KeyOp, Lifetime, Op, PlainOp, PutAnswer, PutIf, WholeOp};
use convoke_grid::{Map, OpError, Reply};
use convoke_hazelcast::codec::{Encoded, List, Packed, client};
use convoke_hazelcast::error::ErrorCode;
use convoke_hazelcast::schema::Schema;

use super::errors::Failure;
use super::schemas::encoded;
use super::server::Server;

/// The name of the map of schemas. All of them are in the partition of this text.
const MAP: &str = "hazelcast-schemas";
/// Maximum number of schemas in a cluster. Members that add some at the same time may exceed it
/// slightly.
const SCHEMAS_MAX: i64 = 10_000;
/// Maximum length of an encoded schema, in bytes.
const SCHEMA_BYTES_MAX: usize = 64 * 1024;

/// The stored key of a schema.
fn key(id: i64) -> Vec<u8> {
    [format!("{{{MAP}}}").as_bytes(), &id.to_be_bytes()].concat()
}

impl Server {
    async fn on_schemas(&self, op: Op<'_>) -> Result<Reply, OpError> {
        let map: Arc<Map> = self.grid.open_system(MAP)?;
        let partition = self.grid.partition_of(MAP.as_bytes());
        self.submit(&map, partition, &op).await
    }

    /// Stores a schema on all members.
    async fn add_schema(&self, schema: Schema<'_>, may_write: bool) -> Result<(), Failure> {
        let id = schema.id();
        if self.schemas.known(id).is_some() || self.load_schema(id).await? {
            return Ok(());
        }
        if !may_write {
            return Err(super::map::denied());
        }
        let value = encoded(schema).filter(|value| value.len() <= SCHEMA_BYTES_MAX);
        let Some(value) = value else {
            let text = format!("a schema may have at most {SCHEMA_BYTES_MAX} bytes");
            return Err(Failure::new(ErrorCode::IllegalArgument, text));
        };
        let count = self.on_schemas(Op::Whole(WholeOp::Length)).await?;
        if matches!(count, Reply::Integer(count) if count >= SCHEMAS_MAX) {
            let text = format!("the cluster has {SCHEMAS_MAX} schemas already");
            return Err(Failure::new(ErrorCode::IllegalState, text));
        }
        let put = KeyOp::Plain(PlainOp::Put {
            kind: 0,
            value: &value,
            lifetime: Lifetime::Forever,
            condition: PutIf::Absent,
            answer: PutAnswer::Done,
        });
        self.on_schemas(Op::Key(&key(id), put)).await?;
        self.schemas.remember(&schema, id);
        Ok(())
    }

    /// The encoded schema of this id.
    async fn stored_schema(&self, id: i64) -> Result<Option<bytes::Bytes>, OpError> {
        match self.on_schemas(Op::Key(&key(id), KeyOp::Plain(PlainOp::Get))).await? {
            Reply::Bytes(bytes) => Ok(Some(bytes)),
            _ => Ok(None),
        }
    }

    /// Reads a schema from the cluster, to be used here. Returns whether it exists.
    pub(super) async fn load_schema(&self, id: i64) -> Result<bool, OpError> {
        let Some(bytes) = self.stored_schema(id).await? else { return Ok(false) };
        let schema = Encoded::from_bytes(&bytes).and_then(|encoded| encoded.decode().ok());
        let schema: Schema<'_> = schema.ok_or(OpError::Malformed)?;
        self.schemas.remember(&schema, id);
        Ok(true)
    }
}

/// Stores a schema that a client sends, and responds with the members that can read it: all.
pub(super) async fn send(
    server: &Server,
    output: &mut Vec<u8>,
    correlation_id: i64,
    schema: Schema<'_>,
    may_write: bool,
) -> Result<(), Failure> {
    server.add_schema(schema, may_write).await?;
    let members = server
        .view()
        .with_members(|members| members.iter().map(|member| member.uuid).collect::<Vec<_>>());
    client::SendSchema::respond(output, correlation_id, 0, Packed::from(&members[..]));
    Ok(())
}

/// Stores the schemas that a client has used, which it sends after it has lost all connections.
pub(super) async fn send_all(
    server: &Server,
    output: &mut Vec<u8>,
    correlation_id: i64,
    schemas: List<'_, Schema<'_>>,
    may_write: bool,
) -> Result<(), Failure> {
    for schema in schemas {
        server.add_schema(schema, may_write).await?;
    }
    client::SendAllSchemas::respond(output, correlation_id, 0);
    Ok(())
}

/// Responds with a schema.
pub(super) async fn fetch(
    server: &Server,
    output: &mut Vec<u8>,
    correlation_id: i64,
    id: i64,
) -> Result<(), Failure> {
    let bytes = server.stored_schema(id).await?;
    let schema = bytes.as_deref().and_then(Encoded::from_bytes);
    let schema = schema.and_then(|encoded| encoded.decode().ok());
    client::FetchSchema::respond(output, correlation_id, 0, schema);
    Ok(())
}
