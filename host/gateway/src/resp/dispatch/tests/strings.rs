//! String commands, with the replies of Redis 7.0, and of Redis 8 for what is newer.

use super::lines::{check, reply, server};
use crate::resp::client::Client;
use crate::testing::client_of;
use crate::trust::Trust;

#[tokio::test]
async fn numbers_have_the_precision_of_redis() {
    let server = server();
    let client = &mut client_of(&server, Trust::Full);
    let not_float = "-ERR value is not a valid float";
    check(
        client,
        &[
            ("set f 17179869185", "+OK"),
            ("incrbyfloat f 1.23456789", "$29 17179869186.23456788994371891"),
            ("set f 9007199254740993", "+OK"),
            ("incrbyfloat f 1", "$16 9007199254740994"),
            ("set f 0x10", "+OK"),
            ("incrbyfloat f 1", "$2 17"),
            ("incrbyfloat f inf", "-ERR increment would produce NaN or Infinity"),
            ("set f inf", "+OK"),
            ("incrbyfloat f 1", "-ERR increment would produce NaN or Infinity"),
            ("incrbyfloat f nan", not_float),
            ("incrbyfloat f \" 1\"", not_float),
            ("incrbyfloat f \"\"", not_float),
            ("set f \"\"", "+OK"),
            ("incrbyfloat f 1", not_float),
            ("hset h a 9007199254740993", ":1"),
            ("hincrbyfloat h a 1", "$16 9007199254740994"),
            ("hincrbyfloat h b inf", "-ERR value is NaN or Infinity"),
            ("hincrbyfloat h b x", not_float),
            ("hset h a x", ":0"),
            ("hincrbyfloat h a 1", "-ERR hash value is not a float"),
            ("zadd z 1 a", ":1"),
            ("zcount z \"\" 5", ":1"),
            ("zcount z \" 5\" 5", ":0"),
            ("zcount z ( 5", ":1"),
            ("zcount z \"5 \" 5", "-ERR min or max is not a float"),
            ("zcount z nan 5", "-ERR min or max is not a float"),
            ("zadd z 1e309 b", not_float),
            ("zadd z 1e-400 b", not_float),
            ("zadd z \" 5\" b", not_float),
            ("zadd z 0x10 b", ":1"),
            ("zscore z b", "$2 16"),
            ("set r abc", "+OK"),
            ("getrange r 0 -9223372036854775808", "$1 a"),
            ("getrange r -9223372036854775808 -9223372036854775807", "$1 a"),
            ("getrange r -5 -4", "$1 a"),
            ("getrange r -3 -4", "$0"),
            ("getrange r 3 9223372036854775807", "$0"),
            ("getrange r 1 9223372036854775807", "$2 bc"),
        ],
    )
    .await;
}

#[tokio::test]
async fn options_may_be_repeated_but_not_combined() {
    let server = server();
    let client = &mut client_of(&server, Trust::Full);
    let syntax = "-ERR syntax error";
    check(
        client,
        &[
            ("set k v exat 9999999999 exat 9999999998", "+OK"),
            ("expiretime k", ":9999999998"),
            ("set k v keepttl keepttl", "+OK"),
            ("expiretime k", ":9999999998"),
            ("set k v ex 10 px 20", syntax),
            ("set k v keepttl ex 10", syntax),
            ("set k v ex 10 keepttl", syntax),
            ("set k v ex", syntax),
            ("set k v ex 0 px x", syntax),
            ("set k v ex x", "-ERR value is not an integer or out of range"),
            ("set k v ex 0", "-ERR invalid expire time in 'set' command"),
            ("set k v nx nx", "$-1"),
            ("set k v nx xx", syntax),
            ("set k v nx ifeq v", syntax),
            ("set k v ifeq v ifne v", syntax),
            ("set k v ifeq", syntax),
            ("set k w get get", "$1 v"),
            ("getex k ex 10 ex 20", "$1 w"),
            ("getex k persist persist", "$1 w"),
            ("ttl k", ":-1"),
            ("getex k persist ex 10", syntax),
        ],
    )
    .await;
}

async fn digest(client: &mut Client, key: &str) -> String {
    let digest = reply(client, &format!("digest {key}")).await;
    digest.strip_prefix("$16 ").expect("a digest").to_owned()
}

#[tokio::test]
async fn values_are_compared_before_they_are_replaced_or_deleted() {
    let server = server();
    let client = &mut client_of(&server, Trust::Full);
    let wrong_type = "-WRONGTYPE Operation against a key holding the wrong kind of value";
    let not_string = "-ERR Key should be of string type if conditions are specified";
    let not_digest = "-ERR must be exactly 16 hexadecimal characters";
    check(
        client,
        &[
            ("set k \"Hello world\"", "+OK"),
            ("digest k", "$16 b6acb9d84a38ff74"),
            ("set k 2 ifdeq b6acb9d84a38ff75", "$-1"),
            ("set k 2 ifdeq B6ACB9D84A38FF74", "+OK"),
            ("set k 3 ifeq 1 get", "$1 2"),
            ("set k 3 IfEq 2 get ex 100", "$1 2"),
            ("ttl k", ":100"),
            ("set k 4 ifne 3", "$-1"),
            ("set k 4 ifne 2", "+OK"),
            ("set none 1 ifeq 1", "$-1"),
            ("set none 1 ifdeq 12", "$-1"),
            ("set k 1 ifdeq 12", not_digest),
            ("delex k ifdne 12", not_digest),
            ("exists none", ":0"),
            ("set none 1 ifne 1", "+OK"),
            ("set other 1 ifdne 1234567890123456", "+OK"),
            ("digest missing", "$-1"),
            ("rpush l a", ":1"),
            ("digest l", wrong_type),
            ("set l 1 ifne a", wrong_type),
            ("set l 1 ifdne a", wrong_type),
            ("delex l ifeq a", not_string),
            ("delex l", ":1"),
            ("delex l", ":0"),
            ("delex l ifne a", ":0"),
            ("delex k ifeq 5", ":0"),
            ("delex k ifne 4", ":0"),
            ("delex k ifeq 4", ":1"),
            ("delex k ifeq", "-ERR wrong number of arguments for 'delex' command"),
            ("delex k if 4", "-ERR Invalid condition. Use IFEQ, IFNE, IFDEQ, or IFDNE"),
            ("delifeq other 2", ":0"),
            ("delifeq other 1", ":1"),
            ("delifeq other 1", ":0"),
        ],
    )
    .await;
    check(client, &[("set a \"\"", "+OK"), ("set b x", "+OK")]).await;
    for key in ["a", "b"] {
        let digest = digest(client, key).await;
        check(
            client,
            &[
                (&format!("delex {key} ifdne {digest}"), ":0"),
                (&format!("delex {key} ifdeq {digest}"), ":1"),
            ],
        )
        .await;
    }
}

#[tokio::test]
async fn several_keys_get_one_lifetime_or_none_is_set() {
    let server = server();
    let client = &mut client_of(&server, Trust::Full);
    for tag in ["", "{t}"] {
        let (a, b, c) = (format!("{tag}a"), format!("{tag}b"), format!("{tag}c"));
        let lines = [
            (format!("msetex 2 {a} 1 {b} 2 ex 100"), ":1"),
            (format!("ttl {b}"), ":100"),
            (format!("msetex 2 {a} 3 {c} 3 NX"), ":0"),
            (format!("msetex 2 {a} 3 {c} 3 XX"), ":0"),
            (format!("msetex 2 {a} 3 {b} 3 xx keepttl"), ":1"),
            (format!("mget {a} {b} {c}"), "*3 $1 3 $1 3 $-1"),
            (format!("ttl {a}"), ":100"),
            (format!("msetex 2 {a} 4 {b} 4"), ":1"),
            (format!("ttl {a}"), ":-1"),
            (format!("msetex 1 {c} 4 nx px 100000"), ":1"),
            (format!("msetex 2 {a} 5 {b} 5 exat 1"), ":1"),
            (format!("exists {a} {b} {c}"), ":1"),
            (format!("msetex {a} 5 {b} 5"), "-ERR invalid numkeys value"),
            (format!("msetex 0 {a} 5"), "-ERR invalid numkeys value"),
            (format!("msetex 2147483648 {a} 5"), "-ERR invalid numkeys value"),
            (format!("msetex 2147483647 {a} 5"), "-ERR wrong number of key-value pairs"),
            (format!("msetex 2 {a} 5 {b}"), "-ERR wrong number of key-value pairs"),
            (format!("msetex 1 {a} 5 invalid"), "-ERR syntax error"),
            (format!("msetex 1 {a} 5 nx xx"), "-ERR syntax error"),
            (format!("msetex 1 {a} 5 ex 0"), "-ERR invalid expire time in 'msetex' command"),
        ];
        let lines: Vec<(&str, &str)> =
            lines.iter().map(|(line, reply)| (&line[..], *reply)).collect();
        check(client, &lines).await;
    }
}

#[tokio::test]
async fn increments_stay_within_bounds() {
    let server = server();
    let client = &mut client_of(&server, Trust::Full);
    let syntax = "-ERR syntax error";
    check(
        client,
        &[
            ("increx k", "*2 :1 :1"),
            ("increx k byint 9 ubound 10", "*2 :10 :9"),
            ("increx k byint 5 ubound 10 ex 100", "*2 :10 :0"),
            ("ttl k", ":-1"),
            ("increx k byint 5 ubound 12 saturate ex 100", "*2 :12 :2"),
            ("ttl k", ":100"),
            ("increx k byint -20 lbound 0 saturate", "*2 :0 :-12"),
            ("ttl k", ":100"),
            ("increx k ex 500 enx", "*2 :1 :1"),
            ("ttl k", ":100"),
            ("increx k exat 1 enx", "*2 :2 :1"),
            ("increx k persist", "*2 :3 :1"),
            ("ttl k", ":-1"),
            ("increx k ex 500 enx", "*2 :4 :1"),
            ("ttl k", ":500"),
            ("increx k exat 1", "*2 :5 :1"),
            ("exists k", ":0"),
            ("increx k byint 5 lbound 10", "*2 :0 :0"),
            ("increx k byfloat -0.5 ubound -1.5", "*2 $1 0 $1 0"),
            ("exists k", ":0"),
            ("set k 9223372036854775800", "+OK"),
            ("increx k byint 9223372036854775800", "*2 :9223372036854775800 :0"),
            ("increx k byint 9223372036854775800 saturate", "*2 :9223372036854775807 :7"),
            (
                "increx k saturate ubound -9223372036854775808",
                "-ERR applied increment would overflow",
            ),
            ("set k 50", "+OK"),
            ("increx k byint 5 ubound 30", "*2 :50 :0"),
            ("increx k byint -25 ubound 30", "*2 :25 :-25"),
            ("set k 1.5", "+OK"),
            ("increx k byfloat 0.25", "*2 $4 1.75 $4 0.25"),
            ("increx k byfloat 100 ubound 42.5", "*2 $4 1.75 $1 0"),
            ("increx k byfloat 100 ubound 42.5 saturate", "*2 $4 42.5 $5 40.75"),
            ("increx k byint 1", "-ERR value is not an integer or out of range"),
            ("increx k byfloat +inf", "-ERR BYFLOAT increment cannot be Infinity"),
            ("set k inf", "+OK"),
            ("increx k byfloat 1", "-ERR value cannot be Infinity"),
            ("set k hello", "+OK"),
            ("increx k byfloat 1", "-ERR value is not a valid float"),
            ("rpush l a", ":1"),
            ("increx l", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
            ("increx k foo", syntax),
            ("increx k byint 1 byfloat 1", syntax),
            ("increx k byint 1 byint 1", syntax),
            ("increx k ubound 9 ubound 9", syntax),
            ("increx k saturate saturate", syntax),
            ("increx k ex 10 ex 20", syntax),
            ("increx k ex 10 persist", syntax),
            ("increx k persist enx", syntax),
            ("increx k enx", "-ERR ENX flag requires an expiration"),
            ("increx k byint abc", "-ERR Increment is not an integer or out of range"),
            ("increx k byfloat abc", "-ERR Increment is not a valid float"),
            ("increx k lbound 1.5", "-ERR LBOUND is not an integer or out of range"),
            ("increx k lbound 10 ubound 5", "-ERR LBOUND can't be greater than UBOUND"),
            ("increx k byfloat 1 lbound 1.5 ubound 1", "-ERR LBOUND can't be greater than UBOUND"),
            ("increx k ex 0", "-ERR invalid expire time in 'increx' command"),
        ],
    )
    .await;
}
