//! The log blocks that operators know, and what changed in a line.

use std::fmt::Write as _;

use convoke_membership::view::Departure;
use convoke_membership::{Departed, Member, MemberId, View};

/// Names in one line, at most; the block below it has them all.
const NAMED_MAX: usize = 8;

/// `members changed: 10.0.0.2:6900 joined (view 1.2)`.
pub(crate) fn change(
    view: &View,
    joined: &[Member],
    departed: &[Departed],
    me: MemberId,
) -> String {
    let of = |how| departed.iter().filter(move |gone| gone.how == how).map(|gone| &gone.member);
    let parts: Vec<String> = [
        (listed(joined.iter().filter(|m| m.id != me)), "joined"),
        (listed(of(Departure::Left)), "left"),
        (listed(of(Departure::Lost)), "lost"),
    ]
    .into_iter()
    .filter(|(who, _)| !who.is_empty())
    .map(|(who, what)| format!("{who} {what}"))
    .collect();
    let what = if joined.iter().any(|m| m.id == me) {
        let others = view.len() - 1;
        match others {
            0 => "this member is the first of its cluster".to_owned(),
            _ => format!("this member is in a cluster of {}", view.len()),
        }
    } else if parts.is_empty() {
        "members changed".to_owned()
    } else {
        format!("members changed: {}", parts.join(", "))
    };
    format!("{what} (view {})", view.id)
}

fn listed<'a>(members: impl Iterator<Item = &'a Member>) -> String {
    let all: Vec<String> = members.map(|m| m.address().to_string()).collect();
    if all.len() > NAMED_MAX {
        format!("{} and {} more", all[..NAMED_MAX].join(" "), all.len() - NAMED_MAX)
    } else {
        all.join(" ")
    }
}

/// The member list and the data grid status.
pub(crate) fn blocks(view: &View, me: MemberId) -> String {
    let mut text = view.describe(me);
    let _ = write!(
        text,
        "\n\nData Grid Status\nConvoke Data Grid State: DG Version: {} DG Size: {}\nInstances: {{\n",
        view.id.version,
        view.len()
    );
    for member in view.members() {
        let _ = writeln!(
            text,
            " Address: /{} UUID: {} Lite: {} This: {} Name: {} Group: {}",
            member.address(),
            member.id,
            member.lite,
            member.id == me,
            member.name,
            member.group
        );
    }
    text.push('}');
    text
}
