//! Commands on bits, with the replies of Redis.

use super::lines::{check, server};
use crate::testing::client_of;
use crate::trust::Trust;

#[tokio::test]
async fn bits_are_set_read_counted_and_found() {
    let server = server();
    let client = &mut client_of(&server, Trust::Full);
    check(
        client,
        &[
            ("setbit k 7 1", ":0"),
            ("setbit k 7 0", ":1"),
            ("get k", "$1 \\x00"),
            ("setbit k 17 1", ":0"),
            ("get k", "$3 \\x00\\x00@"),
            ("getbit k 17", ":1"),
            ("getbit k 4294967295", ":0"),
            ("getbit none 1", ":0"),
            ("set s foobar", "+OK"),
            ("bitcount s", ":26"),
            ("bitcount s 0 0", ":4"),
            ("bitcount s 1 1", ":6"),
            ("bitcount s -2 -1 byte", ":7"),
            ("bitcount s 5 30 bit", ":17"),
            ("bitcount s -3 -5", ":0"),
            ("bitcount s -100 -200", ":0"),
            ("bitcount none", ":0"),
            ("set m \"\\xff\\xf0\\x00\"", "+OK"),
            ("bitpos m 0 1 x y", "-ERR syntax error"),
            ("bitpos m 0 0 1 x", "-ERR syntax error"),
            ("bitpos m 0 0 x", "-ERR value is not an integer or out of range"),
            ("bitpos m 0", ":12"),
            ("bitpos m 1", ":0"),
            ("bitpos m 1 2", ":-1"),
            ("bitpos m 1 7 15 bit", ":7"),
            ("bitpos m 0 7 15 bit", ":12"),
            ("set ones \"\\xff\\xff\\xff\"", "+OK"),
            ("bitpos ones 0", ":24"),
            ("bitpos ones 0 0", ":24"),
            ("bitpos ones 0 0 -1", ":-1"),
            ("bitpos none 0 5 6", ":0"),
            ("bitpos none 1", ":-1"),
            ("set empty \"\"", "+OK"),
            ("bitpos empty 0", ":-1"),
            ("rpush l a", ":1"),
            ("getbit l 1", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
            ("setbit k 4294967296 1", "-ERR bit offset is not an integer or out of range"),
            ("setbit k -1 1", "-ERR bit offset is not an integer or out of range"),
            (
                "setbit k 4294967295 1",
                "-ERR string exceeds maximum allowed size (proto-max-bulk-len)",
            ),
            ("setbit k 1 2", "-ERR bit is not an integer or out of range"),
            ("setbit k 1 x", "-ERR bit is not an integer or out of range"),
            ("bitcount s 0", "-ERR syntax error"),
            ("bitcount s 0 1 bits", "-ERR syntax error"),
            ("bitcount s 0 1 bit x", "-ERR syntax error"),
            ("bitcount s a b", "-ERR value is not an integer or out of range"),
            ("bitpos s 2", "-ERR The bit argument must be 1 or 0."),
            ("bitpos s x", "-ERR value is not an integer or out of range"),
            ("bitpos s 1 0 1 x", "-ERR syntax error"),
        ],
    )
    .await;
}

#[tokio::test]
async fn strings_of_any_partitions_are_combined() {
    let server = server();
    let client = &mut client_of(&server, Trust::Full);
    for tag in ["", "{t}"] {
        let lines = [
            (format!("set {tag}a \"\\xff\\x0f\\x33\""), "+OK"),
            (format!("set {tag}b \"\\xf0\\xff\""), "+OK"),
            (format!("set {tag}c \"\\x0c\""), "+OK"),
            (format!("bitop and {tag}d {tag}a {tag}b"), ":3"),
            (format!("get {tag}d"), "$3 \\xf0\\x0f\\x00"),
            (format!("bitop OR {tag}d {tag}a {tag}b {tag}c {tag}none"), ":3"),
            (format!("get {tag}d"), "$3 \\xff\\xff3"),
            (format!("bitop xor {tag}d {tag}a {tag}b"), ":3"),
            (format!("get {tag}d"), "$3 \\x0f\\xf03"),
            (format!("bitop not {tag}d {tag}b"), ":2"),
            (format!("get {tag}d"), "$2 \\x0f\\x00"),
            (format!("bitop diff {tag}d {tag}a {tag}b {tag}c"), ":3"),
            (format!("get {tag}d"), "$3 \\x03\\x003"),
            (format!("bitop diff1 {tag}d {tag}a {tag}b {tag}c"), ":3"),
            (format!("get {tag}d"), "$3 \\x00\\xf0\\x00"),
            (format!("bitop andor {tag}d {tag}a {tag}b {tag}c"), ":3"),
            (format!("get {tag}d"), "$3 \\xfc\\x0f\\x00"),
            (format!("bitop one {tag}d {tag}a {tag}b {tag}c"), ":3"),
            (format!("get {tag}d"), "$3 \\x03\\xf03"),
            (format!("rpush {tag}l x"), ":1"),
            (
                format!("bitop or {tag}d {tag}a {tag}l"),
                "-WRONGTYPE Operation against a key holding the wrong kind of value",
            ),
            (format!("bitop or {tag}l {tag}c"), ":1"),
            (format!("get {tag}l"), "$1 \\x0c"),
            (format!("bitop or {tag}l {tag}none"), ":0"),
            (format!("exists {tag}l"), ":0"),
            (format!("bitop foo {tag}l {tag}c"), "-ERR syntax error"),
            (
                format!("bitop not {tag}l {tag}c {tag}a"),
                "-ERR BITOP NOT must be called with a single source key.",
            ),
            (
                format!("bitop diff1 {tag}l {tag}c"),
                "-ERR BITOP DIFF1 must be called with at least two source keys.",
            ),
        ];
        let lines: Vec<(&str, &str)> =
            lines.iter().map(|(line, reply)| (&line[..], *reply)).collect();
        check(client, &lines).await;
    }
}

#[tokio::test]
async fn fields_are_read_and_changed() {
    let server = server();
    let client = &mut client_of(&server, Trust::Full);
    let wrong_type = "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.";
    check(
        client,
        &[
            ("bitfield b set u8 0 255 set u8 8 100", "*2 :0 :0"),
            ("bitfield b set u8 0 10", "*1 :255"),
            ("bitfield b set u8 #1 101", "*1 :100"),
            ("bitfield b get u8 #0 get u8 #1 get i4 12", "*3 :10 :101 :5"),
            ("bitfield b overflow sat incrby u8 #0 300", "*1 :255"),
            ("bitfield b overflow fail incrby u8 #0 1 overflow wrap incrby u8 #0 1", "*2 $-1 :0"),
            ("bitfield b set i5 1 -10", "*1 :0"),
            ("bitfield b get i5 1", "*1 :-10"),
            ("bitfield b overflow sat set u8 0 -1 get u8 0", "*2 :88 :255"),
            ("bitfield b incrby i64 0 -9223372036854775808", "*1 :9179743415464624128"),
            ("bitfield b", "*0"),
            ("bitfield none get u8 100", "*1 :0"),
            ("exists none", ":0"),
            ("bitfield_ro b get u4 0", "*1 :7"),
            (
                "bitfield_ro b get u4 0 set u4 0 1",
                "-ERR BITFIELD_RO only supports the GET subcommand",
            ),
            ("bitfield b get u64 0", wrong_type),
            ("bitfield b get i65 0", wrong_type),
            ("bitfield b get x8 0", wrong_type),
            ("bitfield b get u 0", wrong_type),
            ("bitfield b set u8 0", "-ERR syntax error"),
            ("bitfield b put u8 0", "-ERR syntax error"),
            ("bitfield b get u8 #536870912", "-ERR bit offset is not an integer or out of range"),
            ("bitfield b overflow x get u8 0", "-ERR Invalid OVERFLOW type specified"),
            ("bitfield b set u8 0 x", "-ERR value is not an integer or out of range"),
        ],
    )
    .await;
}
