//! Describes a cluster as text, with names instead of ids.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use convoke_grid::table::Assignment;
use convoke_grid::{Grid, OpError, Reply, Version};
use convoke_membership::{MemberId, View};

use super::{Cluster, MAP, OK, Output};
use crate::command::Request;
use crate::network::Node;
use crate::store::START_MS;

/// Duration from which a request counts as having waited, which the output states.
const WAITED: Duration = Duration::from_millis(500);

impl Cluster {
    pub(super) fn node_names<'a>(&self, nodes: impl IntoIterator<Item = &'a Node>) -> String {
        let names: Vec<_> = nodes.into_iter().map(|node| &*self.names[*node]).collect();
        names.join(" ")
    }

    pub(super) fn name(&self, id: MemberId) -> &str {
        let node = self.store.members.iter().position(|member| member.grid.me() == id);
        node.map_or("?", |node| &self.names[node])
    }

    /// A text for each member that runs, and the members with the same one.
    pub(super) fn groups(&self, describe: impl Fn(&Grid) -> String) -> Vec<(String, Vec<Node>)> {
        let mut groups = Vec::new();
        for node in self.store.living() {
            add_to_group(&mut groups, describe(&self.store.members[node].grid), node);
        }
        groups
    }

    /// A line for each group of members.
    pub(super) fn lines(&self, groups: &[(String, Vec<Node>)]) -> String {
        let line = |(text, nodes): &(String, Vec<Node>)| {
            let names = self.node_names(nodes);
            text.lines().map(|line| format!("{names}: {line}\n")).collect::<String>()
        };
        groups.iter().map(line).collect()
    }

    pub(super) fn describe_view(&self, view: &View) -> String {
        let mut members = String::new();
        for member in view.members() {
            let lite = if member.lite { " (lite)" } else { "" };
            let _ = write!(members, " {}{lite}", self.name(member.id));
        }
        format!("view{members}")
    }

    pub(super) fn describe_views(&self) -> String {
        let view = |node: &Node| self.store.world.nodes[*node].core.view();
        let living = self.store.living();
        living.first().and_then(view).map(|view| self.describe_view(view)).unwrap_or_default()
    }

    pub(super) fn describe_assignment(&self, assignment: &Assignment) -> String {
        let mut text = String::new();
        for (at, replica) in assignment.replicas.iter().enumerate() {
            let name = self.name(replica.member);
            let _ = match (at, replica.place, replica.is_complete()) {
                (0, ..) => write!(text, "primary {name}"),
                (_, 0, _) => write!(text, ", copying to {name}, the next primary"),
                (.., false) => write!(text, ", copying to {name}"),
                (.., true) => write!(text, ", backup {name}"),
            };
        }
        if text.is_empty() { "no replica".into() } else { text }
    }

    /// The assignments of partitions with their labels, as the members know them.
    fn assignments(&self, labels: &[(String, u16)]) -> String {
        let groups = self.groups(|grid| {
            let Some(table) = grid.table() else { return "no table".into() };
            let line = |(label, partition): &(String, u16)| {
                let assignment = &table.partitions[usize::from(*partition)];
                let text = self.describe_assignment(assignment);
                format!("{label}partition {partition}: {text}\n")
            };
            labels.iter().map(line).collect()
        });
        if let [(text, _)] = &groups[..] { text.clone() } else { self.lines(&groups) }
    }

    pub(super) fn describe_tables(&self) -> String {
        let all = (0..self.store.partitions).map(|number| (String::new(), number));
        self.assignments(&all.collect::<Vec<_>>())
    }

    /// The members that store the partitions of keys.
    pub(super) fn place(&self, keys: &[String]) -> String {
        let lines: Vec<_> =
            keys.iter().map(|key| (format!("{key}: "), self.partition_of(key))).collect();
        self.assignments(&lines)
    }

    /// Like [`place`](Self::place); from now on, each change is an event.
    pub(super) fn watch(&mut self, keys: &[String]) -> String {
        for key in keys {
            self.watched.insert(self.partition_of(key));
        }
        for node in self.store.living() {
            if let Some(table) = self.store.members[node].grid.table() {
                self.note_table(node, &table);
            }
        }
        self.events.clear();
        self.place(keys)
    }

    pub(super) fn partition_of(&self, key: &str) -> u16 {
        self.store.members[0].grid.partition_of(key.as_bytes())
    }

    /// The copies of a key's partition on each member, compared by their digests.
    pub(super) fn describe_copies(&self, key: &str) -> String {
        let partition = self.partition_of(key);
        let mut known: Vec<u64> = Vec::new();
        let mut text = String::new();
        for node in self.store.living() {
            let grid = &self.store.members[node].grid;
            let holds = match grid.digests(partition).map(|digests| digests.get(MAP).copied()) {
                None => "no complete replica".into(),
                Some(None) => "an empty replica".into(),
                Some(Some(digest)) => {
                    let at = known.iter().position(|other| *other == digest);
                    let at = at.unwrap_or_else(|| {
                        known.push(digest);
                        known.len() - 1
                    });
                    format!("content {}", char::from(b'A' + at as u8))
                }
            };
            let unmerged = if grid.has_leftovers() { ", and data left to merge" } else { "" };
            let _ = writeln!(text, "{}: {holds}{unmerged}", self.names[node]);
        }
        text
    }

    /// The version of a key, as each member returns it.
    pub(super) fn describe_versions(&mut self, key: &str) -> Output {
        let (mut replies, mut distinct) = (Vec::new(), BTreeSet::new());
        for node in self.store.living() {
            if self.store.is_stopped(node) {
                continue;
            }
            let answer = self.begin(node, Request::version(&self.names[node], key), true);
            self.wait_for(&answer)?;
            self.pending.retain(|pending| !Arc::ptr_eq(&pending.answer, &answer));
            let reply = answer.lock().take();
            let reply = reply.map(|reply| match reply {
                Ok(Reply::Integer(version)) => Ok(Version(version.cast_unsigned())),
                other => Err(describe_reply(&other, Duration::ZERO)),
            });
            distinct.extend(reply.iter().flatten().copied());
            replies.push((node, reply));
        }
        distinct.remove(&Version::NONE);
        let names: Vec<_> = distinct.iter().map(|version| self.version_name(*version)).collect();
        let mut groups = Vec::new();
        for (node, reply) in replies {
            let text = match reply {
                Some(Ok(Version::NONE)) | None => "none".into(),
                Some(Ok(version)) => self.version_name(version),
                Some(Err(error)) => error,
            };
            add_to_group(&mut groups, text, node);
        }
        let mut text = self.lines(&groups);
        if names.len() > 1 {
            let _ = writeln!(text, "{}", names.join(" < "));
        }
        Ok(text)
    }

    fn version_name(&mut self, version: Version) -> String {
        let at = self.versions.iter().position(|known| *known == version);
        let at = at.unwrap_or_else(|| {
            self.versions.push(version);
            self.versions.len() - 1
        });
        format!("v{}", at + 1)
    }

    pub(super) fn describe_state(&self, name: &str) -> Output {
        let node = self.living(name)?;
        let grid = &self.store.members[node].grid;
        let view = self.store.world.nodes[node].core.view();
        let view = view.map_or_else(|| "no view".into(), |view| self.describe_view(view));
        let safe = if grid.is_safe() { "safe" } else { "not safe" };
        let (complete, required) = grid.progress();
        let missing: Vec<_> = grid
            .table()
            .map(|table| table.missing.iter().map(|m| self.name(m.id).to_owned()).collect())
            .unwrap_or_default();
        let mut text = format!("{view}\n{safe}: {complete} of {required} replicas are complete\n");
        if !missing.is_empty() {
            let _ = writeln!(text, "removals are remembered for {}", missing.join(" "));
        }
        if grid.has_leftovers() {
            text += "data is left to merge\n";
        }
        Ok(text)
    }

    /// The cluster's time at a member, compared with real time.
    pub(super) fn describe_time(&self, grid: &Grid) -> String {
        let real_ms = START_MS as i64 + self.store.world.now.as_millis() as i64;
        let off_ms = grid.now_ms() as i64 - real_ms;
        let off = Duration::from_millis(off_ms.unsigned_abs());
        match (off_ms < 0, seconds(off)) {
            (_, 0) => "right".into(),
            (true, seconds) => format!("{seconds} s behind"),
            (false, seconds) => format!("{seconds} s ahead"),
        }
    }
}

fn add_to_group(groups: &mut Vec<(String, Vec<Node>)>, text: String, node: Node) {
    match groups.iter_mut().find(|(other, _)| *other == text) {
        Some((_, nodes)) => nodes.push(node),
        None => groups.push((text, vec![node])),
    }
}

pub(super) fn describe_reply(reply: &Result<Reply, OpError>, waited: Duration) -> String {
    let mut text = match reply {
        Ok(reply) => describe_value(reply),
        Err(error) => format!("error: {error}"),
    };
    if waited >= WAITED {
        let _ = write!(text, " (after about {} s)", seconds(waited));
    }
    text
}

fn describe_value(reply: &Reply) -> String {
    match reply {
        Reply::Done => OK.into(),
        Reply::Nil => "nil".into(),
        Reply::Integer(number) => number.to_string(),
        Reply::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Reply::List(all) => all.iter().map(describe_value).collect::<Vec<_>>().join(", "),
        Reply::NilList => "nil".into(),
        Reply::ByKey(all) => {
            all.iter().map(|(_, value)| describe_value(value)).collect::<Vec<_>>().join(", ")
        }
        Reply::Failed(error) => format!("error: {error}"),
        other => format!("{other:?}"),
    }
}

pub(super) fn counted(count: u64, one: &str, several: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { several })
}

/// Rounded, so that a change of a few milliseconds changes no output.
pub(super) fn seconds(time: Duration) -> u64 {
    (time.as_millis() as u64 + 500) / 1_000
}
