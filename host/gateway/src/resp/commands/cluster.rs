//! The `CLUSTER` commands and redirections, with `--redis-cluster`. Without it, `CLUSTER` is
//! refused as by a Redis server without cluster support, since clients take any other reply as the
//! sign of a cluster.

use std::collections::HashMap;
use std::net::SocketAddr;

use convoke_grid::op::WholeOp;
use convoke_grid::slot::{self, SLOTS, slot};
use convoke_membership::MemberId;

use super::super::answer::{Answer, CommandError};
use super::super::args::Args;
use super::super::client::Client;
use super::super::command::CommandTable;
use super::super::command_state::{CommandResult, CommandState};
use super::super::request::Request;
use super::super::server::{ClusterNode, Endpoint, Server};
use super::describe;

/// Fails unless `--redis-cluster` is set, for all subcommands alike: as `clusterCommand` and
/// `readonlyCommand` of Redis 7 and 8.
pub(crate) fn expect_enabled(client: &Client) -> Result<(), CommandError> {
    if client.server.settings.redis_cluster {
        return Ok(());
    }
    Err(CommandError::new("ERR This instance has cluster support disabled"))
}

/// `READONLY`, `READWRITE` and `ASKING`.
pub(crate) fn readonly(client: &mut Client, _: &Request<'_>) -> CommandResult {
    expect_enabled(client)?;
    Ok(Answer::DONE.into())
}

/// Consecutive slots with the same primary. Backups are not reported: they do not serve reads.
struct SlotRange {
    first: u16,
    last: u16,
    primary: MemberId,
}

fn slot_ranges(server: &Server) -> Vec<SlotRange> {
    let mut ranges: Vec<SlotRange> = Vec::new();
    let Some(table) = server.grid.table() else { return ranges };
    let partitions = server.grid.partitions();
    for (number, partition) in table.partitions.iter().enumerate() {
        let slots = slot::slots(number as u16, partitions);
        if slots.is_empty() {
            continue;
        }
        let Some(primary) = partition.primary() else { continue };
        match ranges.last_mut() {
            Some(range) if range.primary == primary && range.last + 1 == slots.start => {
                range.last = slots.end - 1;
            }
            _ => ranges.push(SlotRange { first: slots.start, last: slots.end - 1, primary }),
        }
    }
    ranges
}

fn number(number: u16) -> Answer {
    Answer::integer(number.into())
}

pub(crate) fn slots(client: &mut Client, _: &Request<'_>) -> CommandResult {
    expect_enabled(client)?;
    Ok(slots_reply(&client.server).into())
}

pub(crate) fn shards(client: &mut Client, _: &Request<'_>) -> CommandResult {
    expect_enabled(client)?;
    Ok(shard_list(&client.server).into())
}

pub(crate) fn nodes(client: &mut Client, _: &Request<'_>) -> CommandResult {
    expect_enabled(client)?;
    Ok(Answer::verbatim(node_lines(&client.server)).into())
}

pub(crate) fn info(client: &mut Client, _: &Request<'_>) -> CommandResult {
    expect_enabled(client)?;
    Ok(Answer::verbatim(info_text(&client.server)).into())
}

pub(crate) fn myid(client: &mut Client, _: &Request<'_>) -> CommandResult {
    expect_enabled(client)?;
    let nodes = client.server.cluster.nodes();
    let me = nodes.iter().find(|node| node.this);
    Ok(Answer::text(me.map(|node| node.id.clone()).unwrap_or_default()).into())
}

pub(crate) fn keyslot(client: &mut Client, request: &Request<'_>) -> CommandResult {
    expect_enabled(client)?;
    Ok(number(slot(request.get(2).unwrap_or_default())).into())
}

pub(crate) fn countkeysinslot(client: &mut Client, request: &Request<'_>) -> CommandResult {
    expect_enabled(client)?;
    let slot = slot_of(Args::new(request, 2).integer()?)?;
    Ok(submit(client, slot, WholeOp::LengthOfSlot(slot)))
}

pub(crate) fn getkeysinslot(client: &mut Client, request: &Request<'_>) -> CommandResult {
    expect_enabled(client)?;
    let mut args = Args::new(request, 2);
    let (slot, count) = (slot_of(args.integer()?)?, args.integer()?);
    let count =
        u64::try_from(count).map_err(|_| CommandError::new("ERR Invalid number of keys"))?;
    Ok(submit(client, slot, WholeOp::KeysOfSlot(slot, count)))
}

pub(crate) fn help(
    client: &mut Client,
    table: &CommandTable,
    request: &Request<'_>,
) -> CommandResult {
    expect_enabled(client)?;
    describe::help(client, table, request)
}

fn slot_of(number: i64) -> Result<u16, CommandError> {
    u16::try_from(number)
        .ok()
        .filter(|slot| *slot < SLOTS)
        .ok_or(CommandError::new("ERR Invalid or out of range slot"))
}

fn submit(client: &Client, slot: u16, op: WholeOp<'_>) -> CommandState {
    let server = &client.server;
    let partition = slot::partition(slot, server.grid.partitions());
    let later = server.submit(&client.map, partition, &convoke_grid::Op::Whole(op));
    CommandState::Pending(Box::pin(async { later.await.into() }))
}

fn slots_reply(server: &Server) -> Answer {
    let nodes = server.cluster.nodes();
    let by_member: HashMap<MemberId, &ClusterNode> =
        nodes.iter().map(|node| (node.member, node)).collect();
    let node = |member: &MemberId| {
        let node = by_member.get(member)?;
        let endpoint = node.endpoint.as_ref()?;
        // As in Redis with `cluster-preferred-endpoint-type hostname`.
        let ip = endpoint
            .hostname
            .as_ref()
            .map(|_| (Answer::word("ip"), Answer::word(&endpoint.ip.to_string())));
        Some(Answer::List(vec![
            Answer::text(endpoint.host()),
            number(endpoint.port),
            Answer::text(node.id.clone()),
            ip.map_or(Answer::List(Vec::new()), |ip| Answer::Map(vec![ip])),
        ]))
    };
    let range = |range: SlotRange| {
        Some(Answer::List(vec![number(range.first), number(range.last), node(&range.primary)?]))
    };
    Answer::List(slot_ranges(server).into_iter().filter_map(range).collect())
}

/// The slot ranges of each member that is a primary.
fn ranges_by_primary(server: &Server) -> HashMap<MemberId, Vec<(u16, u16)>> {
    let mut by_primary: HashMap<MemberId, Vec<(u16, u16)>> = HashMap::new();
    for range in slot_ranges(server) {
        let ranges = by_primary.entry(range.primary).or_default();
        match ranges.last_mut() {
            Some(last) if last.1 + 1 == range.first => last.1 = range.last,
            _ => ranges.push((range.first, range.last)),
        }
    }
    by_primary
}

fn shard_list(server: &Server) -> Answer {
    let nodes = server.cluster.nodes();
    let mut by_primary = ranges_by_primary(server);
    let shard = |node: &ClusterNode| {
        let endpoint = node.endpoint.as_ref()?;
        let ranges = by_primary.remove(&node.member).unwrap_or_default();
        let slots = ranges.into_iter().flat_map(|(first, last)| [number(first), number(last)]);
        let mut fields = vec![
            (Answer::word("id"), Answer::word(&node.id)),
            (Answer::word("port"), number(endpoint.port)),
            (Answer::word("ip"), Answer::word(&endpoint.ip.to_string())),
            (Answer::word("endpoint"), Answer::word(&endpoint.host())),
        ];
        fields.extend(
            endpoint.hostname.as_ref().map(|name| (Answer::word("hostname"), Answer::word(name))),
        );
        fields.extend([
            (Answer::word("role"), Answer::word("master")),
            (Answer::word("replication-offset"), Answer::integer(0)),
            (Answer::word("health"), Answer::word("online")),
        ]);
        Some(Answer::Map(vec![
            (Answer::word("slots"), Answer::List(slots.collect())),
            (Answer::word("nodes"), Answer::List(vec![Answer::Map(fields)])),
        ]))
    };
    Answer::List(nodes.iter().filter(|node| node.stores).filter_map(shard).collect())
}

fn node_lines(server: &Server) -> String {
    let nodes = server.cluster.nodes();
    let by_primary = ranges_by_primary(server);
    let mut text = String::new();
    for (epoch, node) in nodes.iter().enumerate() {
        let Some(Endpoint { ip, hostname, port }) = &node.endpoint else { continue };
        let (address, bus) = (SocketAddr::new(*ip, *port), u32::from(*port) + 10_000);
        let name = hostname.as_ref().map(|name| format!(",{name}")).unwrap_or_default();
        let flags = if node.this { "myself,master" } else { "master" };
        text.push_str(&format!(
            "{} {address}@{bus}{name} {flags} - 0 0 {} connected",
            node.id,
            epoch + 1
        ));
        for (first, last) in by_primary.get(&node.member).into_iter().flatten() {
            let range =
                if first == last { format!(" {first}") } else { format!(" {first}-{last}") };
            text.push_str(&range);
        }
        text.push('\n');
    }
    text
}

fn info_text(server: &Server) -> String {
    let nodes = server.cluster.nodes();
    let covered: u32 =
        slot_ranges(server).iter().map(|range| u32::from(range.last - range.first) + 1).sum();
    let state = if covered == u32::from(SLOTS) { "ok" } else { "fail" };
    let primaries = ranges_by_primary(server).len();
    let epoch = server.grid.table().map_or(0, |table| table.stamp.version);
    format!(
        "cluster_enabled:1\r\ncluster_state:{state}\r\ncluster_slots_assigned:{covered}\r\ncluster_slots_ok:{covered}\r\ncluster_slots_pfail:0\r\ncluster_slots_fail:0\r\ncluster_known_nodes:{}\r\ncluster_size:{primaries}\r\ncluster_current_epoch:{epoch}\r\ncluster_my_epoch:{epoch}\r\n",
        nodes.len(),
    )
}
