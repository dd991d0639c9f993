//! Interprets one response message of a DNS server to one query.

use std::collections::HashSet;

use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::fault::Fault;
use crate::limits;

/// The meaning of a response.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Answer {
    /// Records of the queried type, of the name itself or of the name it is an alias of.
    Records(Records),
    /// The name is an alias (CNAME) of this name, for which the response has no records. The
    /// TTL of the aliases, in seconds.
    Alias(Name, u32),
    /// NODATA: the name, or the name it is an alias of, exists and has no record of the type.
    NoData(Option<Name>),
    /// NXDOMAIN: the name, or the name it is an alias of, does not exist.
    NoName(Option<Name>),
}

/// Records of one name, with their TTL in seconds.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Records {
    pub(super) data: Vec<RData>,
    pub(super) ttl_s: u32,
}

impl Answer {
    /// Interprets a message that answers `question`.
    pub(super) fn read(message: &Message, question: &Query) -> Result<Self, Fault> {
        let code = message.metadata.response_code;
        if !matches!(code, ResponseCode::NoError | ResponseCode::NXDomain) {
            return Err(Fault::Code(code));
        }
        let (alias, mut ttl_s) = last_alias(&message.answers, question.name());
        let end = alias.unwrap_or(question.name()).clone();
        let alias = alias.cloned();
        if code == ResponseCode::NXDomain {
            // The response code is that of the last name of the chain (RFC 6604, section 3).
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
        // Negative responses carry the zone's SOA record (RFC 2308, section 2.2).
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

/// A response without records from a server that is not authoritative for the name: it refers
/// to other servers, or cannot recurse.
fn is_referral(message: &Message, has_soa: bool, has_ns: bool) -> bool {
    let header = &message.metadata;
    !header.authoritative && !has_soa && (has_ns || !header.recursion_available)
}

/// The last name of the alias chain that starts at `name`, if any, and the lowest TTL of the
/// chain in seconds. A loop is followed once.
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

    use super::*;
    use hickory_proto::op::OpCode;
    use hickory_proto::rr::rdata::{CNAME, NS, SOA, SRV};

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

    fn response(answers: &[Record], authority: Option<Record>) -> Message {
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
    fn records_of_the_name_and_of_its_last_alias_are_used() {
        let direct = [a("A.test.", 1, 30), a("a.test.", 2, 20), a("b.test.", 3, 1)];
        assert_eq!(data(read(&response(&direct, None))), (2, 20));
        let chain =
            [a("c.test.", 1, 30), cname("b.test.", "c.test.", 9), cname("a.test.", "b.test.", 10)];
        assert_eq!(data(read(&response(&chain, None))), (1, 9));
    }

    #[test]
    fn an_aliased_service_resolves_to_the_services_of_its_target() {
        let place = |host| RData::SRV(SRV::new(0, 0, 6900, name(host)));
        let records = [
            cname("_a._tcp.test.", "_b._tcp.test.", 5),
            Record::from_rdata(name("_b._tcp.test."), 5, place("h1.test.")),
            Record::from_rdata(name("_b._tcp.test."), 5, place("h2.test.")),
        ];
        let question = Query::query(name("_a._tcp.test."), RecordType::SRV);
        assert_eq!(data(Answer::read(&response(&records, None), &question)), (2, 5));
    }

    #[test]
    fn an_alias_without_records_is_followed_unless_the_response_is_negative() {
        let alone = [cname("a.test.", "b.other.", 10)];
        assert_eq!(read(&response(&alone, None)), Ok(Answer::Alias(name("b.other."), 10)));
        let ends = read(&response(&alone, Some(soa())));
        assert_eq!(ends, Ok(Answer::NoData(Some(name("b.other.")))));
        let mut missing = response(&alone, Some(soa()));
        missing.metadata.response_code = ResponseCode::NXDomain;
        assert_eq!(read(&missing), Ok(Answer::NoName(Some(name("b.other.")))));
    }

    #[test]
    fn an_alias_loop_ends() {
        let circle = [cname("a.test.", "b.test.", 1), cname("b.test.", "a.test.", 1)];
        assert_eq!(read(&response(&circle, None)), Ok(Answer::Alias(name("b.test."), 1)));
        let itself = [cname("a.test.", "a.test.", 1)];
        assert_eq!(read(&response(&itself, None)), Ok(Answer::Alias(name("a.test."), 1)));
    }

    #[test]
    fn a_referral_is_not_a_negative_answer() {
        let ns = || Record::from_rdata(name("test."), 5, RData::NS(NS(name("ns.test."))));
        assert_eq!(read(&response(&[], Some(soa()))), Ok(Answer::NoData(None)));
        assert_eq!(
            read(&response(&[], None)),
            Ok(Answer::NoData(None)),
            "dnsmasq, for its own records"
        );
        assert_eq!(read(&response(&[], Some(ns()))), Err(Fault::Referral));
        let mut own = response(&[], Some(ns()));
        own.metadata.authoritative = true;
        assert_eq!(read(&own), Ok(Answer::NoData(None)));
        let mut lame = response(&[], None);
        lame.metadata.recursion_available = false;
        assert_eq!(read(&lame), Err(Fault::Referral));
    }

    #[test]
    fn error_codes_become_faults_with_a_text() {
        for (code, text) in [
            (ResponseCode::ServFail, "it failed (SERVFAIL)"),
            (ResponseCode::Refused, "it refuses to answer (REFUSED)"),
            (ResponseCode::NotImp, "it does not support the query (NOTIMP)"),
            (ResponseCode::FormErr, "it does not understand the query (FORMERR)"),
            (ResponseCode::NotAuth, "it responded with error 9 "),
        ] {
            let mut message = response(&[], None);
            message.metadata.response_code = code;
            let fault = read(&message).unwrap_err().to_string();
            assert!(fault.starts_with(text), "{fault}");
        }
    }

    #[test]
    fn fuzz_answer() {
        let ns = Record::from_rdata(name("test."), 5, RData::NS(NS(name("ns.test."))));
        let place = RData::SRV(SRV::new(0, 0, 6900, name("h1.test.")));
        let chain =
            [a("c.test.", 1, 30), cname("b.test.", "c.test.", 9), cname("a.test.", "b.test.", 10)];
        let mut missing = response(&chain[1..], Some(soa()));
        missing.metadata.response_code = ResponseCode::NXDomain;
        let samples = [
            response(&[a("a.test.", 1, 30), a("A.test.", 2, 20)], None),
            response(&chain, None),
            response(&[cname("a.test.", "b.test.", 1), cname("b.test.", "a.test.", 1)], None),
            response(&[Record::from_rdata(name("a.test."), 5, place)], Some(ns)),
            response(&[], Some(soa())),
            missing,
        ]
        .map(|message| message.to_vec().unwrap());
        convoke_harness::check!(&samples, |bytes| {
            let Ok(message) = Message::from_vec(bytes) else { return };
            match read(&message) {
                Ok(Answer::Records(records)) => {
                    assert!((1..=limits::LOOKUP_ADDRESSES_MAX).contains(&records.data.len()));
                    assert!(records.data.iter().all(|data| data.record_type() == RecordType::A));
                }
                Ok(_) => {}
                Err(fault) => assert!(!fault.to_string().is_empty()),
            }
        });
    }
}
