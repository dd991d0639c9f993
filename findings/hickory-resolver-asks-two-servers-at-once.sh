#!/usr/bin/env bash
# hickory-resolver asks the first two nameservers at once, and a negative answer can win.
#
# According to resolv.conf(5) the second server is asked only when the first does not answer.
# hickory-resolver sends each query to two servers in parallel by default (`num_concurrent_reqs`
# is 2), also after `parse_resolv_conf`. If the second one says NXDOMAIN before the first has sent
# its address, the name does not exist: for example with an internal server and a public one.
# REFUSED from the faster server ends the lookup as well. Seen with hickory-resolver 0.26.3.
#
# `num_concurrent_reqs = 1` with `ServerOrderingStrategy::UserProvidedOrder` asks as
# resolv.conf(5) describes. Set both: the default order, by query statistics, may ask the
# second server first.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/src"
cat > "$work/Cargo.toml" <<'TOML'
[package]
name = "two-servers"
version = "0.1.0"
edition = "2021"

[dependencies]
hickory-resolver = { version = "=0.26.3", default-features = false, features = ["tokio", "system-config"] }
tokio = { version = "1", features = ["macros", "net", "rt", "time"] }

[profile.dev]
debug = false
TOML
cat > "$work/src/main.rs" <<'RUST'
use std::time::Duration;

use hickory_resolver::Resolver;
use hickory_resolver::config::{LookupIpStrategy, ResolverConfig, ServerOrderingStrategy};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_resolver::proto::rr::{RData, Record, rdata::A};
use hickory_resolver::proto::serialize::binary::{BinDecodable, BinEncodable};
use hickory_resolver::system_conf::parse_resolv_conf;
use tokio::net::UdpSocket;

/// Starts a server that answers each query after a while: with an address where `code` is
/// NOERROR. Returns its port.
async fn serve(code: ResponseCode, after: Duration) -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
    let port = socket.local_addr().expect("it is bound").port();
    tokio::spawn(async move {
        let mut buffer = [0; 1500];
        loop {
            let (length, client) = socket.recv_from(&mut buffer).await.expect("a query");
            let query = Message::from_bytes(&buffer[..length]).expect("a DNS message");
            let mut answer = Message::new(query.metadata.id, MessageType::Response, OpCode::Query);
            answer.metadata.recursion_available = true;
            answer.metadata.response_code = code;
            if code == ResponseCode::NoError {
                let name = query.queries[0].name().clone();
                answer.add_answer(Record::from_rdata(name, 60, RData::A(A::new(10, 0, 0, 1))));
            }
            answer.queries = query.queries;
            tokio::time::sleep(after).await;
            let bytes = answer.to_bytes().expect("it is short");
            socket.send_to(&bytes, client).await.expect("the client is there");
        }
    });
    port
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let file = "nameserver 127.0.0.1\nnameserver 127.0.0.1\n";
    for code in [ResponseCode::NXDomain, ResponseCode::Refused] {
        for as_libc in [false, true] {
            let ports = [
                serve(ResponseCode::NoError, Duration::from_millis(100)).await,
                serve(code, Duration::ZERO).await,
            ];
            let (config, mut options) = parse_resolv_conf(file).expect("the file is valid");
            let mut servers = config.name_servers().to_vec();
            for (server, port) in servers.iter_mut().zip(ports) {
                server.connections.iter_mut().for_each(|connection| connection.port = port);
            }
            options.ip_strategy = LookupIpStrategy::Ipv4Only;
            if as_libc {
                options.num_concurrent_reqs = 1;
                options.server_ordering_strategy = ServerOrderingStrategy::UserProvidedOrder;
            }
            let settings = if as_libc { "one at a time, in order" } else { "default" };
            let config = ResolverConfig::from_parts(None, Vec::new(), servers);
            let mut builder =
                Resolver::builder_with_config(config, TokioRuntimeProvider::default());
            *builder.options_mut() = options;
            let resolver = builder.build().expect("the settings are valid");
            let found = match resolver.lookup_ip("till.shop.test.").await {
                Ok(addresses) => addresses.iter().map(|ip| ip.to_string()).collect(),
                Err(error) => {
                    eprintln!("    {error}");
                    "nothing".to_owned()
                }
            };
            println!("address after 100 ms, {code:?} at once: {settings}: {found}");
        }
    }
}
RUST
echo "hickory-resolver 0.26.3"
printed=$(cd "$work" && cargo run --quiet --target-dir "$work/target")
echo "$printed"
seen='address after 100 ms, NXDomain at once: default: nothing
address after 100 ms, NXDomain at once: one at a time, in order: 10.0.0.1
address after 100 ms, Refused at once: default: nothing
address after 100 ms, Refused at once: one at a time, in order: 10.0.0.1'
if [ "$printed" != "$seen" ]; then
    printf 'this has changed: expected\n%s\n' "$seen"
    exit 1
fi
echo "the second server's NXDOMAIN or REFUSED hides the first one's address"
