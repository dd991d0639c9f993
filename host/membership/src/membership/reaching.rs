//! What calls to a member's addresses say about the member.

use super::Reach;

/// What a call to one address of a member gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtAddress {
    /// The member.
    Member,
    /// Nothing: the host is there and refused the connection.
    Nobody,
    /// Another process: a member with another id, a member of another cluster, another program.
    Another,
    /// The caller itself. An address such as that of a container bridge exists on several
    /// hosts, and leads each of them to itself.
    Caller,
    /// No answer in time, or no way there.
    Silent,
}

impl Reach {
    /// What the calls to all addresses of one member say together.
    ///
    /// A member is [`Gone`](Self::Gone) only when no address leaves room for doubt: one that is
    /// silent may be the only one that leads to it. An address that leads to the caller itself
    /// says nothing either way.
    #[must_use]
    pub fn of(found: impl IntoIterator<Item = AtAddress>) -> Self {
        let mut reach = None;
        for at in found {
            reach = match (at, reach) {
                (AtAddress::Member, _) => return Self::Answered,
                (AtAddress::Caller, reach) => reach,
                (AtAddress::Silent, _) | (_, Some(Self::Silent)) => Some(Self::Silent),
                (AtAddress::Another, _) | (_, Some(Self::Displaced)) => Some(Self::Displaced),
                (AtAddress::Nobody, _) => Some(Self::Gone),
            };
        }
        reach.unwrap_or(Self::Silent)
    }
}

#[cfg(test)]
mod tests {
    use super::AtAddress::{Another, Caller, Member, Nobody, Silent};
    use super::*;

    #[test]
    fn a_member_that_answers_anywhere_is_there() {
        for other in [Nobody, Another, Caller, Silent] {
            assert_eq!(Reach::of([other, Member]), Reach::Answered, "{other:?}");
            assert_eq!(Reach::of([Member, other]), Reach::Answered, "{other:?}");
        }
    }

    #[test]
    fn a_member_is_gone_only_when_every_address_refuses() {
        assert_eq!(Reach::of([Nobody]), Reach::Gone);
        assert_eq!(Reach::of([Nobody, Nobody]), Reach::Gone);
        assert_eq!(Reach::of([Silent, Nobody]), Reach::Silent);
        assert_eq!(Reach::of([Nobody, Silent]), Reach::Silent);
    }

    #[test]
    fn another_process_at_an_address_is_less_than_a_refusal() {
        assert_eq!(Reach::of([Another]), Reach::Displaced);
        assert_eq!(Reach::of([Another, Nobody]), Reach::Displaced);
        assert_eq!(Reach::of([Nobody, Another]), Reach::Displaced);
        assert_eq!(Reach::of([Another, Silent]), Reach::Silent);
    }

    #[test]
    fn an_address_that_leads_to_the_caller_says_nothing() {
        assert_eq!(Reach::of([Nobody, Caller]), Reach::Gone);
        assert_eq!(Reach::of([Silent, Caller]), Reach::Silent);
        assert_eq!(Reach::of([Caller]), Reach::Silent);
        assert_eq!(Reach::of([]), Reach::Silent);
    }
}
