//! Tests of commands on the clients of a member.

use std::sync::Arc;
use std::time::Duration;

use convoke_grid::Reply;
use convoke_script::{Value, sha1_hex};
use futures_util::FutureExt as _;

use super::super::begin;
use crate::resp::answer::Answer;
use crate::resp::client::Client;
use crate::resp::command_state::CommandState;
use crate::resp::server::Server;
use crate::testing::{call, numbered_client, server_on, single_member_grid, with_request};
use crate::trust::{Passwords, Trust};

fn server() -> Arc<Server> {
    server_on(single_member_grid(), Passwords::new(b"all", b"look"))
}

async fn line(client: &mut Client, line: &str) -> Answer {
    let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
    call(client, &args).await
}

/// The numbers of the clients that `CLIENT LIST` lists.
async fn listed(client: &mut Client, filters: &str) -> String {
    let words = format!("client list {filters}");
    let answer = line(client, words.trim_end()).await;
    let Answer::Value(Value::Verbatim(_, text)) = answer else { panic!("{filters}: {answer:?}") };
    let text = String::from_utf8_lossy(&text).into_owned();
    let number = |line: &str| line["id=".len()..].split(' ').next().unwrap_or("").to_owned();
    text.lines().map(number).collect::<Vec<_>>().join(" ")
}

/// What `INFO` says of a pause: the reason, what is paused, and whether time is left.
async fn pause_info(client: &mut Client) -> (String, String, bool) {
    let answer = line(client, "info clients").await;
    let Answer::Value(Value::Verbatim(_, text)) = answer else { panic!("{answer:?}") };
    let text = String::from_utf8_lossy(&text).into_owned();
    let field = |name: &str| {
        let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        found.unwrap_or_default().to_owned()
    };
    let left = field("paused_timeout_milliseconds");
    (field("paused_reason"), field("paused_actions"), left != "0")
}

fn error(text: &str) -> Answer {
    Answer::Error(text.to_owned().into())
}

#[tokio::test]
async fn clients_are_listed_by_filters() {
    let server = server();
    let mut me = numbered_client(&server, 1, Trust::Full);
    let mut other = numbered_client(&server, 2, Trust::Full);
    let mut reader = numbered_client(&server, 3, Trust::ReadOnly);
    line(&mut other, "client setname two").await;
    line(&mut other, "client setinfo lib-name lib").await;
    line(&mut other, "select 4").await;
    line(&mut reader, "ssubscribe a").await;
    for (filters, expected) in [
        ("", "1 2 3"),
        ("id 1 3 99", "1 3"),
        ("not-id 1 3", "2"),
        ("id 1 2 not-id 2", "1"),
        ("type normal", "1 2"),
        ("type pubsub", "3"),
        ("not-type pubsub", "1 2"),
        ("type replica", ""),
        ("user default", "1 2"),
        ("not-user default", "3"),
        ("name two", "2"),
        ("not-name two", "1 3"),
        ("lib-name lib", "2"),
        ("db 4", "2"),
        ("addr 127.0.0.1:1", "1 2 3"),
        ("not-laddr 127.0.0.1:1", ""),
        ("ip 127.0.0.1 skipme yes", "2 3"),
        ("maxage 100", ""),
        ("idle 0", "1 2 3"),
        ("TYPE normal SKIPME no", "1 2"),
    ] {
        assert_eq!(listed(&mut me, filters).await, expected, "{filters}");
    }
    for (words, expected) in [
        ("client list foo", "ERR syntax error"),
        ("client list id", "ERR syntax error"),
        ("client list id x", "ERR Invalid client ID"),
        ("client list id 1 x", "ERR Invalid client ID"),
        ("client list type x", "ERR Unknown client type 'x'"),
        ("client kill id x", "ERR client-id should be greater than 0"),
        ("client kill id 10 x", "ERR syntax error"),
        ("client kill id 0", "ERR client-id should be greater than 0"),
        ("client kill foo x", "ERR syntax error"),
        ("client kill user nobody", "ERR No such user 'nobody'"),
        ("client kill skipme x", "ERR syntax error"),
        ("client kill maxage 0", "ERR maxage should be greater than 0"),
        ("client kill maxage x", "ERR maxage is not an integer or out of range"),
        ("client kill 1.2.3.4:5", "ERR No such client"),
    ] {
        assert_eq!(line(&mut me, words).await, error(expected), "{words}");
    }
    // The last filter of a kind applies.
    let killed = line(&mut me, "client kill name nobody type normal type pubsub name reader").await;
    assert_eq!(killed, Answer::integer(0));
    let killed = line(&mut me, "client kill type normal type pubsub").await;
    assert_eq!(killed, Answer::integer(1));
    assert!(reader.info.is_killed() && !other.info.is_killed() && !me.info.is_killed());
    assert_eq!(line(&mut me, "client kill not-name x").await, Answer::integer(2));
    assert!(other.info.is_killed() && !me.info.is_killed(), "SKIPME is the default");
}

#[tokio::test]
async fn a_client_is_described_with_its_state() {
    let server = server();
    let mut client = numbered_client(&server, 7, Trust::Full);
    let mut watcher = numbered_client(&server, 8, Trust::Full);
    for words in ["select 2", "watch a b", "multi", "get a", "get b"] {
        line(&mut watcher, words).await;
    }
    line(&mut client, "hello 3").await;
    line(&mut client, "subscribe a").await;
    line(&mut client, "ssubscribe b c").await;
    line(&mut client, "client tracking on bcast").await;
    let fields = |answer: Answer| {
        let Answer::Value(Value::Verbatim(_, text)) = answer else { panic!("{answer:?}") };
        String::from_utf8_lossy(&text).into_owned()
    };
    let info = fields(line(&mut client, "client info").await);
    for field in [
        "id=7 addr=127.0.0.1:1 laddr=127.0.0.1:1 ",
        " flags=PtB ",
        " db=0 sub=1 psub=0 ssub=2 multi=-1 watch=0 ",
        " cmd=client|info user=default redir=0 resp=3 ",
        " tot-cmds=5",
    ] {
        assert!(info.contains(field), "{field} in {info}");
    }
    let listed = fields(line(&mut client, "client list id 8").await);
    for field in [" flags=x ", " db=2 ", " multi=2 watch=2 ", " cmd=get ", " redir=-1 resp=2 "] {
        assert!(listed.contains(field), "{field} in {listed}");
    }
    line(&mut watcher, "discard").await;
    let listed = fields(line(&mut client, "client list id 8").await);
    assert!(listed.contains(" multi=-1 watch=0 "), "{listed}");
}

/// Starts a command that is expected to block.
fn blocked(client: &mut Client, line: &str) -> impl Future<Output = Answer> + use<> {
    let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
    let mut outcome = with_request(&args, |request| begin(client, request, &mut Vec::new()));
    if let CommandState::WhenIdle(next) = outcome {
        outcome = next(client);
    }
    match outcome {
        CommandState::Blocking(later) => later,
        _ => panic!("{line} does not block"),
    }
}

#[tokio::test]
async fn a_blocked_command_can_be_ended() {
    let server = server();
    let mut client = numbered_client(&server, 1, Trust::Full);
    let mut other = numbered_client(&server, 2, Trust::Full);
    let unblocked = error("UNBLOCKED client unblocked via CLIENT UNBLOCK");
    assert_eq!(line(&mut other, "client unblock 1").await, Answer::integer(0));
    // In one partition and in several.
    for words in
        ["blpop q 0", "blpop a b c d e 0", "blmove {t}a {t}b left left 0", "blmove a b left left 0"]
    {
        for (how, expected) in [
            ("", &Answer::Reply(Reply::NilList)),
            (" timeout", &Answer::Reply(Reply::NilList)),
            (" error", &unblocked),
        ] {
            let mut later = Box::pin(blocked(&mut client, words));
            assert!(later.as_mut().now_or_never().is_none(), "{words}");
            let unblock = format!("client unblock 1{how}");
            assert_eq!(line(&mut other, &unblock).await, Answer::integer(1), "{words}");
            assert_eq!(line(&mut other, &unblock).await, Answer::integer(0), "{words}");
            assert_eq!(later.await, *expected, "{words}{how}");
        }
        assert_eq!(line(&mut other, "client unblock 1").await, Answer::integer(0), "{words}");
    }
    // An element that was popped is returned all the same.
    let later = Box::pin(blocked(&mut client, "blpop q 0"));
    line(&mut other, "rpush q x").await;
    line(&mut other, "client unblock 1 error").await;
    let popped = Answer::Reply(Reply::List(vec![Reply::bytes(b"q"), Reply::bytes(b"x")]));
    let answer = later.await;
    let left = line(&mut other, "llen q").await;
    assert!(
        (answer == popped && left == Answer::integer(0))
            || (answer == unblocked && left == Answer::integer(1)),
        "{answer:?} {left:?}"
    );
    for (words, expected) in [
        ("client unblock x", "ERR value is not an integer or out of range"),
        ("client unblock 1 foo", "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR"),
    ] {
        assert_eq!(line(&mut other, words).await, error(expected), "{words}");
    }
}

#[tokio::test]
async fn paused_commands_start_when_the_pause_ends() {
    let server = server();
    let mut admin = numbered_client(&server, 1, Trust::Full);
    let mut client = numbered_client(&server, 2, Trust::Full);
    let is_held = |client: &mut Client, words: &str| {
        let args: Vec<&[u8]> = words.split(' ').map(str::as_bytes).collect();
        let outcome = with_request(&args, |request| begin(client, request, &mut Vec::new()));
        matches!(outcome, CommandState::Continue(_))
    };
    let info = |reason: &str, actions: &str, is_left| (reason.into(), actions.into(), is_left);
    assert_eq!(pause_info(&mut admin).await, info("none", "none", false));
    let library = &b"#!lua name=l\nredis.register_function{function_name='f', callback=function() end, flags={'no-writes'}}"[..];
    assert_eq!(call(&mut admin, &[b"function", b"load", library]).await, Answer::bytes(b"l"));
    assert_eq!(line(&mut admin, "client pause 60000 write").await, Answer::DONE);
    assert_eq!(pause_info(&mut admin).await, info("client_pause", "write", true));
    assert!(is_held(&mut client, "set k 1") && is_held(&mut client, "publish c m"));
    assert!(!is_held(&mut client, "get k") && !is_held(&mut client, "ping"));
    // Scripts that say so themselves do not write.
    let held = |client: &mut Client, args: &[&[u8]]| {
        let outcome = with_request(args, |request| begin(client, request, &mut Vec::new()));
        matches!(outcome, CommandState::Continue(_))
    };
    let (reads, any) = (&b"#!lua flags=no-writes\nreturn 1"[..], &b"#!lua\nreturn 1"[..]);
    assert!(!held(&mut client, &[b"eval", reads, b"0"]));
    assert!(!held(&mut client, &[b"evalsha", sha1_hex(reads).as_bytes(), b"0"]));
    assert!(held(&mut client, &[b"eval", any, b"0"]));
    assert!(held(&mut client, &[b"evalsha", sha1_hex(any).as_bytes(), b"0"]));
    assert!(held(&mut client, &[b"eval", b"return 1", b"0"]));
    assert!(!held(&mut client, &[b"eval_ro", b"return 1", b"0"]));
    assert!(!held(&mut client, &[b"script", b"load", b"return 1"]));
    // It is read first.
    assert_eq!(call(&mut client, &[b"fcall", b"f", b"0"]).await, Answer::Value(Value::Nil));
    assert!(!held(&mut client, &[b"fcall", b"f", b"0"]));
    assert!(held(&mut client, &[b"fcall", b"unknown", b"0"]));
    line(&mut client, "multi").await;
    call(&mut client, &[b"eval", reads, b"0"]).await;
    assert!(!is_held(&mut client, "exec"));
    line(&mut client, "multi").await;
    line(&mut client, "set k 1").await;
    assert!(is_held(&mut client, "exec"));
    line(&mut client, "discard").await;
    line(&mut admin, "client pause 60000").await;
    assert!(is_held(&mut client, "get k") && is_held(&mut client, "ping"));
    line(&mut admin, "client pause 1 write").await;
    assert!(is_held(&mut client, "get k"), "a pause is not shortened");
    assert_eq!(line(&mut admin, "client unpause").await, Answer::DONE);
    assert!(!is_held(&mut client, "get k"));
    line(&mut admin, "client pause 30 all").await;
    let held = tokio::time::timeout(Duration::from_secs(20), line(&mut client, "set k 2"));
    let watched = async {
        while server.pause.waiting() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let (held, ()) = tokio::join!(held, watched);
    assert_eq!(held.expect("the pause ends"), Answer::DONE);
    assert_eq!(server.pause.waiting(), 0);
    // Commands that were held back have started when the pause has been ended.
    line(&mut admin, "client pause 60000 all").await;
    let held = async {
        let popped = line(&mut client, "blpop q 60").await;
        assert_eq!(popped, Answer::Reply(Reply::NilList), "it was unblocked");
    };
    let ended = async {
        while server.pause.waiting() == 0 {
            tokio::task::yield_now().await;
        }
        line(&mut admin, "client unpause").await;
        assert_eq!(server.pause.waiting(), 0);
        assert_eq!(line(&mut admin, "client unblock 2").await, Answer::integer(1));
    };
    let both = async { tokio::join!(held, ended) };
    tokio::time::timeout(Duration::from_secs(20), both).await.expect("both end");
    for (words, expected) in [
        ("client pause x", "ERR timeout is not an integer or out of range"),
        ("client pause -1", "ERR timeout is negative"),
        ("client pause 1 foo", "ERR CLIENT PAUSE mode must be WRITE or ALL"),
        ("client pause 9223372036854775807 all x", "ERR syntax error"),
    ] {
        assert_eq!(line(&mut admin, words).await, error(expected), "{words}");
    }
}
