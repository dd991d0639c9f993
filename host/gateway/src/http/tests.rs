//! Tests of the HTTP server over real connections, with a grid of one member.

use std::sync::atomic::Ordering;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use convoke_grid::Grid;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::task::JoinHandle;

use super::*;
use crate::admin;
use crate::pubsub::PubSub;
use crate::testing::single_member_grid;
use crate::trust::Passwords;
use crate::{MEMBERS_TOPIC, PARTITIONS_TOPIC};

struct FakeNode {
    ready: bool,
}

impl Node for FakeNode {
    fn unready(&self) -> Option<String> {
        (!self.ready).then(|| "not in a cluster".to_owned())
    }

    fn status(&self) -> Value {
        json!({ "cluster": { "size": 2 } })
    }

    fn members(&self) -> Value {
        json!({ "size": 2 })
    }

    fn partitions(&self) -> Value {
        json!({ "safe": true })
    }

    fn overview(&self) -> admin::Overview {
        admin::Overview { cluster: "shop".into(), ..admin::Overview::default() }
    }

    fn metrics(&self) -> String {
        "convoke_members 2\n".into()
    }
}

/// A running server, stopped when dropped.
struct Served {
    address: std::net::SocketAddr,
    grid: Grid,
    ledger: Arc<crate::ledger::Ledger>,
    web: Arc<Web>,
    task: JoinHandle<()>,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve_with(ready: bool, passwords: Passwords) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let grid = single_member_grid();
    let pubsub = PubSub::new(grid.clone());
    let ledger = Arc::clone(&pubsub.ledger);
    let web = Web::new(Arc::new(FakeNode { ready }), grid.clone(), pubsub, passwords);
    let task = tokio::spawn(serve(vec![listener], Arc::clone(&web), Pages::Admin));
    Served { address, grid, ledger, web, task }
}

impl Served {
    async fn send(&self, request: &str) -> String {
        let mut client = TcpStream::connect(self.address).await.unwrap();
        client.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        answer
    }

    /// Sends a request; returns the status code and the whole response.
    async fn call(&self, method: &str, path: &str, headers: &[&str], body: &str) -> (u16, String) {
        let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
        let length = body.len();
        let answer = self.send(&format!(
                "{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
            ))
            .await;
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.unwrap_or_else(|| panic!("{answer}")), answer)
    }

    /// The lines of a stream, after its response head.
    async fn stream(&self, path: &str) -> Lines<BufReader<TcpStream>> {
        let mut client = TcpStream::connect(self.address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
        let mut lines = BufReader::new(client).lines();
        while lines.next_line().await.unwrap().is_some_and(|line| !line.is_empty()) {}
        lines
    }
}

/// The name and data of the next event of a stream.
async fn event(lines: &mut Lines<BufReader<TcpStream>>) -> (String, Value) {
    let mut name = String::new();
    let within = Duration::from_secs(10);
    while let Some(line) = tokio::time::timeout(within, lines.next_line()).await.unwrap().unwrap() {
        if let Some(text) = line.strip_prefix("event: ") {
            text.clone_into(&mut name);
        }
        if let Some(text) = line.strip_prefix("data: ") {
            return (name, serde_json::from_str(text).unwrap());
        }
    }
    panic!("the stream ended");
}

fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

async fn get(ready: bool, path: &str) -> String {
    serve_with(ready, Passwords::default()).await.call("GET", path, &[], "").await.1
}

#[tokio::test]
async fn readiness_follows_the_member_and_liveness_does_not() {
    assert!(get(true, "/health/ready").await.starts_with("HTTP/1.1 200"));
    assert!(get(false, "/health/ready").await.starts_with("HTTP/1.1 503"));
    assert!(get(false, "/health/live").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_leaving_member_completes_requests_in_progress_and_rejects_new_ones() {
    let served = serve_with(true, Passwords::default()).await;
    let path = "/maps/m/k";
    // The body of this request arrives late.
    let mut client = TcpStream::connect(served.address).await.unwrap();
    let head = format!("PUT {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n");
    client.write_all(format!("{head}content-length: 5\r\n\r\n").as_bytes()).await.unwrap();
    while served.web.in_flight.load(Ordering::SeqCst) == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let web = Arc::clone(&served.web);
    let finished = tokio::spawn(async move { web.finish().await });
    while !served.web.is_finishing.load(Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(served.call("GET", path, &[], "").await.0, 503);
    assert_eq!(served.call("GET", "/health/live", &[], "").await.0, 200);
    assert!(!finished.is_finished());
    client.write_all(b"value").await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 20"), "{answer}");
    finished.await.unwrap();
}

#[tokio::test]
async fn status_is_json_and_metrics_are_prometheus_text() {
    assert!(get(true, "/status").await.ends_with(r#"{"cluster":{"size":2}}"#));
    let metrics = get(true, "/metrics").await;
    assert!(metrics.contains("version=0.0.4") && metrics.ends_with("convoke_members 2\n"));
}

#[tokio::test]
async fn a_404_response_lists_the_available_paths() {
    let answer = get(true, "/etc/passwd").await;
    assert!(answer.starts_with("HTTP/1.1 404") && answer.contains("/status"));
}

#[tokio::test]
async fn a_domain_server_serves_admin_pages_as_html_and_json() {
    let page = get(true, "/").await;
    assert!(page.contains("content-security-policy") && page.contains("Cluster shop"));
    assert!(get(true, "/members").await.contains(r#""members":[]"#));
    assert!(get(true, "/groups").await.contains(r#""groups":[]"#));
    assert!(get(true, "/modes").await.contains(r#""modes":[]"#));
}

#[tokio::test]
async fn invalid_requests_and_oversized_heads_are_rejected() {
    let served = serve_with(true, Passwords::default()).await;
    assert!(served.send("\x16\x03\x01 nonsense\r\n\r\n").await.starts_with("HTTP/1.1 400"));
    let endless = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(HEAD_BYTES_MAX * 2));
    assert!(served.send(&endless).await.starts_with("HTTP/1.1 431"));
}

#[tokio::test]
async fn an_entry_is_put_got_and_deleted() {
    let served = serve_with(true, Passwords::default()).await;
    let path = "/maps/carts/user%201/a%2Fb";
    assert_eq!(served.call("GET", path, &[], "").await.0, 404);
    assert_eq!(served.call("DELETE", path, &[], "").await.0, 404);
    let (status, put) = served.call("PUT", path, &[], "three apples").await;
    assert_eq!((status, header(&put, "convoke-ttl-ms")), (204, None));
    let (status, got) =
        served.call("GET", "/maps/carts/user 1/a/b".replace(' ', "%20").as_str(), &[], "").await;
    assert_eq!(status, 200);
    assert!(got.ends_with("\r\n\r\nthree apples"), "{got}");
    assert_eq!(header(&got, "etag"), header(&put, "etag"));
    assert_eq!(served.call("GET", "/maps/other/user%201/a%2Fb", &[], "").await.0, 404);
    assert_eq!(served.call("DELETE", path, &[], "").await.0, 204);
    assert_eq!(served.call("GET", path, &[], "").await.0, 404);
}

#[tokio::test]
async fn a_large_value_is_sent_completely_and_counted_until_sent() {
    let served = serve_with(true, Passwords::default()).await;
    let value = "long".repeat(1 << 20);
    assert_eq!(served.call("PUT", "/maps/a/1", &[], &value).await.0, 204);
    let (status, got) = served.call("GET", "/maps/a/1", &[], "").await;
    assert_eq!(status, 200);
    assert_eq!(header(&got, "content-length"), Some(value.len().to_string().as_str()));
    assert!(got.ends_with(&value));
    let (_, head) = served.call("HEAD", "/maps/a/1", &[], "").await;
    assert_eq!(header(&head, "content-length"), Some(value.len().to_string().as_str()));
    // Simulates other clients that use up the memory limit.
    let mut others = crate::ledger::Account::new(&served.ledger);
    others.set(2 * crate::ledger::HELD_BYTES_MAX);
    let (status, busy) = served.call("GET", "/maps/a/1", &[], "").await;
    assert_eq!((status, header(&busy, "retry-after")), (503, Some("1")));
    others.set(0);
    assert_eq!(served.call("GET", "/maps/a/1", &[], "").await.0, 200);
    assert_eq!(served.ledger.held(), 0);
}

#[tokio::test]
async fn conditional_changes_compare_the_entity_tag() {
    let served = serve_with(true, Passwords::default()).await;
    let path = "/maps/carts/1";
    assert_eq!(served.call("PUT", path, &["if-match: *"], "a").await.0, 412);
    assert_eq!(served.call("PUT", path, &["if-none-match: *"], "a").await.0, 204);
    assert_eq!(served.call("PUT", path, &["if-none-match: *"], "b").await.0, 412);
    let (_, got) = served.call("GET", path, &[], "").await;
    let tag = header(&got, "etag").unwrap().to_owned();
    let (if_match, if_none) = (format!("if-match: {tag}"), format!("if-none-match: {tag}"));
    assert_eq!(served.call("GET", path, &[&if_none], "").await.0, 304);
    assert_eq!(served.call("PUT", path, &[&if_match], "b").await.0, 204);
    assert_eq!(served.call("PUT", path, &[&if_match], "c").await.0, 412);
    assert_eq!(served.call("DELETE", path, &[&if_match], "").await.0, 412);
    assert_eq!(served.call("GET", path, &[&if_none], "").await.0, 200);
    assert_eq!(served.call("PUT", path, &["if-match: soon"], "c").await.0, 400);
}

#[tokio::test]
async fn lifetimes_are_set_and_returned_by_headers() {
    let served = serve_with(true, Passwords::default()).await;
    let limits = ["convoke-ttl-ms: 60000", "convoke-max-idle-ms: 5000"];
    assert_eq!(served.call("PUT", "/maps/a/1", &limits, "x").await.0, 204);
    let (_, got) = served.call("GET", "/maps/a/1", &[], "").await;
    let ms: u64 = header(&got, "convoke-ttl-ms").unwrap().parse().unwrap();
    assert!((1..=5_000).contains(&ms), "the earlier of the two limits: {ms}");
    assert_eq!(header(&got, "convoke-max-idle-ms"), Some("5000"));
    for wrong in ["0", "-1", "soon", "99999999999999999999"] {
        let header = format!("convoke-ttl-ms: {wrong}");
        assert_eq!(served.call("PUT", "/maps/a/1", &[&header], "x").await.0, 400, "{wrong}");
    }
}

#[tokio::test]
async fn values_keys_and_maps_beyond_their_limits_are_rejected() {
    let served = serve_with(true, Passwords::default()).await;
    let request = format!(
        "PUT /maps/a/1 HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        convoke_grid::VALUE_BYTES_MAX + 1
    );
    let answer = served.send(&request).await;
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("longer than"), "{answer}");
    let key = "k".repeat(convoke_grid::KEY_BYTES_MAX + 1);
    assert_eq!(served.call("PUT", &format!("/maps/a/{key}"), &[], "x").await.0, 414);
    let map = "m".repeat(convoke_grid::map::MAP_NAME_BYTES_MAX + 1);
    assert_eq!(served.call("PUT", &format!("/maps/{map}/1"), &[], "x").await.0, 400);
    assert_eq!(served.call("PUT", "/maps/a/%ff", &[], "x").await.0, 400);
}

#[tokio::test]
async fn published_messages_are_streamed_to_subscribers() {
    let served = serve_with(true, Passwords::default()).await;
    let mut named = served.stream("/topics/news/today").await;
    let mut by_pattern = served.stream("/topics?pattern=news%2F*").await;
    let (status, answer) = served.call("POST", "/topics/news/today", &[], "a\nb").await;
    assert_eq!(status, 200);
    assert!(answer.ends_with(r#"{"subscribers":2}"#), "{answer}");
    served.call("POST", "/topics/other", &[], "c").await;
    let message = json!({ "topic": "news/today", "text": "a\nb" });
    assert_eq!(event(&mut named).await, (String::new(), message));
    let message = json!({ "topic": "news/today", "pattern": "news/*", "text": "a\nb" });
    assert_eq!(event(&mut by_pattern).await, (String::new(), message));
    drop((named, by_pattern));
}

#[tokio::test]
async fn keyspace_notifications_are_streamed() {
    let served = serve_with(true, Passwords::default()).await;
    served.grid.set_setting("notify-keyspace-events", "KEA");
    let mut keys = served.stream("/topics?pattern=__keyevent@0__:*").await;
    served.call("PUT", "/maps/resp:0/k", &[], "x").await;
    let (_, message) = event(&mut keys).await;
    assert_eq!((&message["topic"], &message["text"]), (&json!("__keyevent@0__:set"), &json!("k")));
}

#[tokio::test]
async fn events_start_with_the_current_state_followed_by_changes() {
    let served = serve_with(true, Passwords::default()).await;
    let mut events = served.stream("/events").await;
    assert_eq!(event(&mut events).await, ("members".into(), json!({ "size": 2 })));
    assert_eq!(event(&mut events).await, ("partitions".into(), json!({ "safe": true })));
    served.grid.publish_here(&PARTITIONS_TOPIC.into(), &r#"{"safe":false}"#.into());
    served.grid.publish_here(&MEMBERS_TOPIC.into(), &r#"{"size":1}"#.into());
    assert_eq!(event(&mut events).await, ("partitions".into(), json!({ "safe": false })));
    assert_eq!(event(&mut events).await, ("members".into(), json!({ "size": 1 })));
}

#[tokio::test]
async fn a_configured_password_is_required() {
    let served = serve_with(true, Passwords::new(b"all", b"look")).await;
    let basic = |text: &str| format!("authorization: Basic {}", BASE64_STANDARD.encode(text));
    let (all, look) = (basic("anybody:all"), basic("readonly:look"));
    let (status, answer) = served.call("GET", "/maps/a/1", &[], "").await;
    assert_eq!(status, 401);
    assert!(header(&answer, "www-authenticate").is_some());
    assert_eq!(served.call("GET", "/maps/a/1", &[&basic("default:wrong")], "").await.0, 401);
    assert_eq!(served.call("PUT", "/maps/a/1", &[&all], "x").await.0, 204);
    assert_eq!(served.call("GET", "/maps/a/1", &[&look], "").await.0, 200);
    assert_eq!(served.call("PUT", "/maps/a/1", &[&look], "y").await.0, 403);
    assert_eq!(served.call("DELETE", "/maps/a/1", &[&look], "").await.0, 403);
    assert_eq!(served.call("POST", "/topics/a", &[&look], "y").await.0, 403);
    assert_eq!(served.call("GET", "/events", &[], "").await.0, 401);
    assert_eq!(served.call("GET", "/health/live", &[], "").await.0, 200);
}

#[tokio::test]
async fn each_method_of_each_data_path_checks_permissions() {
    let served = serve_with(true, Passwords::new(b"all", b"look")).await;
    let basic = |text: &str| format!("authorization: Basic {}\r\n", BASE64_STANDARD.encode(text));
    let users = [String::new(), basic("x:wrong"), basic("readonly:look"), basic("default:all")];
    for path in ["/maps/a/1", "/topics?pattern=a", "/topics/a", "/events"] {
        for method in ["GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS"] {
            for (user, header) in users.iter().enumerate() {
                let request = format!(
                    "{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 1\r\n{header}\r\nx"
                );
                let mut client = TcpStream::connect(served.address).await.unwrap();
                client.write_all(request.as_bytes()).await.unwrap();
                // The status line is enough: a stream has no end.
                let line = BufReader::new(client).lines().next_line().await.unwrap().unwrap();
                let status = line.split(' ').nth(1).unwrap();
                let is_read = ["GET", "HEAD"].contains(&method);
                // 405: the path does not support the method, for any user.
                let is_right = match user {
                    0 | 1 => ["401", "405"].contains(&status),
                    2 if !is_read => ["403", "405"].contains(&status),
                    _ => !["401", "403"].contains(&status),
                };
                assert!(is_right, "{method} {path} by user {user}: {status}");
            }
        }
    }
}

#[tokio::test]
async fn without_a_password_cross_origin_requests_are_refused() {
    let served = serve_with(true, Passwords::default()).await;
    let foreign = ["origin: https://evil.example"];
    assert_eq!(served.call("POST", "/topics/a", &foreign, "x").await.0, 403);
    let rebound = "GET /maps/a/1 HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n";
    assert!(served.send(rebound).await.starts_with("HTTP/1.1 403"));
}

#[tokio::test]
async fn a_value_of_a_client_of_hazelcast_is_neither_read_nor_overwritten() {
    use convoke_grid::op::{KeyOp, Lifetime, Op, PlainOp, PutAnswer, PutIf};

    let served = serve_with(true, Passwords::default()).await;
    let map = served.grid.open("m").unwrap();
    let put = |kind| PlainOp::Put {
        kind,
        value: b"blob",
        lifetime: Lifetime::Default,
        condition: PutIf::Always,
        answer: PutAnswer::Done,
    };
    for (key, kind) in [("imap", 1), ("cache", 2)] {
        let (partition, key_bytes) = (served.grid.partition_of(key.as_bytes()), key.as_bytes());
        let op = Op::Key(key_bytes, KeyOp::Plain(put(kind)));
        let convoke_grid::Started::Now(reply) = served.grid.start(&map, partition, &op) else {
            panic!("it is executed here")
        };
        reply.unwrap();
        let path = format!("/maps/m/{key}");
        assert_eq!(served.call("GET", &path, &[], "").await.0, 409);
        assert_eq!(served.call("PUT", &path, &[], "text").await.0, 409);
        assert_eq!(served.call("PUT", &path, &["if-match: *"], "text").await.0, 409);
        assert_eq!(served.call("PUT", &path, &["if-none-match: *"], "text").await.0, 412);
        // Still what the client wrote.
        let get = Op::Key(key_bytes, KeyOp::Plain(PlainOp::Get));
        let convoke_grid::Started::Now(reply) = served.grid.start(&map, partition, &get) else {
            panic!("it is executed here")
        };
        assert_eq!(reply, Ok(convoke_grid::Reply::bytes(b"blob")));
        assert_eq!(served.call("DELETE", &path, &[], "").await.0, 204);
        assert_eq!(served.call("PUT", &path, &[], "text").await.0, 204);
    }
    for map in ["hazelcast:collection:queue", "hazelcast:multimap:m", "lease:m", "system:m"] {
        for method in ["GET", "PUT", "DELETE"] {
            let (status, _) = served.call(method, &format!("/maps/{map}/k"), &[], "").await;
            assert_eq!(status, 400, "{method} {map}");
        }
    }
}
