#!/usr/bin/env bash
# hickory-resolver finds no SRV records behind a CNAME, although the answer contains them.
#
# A DNS server that is asked for the SRV records of an alias sends the CNAME and the SRV
# records of its target in one message. hickory-resolver then takes the target host of the SRV
# record for the next name of the chain, asks for SRV records of that host, which has none,
# and returns `NoRecordsFound`. Lookups of the real name work, and so do aliases of addresses.
# A program that discovers servers by SRV concludes that there are none. Seen with
# hickory-resolver 0.26.3.
#
# Look up the CNAME first and then the SRV records of its target, or have no alias there.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/src"
cat > "$work/Cargo.toml" <<'TOML'
[package]
name = "service-alias"
version = "0.1.0"
edition = "2021"

[dependencies]
hickory-resolver = { version = "=0.26.3", default-features = false, features = ["tokio"] }
tokio = { version = "1", features = ["macros", "net", "rt"] }

[profile.dev]
debug = false
TOML
cat > "$work/src/main.rs" <<'RUST'
use hickory_resolver::Resolver;
use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::op::{Message, MessageType, OpCode};
use hickory_resolver::proto::rr::rdata::{A, CNAME, SOA, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::proto::serialize::binary::{BinDecodable, BinEncodable};
use tokio::net::UdpSocket;

fn name(text: &str) -> Name {
    Name::from_ascii(text).expect("a name")
}

fn record(owner: &str, data: RData) -> Record {
    Record::from_rdata(name(owner), 60, data)
}

/// Answers as an authoritative server of the zone does, and prints what it is asked.
async fn serve(socket: UdpSocket) {
    let to = |target: &str| RData::CNAME(CNAME(name(target)));
    let zone = [
        record("_shop._tcp.shop.test.", to("_till._tcp.shop.test.")),
        record("_till._tcp.shop.test.", RData::SRV(SRV::new(0, 0, 5701, name("host.shop.test.")))),
        record("alias.shop.test.", to("host.shop.test.")),
        record("host.shop.test.", RData::A(A::new(10, 0, 0, 1))),
    ];
    let mut buffer = [0; 1500];
    loop {
        let (length, client) = socket.recv_from(&mut buffer).await.expect("a query");
        let query = Message::from_bytes(&buffer[..length]).expect("a DNS message");
        let mut answer = Message::new(query.metadata.id, MessageType::Response, OpCode::Query);
        let (mut owner, kind) = (query.queries[0].name().clone(), query.queries[0].query_type());
        println!("    asked: {owner} {kind}");
        answer.metadata.authoritative = true;
        answer.queries = query.queries;
        for record in zone.iter().filter(|record| record.data.record_type() == RecordType::CNAME) {
            if let (true, RData::CNAME(CNAME(target))) = (record.name == owner, &record.data) {
                answer.add_answer(record.clone());
                owner = target.clone();
            }
        }
        let found = |record: &&Record| record.name == owner && record.data.record_type() == kind;
        answer.add_answers(zone.iter().filter(found).cloned());
        if !zone.iter().any(|record| found(&record)) {
            let soa = SOA::new(name("ns.shop.test."), name("h.shop.test."), 1, 60, 60, 60, 60);
            answer.authorities.push(record("shop.test.", RData::SOA(soa)));
        }
        let bytes = answer.to_bytes().expect("it is short");
        socket.send_to(&bytes, client).await.expect("the client is there");
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
    let mut server = NameServerConfig::udp([127, 0, 0, 1].into());
    server.connections[0].port = socket.local_addr().expect("it is bound").port();
    tokio::spawn(serve(socket));
    let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
    let resolver = Resolver::builder_with_config(config, TokioRuntimeProvider::default())
        .build()
        .expect("the settings are valid");
    for (owner, kind) in [
        ("alias.shop.test.", RecordType::A),
        ("_till._tcp.shop.test.", RecordType::SRV),
        ("_shop._tcp.shop.test.", RecordType::SRV),
    ] {
        let found = match resolver.lookup(owner, kind).await {
            Ok(found) => {
                let records = found.answers().iter().map(|record| record.data.to_string());
                records.collect::<Vec<_>>().join(" and ")
            }
            Err(error) => error.to_string(),
        };
        println!("{kind} of {owner}: {found}");
    }
}
RUST
echo "hickory-resolver 0.26.3"
printed=$(cd "$work" && cargo run --quiet --target-dir "$work/target")
echo "$printed"
seen='    asked: alias.shop.test. A
A of alias.shop.test.: host.shop.test. and 10.0.0.1
    asked: _till._tcp.shop.test. SRV
SRV of _till._tcp.shop.test.: 0 0 5701 host.shop.test.
    asked: _shop._tcp.shop.test. SRV
    asked: host.shop.test. SRV
SRV of _shop._tcp.shop.test.: DNS error: no records found for Query { name: Name("host.shop.test."), query_type: SRV, query_class: IN }'
if [ "$printed" != "$seen" ]; then
    printf 'this has changed: expected\n%s\n' "$seen"
    exit 1
fi
echo "the SRV record behind the alias is not found: the target host is asked for SRV"
