//! HyperLogLog commands, with the replies of Redis.

use super::lines::{check, server};
use crate::testing::client_of;
use crate::trust::Trust;

#[tokio::test]
async fn elements_are_counted_over_keys_of_any_partitions() {
    let server = server();
    let client = &mut client_of(&server, Trust::Full);
    for tag in ["", "{t}"] {
        let wrong = "-WRONGTYPE Key is not a valid HyperLogLog string value.";
        let corrupt = "-INVALIDOBJ Corrupted HLL object detected";
        let lines = [
            (format!("pfadd {tag}a a b c d"), ":1"),
            (format!("pfadd {tag}a a b"), ":0"),
            (format!("pfadd {tag}b c d e"), ":1"),
            (format!("pfcount {tag}a"), ":4"),
            (format!("pfcount {tag}a {tag}b {tag}none"), ":5"),
            (format!("pfmerge {tag}m {tag}a {tag}b {tag}none"), "+OK"),
            (format!("pfcount {tag}m"), ":5"),
            (format!("pfmerge {tag}new"), "+OK"),
            (format!("pfcount {tag}new"), ":0"),
            (format!("set {tag}s text"), "+OK"),
            (format!("pfadd {tag}s a"), wrong),
            (format!("pfcount {tag}s"), wrong),
            (format!("pfcount {tag}a {tag}s"), wrong),
            (format!("pfmerge {tag}m {tag}a {tag}s"), wrong),
            // The error is that of the first key, wherever it is.
            (format!("rpush {tag}x a"), ":1"),
            (
                format!("pfcount {tag}a {tag}x {tag}s"),
                "-WRONGTYPE Operation against a key holding the wrong kind of value",
            ),
            (format!("pfcount {tag}a {tag}s {tag}x"), wrong),
            (format!("pfmerge {tag}m {tag}s {tag}x"), wrong),
            (
                format!("pfmerge {tag}m {tag}x {tag}s"),
                "-WRONGTYPE Operation against a key holding the wrong kind of value",
            ),
            (format!("append {tag}b hello"), ":32"),
            (format!("pfcount {tag}b"), corrupt),
            (format!("pfmerge {tag}m {tag}b"), corrupt),
            (format!("rpush {tag}l a"), ":1"),
            (
                format!("pfadd {tag}l a"),
                "-WRONGTYPE Operation against a key holding the wrong kind of value",
            ),
        ];
        let lines: Vec<(&str, &str)> =
            lines.iter().map(|(line, reply)| (&line[..], *reply)).collect();
        check(client, &lines).await;
    }
}
