//! Texts of the log: the member list, the data grid status, and one-line summaries of changes.

use std::fmt::{Display, Write as _};

use convoke_membership::view::Departure;
use convoke_membership::{Departed, JoinRefusal, Member, MemberId, View};

use crate::settings::agreed;

/// Maximum number of members named in one line. The member list below the line has all of them.
const NAMED_MAX: usize = 8;

/// A summary such as `members changed: 10.0.0.2:6900 joined (view 1.2)`.
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
        (listed(moved.iter()), "changed its address"),
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

/// The addresses that a member advertises, separated by commas.
pub(crate) fn addresses(member: &Member) -> String {
    list(&member.addresses)
}

/// Joins several items into one line.
pub(crate) fn list<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    let texts: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    texts.join(", ")
}

/// The member list and the data grid status, as in the log.
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

/// Why the other members refused this one, as part of a sentence.
pub(crate) fn refusal(why: &JoinRefusal, me: &Member) -> String {
    match why {
        JoinRefusal::Unreachable => {
            format!("they cannot connect to it at {}{}", addresses(me), nearby(me))
        }
        JoinRefusal::Unstable { losses } => format!("they lost it repeatedly ({losses} times)"),
        JoinRefusal::Partitioned { other } => {
            format!("this member and {other} cannot connect to each other")
        }
        JoinRefusal::Differs(differences) => {
            format!("it has {}", agreed::differences(differences, "their cluster"))
        }
    }
}

/// Whether a member advertises loopback addresses only.
pub(crate) fn is_local_only(member: &Member) -> bool {
    member.addresses.iter().all(|address| address.ip().is_loopback())
}

/// Explains why others cannot reach a member that advertises loopback addresses only; empty for any
/// other member.
pub(crate) fn nearby(member: &Member) -> &'static str {
    match is_local_only(member) {
        true => ", which is a loopback address and not reachable from other hosts",
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
            hazelcast: None,
            generation: 1,
            age: u64::from(n),
        }
    }

    #[test]
    fn member_list_and_data_grid_status_have_the_documented_form() {
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
    fn a_change_is_summarized_in_one_line() {
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
