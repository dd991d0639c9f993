//! The log blocks that operators know, and what changed in a line.

use std::fmt::{Display, Write as _};

use convoke_membership::view::Departure;
use convoke_membership::{Departed, Member, MemberId, Refusal, View};

use crate::settings::agreed;

/// Names in one line, at most; the block below it has them all.
const NAMED_MAX: usize = 8;

/// `members changed: 10.0.0.2:6900 joined (view 1.2)`.
pub(crate) fn change(
    view: &View,
    joined: &[Member],
    departed: &[Departed],
    moved: &[Member],
    me: MemberId,
) -> String {
    let of = |how| departed.iter().filter(move |gone| gone.how == how).map(|gone| &gone.member);
    let parts: Vec<String> = [
        (listed(joined.iter().filter(|m| m.id != me)), "joined"),
        (listed(of(Departure::Left)), "left"),
        (listed(of(Departure::Lost)), "lost"),
        (listed(moved.iter()), "has another address than before"),
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

/// The addresses that a member advertises.
pub(crate) fn addresses(member: &Member) -> String {
    list(&member.addresses)
}

/// Several of a kind in one line.
pub(crate) fn list<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    let texts: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    texts.join(", ")
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

/// Why the other members do not let this one in.
pub(crate) fn refusal(why: &Refusal, me: &Member) -> String {
    match why {
        Refusal::Unreachable => format!("they cannot call it at {}{}", addresses(me), nearby(me)),
        Refusal::Unsteady { losses } => format!("they lost it again and again ({losses} times)"),
        Refusal::Parted { other } => {
            format!("their member at {other} and this one cannot call each other")
        }
        Refusal::Differs(differences) => {
            format!("it has {}", agreed::differences(differences, "their cluster"))
        }
    }
}

/// Why others cannot call a member that has loopback addresses alone.
pub(crate) fn nearby(member: &Member) -> &'static str {
    match member.addresses.iter().all(|address| address.ip().is_loopback()) {
        true => ", which on every other host is that host itself",
        false => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    fn member(n: u8) -> Member {
        Member {
            id: MemberId::from_bytes([n; 16]),
            addresses: vec![SocketAddr::from(([10, 0, 0, n], 6900))],
            name: format!("m{n}"),
            group: "shop".into(),
            lite: n == 2,
            modes: "multicast".into(),
            http: None,
            resp: None,
            generation: 1,
            age: u64::from(n),
        }
    }

    #[test]
    fn the_blocks_read_as_operators_know_them() {
        let view = View::founded_by(member(1));
        let view = view.with(view.id, &[member(2)], &[]).unwrap();
        let one = "01010101-0101-0101-0101-010101010101";
        let two = "02020202-0202-0202-0202-020202020202";
        assert_eq!(
            blocks(&view, member(1).id),
            format!(
                "Members [2] {{\n\tMember [10.0.0.1]:6900 this\n\tMember [10.0.0.2]:6900 lite\n}}\n\n\
                 Data Grid Status\nConvoke Data Grid State: DG Version: 1 DG Size: 2\nInstances: {{\n \
                 Address: /10.0.0.1:6900 UUID: {one} Lite: false This: true Name: m1 Group: shop\n \
                 Address: /10.0.0.2:6900 UUID: {two} Lite: true This: false Name: m2 Group: shop\n}}"
            )
        );
    }

    #[test]
    fn a_change_is_one_line_however_many_come_and_go() {
        let view = View::founded_by(member(1));
        let me = member(1).id;
        let gone = |n, how| Departed { member: member(n), how };
        assert_eq!(
            change(
                &view,
                &[member(2)],
                &[gone(3, Departure::Left), gone(4, Departure::Lost)],
                &[],
                me
            ),
            "members changed: 10.0.0.2:6900 joined, 10.0.0.3:6900 left, 10.0.0.4:6900 lost (view 1.1)"
        );
        assert_eq!(
            change(&view, &[member(1)], &[], &[], me),
            "this member is the first of its cluster (view 1.1)"
        );
        let many: Vec<Member> = (2..20).map(member).collect();
        assert!(
            change(&view, &many, &[], &[], me)
                .ends_with("10.0.0.9:6900 and 10 more joined (view 1.1)")
        );
    }
}
