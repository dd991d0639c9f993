//! Events and views as texts. The words are those of the log, with names instead of addresses; the
//! advice to operators is left out.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use convoke_membership::terms::Difference;
use convoke_membership::view::Departure;
use convoke_membership::{Event, JoinRefusal, Member, View};

use crate::network::Node;
use crate::world::{Reported, World};

/// Members that report the same within this time share a line.
const TOGETHER: Duration = Duration::from_secs(1);

/// The name of a process; with `#2` after it for the second process of this name.
pub(super) fn name(world: &World, node: Node) -> String {
    let name = |node: Node| &world.nodes[node].core.me().name;
    let earlier = (0..node).filter(|other| name(*other) == name(node)).count();
    match earlier {
        0 => name(node).clone(),
        _ => format!("{}#{}", name(node), earlier + 1),
    }
}

fn names(world: &World, nodes: impl IntoIterator<Item = Node>) -> String {
    nodes.into_iter().map(|node| name(world, node)).collect::<Vec<_>>().join(" ")
}

/// The same event, of several members or several times.
struct Line {
    first: Duration,
    by: Vec<Node>,
    text: String,
    times: u32,
}

/// Events, one a line, with the time from `since` on and the members that report them.
pub(super) fn events(world: &World, log: &[Reported], since: Duration) -> String {
    let mut lines: Vec<Line> = Vec::new();
    for Reported { at, by, event } in log {
        let text = event_text(world, *by, event);
        let is_alike = |line: &&mut Line| {
            let is_together = *at < line.first + TOGETHER && !line.by.contains(by);
            line.text == text && (is_together || line.by == [*by])
        };
        match lines.iter_mut().find(is_alike) {
            Some(line) if line.by.contains(by) => line.times += 1,
            Some(line) => line.by.push(*by),
            None => lines.push(Line { first: *at, by: vec![*by], text, times: 1 }),
        }
    }
    if lines.is_empty() {
        return "no events\n".into();
    }
    let mut output = String::new();
    for Line { first, mut by, text, times } in lines {
        by.sort_unstable();
        let after = rounded(first.saturating_sub(since));
        let repeated = if times > 1 { format!(" ({times} times)") } else { String::new() };
        let _ = writeln!(output, "+{after} {}: {text}{repeated}", names(world, by));
    }
    output
}

/// A time with about two digits.
fn rounded(time: Duration) -> String {
    let ms = time.as_millis();
    match ms {
        0..95 => format!("{}ms", (ms + 5) / 10 * 10),
        95..9_950 => format!("{:.1}s", time.as_secs_f64()),
        _ => format!("{:.0}s", time.as_secs_f64()),
    }
}

/// The views of members, one a line, with the members that have it.
pub(super) fn views(world: &World, nodes: impl IntoIterator<Item = Node>) -> String {
    let mut lines: Vec<(Vec<Node>, String)> = Vec::new();
    for node in nodes {
        let core = &world.nodes[node].core;
        let mut text = match core.view() {
            Some(view) => format!("view {} {}", view.id, members(world, view)),
            None => "no view yet".into(),
        };
        let mut suspects: Vec<Node> = core.suspects().map(|id| world.node_of(id)).collect();
        suspects.sort_unstable();
        if !suspects.is_empty() {
            let _ = write!(text, ", suspects {}", names(world, suspects));
        }
        if let Some(why) = core.refusal() {
            let _ = write!(text, ", refused: {}", refusal(world, why, "it", "their cluster"));
        }
        if world.is_paused(node) {
            text += ", paused";
        }
        match lines.iter_mut().find(|(_, known)| *known == text) {
            Some((nodes, _)) => nodes.push(node),
            None => lines.push((vec![node], text)),
        }
    }
    lines.into_iter().map(|(nodes, text)| format!("{}: {text}\n", names(world, nodes))).collect()
}

fn members(world: &World, view: &View) -> String {
    let one = |member: &Member| {
        let lite = if member.lite { " (lite)" } else { "" };
        format!("{}{lite}", of(world, member))
    };
    let all: Vec<String> = view.members().iter().map(|member| one(member)).collect();
    format!("[{}]", all.join(" "))
}

fn of(world: &World, member: &Member) -> String {
    name(world, world.node_of(member.id))
}

fn event_text(world: &World, by: Node, event: &Event) -> String {
    let of = |member: &Member| of(world, member);
    match event {
        Event::View { view, joined, departed, moved } => {
            let me = |member: &&Member| world.node_of(member.id) == by;
            let listed = |members: Vec<&Member>, what: &str| {
                let names: Vec<String> = members.into_iter().map(of).collect();
                (!names.is_empty()).then(|| format!("{} {what}", names.join(" ")))
            };
            let gone = |how| {
                departed.iter().filter(|gone| gone.how == how).map(|gone| &gone.member).collect()
            };
            let changes = [
                listed(joined.iter().filter(|member| !me(member)).collect(), "joined"),
                listed(gone(Departure::Left), "left"),
                listed(gone(Departure::Lost), "lost"),
                listed(moved.iter().collect(), "changed its address"),
            ];
            let changes: Vec<String> = changes.into_iter().flatten().collect();
            let what = match (joined.iter().any(|member| me(&member)), view.len()) {
                (true, 1) => "this member is the first of its cluster".into(),
                (true, size) => format!("this member is in a cluster of {size}"),
                (false, _) if changes.is_empty() => "members changed".into(),
                (false, _) => format!("members changed: {}", changes.join(", ")),
            };
            format!("{what} (view {}) {}", view.id, members(world, view))
        }
        Event::ClusterFound { other, ours_leads } => {
            let what = match ours_leads {
                true => "it merges into this cluster",
                false => "this cluster merges into it",
            };
            let (coordinator, size) = (of(&other.coordinator), other.members);
            format!("found another cluster (coordinator {coordinator}, members {size}): {what}")
        }
        Event::Rejoining { coordinator } => {
            let coordinator = of(coordinator);
            format!("the other members removed this one (coordinator {coordinator}); rejoining")
        }
        Event::TakingOver { from } => {
            format!("the coordinator {} is gone; this member takes over", of(from))
        }
        Event::SuspectAnswered(member) => {
            format!("suspected member {} answered; it stays in the cluster", of(member))
        }
        Event::Unreachable(member) => format!(
            "removing {}: it can connect to others, but no member can connect to it any more",
            of(member)
        ),
        Event::PairPartitioned { stays, goes } => format!(
            "removing {0}: {0} and {1} cannot connect to each other, though others can reach both",
            of(goes),
            of(stays)
        ),
        Event::SharedAddress { address, members: [one, other] } => format!(
            "{} and {} advertise the same address {address}, so it is not used",
            of(one),
            of(other)
        ),
        Event::MemberRefused { member, why } => {
            format!("refused {}: {}", of(member), refusal(world, why, "it", "this cluster"))
        }
        Event::Refused { by, why, retry } => {
            let why = refusal(world, why, "this member", "their cluster");
            // Rounded up, as in the log.
            let retry_s = retry.as_secs() + u64::from(retry.subsec_nanos() > 0);
            format!("join refused by {}, again in {retry_s} s: {why}", of(by))
        }
        Event::Changing { member, changes } => {
            let changes = differences(changes, "this cluster");
            match world.node_of(member.id) == by {
                true => format!("this member changes settings: {changes}"),
                false => format!("{} changes settings: {changes}", of(member)),
            }
        }
        Event::DatagramsBlocked { member, here: true } => {
            format!(
                "no UDP datagrams arrive from {}; failure detection uses TCP instead",
                of(member)
            )
        }
        Event::DatagramsBlocked { member, here: false } => {
            format!(
                "UDP datagrams to {} do not arrive; failure detection uses TCP instead",
                of(member)
            )
        }
        Event::DatagramsRestored(member) => {
            format!("UDP datagrams from and to {} arrive again", of(member))
        }
        Event::Left => "left".into(),
    }
}

/// Why `whom` is refused by `cluster`.
fn refusal(world: &World, why: &JoinRefusal, whom: &str, cluster: &str) -> String {
    let at = |address: &SocketAddr| {
        let node = world.nodes.iter().rposition(|process| process.address == *address);
        node.map_or_else(|| address.to_string(), |node| name(world, node))
    };
    match why {
        JoinRefusal::Unreachable => format!("no member can connect to {whom}"),
        JoinRefusal::Unstable { losses } => format!("{whom} was lost repeatedly ({losses} times)"),
        JoinRefusal::Partitioned { other } => {
            format!("{whom} and {} cannot connect to each other", at(other))
        }
        JoinRefusal::Differs(all) => format!("{whom} has {}", differences(all, cluster)),
    }
}

fn differences(differences: &[Difference], cluster: &str) -> String {
    let one = |difference: &Difference| {
        let Difference { name, cluster: there, newcomer, .. } = difference;
        format!("{name} = {newcomer}, {cluster} {there}")
    };
    differences.iter().map(one).collect::<Vec<_>>().join("; ")
}
