//! Tests of client-side caching, and of shard channels.

use std::sync::Arc;
use std::time::Duration;

use convoke_grid::Reply;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::output_buffer::MessageKind;
use crate::resp::answer::Answer;
use crate::resp::client::Client;
use crate::resp::server::Server;
use crate::testing::{call, numbered_client, server_on, single_member_grid};
use crate::trust::{Passwords, Trust};

const WAIT_MAX: Duration = Duration::from_secs(20);

fn server() -> Arc<Server> {
    server_on(single_member_grid(), Passwords::default())
}

/// Executes the lines and returns the last reply.
async fn lines(client: &mut Client, lines: &[&str]) -> Answer {
    let mut answer = Answer::Nothing;
    for line in lines {
        let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        answer = call(client, &args).await;
    }
    answer
}

/// The messages that the client got: keys, or `*` for any.
fn notified(client: &Client) -> String {
    let mut all = Vec::new();
    while let Some(message) = client.output_buffer.next().expect("it keeps up") {
        all.push(match message.kind {
            MessageKind::InvalidationOfAll { .. } => "*".into(),
            MessageKind::Invalidations { .. } => {
                let text = String::from_utf8_lossy(&message.payload).into_owned();
                text.split("\r\n").skip(1).step_by(2).collect::<Vec<_>>().join(" ")
            }
            _ => String::from_utf8_lossy(&message.payload).into_owned(),
        });
    }
    all.join(" ")
}

#[tokio::test]
async fn options_are_checked_as_in_redis() {
    let server = server();
    let mut client = numbered_client(&server, 7, Trust::Full);
    let switched = "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it with a different mode.";
    for (line, expected) in [
        (
            "client caching yes",
            "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled",
        ),
        (
            "client tracking on optin optout",
            "ERR You can't specify both OPTIN mode and OPTOUT mode",
        ),
        ("client tracking on prefix a", "ERR PREFIX option requires BCAST mode to be enabled"),
        ("client tracking on bcast optin", "ERR OPTIN and OPTOUT are not compatible with BCAST"),
        (
            "client tracking on bcast prefix a prefix ab",
            "ERR Prefix 'a' overlaps with another provided prefix 'ab'. Prefixes for a single client must not overlap.",
        ),
        (
            "client tracking on redirect 99999",
            "ERR The client ID you want redirect to does not exist",
        ),
        ("client tracking on redirect x", "ERR value is not an integer or out of range"),
        (
            "client tracking on redirect 7 redirect 7",
            "ERR A client can only redirect to a single other client",
        ),
        ("client tracking maybe", "ERR syntax error"),
        ("client tracking on foo", "ERR syntax error"),
        ("client tracking off foo", "ERR syntax error"),
        ("client tracking on redirect", "ERR syntax error"),
        ("client tracking on", "OK"),
        (
            "client caching yes",
            "ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.",
        ),
        (
            "client caching no",
            "ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.",
        ),
        ("client caching x", "ERR syntax error"),
        ("client tracking on optin", "OK"),
        (
            "client tracking on optout",
            "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it with a different mode.",
        ),
        ("client tracking on bcast", switched),
        ("client tracking off bcast", "OK"),
        ("client tracking on bcast prefix b: prefix a:", "OK"),
        ("client tracking on", switched),
        (
            "client tracking on bcast prefix b:x",
            "ERR Prefix 'b:x' overlaps with an existing prefix 'b:'. Prefixes for a single client must not overlap.",
        ),
        ("client tracking on bcast prefix b:", "OK"),
    ] {
        let answer = lines(&mut client, &[line]).await;
        let text = match &answer {
            Answer::Error(text) => text.as_ref(),
            Answer::Reply(Reply::Done) => "OK",
            _ => panic!("{line}: {answer:?}"),
        };
        assert_eq!(text, expected, "{line}");
    }
}

#[tokio::test]
async fn the_options_of_a_client_are_reported() {
    let server = server();
    let mut client = numbered_client(&server, 7, Trust::Full);
    let _other = numbered_client(&server, 9, Trust::Full);
    for (line, flags, redirect, prefixes) in [
        ("ping", "off", -1, ""),
        ("client tracking on", "on", 0, ""),
        ("client tracking on redirect 9 optin noloop", "on optin noloop", 9, ""),
        ("client caching yes", "on optin caching-yes noloop", 9, ""),
        ("ping", "on optin noloop", 9, ""),
        ("client tracking off", "off", -1, ""),
        ("client tracking on bcast prefix b: prefix a:", "on bcast", 0, "a: b:"),
        ("client tracking on bcast prefix c:", "on bcast", 0, "a: b: c:"),
        ("reset", "off", -1, ""),
    ] {
        lines(&mut client, &[line]).await;
        let words = |text: &str| {
            text.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect::<Vec<_>>()
        };
        let flags = words(flags).iter().map(|flag| Reply::bytes(flag.as_bytes())).collect();
        let prefixes = words(prefixes).iter().map(|prefix| Answer::word(prefix)).collect();
        let expected = Answer::Map(vec![
            (Answer::word("flags"), Answer::Reply(Reply::Set(flags))),
            (Answer::word("redirect"), Answer::integer(redirect)),
            (Answer::word("prefixes"), Answer::List(prefixes)),
        ]);
        assert_eq!(lines(&mut client, &["client trackinginfo"]).await, expected, "{line}");
        let redir = lines(&mut client, &["client getredir"]).await;
        assert_eq!(redir, Answer::integer(redirect), "{line}");
    }
    assert_eq!(server.tracking.figures().clients, 0);
}

#[tokio::test]
async fn each_way_to_change_a_key_is_reported() {
    let server = server();
    let mut reader = numbered_client(&server, 1, Trust::Full);
    let mut writer = numbered_client(&server, 2, Trust::Full);
    lines(&mut reader, &["client tracking on"]).await;
    for (before, read, change) in [
        ("set k 1", "get k", "set k 2"),
        ("set k 1", "get k", "append k 2"),
        ("set k 1", "get k", "expire k 100"),
        ("set k 1", "get k", "del k"),
        ("set k 1", "get k", "mset k 2 l 2 m 2 n 2"),
        ("del k", "get k", "set k 1"),
        ("set k 1", "mget j k", "getdel k"),
        ("set k 1", "get k", "rename k other"),
        ("set other 1", "get k", "rename other k"),
        ("hset h a 1", "hgetall h", "hset h a 2"),
        ("rpush q 1", "lrange q 0 -1", "blpop q 0"),
        ("sadd s 1", "smembers s", "srem s 1"),
        ("set k 1", "get k", "eval redis.call('set',KEYS[1],ARGV[1]) 1 k 2"),
        ("set k 1", "eval_ro return(redis.call('get',KEYS[1])) 1 k", "set k 2"),
        ("set k 1", "get k", "flushdb"),
    ] {
        lines(&mut writer, &["flushall", before]).await;
        lines(&mut writer, &["ping"]).await;
        tokio::time::sleep(Duration::from_millis(30)).await;
        notified(&reader);
        lines(&mut reader, &[read]).await;
        assert_eq!(notified(&reader), "", "{read}");
        lines(&mut writer, &[change]).await;
        let mut all = String::new();
        for _ in 0..1_000 {
            all.push_str(&notified(&reader));
            if !all.is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let expected = if change == "flushdb" { "*" } else { read_key(read) };
        assert_eq!(all, expected, "{change}");
        lines(&mut writer, &[before]).await;
        assert_eq!(notified(&reader), "", "it is notified once: {change}");
    }
    // In a transaction, of one partition and of several.
    for keys in [["{t}a", "{t}b"], ["a", "b"]] {
        let (read, set) = (format!("get {}", keys[0]), format!("set {} 1", keys[0]));
        let other = format!("set {} 1", keys[1]);
        lines(&mut reader, &["multi", &read, "exec"]).await;
        lines(&mut writer, &["multi", &set, &other, "exec"]).await;
        assert_eq!(notified(&reader), keys[0]);
    }
    // Expiry is noticed by a read or by the next tick.
    lines(&mut writer, &["set x 1 px 20"]).await;
    lines(&mut reader, &["get x"]).await;
    tokio::time::sleep(Duration::from_millis(40)).await;
    lines(&mut writer, &["get x"]).await;
    assert_eq!(notified(&reader), "x");
}

fn read_key(read: &str) -> &str {
    let words: Vec<&str> = read.split(' ').collect();
    match words[0] {
        "mget" => words[2],
        "eval_ro" => words[words.len() - 1],
        _ => words[1],
    }
}

#[tokio::test]
async fn a_client_chooses_what_is_tracked() {
    let server = server();
    let mut reader = numbered_client(&server, 1, Trust::Full);
    let mut writer = numbered_client(&server, 2, Trust::Full);
    let set: [&str; 3] = ["set a 1", "set b 1", "set c 1"];
    for (options, reads, expected) in [
        ("on optin", ["get a", "client caching yes", "get b", "get c", "ping"], "b"),
        ("on optin", ["client caching yes", "multi", "get a", "get b", "exec"], "a b"),
        ("on optout", ["get a", "client caching no", "get b", "get c", "ping"], "a c"),
        ("on optin", ["multi", "get a", "client caching yes", "get b", "exec"], "b"),
        ("on optin", ["multi", "client caching yes", "exec", "get a", "ping"], ""),
        ("on optout", ["multi", "client caching no", "get a", "exec", "get b"], "b"),
        ("on", ["get a", "set b 2", "exists c", "ttl a", "scan 0"], "a c"),
        (
            "on",
            ["eval_ro return(redis.call('get',KEYS[2])) 2 a b", "ping", "ping", "ping", "ping"],
            "b",
        ),
        ("on bcast prefix b", ["ping"; 5], "b"),
        ("on bcast", ["ping"; 5], "a b c"),
    ] {
        lines(&mut reader, &["client tracking off", &format!("client tracking {options}")]).await;
        lines(&mut reader, &reads).await;
        notified(&reader);
        lines(&mut writer, &set).await;
        assert_eq!(notified(&reader), expected, "{options} {reads:?}");
    }
}

#[tokio::test]
async fn own_changes_are_reported_unless_noloop_is_set() {
    let server = server();
    let mut client = numbered_client(&server, 1, Trust::Full);
    let mut other = numbered_client(&server, 2, Trust::Full);
    let changes = [
        "set k 1",
        "mset k 1 l 1 m 1 n 1 o 1",
        "del k l m n o",
        "eval redis.call('set',KEYS[1],1) 1 k",
        "rename k {k}2",
        "rename {k}2 k",
        "copy k z",
        "rename z k",
    ];
    for noloop in [false, true] {
        let on = if noloop { "client tracking on noloop" } else { "client tracking on" };
        lines(&mut client, &["client tracking off", on]).await;
        for change in changes {
            lines(&mut client, &["get k", change]).await;
            let expects = !noloop && change != "copy k z";
            assert_eq!(notified(&client), if expects { "k" } else { "" }, "{noloop} {change}");
        }
        for queued in ["set k 2", "set z 2"] {
            lines(&mut client, &["get k", "get z", "multi", "incr k", queued, "exec"]).await;
            assert_eq!(notified(&client).is_empty(), noloop, "{queued}");
        }
        lines(&mut client, &["get k"]).await;
        lines(&mut other, &["set k 3"]).await;
        assert_eq!(notified(&client), "k", "others are reported: {noloop}");
    }
}

#[tokio::test]
async fn a_read_only_user_sends_messages_to_own_connections_only() {
    let server = server_on(single_member_grid(), Passwords::new(b"all", b"look"));
    let mut client = numbered_client(&server, 1, Trust::ReadOnly);
    let _full = numbered_client(&server, 2, Trust::Full);
    let _same = numbered_client(&server, 3, Trust::ReadOnly);
    let refused = lines(&mut client, &["client tracking on redirect 2"]).await;
    assert!(matches!(refused, Answer::Error(_)), "{refused:?}");
    let done = lines(&mut client, &["client tracking on redirect 3"]).await;
    assert_eq!(done, Answer::DONE);
}

#[tokio::test]
async fn shard_channels_are_apart_from_channels() {
    let server = server();
    let mut client = numbered_client(&server, 1, Trust::Full);
    let mut other = numbered_client(&server, 2, Trust::Full);
    let confirmed = |kind: &str, topic: Answer, count: i64| {
        vec![Answer::word(kind), topic, Answer::integer(count)]
    };
    let word = Answer::word;
    assert_eq!(
        lines(&mut client, &["ssubscribe a b"]).await,
        Answer::Pushes(vec![
            confirmed("ssubscribe", word("a"), 1),
            confirmed("ssubscribe", word("b"), 2)
        ])
    );
    assert_eq!(
        lines(&mut client, &["subscribe a"]).await,
        Answer::Pushes(vec![confirmed("subscribe", word("a"), 1)]),
        "they are counted apart"
    );
    assert_eq!(lines(&mut other, &["spublish a x"]).await, Answer::integer(1));
    assert_eq!(client.output_buffer.next().unwrap().unwrap().kind, MessageKind::Shard);
    assert_eq!(lines(&mut other, &["publish a x"]).await, Answer::integer(1));
    assert_eq!(client.output_buffer.next().unwrap().unwrap().kind, MessageKind::Published);
    let Answer::Error(text) = lines(&mut client, &["get a"]).await else { panic!("it is refused") };
    assert!(text.starts_with("ERR Can't execute 'get': only (P|S)SUBSCRIBE"), "{text}");
    let names = |names: &[&str]| Answer::List(names.iter().map(|name| word(name)).collect());
    assert_eq!(lines(&mut other, &["pubsub shardchannels"]).await, names(&["a", "b"]));
    assert_eq!(lines(&mut other, &["pubsub shardchannels b*"]).await, names(&["b"]));
    assert_eq!(
        lines(&mut other, &["pubsub shardnumsub a z"]).await,
        Answer::List(vec![word("a"), Answer::integer(1), word("z"), Answer::integer(0)])
    );
    assert_eq!(
        lines(&mut client, &["sunsubscribe"]).await,
        Answer::Pushes(vec![
            confirmed("sunsubscribe", word("a"), 1),
            confirmed("sunsubscribe", word("b"), 0)
        ])
    );
    assert_eq!(
        lines(&mut client, &["sunsubscribe"]).await,
        Answer::Pushes(vec![confirmed("sunsubscribe", Answer::NIL, 0)])
    );
    assert_eq!(lines(&mut other, &["spublish a x"]).await, Answer::integer(0));
}

/// A connection of a server with a socket.
struct Socket(TcpStream, Vec<u8>);

impl Socket {
    async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    /// Waits until exactly this has arrived.
    async fn expect(&mut self, text: &str) {
        let read = async {
            while self.1.len() < text.len() {
                let mut buffer = [0; 4_096];
                let count = self.0.read(&mut buffer).await.unwrap();
                assert!(count > 0, "closed after {:?}", String::from_utf8_lossy(&self.1));
                self.1.extend_from_slice(&buffer[..count]);
            }
        };
        tokio::time::timeout(WAIT_MAX, read).await.expect(text);
        let got: Vec<u8> = self.1.drain(..text.len()).collect();
        assert_eq!(String::from_utf8_lossy(&got), text);
    }
}

async fn socket(address: std::net::SocketAddr) -> Socket {
    Socket(TcpStream::connect(address).await.unwrap(), Vec::new())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_follow_the_replies_of_commands_in_progress() {
    let server = server();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(Arc::clone(&server).serve(vec![listener]));
    let (mut reader, mut writer) = (socket(address).await, socket(address).await);
    reader.send("CLIENT TRACKING ON\r\n").await;
    reader.expect("+OK\r\n").await;
    // RESP2 has no messages beside replies.
    reader.send("GET k\r\n").await;
    reader.expect("$-1\r\n").await;
    writer.send("SET k 1\r\n").await;
    writer.expect("+OK\r\n").await;
    reader.send("CLIENT TRACKING OFF\r\nCLIENT REPLY OFF\r\nHELLO 3\r\nCLIENT REPLY ON\r\n").await;
    reader.expect("+OK\r\n+OK\r\n").await;
    reader.send("CLIENT TRACKING ON\r\nGET k\r\n").await;
    reader.expect("+OK\r\n$1\r\n1\r\n").await;
    writer.send("SET k 2\r\n").await;
    writer.expect("+OK\r\n").await;
    reader.expect(">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n").await;
    // A blocked command does not hold messages back.
    reader.send("GET k\r\nBLPOP q 0\r\n").await;
    reader.expect("$1\r\n2\r\n").await;
    writer.send("SET k 3\r\n").await;
    writer.expect("+OK\r\n").await;
    reader.expect(">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n").await;
    writer.send("RPUSH q 1\r\n").await;
    writer.expect(":1\r\n").await;
    reader.expect("*2\r\n$1\r\nq\r\n$1\r\n1\r\n").await;
    // A client is notified of its own change after the reply.
    reader.send("GET k\r\nSET k 4\r\n").await;
    reader.expect("$1\r\n3\r\n+OK\r\n>2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n").await;
    reader.send("GET k\r\n").await;
    reader.expect("$1\r\n4\r\n").await;
    writer.send("FLUSHALL\r\n").await;
    writer.expect("+OK\r\n").await;
    reader.expect(">2\r\n$10\r\ninvalidate\r\n_\r\n").await;
}
