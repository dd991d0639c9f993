//! Fields of hashes that expire, with the replies of Redis 8.

use super::shown;
use crate::testing::{client_of, server_on, single_member_grid};
use crate::trust::{Passwords, Trust};

#[tokio::test]
async fn replies_are_those_of_redis() {
    const NO_FIELDS: &str =
        "-ERR Mandatory argument FIELDS is missing or not at the right position";
    const NOT_THE_NUMBER: &str =
        "-ERR The `numfields` parameter must match the number of arguments";
    let server = server_on(single_member_grid(), Passwords::default());
    let client = &mut client_of(&server, Trust::Full);
    for (line, reply) in [
        ("hset h a 1 b 2 c 3", ":3"),
        ("hexpire h 100 fields 3 a b x", "*3 :1 :1 :-2"),
        ("hexpire none 100 fields 2 a b", "*2 :-2 :-2"),
        ("httl h fields 4 a b c x", "*4 :100 :100 :-1 :-2"),
        ("httl none fields 1 a", "*1 :-2"),
        ("hexpire h 100 nx fields 2 a c", "*2 :0 :1"),
        ("hpersist h fields 3 c x c", "*3 :1 :-2 :-1"),
        ("hexpire h 100 xx fields 2 a c", "*2 :1 :0"),
        ("hexpire h 50 gt fields 2 a c", "*2 :0 :0"),
        ("hexpire h 50 lt fields 2 a c", "*2 :1 :1"),
        ("hexpire h 60 gt fields 1 a", "*1 :1"),
        ("hexpireat h 4000000000 fields 1 a", "*1 :1"),
        ("hexpiretime h fields 1 a", "*1 :4000000000"),
        ("hpexpiretime h fields 1 a", "*1 :4000000000000"),
        ("hpexpireat h 4000000000001 fields 1 a", "*1 :1"),
        ("hexpiretime h fields 2 a x", "*2 :4000000001 :-2"),
        ("hexpire h 0 fields 2 a x", "*2 :2 :-2"),
        ("hget h a", "$-1"),
        ("hexpireat h 1 fields 2 b c", "*2 :2 :2"),
        ("exists h", ":0"),
        ("hset h a 1", ":1"),
        ("hexpire h -1 fields 1 a", "-ERR invalid expire time, must be >= 0"),
        ("hexpire h x fields 1 a", "-ERR value is not an integer or out of range"),
        ("hexpire h 70368744178 fields 1 a", "-ERR invalid expire time in 'hexpire' command"),
        (
            "hpexpireat h 70368744177664 fields 1 a",
            "-ERR invalid expire time in 'hpexpireat' command",
        ),
        ("hpexpireat h 70368744177663 fields 1 a", "*1 :1"),
        ("hexpire h 1 fields 0 a", "-ERR Parameter `numFields` should be greater than 0"),
        ("hexpire h 1 fields 2 a", NOT_THE_NUMBER),
        ("hexpire h 1 field 1 a", NO_FIELDS),
        ("hexpire h 1 nx xx fields 1 a", NO_FIELDS),
        ("httl h 1 fields a", NO_FIELDS),
        ("httl h fields 0 a", "-ERR Number of fields must be a positive integer"),
        ("hpersist h fields 2 a", NOT_THE_NUMBER),
        ("hexpire h 1 fields 1", "-ERR wrong number of arguments for 'hexpire' command"),
        ("hgetex h px 1 1", "-ERR wrong number of arguments for 'hgetex' command"),
        ("hgetex h ex 100 fields", "-ERR wrong number of arguments for 'hgetex' command"),
        ("hgetex h ex 100 fields 1", NOT_THE_NUMBER),
        ("del h", ":1"),
        ("hsetex h ex 100 fields 2 a 1 b 2", ":1"),
        ("httl h fields 2 a b", "*2 :100 :100"),
        ("hsetex h keepttl fields 1 a 2", ":1"),
        ("httl h fields 1 a", "*1 :100"),
        ("hsetex h fields 1 a 3", ":1"),
        ("httl h fields 1 a", "*1 :-1"),
        ("hsetex h fnx ex 5 fields 2 a 1 c 1", ":0"),
        ("hsetex h fxx ex 5 fields 2 a 1 c 1", ":0"),
        ("hsetex h fxx pxat 4000000000000 fields 2 a 1 b 1", ":1"),
        ("hexpiretime h fields 1 b", "*1 :4000000000"),
        ("hsetex new fxx fields 1 a 1", ":0"),
        ("hsetex h fnx fxx fields 1 a 1", "-ERR Only one of FXX or FNX arguments can be specified"),
        (
            "hsetex h ex 1 keepttl fields 1 a 1",
            "-ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified",
        ),
        ("hsetex h ex 0 fields 1 b 9", ":1"),
        ("hget h b", "$-1"),
        ("hsetex h ex -1 fields 1 b 9", "-ERR invalid expire time, must be >= 0"),
        ("hsetex h px x fields 1 b 9", "-ERR value is not an integer or out of range"),
        ("hsetex h nonsense 1 fields 1 b 9", "-ERR unknown argument: nonsense"),
        ("hsetex h fields 2 a 1", "-ERR wrong number of arguments for 'hsetex' command"),
        ("hsetex h fields 0 a 1", "-ERR invalid number of fields"),
        ("hsetex h fields 1 a 1 b", "-ERR wrong number of arguments for 'hsetex' command"),
        ("hset h a 1 b 2", ":1"),
        ("hgetex h ex 10 fields 2 a x", "*2 $1 1 $-1"),
        ("httl h fields 2 a b", "*2 :10 :-1"),
        ("hgetex h fields 1 a", "*1 $1 1"),
        ("httl h fields 1 a", "*1 :10"),
        ("hgetex h persist fields 1 a", "*1 $1 1"),
        ("httl h fields 1 a", "*1 :-1"),
        ("hgetex h exat 1 fields 1 a", "*1 $1 1"),
        ("hexists h a", ":0"),
        ("hgetex none fields 2 a b", "*2 $-1 $-1"),
        ("hgetex h ex x fields 1 a", "-ERR value is not an integer or out of range"),
        ("hgetex h foo fields 1 a", NO_FIELDS),
        ("hgetdel h fields 2 b x", "*2 $1 2 $-1"),
        ("exists h", ":0"),
        ("hgetdel none fields 1 b", "*1 $-1"),
        ("hgetdel h x 1 b", NO_FIELDS),
        ("hset h a 1", ":1"),
        ("hpexpire h 100000 fields 1 a", "*1 :1"),
        ("hincrby h a 5", ":6"),
        ("hincrbyfloat h a 0.5", "$3 6.5"),
        ("httl h fields 1 a", "*1 :100"),
        ("hset h a 7", ":0"),
        ("httl h fields 1 a", "*1 :-1"),
        ("set s 1", "+OK"),
        (
            "hexpire s 1 fields 1 a",
            "-WRONGTYPE Operation against a key holding the wrong kind of value",
        ),
        (
            "hgetdel s fields 1 a",
            "-WRONGTYPE Operation against a key holding the wrong kind of value",
        ),
    ] {
        assert_eq!(shown(client, line).await, reply, "{line}");
    }
}

#[tokio::test]
async fn deadlines_of_fields_move_with_the_hash_to_any_partition() {
    let server = server_on(single_member_grid(), Passwords::default());
    let client = &mut client_of(&server, Trust::Full);
    shown(client, "hset h a 1 b 2").await;
    shown(client, "hexpireat h 4000000000 fields 1 a").await;
    let mut from = "h".to_owned();
    for number in 0..10 {
        let to = format!("h{number}");
        assert_eq!(shown(client, &format!("copy {from} c{number}")).await, ":1");
        assert_eq!(shown(client, &format!("rename {from} {to}")).await, "+OK");
        from = to;
    }
    for key in ["h9", "c0", "c5"] {
        let deadlines = shown(client, &format!("hexpiretime {key} fields 2 a b")).await;
        assert_eq!(deadlines, "*2 :4000000000 :-1");
    }
}

#[tokio::test]
async fn no_command_returns_a_field_that_is_due() {
    let server = server_on(single_member_grid(), Passwords::default());
    let client = &mut client_of(&server, Trust::Full);
    for (line, reply) in [
        ("hget h a", "$-1"),
        ("hmget h a b", "*2 $-1 $1 2"),
        ("hgetall h", "*2 $1 b $1 2"),
        ("hkeys h", "*1 $1 b"),
        ("hvals h", "*1 $1 2"),
        ("hlen h", ":1"),
        ("hexists h a", ":0"),
        ("hstrlen h a", ":0"),
        ("hscan h 0", "*2 $1 0 *2 $1 b $1 2"),
        ("hrandfield h", "$1 b"),
        ("hsetnx h a 1", ":1"),
        ("hincrby h a 1", ":1"),
        ("hdel h a", ":0"),
        ("httl h fields 1 a", "*1 :-2"),
        ("hsetex h fnx fields 1 a 1", ":1"),
        ("eval return(redis.call('hget','h','a')) 0", "$-1"),
    ] {
        shown(client, "del h").await;
        shown(client, "hset h a 1 b 2").await;
        shown(client, "hpexpire h 1 fields 1 a").await;
        tokio::time::sleep(std::time::Duration::from_millis(3)).await;
        assert_eq!(shown(client, line).await, reply, "{line}");
    }
    shown(client, "hset all a 1").await;
    shown(client, "hpexpire all 1 fields 1 a").await;
    tokio::time::sleep(std::time::Duration::from_millis(3)).await;
    assert_eq!(shown(client, "keys all").await, "*0");
    assert_eq!(shown(client, "exists all").await, ":0");
}
