//! Lookups against scripted servers on loopback.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{CNAME, NS, SOA, SRV};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};
use tokio::time::Instant;

use super::conf::Conf;
use super::hosts::Hosts;
use super::lookup_error::{LookupError, Unusable};
use super::resolver::Resolver;
use crate::grant::DnsServer;
use crate::limits;

/// Computes a server's response to one message; `None` for no response. The flag is true for a
/// query over TCP.
type Script = Arc<dyn Fn(&Message, bool) -> Option<Message> + Send + Sync>;

/// A scripted server, and the queries it received.
struct Scripted {
    at: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

impl Scripted {
    async fn start(
        answer: impl Fn(&Message, bool) -> Option<Message> + Send + Sync + 'static,
    ) -> Self {
        Self::slow(Duration::ZERO, answer).await
    }

    /// Delays each response by this time.
    async fn slow(
        delay: Duration,
        answer: impl Fn(&Message, bool) -> Option<Message> + Send + Sync + 'static,
    ) -> Self {
        let script: Script = Arc::new(answer);
        let (listener, udp, at) = loop {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            let at = listener.local_addr().unwrap();
            // Another process may use the same port for UDP.
            if let Ok(udp) = UdpSocket::bind(at).await {
                break (listener, Arc::new(udp), at);
            }
        };
        let asked = Arc::new(Mutex::new(Vec::new()));
        let note = |asked: &Mutex<Vec<String>>, message: &Message, by: &str| {
            let question = &message.queries[0];
            let edns = if message.edns.is_some() { " edns" } else { "" };
            let text = format!("{by} {} {}{edns}", question.query_type(), question.name());
            asked.lock().unwrap().push(text);
        };
        let datagrams = {
            let (script, asked) = (Arc::clone(&script), Arc::clone(&asked));
            async move {
                let mut buffer = [0; 4_096];
                loop {
                    let (length, from) = udp.recv_from(&mut buffer).await.unwrap();
                    let message = Message::from_vec(&buffer[..length]).unwrap();
                    note(&asked, &message, "udp");
                    let Some(answer) = script(&message, false) else { continue };
                    let udp = Arc::clone(&udp);
                    tokio::spawn(async move {
                        tokio::time::sleep(delay).await;
                        udp.send_to(&answer.to_vec().unwrap(), from).await.unwrap();
                    });
                }
            }
        };
        let streams = {
            let asked = Arc::clone(&asked);
            async move {
                loop {
                    let (mut stream, _) = listener.accept().await.unwrap();
                    let (script, asked) = (Arc::clone(&script), Arc::clone(&asked));
                    tokio::spawn(async move {
                        while let Ok(length) = stream.read_u16().await {
                            let mut bytes = vec![0; length.into()];
                            stream.read_exact(&mut bytes).await.unwrap();
                            let message = Message::from_vec(&bytes).unwrap();
                            note(&asked, &message, "tcp");
                            let Some(answer) = script(&message, true) else { continue };
                            tokio::time::sleep(delay).await;
                            let bytes = answer.to_vec().unwrap();
                            stream.write_u16(bytes.len() as u16).await.unwrap();
                            stream.write_all(&bytes).await.unwrap();
                        }
                    });
                }
            }
        };
        let tasks = vec![tokio::spawn(datagrams), tokio::spawn(streams)];
        Self { at, asked, tasks }
    }

    fn asked(&self) -> Vec<String> {
        let mut asked = self.asked.lock().unwrap().clone();
        asked.sort();
        asked
    }

    fn server(&self) -> DnsServer {
        DnsServer { ip: self.at.ip(), zone: None, port: self.at.port() }
    }
}

fn name(text: &str) -> Name {
    let mut name = Name::from_ascii(text).unwrap();
    name.set_fqdn(true);
    name
}

fn reply(to: &Message) -> Message {
    let mut message = Message::new(to.id, MessageType::Response, OpCode::Query);
    message.metadata.recursion_available = true;
    message.add_queries(to.queries.iter().cloned());
    message
}

fn failing(to: &Message, code: ResponseCode) -> Message {
    let mut message = reply(to);
    message.metadata.response_code = code;
    message
}

/// Responds from lines `name TYPE data`, with NXDOMAIN for names that are not listed.
fn zone(lines: &'static str) -> impl Fn(&Message, bool) -> Option<Message> + Send + Sync {
    move |message, _| {
        let question = &message.queries[0];
        let mut answer = reply(message);
        let mut exists = false;
        for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let data = match fields[1] {
                "A" => RData::A(fields[2].parse::<Ipv4Addr>().unwrap().into()),
                "AAAA" => RData::AAAA(fields[2].parse::<std::net::Ipv6Addr>().unwrap().into()),
                "CNAME" => RData::CNAME(CNAME(name(fields[2]))),
                "SRV" => RData::SRV(SRV::new(10, 1, fields[2].parse().unwrap(), name(fields[3]))),
                other => panic!("{other}"),
            };
            let kind = data.record_type();
            if name(fields[0]) != *question.name() {
                continue;
            }
            exists = true;
            if kind == question.query_type() || kind == RecordType::CNAME {
                answer.add_answer(Record::from_rdata(name(fields[0]), 30, data));
            }
        }
        if !exists {
            answer.metadata.response_code = ResponseCode::NXDomain;
        }
        if answer.answers.is_empty() {
            let soa = SOA::new(name("ns.test"), name("h.test"), 1, 5, 5, 5, 5);
            answer.add_authority(Record::from_rdata(name("test"), 5, RData::SOA(soa)));
        }
        Some(answer)
    }
}

const MEMBERS: &str = "members.test A 10.0.0.1";

fn conf(servers: &[&Scripted]) -> Conf {
    Conf { servers: servers.iter().map(|server| server.server()).collect(), ..Conf::default() }
}

fn resolver(servers: &[&Scripted]) -> Resolver {
    Resolver::new(conf(servers), Hosts::default())
}

fn soon() -> Instant {
    Instant::now() + Duration::from_millis(limits::LOOKUP_MS_MAX)
}

async fn found(resolver: &Resolver, name: &str) -> Vec<String> {
    let found = resolver.addresses(name, soon()).await.unwrap();
    found.addresses.iter().map(IpAddr::to_string).collect()
}

async fn missed(resolver: &Resolver, name: &str) -> LookupError {
    resolver.addresses(name, soon()).await.unwrap_err()
}

#[tokio::test]
async fn the_first_server_takes_precedence_even_if_it_is_slow() {
    let knows = Scripted::slow(Duration::from_millis(300), zone(MEMBERS)).await;
    let does_not = Scripted::start(zone("")).await;
    for _ in 0..3 {
        let resolver = resolver(&[&knows, &does_not]);
        assert_eq!(found(&resolver, "members.test").await, ["10.0.0.1"]);
    }
    assert!(does_not.asked().is_empty(), "{:?}", does_not.asked());
    let resolver = resolver(&[&does_not, &knows]);
    assert!(matches!(missed(&resolver, "members.test").await, LookupError::Negative(_)));
}

#[tokio::test]
async fn a_server_that_fails_is_skipped() {
    let knows = Scripted::start(zone(MEMBERS)).await;
    for code in [
        ResponseCode::Refused,
        ResponseCode::ServFail,
        ResponseCode::NotImp,
        ResponseCode::FormErr,
        ResponseCode::NotAuth,
    ] {
        let cannot = Scripted::start(move |message, _| Some(failing(message, code))).await;
        assert_eq!(found(&resolver(&[&cannot, &knows]), "members.test").await, ["10.0.0.1"]);
        let error = missed(&resolver(&[&cannot]), "members.test").await.to_string();
        assert!(error.starts_with(&format!("{}: it ", cannot.at)), "{error}");
    }
    let refers = Scripted::start(|message, _| {
        let mut answer = reply(message);
        let data = RData::NS(NS(name("ns.test")));
        answer.add_authority(Record::from_rdata(name("test"), 5, data));
        Some(answer)
    })
    .await;
    assert_eq!(found(&resolver(&[&refers, &knows]), "members.test").await, ["10.0.0.1"]);
    let error = missed(&resolver(&[&refers]), "members.test").await.to_string();
    assert!(error.contains("a referral"), "{error}");
}

#[tokio::test]
async fn a_closed_port_is_detected_at_once() {
    let knows = Scripted::start(zone(MEMBERS)).await;
    let mut conf = conf(&[&knows]);
    let gone = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap().local_addr().unwrap();
    conf.servers.insert(0, DnsServer { ip: gone.ip(), zone: None, port: gone.port() });
    let started = Instant::now();
    assert_eq!(
        found(&Resolver::new(conf.clone(), Hosts::default()), "members.test").await.len(),
        1
    );
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
    conf.servers.truncate(1);
    let error = missed(&Resolver::new(conf, Hosts::default()), "members.test").await.to_string();
    assert!(error.contains("cannot be reached: nothing listens on that port"), "{error}");
}

#[tokio::test]
async fn a_server_that_timed_out_is_backed_off_and_verifies_negative_answers() {
    let silent = Arc::new(Mutex::new(true));
    let first = {
        let (silent, knows) = (Arc::clone(&silent), zone("late.test A 10.0.0.9"));
        Scripted::start(
            move |message, tcp| {
                if *silent.lock().unwrap() { None } else { knows(message, tcp) }
            },
        )
        .await
    };
    let second = Scripted::start(zone(MEMBERS)).await;
    let conf = Conf { timeout: Duration::from_secs(1), ..conf(&[&first, &second]) };
    let resolver = Resolver::new(conf, Hosts::default());
    let started = Instant::now();
    assert_eq!(found(&resolver, "members.test").await, ["10.0.0.1"]);
    let once = started.elapsed();
    assert!(once >= Duration::from_secs(1), "{once:?}");
    let started = Instant::now();
    assert_eq!(found(&resolver, "members.test").await, ["10.0.0.1"]);
    assert!(started.elapsed() < once / 2, "it is backed off");
    *silent.lock().unwrap() = false;
    assert_eq!(
        found(&resolver, "late.test").await,
        ["10.0.0.9"],
        "the second server gives a negative answer, the first has the record"
    );
}

#[tokio::test]
async fn a_lookup_without_a_response_ends_within_its_bound_and_names_the_server() {
    let silent = Scripted::start(|_, _| None).await;
    let conf = Conf { timeout: Duration::from_millis(100), ..conf(&[&silent]) };
    let resolver = Resolver::new(conf.clone(), Hosts::default());
    let started = Instant::now();
    let error = missed(&resolver, "members.test").await.to_string();
    assert_eq!(error, format!("{}: no answer within 100 ms", silent.at));
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    let conf = Conf { timeout: Duration::from_secs(30), attempts: 5, ..conf };
    let resolver = Resolver::new(conf, Hosts::default());
    let (started, bound) = (Instant::now(), Duration::from_millis(600));
    resolver.addresses("members.test", started + bound).await.unwrap_err();
    assert!(started.elapsed() < bound * 3, "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_response_that_arrives_late_is_used_in_the_next_attempt() {
    let slow = Scripted::slow(Duration::from_millis(900), zone(MEMBERS)).await;
    let conf = Conf { timeout: Duration::from_millis(600), ..conf(&[&slow]) };
    let resolver = Resolver::new(conf, Hosts::default());
    assert_eq!(found(&resolver, "members.test").await, ["10.0.0.1"]);
}

#[tokio::test]
async fn a_server_that_takes_two_seconds_is_supported() {
    let slow = Scripted::slow(Duration::from_secs(2), zone(MEMBERS)).await;
    let search = ["a.test", "b.test", "c.test", "d.test"].map(name).to_vec();
    let conf = Conf { search, ndots: 5, ..conf(&[&slow]) };
    let resolver = Resolver::new(conf, Hosts::default());
    let started = Instant::now();
    assert_eq!(found(&resolver, "members.test").await, ["10.0.0.1"]);
    assert!(
        started.elapsed() < Duration::from_secs(6),
        "the search list is not queried sequentially"
    );
}

#[tokio::test]
async fn a_lost_datagram_is_sent_again() {
    let first = Mutex::new(true);
    let lossy = Scripted::start(move |message, tcp| {
        if std::mem::take(&mut *first.lock().unwrap()) { None } else { zone(MEMBERS)(message, tcp) }
    })
    .await;
    let conf = Conf { no_aaaa: true, ..conf(&[&lossy]) };
    let started = Instant::now();
    assert_eq!(found(&Resolver::new(conf, Hosts::default()), "members.test").await.len(), 1);
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
}

#[tokio::test]
async fn edns_is_omitted_for_a_server_without_support() {
    for code in [ResponseCode::FormErr, ResponseCode::NotImp] {
        // Old servers respond with the header and no question.
        let old = Scripted::start(move |message, tcp| match &message.edns {
            Some(_) => Some(Message::error_msg(message.id, OpCode::Query, code)),
            None => zone(MEMBERS)(message, tcp),
        })
        .await;
        let conf = Conf { edns: true, no_aaaa: true, ..conf(&[&old]) };
        let resolver = Resolver::new(conf, Hosts::default());
        for _ in 0..2 {
            assert_eq!(found(&resolver, "members.test").await, ["10.0.0.1"]);
        }
        let asked = old.asked();
        let expected = ["udp A members.test.", "udp A members.test.", "udp A members.test. edns"];
        assert_eq!(asked, expected, "the lack of EDNS support is remembered");
    }
    let throws_away = Scripted::start(|message, tcp| match &message.edns {
        Some(_) => None,
        None => zone(MEMBERS)(message, tcp),
    })
    .await;
    let conf = Conf { edns: true, ..conf(&[&throws_away]) };
    assert_eq!(found(&Resolver::new(conf, Hosts::default()), "members.test").await.len(), 1);
}

#[tokio::test]
async fn a_truncated_response_is_fetched_over_tcp() {
    let cuts = Scripted::start(|message, tcp| {
        let whole = zone("members.test A 10.0.0.1\nmembers.test A 10.0.0.2")(message, tcp)?;
        if tcp {
            return Some(whole);
        }
        // Only some of the records, as bind9 sends them.
        let mut part = whole;
        part.answers.truncate(1);
        part.metadata.truncation = true;
        Some(part)
    })
    .await;
    assert_eq!(found(&resolver(&[&cuts]), "members.test").await, ["10.0.0.1", "10.0.0.2"]);
}

#[tokio::test]
async fn use_vc_queries_over_tcp_only() {
    let tcp_only =
        Scripted::start(|message, tcp| if tcp { zone(MEMBERS)(message, tcp) } else { None }).await;
    let conf = Conf { use_vc: true, ..conf(&[&tcp_only]) };
    assert_eq!(found(&Resolver::new(conf, Hosts::default()), "members.test").await.len(), 1);
    assert_eq!(tcp_only.asked(), ["tcp A members.test.", "tcp AAAA members.test."]);
}

#[tokio::test]
async fn rotate_starts_with_the_next_server_each_time() {
    let servers = [Scripted::start(zone(MEMBERS)).await, Scripted::start(zone(MEMBERS)).await];
    let conf = Conf { rotate: true, no_aaaa: true, ..conf(&[&servers[0], &servers[1]]) };
    let resolver = Resolver::new(conf, Hosts::default());
    for _ in 0..4 {
        found(&resolver, "members.test").await;
    }
    assert_eq!(servers.each_ref().map(|server| server.asked().len()), [2, 2]);
}

#[tokio::test]
async fn the_search_list_is_walked_once_for_both_address_types() {
    // IPv4 in one domain, IPv6 in the other: the first domain wins.
    let records = "web.a.test A 10.0.0.1\nweb.b.test AAAA fd00::2\nweb.b.test A 10.0.0.2";
    let server = Scripted::start(zone(records)).await;
    let conf = Conf { search: vec![name("a.test"), name("b.test")], ..conf(&[&server]) };
    let resolver = Resolver::new(conf, Hosts::default());
    assert_eq!(found(&resolver, "web").await, ["10.0.0.1"]);
    let expected = ["udp A web.a.test.", "udp AAAA web.a.test."];
    assert_eq!(server.asked(), expected, "the second domain is not queried");
}

#[tokio::test]
async fn a_domain_whose_server_fails_does_not_hide_the_next_one() {
    let server = Scripted::start(|message, tcp| {
        if name("a.test").zone_of(message.queries[0].name()) {
            return Some(failing(message, ResponseCode::Refused));
        }
        zone("web.b.test A 10.0.0.2")(message, tcp)
    })
    .await;
    let conf = Conf { search: vec![name("a.test"), name("b.test")], ..conf(&[&server]) };
    let resolver = Resolver::new(conf, Hosts::default());
    assert_eq!(found(&resolver, "web").await, ["10.0.0.2"]);
    let error = missed(&resolver, "other").await;
    assert!(matches!(&error, LookupError::Temporary(why) if why.contains("REFUSED")), "{error:?}");
}

#[tokio::test]
async fn nxdomain_and_nodata_are_reported_differently() {
    let server =
        Scripted::start(zone("_x._tcp.test SRV 1 a.test\nalias.test CNAME gone.test")).await;
    let resolver = resolver(&[&server]);
    let error_text = async |name| missed(&resolver, name).await.to_string();
    let at = server.at;
    assert_eq!(
        error_text("gone.test").await,
        format!("the name does not exist in DNS (NXDOMAIN), according to {at}")
    );
    let no_address =
        format!("the name exists in DNS, but has no A or AAAA record (NODATA), according to {at}");
    assert_eq!(error_text("_x._tcp.test").await, no_address);
    let alias = format!(
        "the name is an alias (CNAME) of gone.test., which does not exist in DNS (NXDOMAIN), according to {at}"
    );
    assert_eq!(error_text("alias.test").await, alias);
}

#[tokio::test]
async fn an_unanswered_address_type_does_not_block_the_other() {
    let server = Scripted::start(|message, tcp| match message.queries[0].query_type() {
        RecordType::AAAA => None,
        _ => zone(MEMBERS)(message, tcp),
    })
    .await;
    let started = Instant::now();
    let resolver = resolver(&[&server]);
    let found = resolver.addresses("members.test", soon()).await.unwrap();
    assert_eq!((found.addresses.len(), found.ttl_s), (1, 5), "a partial answer has a TTL of 5 s");
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    let no_name = Scripted::start(|message, tcp| match message.queries[0].query_type() {
        RecordType::AAAA => Some(failing(message, ResponseCode::ServFail)),
        _ => zone("")(message, tcp),
    })
    .await;
    let error = missed(&self::resolver(&[&no_name]), "members.test").await;
    assert!(matches!(error, LookupError::Negative(_)), "NXDOMAIN holds for both types: {error:?}");
}

#[tokio::test]
async fn aliases_are_followed_across_responses_and_loops_end() {
    let records = "a.test CNAME b.test\nb.test CNAME c.test\nc.test A 10.0.0.1\n\
                   one.test CNAME two.test\ntwo.test CNAME one.test\nself.test CNAME self.test";
    let server = Scripted::start(zone(records)).await;
    let resolver = resolver(&[&server]);
    assert_eq!(found(&resolver, "a.test").await, ["10.0.0.1"]);
    for name in ["one.test", "self.test"] {
        let error = missed(&resolver, name).await;
        assert!(matches!(&error, LookupError::Other(why) if why.contains("loop")), "{error:?}");
    }
}

#[tokio::test]
async fn an_alias_into_a_refused_zone_is_reported() {
    let server = Scripted::start(|message, tcp| {
        if *message.queries[0].name() == name("a.other") {
            return Some(failing(message, ResponseCode::Refused));
        }
        let mut answer = zone("a.test CNAME a.other")(message, tcp)?;
        answer.authorities.clear();
        Some(answer)
    })
    .await;
    let error = missed(&resolver(&[&server]), "a.test").await.to_string();
    let expected = format!("its alias a.other.: {}: it refuses to answer (REFUSED)", server.at);
    assert_eq!(error, expected);
}

#[tokio::test]
async fn a_service_is_found_through_an_alias() {
    let alone = Scripted::start(zone(
        "_alias._tcp.test CNAME _x._tcp.test\n_x._tcp.test SRV 6901 a.test\n\
         _x._tcp.test SRV 6902 b.test\na.test A 10.0.0.1\nb.test A 10.0.0.2",
    ))
    .await;
    // Recursive servers send the alias and the records of its target.
    let whole = Scripted::start(|message, tcp| {
        let records = "_x._tcp.test SRV 6901 a.test\n_x._tcp.test SRV 6902 b.test\n\
                       a.test A 10.0.0.1\nb.test A 10.0.0.2";
        let question = &message.queries[0];
        if *question.name() != name("_alias._tcp.test") {
            return zone(records)(message, tcp);
        }
        let mut inner = Message::query();
        inner.add_query(Query::query(name("_x._tcp.test"), question.query_type()));
        let mut answer = reply(message);
        let alias = RData::CNAME(CNAME(name("_x._tcp.test")));
        answer.add_answer(Record::from_rdata(question.name().clone(), 30, alias));
        answer.add_answers(zone(records)(&inner, tcp)?.answers);
        Some(answer)
    })
    .await;
    for server in [&alone, &whole] {
        let service = resolver(&[server]).service("_alias._tcp.test", soon()).await.unwrap();
        let mut places: Vec<_> = service
            .targets
            .iter()
            .map(|place| (place.port, place.addresses[0].to_string()))
            .collect();
        places.sort();
        assert_eq!(places, [(6_901, "10.0.0.1".into()), (6_902, "10.0.0.2".into())]);
    }
}

#[tokio::test]
async fn unusable_service_records_are_reported_with_the_reason() {
    let records = "_x._tcp.test SRV 0 .\n_x._tcp.test SRV 0 a.test\n_x._tcp.test SRV 6900 gone.test\n\
                   _x._tcp.test SRV 6901 10.0.0.5\n_x._tcp.test SRV 6902 a.test\na.test A 10.0.0.1";
    let server = Scripted::start(zone(records)).await;
    let service = resolver(&[&server]).service("_x._tcp.test", soon()).await.unwrap();
    let usable: Vec<u16> = service
        .targets
        .iter()
        .filter(|place| !place.addresses.is_empty())
        .map(|place| place.port)
        .collect();
    assert_eq!(usable, [6_902]);
    let texts: Vec<String> = service.unusable.iter().map(Unusable::to_string).collect();
    let expected = [
        "the target \".\" means that the service is not available (RFC 2782)".to_owned(),
        "port 0 at a.test is not a valid port".to_owned(),
        "10.0.0.5 is not a host name".to_owned(),
        format!("gone.test: the name does not exist in DNS (NXDOMAIN), according to {}", server.at),
    ];
    assert_eq!(texts, expected);
}

#[tokio::test]
async fn a_service_whose_hosts_cannot_be_resolved_fails_temporarily() {
    let server = Scripted::start(|message, tcp| match message.queries[0].query_type() {
        RecordType::SRV => zone("_x._tcp.test SRV 6900 a.test")(message, tcp),
        _ => Some(failing(message, ResponseCode::ServFail)),
    })
    .await;
    let error = resolver(&[&server]).service("_x._tcp.test", soon()).await.unwrap_err();
    let expected = format!("its host a.test: {}: it failed (SERVFAIL)", server.at);
    assert_eq!(error, LookupError::Temporary(expected));
}

#[tokio::test]
async fn a_response_to_another_query_is_ignored() {
    let confused = Scripted::start(|message, tcp| {
        let mut answer = zone(MEMBERS)(message, tcp)?;
        answer.queries = vec![Query::query(name("other.test"), RecordType::A)];
        Some(answer)
    })
    .await;
    let conf = Conf { timeout: Duration::from_millis(100), ..conf(&[&confused]) };
    let error = missed(&Resolver::new(conf, Hosts::default()), "members.test").await.to_string();
    assert!(error.contains("no answer within 100 ms"), "{error}");
}

#[tokio::test]
async fn a_link_local_server_needs_an_existing_interface() {
    let at = |zone: Option<&str>| DnsServer {
        ip: "fe80::1".parse().unwrap(),
        zone: zone.map(str::to_owned),
        port: 53,
    };
    for (zone, text) in [
        (None, "[fe80::1]:53: cannot be reached: a link-local address needs an interface"),
        (
            Some("nosuch0"),
            "[fe80::1%nosuch0]:53: cannot be reached: this host has no interface nosuch0",
        ),
    ] {
        let conf = Conf { servers: vec![at(zone)], ..Conf::default() };
        let error =
            missed(&Resolver::new(conf, Hosts::default()), "members.test").await.to_string();
        assert!(error.starts_with(text), "{error}");
    }
}

#[tokio::test]
async fn names_in_the_hosts_file_are_not_queried_and_not_completed() {
    let hosts = Hosts::read("10.0.0.7 near\nfd00::7 near");
    let conf = Conf { search: vec![name("a.test")], ..Conf::default() };
    let resolver = Resolver::new(conf, hosts);
    assert_eq!(found(&resolver, "near").await, ["10.0.0.7", "fd00::7"]);
    assert_eq!(found(&resolver, "localhost").await, ["127.0.0.1", "::1"]);
}
