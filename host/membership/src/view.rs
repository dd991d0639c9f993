//! The view: the list of members that a cluster agrees on, oldest first.
//!
//! Only the coordinator writes it; all others adopt it when it is newer than theirs. A view is
//! identified by ([epoch](ViewId::epoch), [version](ViewId::version),
//! [coordinator](ViewId::coordinator)). Each change raises the version, which keeps growing across
//! epochs. The epoch is raised by a member that takes over from a lost coordinator, and by a merge
//! of two clusters. The two sides of a split each write their own views; a merge publishes a view
//! with an epoch above both.
//!
//! Within an epoch, only the oldest member of a view writes the next one. So a coordinator that
//! leaves hands over without a new epoch: its successor can only write once it has received the
//! last view of its predecessor, which by then writes no more. A successor that did not receive
//! it takes over as from a lost coordinator.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::fmt::{self, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::member::{Member, MemberId};

/// Maximum number of members in one view.
pub const MEMBERS_MAX: usize = 10_000;

/// Identifies one view and orders it among the views of its cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ViewId {
    /// Raised by each takeover from a lost coordinator and each merge; not when a coordinator
    /// leaves and hands over.
    pub epoch: u32,
    /// Raised by each change.
    pub version: u32,
    /// The member that wrote it.
    pub coordinator: MemberId,
}

impl ViewId {
    /// Whether a member that holds `other` replaces it by a view with this id. Of two views with
    /// the same epoch and version, the one of the older coordinator wins.
    #[must_use]
    pub fn is_newer_than(&self, other: &Self) -> bool {
        let key = |id: &Self| (id.epoch, id.version, Reverse(id.coordinator));
        key(self) > key(other)
    }
}

impl fmt::Display for ViewId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.version)
    }
}

/// A cluster's list of members: sorted, each member once and within bounds, never empty, at most
/// [`MEMBERS_MAX`]. A list that violates this cannot be decoded. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "EncodedView", into = "EncodedView")]
pub struct View {
    /// The member that founded the cluster. The sides of a split share it, and with it the ages of
    /// their members; two clusters that were never one do not.
    pub lineage: MemberId,
    /// Identifies this list.
    pub id: ViewId,
    members: Arc<[Arc<Member>]>,
    /// The highest age ever assigned. Ages of members that left are not reused, since on the other
    /// side of a split they may be alive.
    youngest: u64,
    digest: u32,
}

/// The encoded form of a view.
#[derive(Serialize, Deserialize)]
struct EncodedView {
    lineage: MemberId,
    id: ViewId,
    youngest: u64,
    members: Vec<Member>,
}

impl From<View> for EncodedView {
    fn from(view: View) -> Self {
        let members = view.members.iter().map(|m| Member::clone(m)).collect();
        Self { lineage: view.lineage, id: view.id, youngest: view.youngest, members }
    }
}

impl TryFrom<EncodedView> for View {
    type Error = &'static str;

    fn try_from(listed: EncodedView) -> Result<Self, Self::Error> {
        let EncodedView { lineage, id, youngest, members } = listed;
        let members = members.into_iter().map(Arc::new).collect();
        Self::new(lineage, id, youngest, members).ok_or("the view violates an invariant")
    }
}

/// Why a member is no longer in the view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Departure {
    /// It announced that it leaves.
    Left,
    /// It was found dead.
    Lost,
}

/// One step from a view to the next: small enough for a datagram.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delta {
    /// The view that it applies to.
    pub base: ViewStamp,
    /// The view that it results in.
    pub id: ViewId,
    /// Members that join, with their ages.
    pub joined: Vec<Member>,
    /// Members that leave or are lost.
    pub departed: Vec<(MemberId, Departure)>,
}

/// A view in a few bytes. It is sent with each datagram, so that a member that missed a change
/// learns of it from the next datagram that it receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ViewStamp {
    /// The id of the view.
    pub id: ViewId,
    /// FNV-1a over lineage, members and generations.
    pub digest: u32,
}

/// Decides which of two clusters merges the other: the greater one. It has more members that store
/// data, or else more members, or else the older coordinator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    data_members: usize,
    members: usize,
    coordinator: Reverse<MemberId>,
}

impl Rank {
    /// The rank of a cluster with these figures.
    #[must_use]
    pub fn new(data_members: usize, members: usize, coordinator: MemberId) -> Self {
        Self { data_members, members, coordinator: Reverse(coordinator) }
    }
}

impl View {
    /// The first view of a cluster that `founder` founds.
    #[must_use]
    pub fn founded_by(founder: Member) -> Self {
        let id = ViewId { epoch: 1, version: 1, coordinator: founder.id };
        let (lineage, youngest) = (founder.id, founder.age);
        let members: Arc<[_]> = [Arc::new(founder)].into();
        Self { lineage, id, youngest, digest: digest(lineage, &members), members }
    }

    /// A view with these members, unless it would violate an invariant.
    fn new(
        lineage: MemberId,
        id: ViewId,
        youngest: u64,
        members: Vec<Arc<Member>>,
    ) -> Option<Self> {
        let youngest = members.last().map_or(youngest, |last| last.age.max(youngest));
        let sound = (1..=MEMBERS_MAX).contains(&members.len())
            && members.iter().all(|m| m.is_valid())
            && members.is_sorted_by(|a, b| a.seniority() < b.seniority())
            && {
                let mut ids: Vec<_> = members.iter().map(|m| m.id).collect();
                ids.sort_unstable();
                ids.is_sorted_by(|a, b| a < b)
            };
        let digest = digest(lineage, &members);
        sound.then(|| Self { lineage, id, members: members.into(), youngest, digest })
    }

    /// The members, oldest first.
    #[must_use]
    pub fn members(&self) -> &[Arc<Member>] {
        &self.members
    }

    /// Number of members.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a view is never empty")]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Number of members that store data.
    #[must_use]
    pub fn data_members(&self) -> usize {
        self.members.iter().filter(|m| !m.lite).count()
    }

    /// The oldest member.
    #[must_use]
    pub fn coordinator(&self) -> &Member {
        &self.members[0]
    }

    /// The member with this id.
    #[must_use]
    pub fn get(&self, id: MemberId) -> Option<&Member> {
        self.members.iter().find(|m| m.id == id).map(|m| &**m)
    }

    /// The addresses at which to call `member`, of this view or not: its addresses without those
    /// that another member of this view advertises as well, which may lead to either. If all of
    /// them are shared, all of them.
    #[must_use]
    pub fn dial_addresses(&self, member: &Member) -> Vec<SocketAddr> {
        let others = || self.members.iter().filter(|other| other.id != member.id);
        let is_shared = |address| others().any(|other| other.addresses.contains(address));
        let own: Vec<SocketAddr> =
            member.addresses.iter().filter(|address| !is_shared(address)).copied().collect();
        if own.is_empty() { member.addresses.clone() } else { own }
    }

    /// Addresses that several members advertise, each with the two oldest of these members.
    #[must_use]
    pub fn shared_addresses(&self) -> BTreeMap<SocketAddr, [MemberId; 2]> {
        let mut first = HashMap::new();
        let mut shared = BTreeMap::new();
        for member in self.members.iter() {
            for address in &member.addresses {
                match first.get(address) {
                    Some(known) if *known != member.id => {
                        shared.entry(*address).or_insert([*known, member.id]);
                    }
                    Some(_) => {}
                    None => {
                        first.insert(*address, member.id);
                    }
                }
            }
        }
        shared
    }

    /// Whether it has a member with this id.
    #[must_use]
    pub fn contains(&self, id: MemberId) -> bool {
        self.get(id).is_some()
    }

    /// The rank that decides merges.
    #[must_use]
    pub fn rank(&self) -> Rank {
        Rank::new(self.data_members(), self.len(), self.coordinator().id)
    }

    /// The members on the side of this view when it meets `other`: those that only this one has
    /// and, if this one is newer, those that both have. The others moved on to the newer view.
    pub fn side<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = &'a Arc<Member>> {
        let is_newer = self.id.is_newer_than(&other.id);
        self.members.iter().filter(move |member| is_newer || !other.contains(member.id))
    }

    /// Whether the side of this view merges the side of `other`. Of two views, exactly one outranks
    /// the other, regardless of which member asks.
    #[must_use]
    pub fn outranks(&self, other: &Self) -> bool {
        let ours = self.rank_with(self.side(other));
        let theirs = other.rank_with(other.side(self));
        // A coordinator that is in both views belongs to the newer one.
        (ours, self.id.is_newer_than(&other.id)) > (theirs, other.id.is_newer_than(&self.id))
    }

    /// Like [`Self::outranks`], where `other` is known to have kept all members that it has, newer
    /// or not.
    #[must_use]
    pub fn outranks_whole(&self, other: &Self) -> bool {
        let apart = self.members.iter().filter(|member| !other.contains(member.id));
        self.rank_with(apart) > other.rank_with(other.members.iter())
    }

    fn rank_with<'a>(&self, members: impl Iterator<Item = &'a Arc<Member>>) -> Rank {
        let (mut data, mut all) = (0, 0);
        for member in members {
            data += usize::from(!member.lite);
            all += 1;
        }
        Rank::new(data, all, self.coordinator().id)
    }

    /// The stamp of this view.
    #[must_use]
    pub fn stamp(&self) -> ViewStamp {
        ViewStamp { id: self.id, digest: self.digest }
    }

    /// The age for a member that joins now: younger than all before it.
    #[must_use]
    pub fn next_age(&self) -> u64 {
        self.youngest.saturating_add(1)
    }

    /// The view after `joined` joined and `departed` left, with `id`. `None` if that would violate
    /// an invariant, for example if no member would be left.
    #[must_use]
    pub fn with(
        &self,
        id: ViewId,
        joined: &[Member],
        departed: &[(MemberId, Departure)],
    ) -> Option<Self> {
        let goes = |m: &Member| departed.iter().any(|(gone, _)| *gone == m.id);
        let returns = |m: &Member| joined.iter().any(|new| new.id == m.id);
        let mut members: Vec<Arc<Member>> =
            self.members.iter().filter(|m| !goes(m) && !returns(m)).cloned().collect();
        members.extend(joined.iter().cloned().map(Arc::new));
        members.sort_by_key(|m| m.seniority());
        Self::new(self.lineage, id, self.youngest, members)
    }

    /// The view that `delta` results in; `None` if it applies to another view or violates an
    /// invariant.
    #[must_use]
    pub fn apply(&self, delta: &Delta) -> Option<Self> {
        if delta.base != self.stamp() {
            return None;
        }
        self.with(delta.id, &delta.joined, &delta.departed)
    }

    /// The members on the side of `other` as this cluster admits them, including those that it
    /// already has: they had moved to the other side. Sides of one split keep their ages, so that
    /// the order is as before; members of another cluster follow behind, in their own order.
    #[must_use]
    pub fn adopt_members_of(&self, other: &Self) -> Vec<Member> {
        let kin = self.lineage == other.lineage;
        let mut next_age = self.next_age();
        other
            .side(self)
            .map(|m| {
                let mut member = Member::clone(m);
                if !kin {
                    member.age = next_age;
                    next_age += 1;
                }
                member
            })
            .collect()
    }

    /// The member list as shown in the log; `this` marks the member that prints it:
    /// ```text
    /// Members [2] {
    ///     Member [192.168.174.130]:5900 this
    ///     Member [192.168.174.130]:5901 lite
    /// }
    /// ```
    #[must_use]
    pub fn describe(&self, this: MemberId) -> String {
        let mut text = format!("Members [{}] {{\n", self.members.len());
        for member in self.members.iter() {
            let address = member.address();
            let _ = write!(text, "\tMember [{}]:{}", address.ip(), address.port());
            for (holds, word) in [(member.id == this, " this"), (member.lite, " lite")] {
                if holds {
                    text.push_str(word);
                }
            }
            text.push('\n');
        }
        text.push('}');
        text
    }
}

fn digest(lineage: MemberId, members: &[Arc<Member>]) -> u32 {
    let mut hash = Fnv::new();
    hash.add(lineage.as_bytes());
    for member in members {
        hash.add(member.id.as_bytes());
        hash.add(&member.generation.to_be_bytes());
    }
    hash.0
}

/// FNV-1a, 32 bits: distinguishes views, without any security.
struct Fnv(u32);

impl Fnv {
    const fn new() -> Self {
        Self(0x811c_9dc5)
    }

    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::member::tests::member;

    fn view(numbers: &[u8]) -> View {
        view_of(1, numbers)
    }

    fn view_of(lineage: u8, numbers: &[u8]) -> View {
        let members: Vec<_> = numbers.iter().map(|n| Arc::new(member(*n))).collect();
        let id = ViewId { epoch: 1, version: 1, coordinator: members[0].id };
        View::new(member(lineage).id, id, 0, members).unwrap()
    }

    fn ids(view: &View) -> Vec<u8> {
        view.members().iter().map(|m| m.id.as_bytes()[0]).collect()
    }

    #[test]
    fn an_address_that_two_members_advertise_is_used_for_neither() {
        let bridge: SocketAddr = "172.17.0.1:6900".parse().unwrap();
        let with_bridge = |n| {
            let member = member(n);
            Member { addresses: vec![member.address(), bridge], ..member }
        };
        let base = view(&[1, 2, 3]);
        let view = base.with(base.id, &[with_bridge(2), with_bridge(3)], &[]).unwrap();
        assert_eq!(view.shared_addresses(), [(bridge, [member(2).id, member(3).id])].into());
        assert_eq!(view.dial_addresses(&with_bridge(3)), [member(3).address()]);
        assert_eq!(
            view.dial_addresses(&with_bridge(4)),
            [member(4).address()],
            "a newcomer does not use it either"
        );
        let nowhere_else = Member { addresses: vec![bridge], ..member(4) };
        assert_eq!(view.dial_addresses(&nowhere_else), [bridge]);
        assert_eq!(base.shared_addresses(), BTreeMap::new());
    }

    #[test]
    fn a_higher_epoch_wins_over_a_higher_version() {
        let id = |epoch, version, n| ViewId { epoch, version, coordinator: member(n).id };
        assert!(id(2, 1, 1).is_newer_than(&id(1, 9, 1)));
        assert!(id(2, 2, 1).is_newer_than(&id(2, 1, 1)));
        assert!(id(2, 2, 1).is_newer_than(&id(2, 2, 3)), "the older coordinator wins");
        assert!(!id(2, 2, 1).is_newer_than(&id(2, 2, 1)));
    }

    #[test]
    fn sides_of_a_split_regain_their_old_order() {
        let (left, right) = (view(&[1, 3, 5]), view(&[2, 4, 6]));
        let returned = left.adopt_members_of(&right);
        let id = ViewId { epoch: 2, ..left.id };
        let healed = left.with(id, &returned, &[]).unwrap();
        assert_eq!(ids(&healed), [1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn members_in_both_views_count_for_the_newer_one() {
        // 1 was paused; 2 continued, lost 3 and 4, and admitted 5.
        let stale = view(&[1, 2, 3]);
        let newer = View {
            id: ViewId { epoch: 2, version: 9, coordinator: member(2).id },
            ..view_of(1, &[2, 5])
        };
        let ids = |members: Vec<&Arc<Member>>| -> Vec<u8> {
            members.iter().map(|m| m.id.as_bytes()[0]).collect()
        };
        assert_eq!(ids(stale.side(&newer).collect()), [1, 3]);
        assert_eq!(ids(newer.side(&stale).collect()), [2, 5]);
        let left = view(&[1, 2]);
        assert!(newer.outranks(&left) && !left.outranks(&newer), "2 is on one side only");
        let adopted = newer.adopt_members_of(&left);
        assert_eq!(adopted.iter().map(|m| m.id.as_bytes()[0]).collect::<Vec<_>>(), [1]);
        // The view of a member that was partitioned alone does not win over that of the others.
        let alone = View { id: newer.id, ..view_of(1, &[2]) };
        let most = view(&[1, 2, 3, 4]);
        assert!(most.outranks(&alone) && !alone.outranks(&most));
        // It lists members that did not adopt it.
        let claimed = View { id: newer.id, ..view_of(1, &[2, 3, 4]) };
        let kept = view(&[1, 3, 4]);
        assert!(claimed.outranks(&kept) && !claimed.outranks_whole(&kept));
        let adopted = most.adopt_members_of(&alone);
        assert_eq!(adopted.iter().map(|m| m.id.as_bytes()[0]).collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn an_age_is_never_assigned_twice() {
        let base = view(&[1, 2, 3]);
        let lost = [(member(3).id, Departure::Lost)];
        let left = base.with(base.id, &[], &lost).unwrap();
        assert_eq!(left.next_age(), 4, "the lost member may return");
    }

    #[test]
    fn members_of_another_cluster_follow_behind_in_their_own_order() {
        let ours = view(&[5, 7]);
        let theirs = view_of(2, &[1, 2]);
        let joined = ours.adopt_members_of(&theirs);
        let merged = ours.with(ours.id, &joined, &[]).unwrap();
        assert_eq!(ids(&merged), [5, 7, 1, 2]);
    }

    #[test]
    fn a_delta_applies_to_its_base_only() {
        let base = view(&[1, 2, 3]);
        let delta = Delta {
            base: base.stamp(),
            id: ViewId { version: 2, ..base.id },
            joined: vec![member(4)],
            departed: vec![(member(2).id, Departure::Lost)],
        };
        let next = base.apply(&delta).unwrap();
        assert_eq!(ids(&next), [1, 3, 4]);
        assert_eq!(next.apply(&delta), None);
    }

    #[test]
    fn a_delta_that_leaves_no_members_is_refused() {
        let base = view(&[1]);
        let delta = Delta {
            base: base.stamp(),
            id: ViewId { version: 2, ..base.id },
            joined: vec![],
            departed: vec![(member(1).id, Departure::Left)],
        };
        assert_eq!(base.apply(&delta), None);
    }

    #[test]
    fn rank_is_by_data_members_then_members_then_age_of_the_coordinator() {
        let rank = |data, all, n| Rank::new(data, all, member(n).id);
        assert!(rank(3, 3, 9) > rank(2, 9, 1));
        assert!(rank(2, 4, 9) > rank(2, 3, 1));
        assert!(rank(2, 2, 1) > rank(2, 2, 2));
    }

    #[test]
    fn a_view_that_violates_an_invariant_cannot_be_decoded() {
        let read = |numbers: &[u8]| {
            let listed = EncodedView {
                members: numbers.iter().map(|n| member(*n)).collect(),
                ..EncodedView::from(view(&[1]))
            };
            let bytes = postcard::to_allocvec(&listed).unwrap();
            postcard::from_bytes::<View>(&bytes)
        };
        assert_eq!(read(&[1, 2]).as_ref(), Ok(&view(&[1, 2])));
        assert!(read(&[]).is_err());
        assert!(read(&[2, 1]).is_err());
        assert!(read(&[1, 1]).is_err());
    }

    #[test]
    fn the_member_list_has_the_documented_form() {
        let lite = Member { lite: true, ..member(2) };
        let view = view(&[1]);
        let view = view.with(view.id, &[lite], &[]).unwrap();
        assert_eq!(
            view.describe(member(1).id),
            "Members [2] {\n\tMember [10.0.0.1]:6900 this\n\tMember [10.0.0.2]:6900 lite\n}"
        );
    }
}
