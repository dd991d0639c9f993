//! Tests of announcements to clients when a member leaves.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use convoke_grid::Grid;
use convoke_membership::MemberId;
use futures_util::FutureExt as _;

use crate::output_buffer::MessageKind;
use crate::pubsub::PubSub;
use crate::resp::client::Client;
use crate::resp::encode::Protocol;
use crate::resp::server::{Cluster, ClusterNode, Endpoint, RespSettings, Server};
use crate::testing::{numbered_client, single_member_grid};
use crate::trust::Trust;

use super::shown;

/// This member and another one, which has a host name or not.
struct Two {
    me: MemberId,
    other: Option<&'static str>,
    is_alone: bool,
}

impl Cluster for Two {
    fn nodes(&self) -> Vec<ClusterNode> {
        let node = |member, last, hostname: Option<&str>, this| ClusterNode {
            id: "0".repeat(40),
            member,
            endpoint: Some(Endpoint {
                ip: IpAddr::V4(Ipv4Addr::new(10, 0, 0, last)),
                hostname: hostname.map(Into::into),
                port: 6379,
            }),
            hazelcast: None,
            this,
            stores: true,
        };
        let mut nodes = vec![node(self.me, 1, None, true)];
        if !self.is_alone {
            nodes.push(node(MemberId::new_now(), 2, self.other, false));
        }
        nodes
    }
}

fn server_of(grid: Grid, other: Option<&'static str>, is_alone: bool) -> Arc<Server> {
    let pubsub = PubSub::new(grid.clone());
    let settings = RespSettings { clients_max: 100, ..RespSettings::default() };
    let cluster = Two { me: grid.me(), other, is_alone };
    Server::new(grid, pubsub, settings, Arc::new(cluster), 6379)
}

/// The announcement that the client got, without its sequence number; empty for none.
fn announced(client: &Client) -> String {
    let Some(message) = client.output_buffer.next().expect("it keeps up") else {
        return String::new();
    };
    assert_eq!(message.kind, MessageKind::Encoded);
    let text = String::from_utf8_lossy(&message.payload).replace("\r\n", " ");
    let words: Vec<&str> = text.split_whitespace().collect();
    let (sequence, rest) = (words[3], [&words[..3], &words[4..]].concat());
    assert!(sequence[1..].parse::<u64>().is_ok_and(|number| number > 0), "{sequence}");
    rest.join(" ")
}

#[tokio::test]
async fn only_clients_that_asked_are_sent_to_another_member() {
    let server = server_of(single_member_grid(), Some("b.example"), false);
    let mut clients = Vec::new();
    for (id, kind) in [
        (1, "on moving-endpoint-type internal-ip"),
        (2, "on moving-endpoint-type external-fqdn"),
        (3, "ON MOVING-ENDPOINT-TYPE NONE"),
        (4, "on"),
        (5, "off"),
    ] {
        let mut client = numbered_client(&server, id, Trust::ReadOnly);
        client.set_protocol(Protocol::Resp3);
        assert_eq!(shown(&mut client, &format!("client maint_notifications {kind}")).await, "+OK");
        clients.push(client);
    }
    server.announce_leave();
    let all: Vec<String> = clients.iter().map(announced).collect();
    let ip = ">4 $6 MOVING :10 $13 10.0.0.2:6379";
    let name = ">4 $6 MOVING :10 $14 b.example:6379";
    assert_eq!(all, [ip, name, ">4 $6 MOVING :10 _", ip, ""]);
    // One that connects while the member leaves is sent on at once, and nobody twice.
    let mut late = numbered_client(&server, 6, Trust::Full);
    late.set_protocol(Protocol::Resp3);
    assert_eq!(shown(&mut late, "client maint_notifications on").await, "+OK");
    assert_eq!(announced(&late), ip);
    server.announce_leave();
    assert_eq!(announced(&clients[0]), "");
    // They are waited for until they have disconnected.
    let mut moves = Box::pin(server.await_moves());
    assert_eq!((&mut moves).now_or_never(), None);
    drop((clients, late));
    moves.await;
}

#[tokio::test]
async fn a_member_that_nobody_is_sent_from_waits_for_nobody() {
    for (is_alone, words) in [(true, "client maint_notifications on"), (false, "ping")] {
        let server = server_of(single_member_grid(), None, is_alone);
        let mut client = numbered_client(&server, 1, Trust::Full);
        client.set_protocol(Protocol::Resp3);
        shown(&mut client, words).await;
        server.announce_leave();
        assert_eq!(announced(&client), "");
        assert_eq!(server.await_moves().now_or_never(), Some(()));
    }
}

#[tokio::test]
async fn announcements_need_resp3_and_known_words() {
    let server = server_of(single_member_grid(), None, false);
    let mut client = numbered_client(&server, 1, Trust::Full);
    let resp3 = "-ERR CLIENT MAINT_NOTIFICATIONS requires RESP3";
    assert_eq!(shown(&mut client, "client maint_notifications on").await, resp3);
    client.set_protocol(Protocol::Resp3);
    for words in ["maybe", "on x", "on moving-endpoint-type", "on moving-endpoint-type x", "off x"]
    {
        let reply = shown(&mut client, &format!("client maint_notifications {words}")).await;
        assert_eq!(reply, "-ERR syntax error", "{words}");
    }
}
