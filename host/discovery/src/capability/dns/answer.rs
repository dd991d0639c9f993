//! What one message of a server says about one question.

use std::collections::HashSet;

use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::fault::Fault;
use crate::limits;

/// What a server knows about a name.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Answer {
    /// Its records of the kind, or those of the name that it is an alias of.
    Records(Records),
    /// It is the alias of this name, of which nothing is said. Holds as long as the
    /// aliases: that many seconds.
    Alias(Name, u32),
    /// The name, or the one that it is an alias of, exists and has no record of the kind.
    NoData(Option<Name>),
    /// There is no such name, or not the one that it is an alias of.
    NoName(Option<Name>),
}

/// Records of one name, and how long they hold.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Records {
    pub(super) data: Vec<RData>,
    pub(super) ttl_s: u32,
}

impl Answer {
    /// Reads a message that answers `question`.
    pub(super) fn read(message: &Message, question: &Query) -> Result<Self, Fault> {
        let code = message.metadata.response_code;
        if !matches!(code, ResponseCode::NoError | ResponseCode::NXDomain) {
            return Err(Fault::Code(code));
        }
        let (alias, mut ttl_s) = last_alias(&message.answers, question.name());
        let end = alias.unwrap_or(question.name()).clone();
        let alias = alias.cloned();
        if code == ResponseCode::NXDomain {
            // Of the last name of the chain (RFC 6604, section 3).
            return Ok(Self::NoName(alias));
        }
        let mut data = Vec::new();
        for record in &message.answers {
            let fits = record.record_type() == question.query_type() && record.name == end;
            if fits && data.len() < limits::LOOKUP_ADDRESSES_MAX {
                ttl_s = ttl_s.min(record.ttl);
                data.push(record.data.clone());
            }
        }
        if !data.is_empty() {
            return Ok(Self::Records(Records { data, ttl_s }));
        }
        // Servers name themselves (SOA) where they say that there is nothing
        // (RFC 2308, section 2.2).
        let has = |kind| message.authorities.iter().any(|record| record.record_type() == kind);
        match alias {
            Some(end) if !has(RecordType::SOA) => Ok(Self::Alias(end, ttl_s)),
            None if is_referral(message, has(RecordType::SOA), has(RecordType::NS)) => {
                Err(Fault::Referral)
            }
            alias => Ok(Self::NoData(alias)),
        }
    }
}

/// An answer without content from a server that is none for the name: it names others, or
/// can ask nobody.
fn is_referral(message: &Message, has_soa: bool, has_ns: bool) -> bool {
    let header = &message.metadata;
    !header.authoritative && !has_soa && (has_ns || !header.recursion_available)
}

/// Where the aliases of a message lead from `name`, if it is one, and how long that holds.
/// A circle ends before it begins again.
fn last_alias<'a>(answers: &'a [Record], name: &'a Name) -> (Option<&'a Name>, u32) {
    let next = |from: &Name| {
        answers.iter().find_map(|record| match &record.data {
            RData::CNAME(alias) if record.name == *from => Some((&alias.0, record.ttl)),
            _ => None,
        })
    };
    let Some((mut end, mut ttl_s)) = next(name) else { return (None, u32::MAX) };
    let mut seen = HashSet::from([name, end]);
    while let Some((to, holds_s)) = next(end)
        && seen.insert(to)
    {
        (end, ttl_s) = (to, ttl_s.min(holds_s));
    }
    (Some(end), ttl_s)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use hickory_proto::op::OpCode;
    use hickory_proto::rr::rdata::{CNAME, NS, SOA, SRV};
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> Name {
        Name::from_ascii(text).unwrap()
    }

    fn a(of: &str, last: u8, ttl_s: u32) -> Record {
        Record::from_rdata(name(of), ttl_s, RData::A(Ipv4Addr::new(10, 0, 0, last).into()))
    }

    fn cname(of: &str, to: &str, ttl_s: u32) -> Record {
        Record::from_rdata(name(of), ttl_s, RData::CNAME(CNAME(name(to))))
    }

    fn soa() -> Record {
        let data = SOA::new(name("ns.test."), name("h.test."), 1, 5, 5, 5, 5);
        Record::from_rdata(name("test."), 5, RData::SOA(data))
    }

    fn said(answers: &[Record], authority: Option<Record>) -> Message {
        let mut message = Message::response(1, OpCode::Query);
        message.metadata.recursion_available = true;
        message.add_answers(answers.iter().cloned());
        message.add_authorities(authority);
        message
    }

    fn read(message: &Message) -> Result<Answer, Fault> {
        Answer::read(message, &Query::query(name("a.test."), RecordType::A))
    }

    fn data(answer: Result<Answer, Fault>) -> (usize, u32) {
        match answer {
            Ok(Answer::Records(records)) => (records.data.len(), records.ttl_s),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn records_of_the_name_and_of_its_last_alias_count() {
        let direct = [a("A.test.", 1, 30), a("a.test.", 2, 20), a("b.test.", 3, 1)];
        assert_eq!(data(read(&said(&direct, None))), (2, 20));
        let chain =
            [a("c.test.", 1, 30), cname("b.test.", "c.test.", 9), cname("a.test.", "b.test.", 10)];
        assert_eq!(data(read(&said(&chain, None))), (1, 9));
    }

    #[test]
    fn a_service_behind_an_alias_is_that_of_its_target_and_not_of_a_host() {
        let place = |host| RData::SRV(SRV::new(0, 0, 6900, name(host)));
        let records = [
            cname("_a._tcp.test.", "_b._tcp.test.", 5),
            Record::from_rdata(name("_b._tcp.test."), 5, place("h1.test.")),
            Record::from_rdata(name("_b._tcp.test."), 5, place("h2.test.")),
        ];
        let question = Query::query(name("_a._tcp.test."), RecordType::SRV);
        assert_eq!(data(Answer::read(&said(&records, None), &question)), (2, 5));
    }

    #[test]
    fn an_alias_alone_is_followed_unless_the_server_says_that_it_ends() {
        let alone = [cname("a.test.", "b.other.", 10)];
        assert_eq!(read(&said(&alone, None)), Ok(Answer::Alias(name("b.other."), 10)));
        let ends = read(&said(&alone, Some(soa())));
        assert_eq!(ends, Ok(Answer::NoData(Some(name("b.other.")))));
        let mut missing = said(&alone, Some(soa()));
        missing.metadata.response_code = ResponseCode::NXDomain;
        assert_eq!(read(&missing), Ok(Answer::NoName(Some(name("b.other.")))));
    }

    #[test]
    fn a_circle_of_aliases_ends() {
        let circle = [cname("a.test.", "b.test.", 1), cname("b.test.", "a.test.", 1)];
        assert_eq!(read(&said(&circle, None)), Ok(Answer::Alias(name("b.test."), 1)));
        let itself = [cname("a.test.", "a.test.", 1)];
        assert_eq!(read(&said(&itself, None)), Ok(Answer::Alias(name("a.test."), 1)));
    }

    #[test]
    fn nothing_is_told_from_a_referral() {
        let ns = || Record::from_rdata(name("test."), 5, RData::NS(NS(name("ns.test."))));
        assert_eq!(read(&said(&[], Some(soa()))), Ok(Answer::NoData(None)));
        assert_eq!(read(&said(&[], None)), Ok(Answer::NoData(None)), "dnsmasq of its own records");
        assert_eq!(read(&said(&[], Some(ns()))), Err(Fault::Referral));
        let mut own = said(&[], Some(ns()));
        own.metadata.authoritative = true;
        assert_eq!(read(&own), Ok(Answer::NoData(None)));
        let mut lame = said(&[], None);
        lame.metadata.recursion_available = false;
        assert_eq!(read(&lame), Err(Fault::Referral));
    }

    #[test]
    fn errors_are_faults_each_in_its_own_words() {
        for (code, words) in [
            (ResponseCode::ServFail, "it failed (SERVFAIL)"),
            (ResponseCode::Refused, "it refuses to answer (REFUSED)"),
            (ResponseCode::NotImp, "it does not support the question (NOTIMP)"),
            (ResponseCode::FormErr, "it does not understand the question (FORMERR)"),
            (ResponseCode::NotAuth, "it answered with error 9 "),
        ] {
            let mut message = said(&[], None);
            message.metadata.response_code = code;
            let fault = read(&message).unwrap_err().to_string();
            assert!(fault.starts_with(words), "{fault}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_answer_or_a_fault(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(message) = Message::from_vec(&bytes) {
                let _ = read(&message);
            }
        }
    }
}
