//! Commands and their replies, one per line, as a client of RESP2 sees them.

use crate::resp::client::Client;
use crate::resp::encode::Protocol;
use crate::testing::call;

pub(super) use super::server;

/// The words of a line; in double quotes a word may be empty, and have spaces and `\xHH`.
fn words(line: &str) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let (word, behind) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').expect("a closing quote"),
            None => rest.split_once(' ').unwrap_or((rest, "")),
        };
        let mut bytes = Vec::new();
        let mut parts = word.split("\\x");
        bytes.extend_from_slice(parts.next().unwrap_or_default().as_bytes());
        for part in parts {
            bytes.push(u8::from_str_radix(&part[..2], 16).expect("two digits"));
            bytes.extend_from_slice(&part.as_bytes()[2..]);
        }
        words.push(bytes);
        rest = behind.trim_start();
    }
    words
}

/// The encoded reply to a command, with spaces for the ends of lines.
pub(super) async fn reply(client: &mut Client, line: &str) -> String {
    let words = words(line);
    let args: Vec<&[u8]> = words.iter().map(|word| &word[..]).collect();
    let answer = call(client, &args).await;
    let mut bytes = Vec::new();
    answer.write(&mut bytes, Protocol::Resp2);
    let mut text = String::new();
    for byte in bytes {
        match byte {
            b'\r' => text.push(' '),
            b'\n' => {}
            b' '..=b'~' => text.push(byte.into()),
            _ => text.push_str(&format!("\\x{byte:02x}")),
        }
    }
    text.trim_end().to_owned()
}

/// Executes lines, and compares the reply to each.
pub(super) async fn check(client: &mut Client, lines: &[(&str, &str)]) {
    for (line, expected) in lines {
        assert_eq!(reply(client, line).await, *expected, "{line}");
    }
}
