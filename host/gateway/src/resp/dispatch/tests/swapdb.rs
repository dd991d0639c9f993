//! `SWAPDB`, with the replies of Redis.

use std::time::Duration;

use convoke_grid::{MapCatalog, MapSettings};

use super::{check, server, shown};
use crate::output_buffer::MessageKind;
use crate::testing::{client_of, numbered_client, server_on, single_member_grid_with};
use crate::trust::{Passwords, Trust};

const WAIT_MAX: Duration = Duration::from_secs(20);

#[tokio::test]
async fn the_keys_of_two_databases_are_exchanged() {
    let server = server();
    let client = &mut client_of(&server, Trust::Full);
    for number in 0..100 {
        shown(client, &format!("set only-{number} zero")).await;
    }
    #[rustfmt::skip]
    check(client, &[
        ("set k zero", "+OK"),
        ("rpush l a b", ":2"),
        ("pexpire l 100000", ":1"),
        ("select 1", "+OK"),
        ("set k one", "+OK"),
        ("set gone x", "+OK"),
        ("del gone", ":1"),
        ("swapdb 0 1", "+OK"),
        ("get k", "$4 zero"),
        ("dbsize", ":102"),
        ("lrange l 0 -1", "*2 $1 a $1 b"),
        ("expire l 50 lt", ":1"),
        ("set new 1", "+OK"),
        ("select 0", "+OK"),
        ("get k", "$3 one"),
        ("dbsize", ":1"),
        ("swapdb 0 7", "+OK"),
        ("dbsize", ":0"),
        ("swapdb 7 0", "+OK"),
        ("swapdb 1 0", "+OK"),
        ("get new", "$1 1"),
        ("dbsize", ":103"),
        ("swapdb", "-ERR wrong number of arguments for 'swapdb' command"),
        ("swapdb 0 -1", "-ERR DB index is out of range"),
    ]).await;
}

#[tokio::test]
async fn it_is_a_command_of_transactions_but_not_of_scripts() {
    let server = server();
    let client = &mut client_of(&server, Trust::Full);
    #[rustfmt::skip]
    check(client, &[
        ("multi", "+OK"),
        ("set k zero", "+QUEUED"),
        ("swapdb 0 1", "+QUEUED"),
        ("get k", "+QUEUED"),
        ("select 1", "+QUEUED"),
        ("get k", "+QUEUED"),
        ("exec", "*5 +OK +OK $-1 +OK $4 zero"),
    ]).await;
    let refused = super::reply(client, &["eval", "return redis.call('swapdb','0','1')", "0"]).await;
    assert!(refused.contains("not allowed from script"), "{refused}");
}

#[tokio::test]
async fn watched_keys_that_exist_in_either_database_have_changed() {
    let server = server();
    let (client, other) =
        (&mut client_of(&server, Trust::Full), &mut client_of(&server, Trust::Full));
    shown(other, "set a 1").await;
    shown(other, "select 1").await;
    shown(other, "set b 1").await;
    for watched in ["a", "b"] {
        shown(client, &format!("watch {watched}")).await;
        shown(other, "swapdb 0 1").await;
        check(client, &[("multi", "+OK"), ("ping", "+QUEUED"), ("exec", "*-1")]).await;
    }
    shown(client, "watch a b").await;
    shown(other, "swapdb 2 3").await;
    check(client, &[("multi", "+OK"), ("ping", "+QUEUED"), ("exec", "*1 +PONG")]).await;
}

#[tokio::test]
async fn clients_that_wait_for_a_key_get_it_from_the_other_database() {
    let server = server();
    let mut waiting = client_of(&server, Trust::Full);
    let client = &mut client_of(&server, Trust::Full);
    check(
        client,
        &[("select 1", "+OK"), ("rpush l a b", ":2"), ("zadd z 1 m", ":1"), ("set s x", "+OK")],
    )
    .await;
    for (line, expected) in [
        ("blpop l 20", "*2 $1 l $1 a"),
        ("bzpopmin z 20", "*3 $1 z $1 m $1 1"),
        ("blmove l l2 left right 20", "$1 b"),
    ] {
        let (reply, ()) = tokio::join!(shown(&mut waiting, line), async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            shown(client, "swapdb 0 1").await;
        });
        assert_eq!(reply, expected, "{line}");
        shown(client, "swapdb 0 1").await;
    }
    // The stream of its group is gone.
    check(
        client,
        &[("select 0", "+OK"), ("xgroup create x g $ mkstream", "+OK"), ("select 1", "+OK")],
    )
    .await;
    let line = "xreadgroup group g c block 20000 streams x >";
    let (reply, ()) = tokio::join!(shown(&mut waiting, line), async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        shown(client, "swapdb 0 1").await;
    });
    assert!(reply.starts_with("-NOGROUP") || reply.starts_with("-UNBLOCKED"), "{reply}");
}

#[tokio::test]
async fn clients_that_cache_forget_all_keys() {
    let server = server();
    let mut client = numbered_client(&server, 7, Trust::Full);
    check(&mut client, &[("client tracking on", "+OK"), ("get k", "$-1"), ("swapdb 0 1", "+OK")])
        .await;
    let forgets = async {
        loop {
            if let Some(message) = client.output_buffer.next().expect("it keeps up") {
                break matches!(message.kind, MessageKind::InvalidationOfAll { .. });
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(WAIT_MAX, forgets).await.expect("a notification"));
}

#[tokio::test]
async fn databases_with_other_numbers_of_backups_are_not_exchanged() {
    let none = MapSettings { backups: 0, ..MapSettings::default() };
    let catalog =
        MapCatalog { defaults: MapSettings::default(), named: vec![("resp:1".into(), none)] };
    let server = server_on(single_member_grid_with(catalog), Passwords::default());
    let client = &mut client_of(&server, Trust::Full);
    let refused = "-ERR SWAPDB needs two databases whose maps have the same number of backups";
    check(client, &[("swapdb 0 1", refused), ("swapdb 0 2", "+OK")]).await;
}
