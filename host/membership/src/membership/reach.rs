//! Conclusions about a member from calls to its addresses.

use super::Reach;

/// The result of a call to one address of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtAddress {
    /// The member.
    Member,
    /// No process: the host refused the connection.
    Refused,
    /// Another process: a member with another id, a member of another cluster, or another program.
    OtherProcess,
    /// The caller itself. Several hosts may have the same address, such as that of a container
    /// bridge, and each reaches itself there.
    Caller,
    /// No reply in time, or no route.
    Silent,
}

impl Reach {
    /// Combines the results of the calls to all addresses of a member.
    ///
    /// A member is [`Gone`](Self::Gone) only when no address leaves a doubt: an address that does
    /// not answer may be the only one that leads to it. An address that leads to the caller itself
    /// shows nothing.
    #[must_use]
    pub fn of(found: impl IntoIterator<Item = AtAddress>) -> Self {
        let mut reach = None;
        for at in found {
            reach = match (at, reach) {
                (AtAddress::Member, _) => return Self::Answered,
                (AtAddress::Caller, reach) => reach,
                (AtAddress::Silent, _) | (_, Some(Self::Silent)) => Some(Self::Silent),
                (AtAddress::OtherProcess, _) | (_, Some(Self::Displaced)) => Some(Self::Displaced),
                (AtAddress::Refused, _) => Some(Self::Gone),
            };
        }
        reach.unwrap_or(Self::Silent)
    }
}

#[cfg(test)]
mod tests {
    use super::AtAddress::{Caller, Member, OtherProcess, Refused, Silent};
    use super::*;

    #[test]
    fn a_member_that_answers_at_any_address_is_reachable() {
        for other in [Refused, OtherProcess, Caller, Silent] {
            assert_eq!(Reach::of([other, Member]), Reach::Answered, "{other:?}");
            assert_eq!(Reach::of([Member, other]), Reach::Answered, "{other:?}");
        }
    }

    #[test]
    fn a_member_is_gone_only_when_every_address_refuses() {
        assert_eq!(Reach::of([Refused]), Reach::Gone);
        assert_eq!(Reach::of([Refused, Refused]), Reach::Gone);
        assert_eq!(Reach::of([Silent, Refused]), Reach::Silent);
        assert_eq!(Reach::of([Refused, Silent]), Reach::Silent);
    }

    #[test]
    fn another_process_at_an_address_is_weaker_evidence_than_a_refusal() {
        assert_eq!(Reach::of([OtherProcess]), Reach::Displaced);
        assert_eq!(Reach::of([OtherProcess, Refused]), Reach::Displaced);
        assert_eq!(Reach::of([Refused, OtherProcess]), Reach::Displaced);
        assert_eq!(Reach::of([OtherProcess, Silent]), Reach::Silent);
    }

    #[test]
    fn an_address_that_leads_to_the_caller_shows_nothing() {
        assert_eq!(Reach::of([Refused, Caller]), Reach::Gone);
        assert_eq!(Reach::of([Silent, Caller]), Reach::Silent);
        assert_eq!(Reach::of([Caller]), Reach::Silent);
        assert_eq!(Reach::of([]), Reach::Silent);
    }
}
