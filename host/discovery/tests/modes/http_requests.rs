//! `wasi:http`: which requests are sent, and how they end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use convoke_discovery::{
    Backend, CallError, DiscoveryHost, FakeAnswer, Fakes, Grants, HostConfig, Instance, ModeHandle,
    ModeSpec, limits,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::guest::{FAILED, Guest, Returned, reported};
use crate::support::{Log, PATIENCE, config, file, host, host_in, load, local, with_grants};

const HTTP: &str = r#"
    (import "wasi:http/types@0.2.12" "[constructor]fields" (func $fields (result i32)))
    (import "wasi:http/types@0.2.12" "[constructor]outgoing-request"
        (func $request (param i32) (result i32)))
    (import "wasi:http/types@0.2.12" "[method]outgoing-request.set-method"
        (func $set_method (param i32 i32 i32 i32) (result i32)))
    (import "wasi:http/types@0.2.12" "[method]outgoing-request.set-scheme"
        (func $set_scheme (param i32 i32 i32 i32 i32) (result i32)))
    (import "wasi:http/types@0.2.12" "[method]outgoing-request.set-authority"
        (func $set_authority (param i32 i32 i32 i32) (result i32)))
    (import "wasi:http/types@0.2.12" "[method]outgoing-request.set-path-with-query"
        (func $set_path (param i32 i32 i32 i32) (result i32)))
    (import "wasi:http/types@0.2.12" "[constructor]request-options" (func $options (result i32)))
    (import "wasi:http/types@0.2.12" "[method]request-options.set-first-byte-timeout"
        (func $set_timeout (param i32 i32 i64) (result i32)))
    (import "wasi:http/outgoing-handler@0.2.12" "handle" (func $handle (param i32 i32 i32 i32)))
    (import "wasi:http/types@0.2.12" "[method]future-incoming-response.subscribe"
        (func $subscribe (param i32) (result i32)))
    (import "wasi:http/types@0.2.12" "[method]future-incoming-response.get"
        (func $get (param i32 i32)))
    (import "wasi:http/types@0.2.12" "[resource-drop]future-incoming-response"
        (func $drop_future (param i32)))
    (import "wasi:http/types@0.2.12" "[method]incoming-response.status"
        (func $status (param i32) (result i32)))
    (import "wasi:http/types@0.2.12" "[method]incoming-response.consume"
        (func $consume (param i32 i32)))
    (import "wasi:http/types@0.2.12" "[resource-drop]incoming-response"
        (func $drop_response (param i32)))
    (import "wasi:http/types@0.2.12" "[method]incoming-body.stream"
        (func $stream (param i32 i32)))
    (import "wasi:http/types@0.2.12" "http-error-code" (func $code (param i32 i32)))
    (import "wasi:io/error@0.2.12" "[method]error.to-debug-string"
        (func $in_words (param i32 i32)))
    (import "wasi:io/poll@0.2.12" "[method]pollable.block" (func $block (param i32)))
    (import "wasi:io/poll@0.2.12" "[resource-drop]pollable" (func $drop_pollable (param i32)))
    (import "wasi:io/streams@0.2.12" "[method]input-stream.blocking-read"
        (func $read (param i32 i64 i32)))
"#;

/// The result of a request as a number: a status, or this offset plus the case of `error-code`.
const ERROR: u16 = 1_000;
const REFUSED: u16 = ERROR + 6;
const TERMINATED: u16 = ERROR + 7;
const TOO_MANY: u16 = ERROR + 11;
const DENIED: u16 = ERROR + 15;
const BAD_METHOD: u16 = ERROR + 18;
const BAD_URI: u16 = ERROR + 19;
const INCOMPLETE: u16 = ERROR + 25;
const HEADERS_TOO_LARGE: u16 = ERROR + 26;
const BODY_TOO_LARGE: u16 = ERROR + 28;
const NO_ANSWER: u16 = ERROR + 33;
const BAD_SCHEME: u16 = ERROR + 35;
const INTERNAL: u16 = ERROR + 38;
/// The request could not be created: its authority, path or scheme was rejected.
const MALFORMED: u16 = 999;

const GET: u32 = 0;
const CONNECT: u32 = 5;

/// A request to `authority`, as an expression that evaluates to its result.
struct TestRequest<'a> {
    scheme: u32,
    method: u32,
    authority: &'a str,
    /// Timeout for the first byte, in milliseconds; 0 for the host's default.
    patience_ms: u64,
}

impl<'a> TestRequest<'a> {
    fn get(authority: &'a str) -> Self {
        Self { scheme: 0, method: GET, authority, patience_ms: 0 }
    }

    /// A mode that may make this request: `$ask` makes it and returns its result, `$send` only
    /// starts it and returns a future.
    fn guest(&self) -> Guest {
        let (scheme, method, length) = (self.scheme, self.method, self.authority.len());
        let nanoseconds = self.patience_ms * 1_000_000;
        Guest::reporting()
            .import("wasi:http/types@0.2.12", HTTP)
            .import("wasi:http/outgoing-handler@0.2.12", "")
            .import("wasi:io/poll@0.2.12", "")
            .import("wasi:io/streams@0.2.12", "")
            .import("wasi:io/error@0.2.12", "")
            .text(0x800, self.authority)
            .text(0x900, "/v1/members?near")
            .text(0x920, "gopher")
            .items(&format!(
                "(global $response (mut i32) (i32.const 0))
                (func $error (param $case i32) (result i32)
                    (i32.add (i32.const {ERROR}) (local.get $case)))
                ;; A future, or minus what it came to.
                (func $send (result i32)
                    (local $it i32) (local $how i32)
                    (local.set $it (call $request (call $fields)))
                    (if (i32.or
                            (i32.or
                                (call $set_scheme (local.get $it) (i32.const 1)
                                    (i32.const {scheme}) (i32.const 0x920) (i32.const 6))
                                (call $set_authority (local.get $it) (i32.const 1)
                                    (i32.const 0x800) (i32.const {length})))
                            (i32.or
                                (call $set_path (local.get $it) (i32.const 1)
                                    (i32.const 0x900) (i32.const 16))
                                (call $set_method (local.get $it) (i32.const {method})
                                    (i32.const 0) (i32.const 0))))
                        (then (return (i32.const -{MALFORMED}))))
                    (if (i64.gt_u (i64.const {nanoseconds}) (i64.const 0)) (then
                        (local.set $how (call $options))
                        (drop (call $set_timeout (local.get $how) (i32.const 1)
                            (i64.const {nanoseconds})))))
                    (call $handle (local.get $it)
                        (i64.gt_u (i64.const {nanoseconds}) (i64.const 0)) (local.get $how)
                        (i32.const 0xa00))
                    (if (result i32) (i32.load8_u (i32.const 0xa00))
                        (then (i32.sub (i32.const 0)
                            (call $error (i32.load8_u (i32.const 0xa08)))))
                        (else (i32.load (i32.const 0xa08)))))
                ;; What a future comes to; $response is then open.
                (func $await (param $future i32) (result i32)
                    (local $pollable i32)
                    (if (i32.lt_s (local.get $future) (i32.const 0))
                        (then (return (i32.sub (i32.const 0) (local.get $future)))))
                    (local.set $pollable (call $subscribe (local.get $future)))
                    (call $block (local.get $pollable))
                    (call $drop_pollable (local.get $pollable))
                    (call $get (local.get $future) (i32.const 0xa00))
                    (call $drop_future (local.get $future))
                    (if (i32.load8_u (i32.const 0xa10))
                        (then (return (call $error (i32.load8_u (i32.const 0xa18))))))
                    (global.set $response (i32.load (i32.const 0xa18)))
                    (call $status (global.get $response)))
                (func $ask (result i32)
                    (local $result i32)
                    (local.set $result (call $await (call $send)))
                    (if (i32.lt_u (local.get $result) (i32.const {MALFORMED}))
                        (then (call $drop_response (global.get $response))))
                    (local.get $result))
                ;; KiB of the body; or 65000, what failed in words at 0xa00, and as an
                ;; option of a code at 0xa20.
                (func $body (result i32)
                    (local $stream i32) (local $bytes i32)
                    (call $consume (global.get $response) (i32.const 0xa00))
                    (call $stream (i32.load (i32.const 0xa04)) (i32.const 0xa00))
                    (local.set $stream (i32.load (i32.const 0xa04)))
                    (loop $more
                        (global.set $heap (i32.const 0x10000))
                        (call $read (local.get $stream) (i64.const 65536) (i32.const 0xa00))
                        (if (i32.eqz (i32.load8_u (i32.const 0xa00))) (then
                            (local.set $bytes
                                (i32.add (local.get $bytes) (i32.load (i32.const 0xa08))))
                            (br $more))))
                    ;; Closed is the end.
                    (if (i32.load8_u (i32.const 0xa04))
                        (then (return (i32.shr_u (local.get $bytes) (i32.const 10)))))
                    (call $code (i32.load (i32.const 0xa08)) (i32.const 0xa20))
                    (call $in_words (i32.load (i32.const 0xa08)) (i32.const 0xa00))
                    (i32.const 65000))"
            ))
            .discover("(call $report (call $ask))")
    }

    /// The result with this grant.
    async fn result(&self, host: &DiscoveryHost, grant: &str) -> u16 {
        let mut instance = opened(host, &self.guest(), grant).await;
        reported(&instance.discover().await.unwrap())
    }
}

async fn opened(host: &DiscoveryHost, guest: &Guest, grant: &str) -> Instance {
    let folder = tempfile::tempdir().unwrap();
    let spec = with_grants(file(guest.write(folder.path(), "test")), &[("http", grant)]);
    host.open(&host.load(&spec).await.unwrap(), &local()).await.unwrap()
}

/// A server on loopback that gives each request the same response.
struct Server {
    address: SocketAddr,
    requests: Arc<AtomicU32>,
    heads: Arc<std::sync::Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    /// No response for `None`.
    async fn start(answer: Option<Vec<u8>>) -> Self {
        Self::start_with(move |_| answer.clone()).await
    }

    /// A server whose response depends on the number of earlier requests.
    async fn start_with(answer: impl Fn(u32) -> Option<Vec<u8>> + Send + Sync + 'static) -> Self {
        let answer = Arc::new(answer);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::<AtomicU32>::default();
        let heads = Arc::<std::sync::Mutex<Vec<String>>>::default();
        let (counting, noting) = (Arc::clone(&requests), Arc::clone(&heads));
        let task = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let (answer, counting) = (Arc::clone(&answer), Arc::clone(&counting));
                let noting = Arc::clone(&noting);
                tokio::spawn(async move {
                    while let Some(head) = head(&mut stream).await {
                        let before = counting.fetch_add(1, Ordering::Relaxed);
                        noting.lock().unwrap().push(head);
                        match answer(before) {
                            Some(answer) => {
                                if stream.write_all(&answer).await.is_err() {
                                    return;
                                }
                            }
                            None => std::future::pending().await,
                        }
                    }
                });
            }
        });
        Self { address, requests, heads, task }
    }

    async fn answering(status: &str, headers: &str) -> Self {
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 2\r\n{headers}\r\nok");
        Self::start(Some(answer.into_bytes())).await
    }

    fn authority(&self) -> String {
        self.address.to_string()
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn request_count(&self) -> u32 {
        self.requests.load(Ordering::Relaxed)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The head of the next request; `None` if the client has disconnected.
async fn head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8_lossy(&head).into_owned())
}

#[tokio::test]
async fn a_granted_request_reaches_its_server() {
    let server = Server::answering("203 Non-Authoritative Information", "").await;
    let status = TestRequest::get(&server.authority()).result(&host(), &server.url()).await;
    assert_eq!((status, server.request_count()), (203, 1));
    let head = server.heads.lock().unwrap()[0].to_ascii_lowercase();
    assert!(head.starts_with("get /v1/members?near http/1.1\r\n"), "{head}");
    assert!(head.contains(&format!("host: {}\r\n", server.address)), "{head}");
}

#[tokio::test]
async fn connections_are_reused_across_instances() {
    let server = Server::answering("200 OK", "").await;
    let (authority, host) = (server.authority(), host());
    let folder = tempfile::tempdir().unwrap();
    let guest = TestRequest::get(&authority).guest();
    let spec = with_grants(file(guest.write(folder.path(), "test")), &[("http", &server.url())]);
    let loaded = host.load(&spec).await.unwrap();
    for _ in 0..3 {
        let mut instance = host.open(&loaded, &local()).await.unwrap();
        for _ in 0..3 {
            assert_eq!(reported(&instance.discover().await.unwrap()), 200);
        }
    }
    assert_eq!(server.request_count(), 9);
}

#[tokio::test]
async fn a_server_that_is_not_granted_is_denied_and_logged_once_with_the_required_grant() {
    let server = Server::answering("200 OK", "").await;
    let authority = server.authority();
    let log = Log::capture();
    let mut instance =
        opened(&host(), &TestRequest::get(&authority).guest(), "http://10.0.0.5:8500").await;
    for _ in 0..3 {
        assert_eq!(reported(&instance.discover().await.unwrap()), DENIED);
    }
    assert_eq!(server.request_count(), 0);
    assert_eq!(
        log.lines(),
        [format!(
            "WARN mode \"test\" was denied http {url}; to allow it, its [[discovery]] needs: grant = {{ http = [\"http://10.0.0.5:8500\", \"{url}\"] }} mode=test",
            url = server.url()
        )]
    );
}

#[tokio::test]
async fn a_rehearsal_sends_nothing_and_records_what_would_be_denied() {
    let server = Server::answering("200 OK", "").await;
    let log = Log::capture();
    let folder = tempfile::tempdir().unwrap();
    let path = TestRequest::get(&server.authority()).guest().write(folder.path(), "test.wasm");
    let mut spec = with_grants(file(path), &[("http", "http://10.0.0.5:8500")]);
    spec.settings = vec![("backup".into(), "https://user:secret@b.example/v1".into())];
    let host = host();
    let rehearse = async |spec: &ModeSpec| {
        let loaded = host.load(spec).await.unwrap();
        host.rehearse(&loaded, &local()).await
    };
    let rehearsal = rehearse(&spec).await;
    assert_eq!(
        rehearsal.denied,
        [format!("http {}", server.url()), "http https://b.example".to_owned()]
    );
    assert_eq!(
        rehearsal.needed.unwrap().to_string(),
        format!(
            "grant = {{ http = [\"http://10.0.0.5:8500\", \"{}\", \"https://b.example\"] }}",
            server.url()
        )
    );
    spec.settings.clear();
    spec.grants.add("http", &server.url()).unwrap();
    let rehearsal = rehearse(&spec).await;
    assert_eq!((rehearsal.denied.len(), rehearsal.needed), (0, None));
    assert_eq!(rehearsal.calls, [format!("http: GET {}/v1/members", server.url())]);
    // Without any grant it cannot be loaded, but it can be rehearsed.
    spec.grants = Grants::default();
    assert!(host.load(&spec).await.is_err());
    assert_eq!(host.rehearse_ungranted(&spec, &local()).await.unwrap().denied.len(), 1);
    assert_eq!((server.request_count(), log.lines().len()), (0, 0));
}

#[tokio::test]
async fn scheme_host_and_port_must_all_be_granted() {
    let server = Server::answering("200 OK", "").await;
    let authority = server.authority();
    let port = server.address.port();
    for grant in [
        format!("https://127.0.0.1:{port}"),
        format!("http://127.0.0.2:{port}"),
        format!("http://localhost:{port}"),
        "http://127.0.0.1".to_owned(),
    ] {
        assert_eq!(TestRequest::get(&authority).result(&host(), &grant).await, DENIED, "{grant}");
    }
    assert_eq!(server.request_count(), 0);
    assert_eq!(TestRequest::get(&authority).result(&host(), "http://127.0.0.1:*").await, 200);
}

/// In a URL, `127.1` is a name, and every system resolves it to 127.0.0.1, as can happen with
/// any name.
#[tokio::test]
async fn a_granted_name_does_not_give_access_to_this_machine() {
    let server = Server::answering("200 OK", "").await;
    let port = server.address.port();
    let authority = format!("127.1:{port}");
    let log = Log::capture();
    let mut instance =
        opened(&host(), &TestRequest::get(&authority).guest(), &format!("http://{authority}"))
            .await;
    for _ in 0..2 {
        assert_eq!(reported(&instance.discover().await.unwrap()), DENIED);
    }
    assert_eq!(server.request_count(), 0);
    assert_eq!(
        log.lines(),
        [format!(
            "WARN mode \"test\" was denied http http://127.1:{port}; the name resolves to 127.0.0.1, a loopback address, which the grant of a name does not cover; to allow it, use http://127.0.0.1:{port} instead of the name in the mode's settings, and its [[discovery]] needs: grant = {{ http = [\"http://{authority}\", \"http://127.0.0.1:{port}\"] }} mode=test"
        )]
    );
}

#[tokio::test]
async fn this_machine_is_reachable_only_by_a_granted_address_or_localhost() {
    let server = Server::answering("200 OK", "").await;
    let port = server.address.port();
    let localhost = format!("localhost:{port}");
    for (authority, grant, outcome) in [
        (&localhost, format!("http://localhost:{port}"), 200),
        (&localhost, "http://localhost:*".to_owned(), 200),
        (&localhost, "http://*:*".to_owned(), DENIED),
        (&server.authority(), "http://*:*".to_owned(), DENIED),
        (&server.authority(), format!("http://127.0.0.1:{port}"), 200),
    ] {
        assert_eq!(TestRequest::get(authority).result(&host(), &grant).await, outcome, "{grant}");
    }
}

#[tokio::test]
async fn without_a_grant_it_is_not_loaded() {
    let text = load(&host(), &TestRequest::get("a").guest()).await.err().unwrap().to_string();
    assert!(
        text.ends_with("@0.2.12, which is not granted; to allow it, its [[discovery]] needs: grant = { http = [\"https://consul.example:8501\"] }"),
        "{text}"
    );
}

#[tokio::test]
async fn ambiguous_urls_are_rejected() {
    let server = Server::answering("200 OK", "").await;
    let (port, host) = (server.address.port(), host());
    let everything = "http://*:*";
    // The part before the @ resembles the host, but is user information.
    for authority in [
        format!("me@127.0.0.1:{port}"),
        format!("granted.example:80@127.0.0.1:{port}"),
        format!("127.0.0.1:{port}/v1"),
        format!("127.0.0.1:{port}\r\nx: y"),
        format!("127.0.0.1:{port}#"),
        String::new(),
        ":80".to_owned(),
    ] {
        let result = TestRequest::get(&authority).result(&host, everything).await;
        assert!([MALFORMED, BAD_URI, INTERNAL].contains(&result), "{authority:?} came to {result}");
    }
    let authority = server.authority();
    let connect = TestRequest { method: CONNECT, ..TestRequest::get(&authority) };
    assert_eq!(connect.result(&host, everything).await, BAD_METHOD);
    let gopher = TestRequest { scheme: 2, ..TestRequest::get(&authority) };
    let result = gopher.result(&host, everything).await;
    assert!([MALFORMED, BAD_SCHEME].contains(&result), "{result}");
    assert_eq!(server.request_count(), 0);
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let other = Server::answering("200 OK", "").await;
    let server = Server::answering("302 Found", &format!("location: {}/\r\n", other.url())).await;
    let authority = server.authority();
    assert_eq!(TestRequest::get(&authority).result(&host(), "http://127.0.0.1:*").await, 302);
    assert_eq!((server.request_count(), other.request_count()), (1, 0));
}

#[tokio::test]
async fn a_closed_port_refuses_the_connection() {
    let authority = {
        let server = Server::start(None).await;
        server.authority()
    };
    tokio::task::yield_now().await;
    let outcome = TestRequest::get(&authority).result(&host(), "http://127.0.0.1:*").await;
    assert_eq!(outcome, REFUSED);
}

#[tokio::test]
async fn a_response_that_is_not_http_is_an_error() {
    let server = Server::start(Some(b"220 smtp.example ESMTP\r\n".to_vec())).await;
    let authority = server.authority();
    let result = TestRequest::get(&authority).result(&host(), &server.url()).await;
    assert!([TERMINATED, INTERNAL].contains(&result), "{result}");
}

#[tokio::test]
async fn the_timeout_of_the_mode_applies_to_a_server_that_never_responds() {
    let server = Server::start(None).await;
    let authority = server.authority();
    let request = TestRequest { patience_ms: 300, ..TestRequest::get(&authority) };
    let started = Instant::now();
    assert_eq!(request.result(&host(), &server.url()).await, NO_ANSWER);
    assert!(started.elapsed() >= Duration::from_millis(300));
    assert_eq!(server.request_count(), 1);
}

#[tokio::test]
async fn at_most_eight_requests_are_in_progress() {
    let server = Server::start(None).await;
    let authority = server.authority();
    let request = TestRequest { patience_ms: 500, ..TestRequest::get(&authority) };
    // Starts nine requests, and keeps the result of the last; after eight have ended, starts a
    // tenth.
    let guest = request.guest().discover(
        "(local $n i32) (local $ninth i32)
        (loop $more
            (i32.store (i32.add (i32.const 0xb00) (i32.shl (local.get $n) (i32.const 2)))
                (call $send))
            (local.set $n (i32.add (local.get $n) (i32.const 1)))
            (br_if $more (i32.lt_u (local.get $n) (i32.const 9))))
        (local.set $ninth (call $await (i32.load (i32.const 0xb20))))
        (local.set $n (i32.const 0))
        (loop $more
            (drop (call $await
                (i32.load (i32.add (i32.const 0xb00) (i32.shl (local.get $n) (i32.const 2))))))
            (local.set $n (i32.add (local.get $n) (i32.const 1)))
            (br_if $more (i32.lt_u (local.get $n) (i32.const 8))))
        (call $report (i32.add (i32.mul (local.get $ninth) (i32.const 10))
            (i32.eq (call $ask) (i32.const 1033))))",
    );
    let mut instance = opened(&host(), &guest, &server.url()).await;
    assert_eq!(reported(&instance.discover().await.unwrap()), TOO_MANY * 10 + 1);
    assert_eq!(limits::REQUESTS_AT_ONCE, 8);
    assert_eq!(server.request_count(), 9);
}

#[tokio::test]
async fn a_response_that_is_not_read_counts_as_in_progress() {
    let server = Server::answering("200 OK", "").await;
    let authority = server.authority();
    // Keeps eight responses; a ninth request is rejected. After one response is dropped, a
    // tenth is not.
    let guest = TestRequest::get(&authority).guest().discover(
        "(local $n i32) (local $ninth i32)
        (loop $more
            (drop (call $await (call $send)))
            (local.set $n (i32.add (local.get $n) (i32.const 1)))
            (br_if $more (i32.lt_u (local.get $n) (i32.const 8))))
        (local.set $ninth (call $ask))
        (call $drop_response (global.get $response))
        (call $report (i32.add (i32.mul (local.get $ninth) (i32.const 10))
            (i32.eq (call $ask) (i32.const 200))))",
    );
    let mut instance = opened(&host(), &guest, &server.url()).await;
    assert_eq!(reported(&instance.discover().await.unwrap()), TOO_MANY * 10 + 1);
    assert_eq!(server.request_count(), 9);
}

#[tokio::test]
async fn a_failed_instance_releases_its_requests() {
    let server = Server::answering("200 OK", "").await;
    let (authority, host) = (server.authority(), host());
    let folder = tempfile::tempdir().unwrap();
    let crashing = TestRequest::get(&authority).guest().discover(
        "(local $n i32)
        (loop $more
            (drop (call $await (call $send)))
            (local.set $n (i32.add (local.get $n) (i32.const 1)))
            (br_if $more (i32.lt_u (local.get $n) (i32.const 8))))
        unreachable",
    );
    let path = crashing.write(folder.path(), "test");
    let spec = with_grants(file(path), &[("http", &server.url())]);
    let loaded = host.load(&spec).await.unwrap();
    for expected in [8, 16, 24] {
        let mut instance = host.open(&loaded, &local()).await.unwrap();
        assert!(matches!(instance.discover().await, Err(CallError::Trap { .. })));
        assert_eq!(server.request_count(), expected);
    }
}

#[tokio::test]
async fn resources_that_a_mode_never_drops_are_limited() {
    // Headers are created and kept until the host's limit is reached.
    let guest = TestRequest::get("a").guest().discover(
        "(local $n i32)
        (loop $more
            (drop (call $fields))
            (i32.store (i32.const 0xb00) (local.get $n))
            (local.set $n (i32.add (local.get $n) (i32.const 1)))
            (br_if $more (i32.lt_u (local.get $n) (i32.const 10000))))
        (call $report (i32.const 1))",
    );
    let mut instance = opened(&host(), &guest, "http://a").await;
    let Err(CallError::Trap { message, .. }) = instance.discover().await else { panic!() };
    assert_eq!(message, "resource table has no free keys");
}

#[tokio::test]
async fn the_request_rate_is_limited() {
    let mut fakes = Fakes::default();
    fakes.http.answers.push(FakeAnswer {
        url: "http://10.0.0.5:8500/v1/".into(),
        method: None,
        status: 200,
        headers: [].into(),
        body: String::new(),
    });
    let fakes = Arc::new(fakes);
    let backend = Backend::Fake(Arc::clone(&fakes));
    let host = DiscoveryHost::new(HostConfig { backend, ..config() }).unwrap();
    // A thousand requests with options, counting those that were answered.
    let request = TestRequest { patience_ms: 1_000, ..TestRequest::get("10.0.0.5:8500") };
    let guest = request.guest().discover(
        "(local $n i32) (local $answered i32)
        (loop $more
            (global.set $heap (i32.const 0x10000))
            (local.set $answered (i32.add (local.get $answered)
                (i32.eq (call $ask) (i32.const 200))))
            (local.set $n (i32.add (local.get $n) (i32.const 1)))
            (br_if $more (i32.lt_u (local.get $n) (i32.const 1000))))
        (call $report (local.get $answered))",
    );
    let mut instance = opened(&host, &guest, "http://10.0.0.5:8500").await;
    let started = Instant::now();
    let answered = u32::from(reported(&instance.discover().await.unwrap()));
    let seconds = started.elapsed().as_secs() as u32 + 1;
    let most = limits::REQUESTS_BURST + seconds * limits::REQUESTS_PER_SECOND;
    assert!((limits::REQUESTS_BURST..=most).contains(&answered), "{answered}");
    assert_eq!(fakes.http.asked().len(), answered as usize);
}

/// A response with this many bytes.
fn answer_of(bytes: usize, chunked: bool) -> Vec<u8> {
    let mut answer = match chunked {
        true => format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{bytes:x}\r\n")
            .into_bytes(),
        false => format!("HTTP/1.1 200 OK\r\ncontent-length: {bytes}\r\n\r\n").into_bytes(),
    };
    answer.resize(answer.len() + bytes, b'x');
    if chunked {
        answer.extend_from_slice(b"\r\n0\r\n\r\n");
    }
    answer
}

/// The size of a response body in KiB, or the failure.
async fn body_of(answer: Vec<u8>) -> Result<u16, CallError> {
    let server = Server::start(Some(answer)).await;
    let authority = server.authority();
    let mut guest = TestRequest::get(&authority).guest();
    let problem = guest.result(&Returned::Problem(FAILED, ""));
    let guest = guest.discover(&format!(
        "(local $kib i32)
        (drop (call $await (call $send)))
        (local.set $kib (call $body))
        (i32.store offset=8 {problem} (i32.load (i32.const 0xa00)))
        (i32.store offset=12 {problem} (i32.load (i32.const 0xa04)))
        (if (result i32) (i32.eq (local.get $kib) (i32.const 65000))
            (then {problem}) (else (call $report (local.get $kib))))"
    ));
    let mut instance = opened(&host(), &guest, &server.url()).await;
    let look = timeout(PATIENCE, instance.discover()).await.unwrap();
    assert!(instance.memory_bytes() <= 2 << 20, "{}", instance.memory_bytes());
    look.map(|snapshot| reported(&snapshot))
}

#[tokio::test]
async fn a_body_of_16_mib_is_read_and_a_byte_more_is_an_error() {
    assert_eq!(body_of(answer_of(100 << 10, false)).await, Ok(100));
    assert_eq!(body_of(answer_of(limits::ANSWER_BODY_BYTES_MAX, false)).await, Ok(16 << 10));
    for chunked in [false, true] {
        let answer = answer_of(limits::ANSWER_BODY_BYTES_MAX + 1, chunked);
        let failed = body_of(answer).await.unwrap_err();
        assert!(failed.to_string().contains("16777216"), "chunked: {chunked}: {failed}");
    }
}

/// The error code of a body that fails.
async fn code_of_body(answer: Vec<u8>) -> u16 {
    let server = Server::start(Some(answer)).await;
    let authority = server.authority();
    let guest = TestRequest::get(&authority).guest().discover(
        "(drop (call $await (call $send)))
        (drop (call $body))
        (call $report (call $error (i32.load8_u (i32.const 0xa28))))",
    );
    let mut instance = opened(&host(), &guest, &server.url()).await;
    reported(&timeout(PATIENCE, instance.discover()).await.unwrap().unwrap())
}

/// The failure has a code and a text, without a host backtrace.
#[tokio::test]
async fn a_failing_body_is_reported_with_its_cause() {
    let large = answer_of(limits::ANSWER_BODY_BYTES_MAX + 1, false);
    assert_eq!(code_of_body(large).await, BODY_TOO_LARGE);
    let broken = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nno length\r\n".to_vec();
    assert_eq!(code_of_body(broken.clone()).await, INCOMPLETE);
    let failed = body_of(broken).await.unwrap_err().to_string();
    assert_eq!(failed, "hyper error: error reading a body from connection");
}

#[tokio::test]
async fn headers_larger_than_64_kib_are_an_error() {
    for (bytes, wanted) in [(60 << 10, 200), (65 << 10, HEADERS_TOO_LARGE)] {
        let server = Server::answering("200 OK", &format!("x: {}\r\n", "y".repeat(bytes))).await;
        let authority = server.authority();
        let result = TestRequest::get(&authority).result(&host(), &server.url()).await;
        assert_eq!(result, wanted, "{bytes} bytes");
    }
}

/// Starts a mode, and waits until the server has received a request.
async fn start_and_await_request(server: &Server, guest: &Guest) -> ModeHandle {
    let folder = tempfile::tempdir().unwrap();
    let spec = with_grants(file(guest.write(folder.path(), "test")), &[("http", &server.url())]);
    let host = host();
    // The events are not received.
    let (events, _) = mpsc::channel(1);
    let handle = host.start(host.load(&spec).await.unwrap(), local(), events);
    let requested = async {
        while server.request_count() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, requested).await.unwrap();
    handle
}

#[tokio::test]
async fn a_mode_that_waits_for_a_response_does_not_delay_the_stop() {
    let server = Server::start(None).await;
    let authority = server.authority();
    let handle = start_and_await_request(&server, &TestRequest::get(&authority).guest()).await;
    timeout(Duration::from_millis(limits::WITHDRAW_MS_MAX), handle.stop()).await.unwrap();
}

#[tokio::test]
async fn a_mode_that_waits_for_a_response_still_withdraws() {
    let ok = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_vec();
    let server = Server::start_with(move |before| (before > 0).then(|| ok.clone())).await;
    let authority = server.authority();
    let mut guest = TestRequest::get(&authority).guest();
    let (again, done) = (guest.result(&Returned::Again(10_000)), guest.result(&Returned::Done));
    let guest = guest.announcer(&again, &format!("(drop (call $ask)) {done}"));
    start_and_await_request(&server, &guest).await.stop().await;
    assert_eq!(
        server.request_count(),
        2,
        "the discovery request without a response, and the withdrawal"
    );
}

#[tokio::test]
async fn with_fakes_grants_apply_and_nothing_is_sent() {
    let server = Server::answering("200 OK", "").await;
    let authority = server.authority();
    let host = host_in(Fakes::default());
    assert_eq!(TestRequest::get(&authority).result(&host, &server.url()).await, 404);
    assert_eq!(TestRequest::get(&authority).result(&host, "http://10.0.0.5").await, DENIED);
    let host = host_in(Fakes { failing: Some("down".into()), ..Fakes::default() });
    assert_eq!(TestRequest::get(&authority).result(&host, &server.url()).await, REFUSED);
    assert_eq!(server.request_count(), 0);
}
