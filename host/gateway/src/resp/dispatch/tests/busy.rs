//! Tests of what is refused while the memory held for clients is at its limit.

use crate::ledger::{Account, HELD_BYTES_MAX};
use crate::resp::answer::{Answer, CommandError};
use crate::testing::{call, client_of, server_on, single_member_grid};
use crate::trust::{Passwords, Trust};

#[tokio::test]
async fn only_commands_on_data_are_refused_when_memory_is_full() {
    let server = server_on(single_member_grid(), Passwords::default());
    let mut client = client_of(&server, Trust::Full);
    let mut queuing = client_of(&server, Trust::Full);
    let busy = Answer::from(CommandError::BUSY);
    assert!(CommandError::BUSY.0.contains(&format!("{} MiB", HELD_BYTES_MAX >> 20)));
    call(&mut queuing, &[b"multi"]).await;
    call(&mut queuing, &[b"set", b"a", b"1"]).await;

    let mut others = Account::new(&server.pubsub.ledger);
    others.set(2 * HELD_BYTES_MAX);
    let on_data: [&[&[u8]]; 6] = [
        &[b"get", b"a"],
        &[b"set", b"a", b"1"],
        &[b"mget", b"a", b"b"],
        &[b"dbsize"],
        &[b"publish", b"c", b"m"],
        &[b"blpop", b"l", b"0"],
    ];
    for args in on_data {
        assert_eq!(call(&mut client, args).await, busy, "{args:?}");
    }
    for args in [&[&b"ping"[..]][..], &[b"client", b"list"], &[b"info", b"server"]] {
        assert!(!matches!(call(&mut client, args).await, Answer::Error(_)), "{args:?}");
    }
    // Queued commands are dropped; a command that cannot be queued breaks the transaction.
    assert_eq!(call(&mut queuing, &[b"exec"]).await, busy);
    call(&mut client, &[b"multi"]).await;
    assert_eq!(call(&mut client, &[b"set", b"a", b"1"]).await, busy);
    others.set(0);
    let Answer::Error(text) = call(&mut client, &[b"exec"]).await else { panic!("EXEC succeeded") };
    assert!(text.starts_with("EXECABORT "), "{text}");
    assert_eq!(call(&mut client, &[b"dbsize"]).await, Answer::integer(0));
}
