//! Code blocks of the documentation, which the tests run.

use std::fs;
use std::path::Path;

/// The folder of the pages on session stores.
const SESSIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../host/gateway/sessions");

/// The code blocks of a language on a page about sessions, in order.
///
/// # Panics
/// If there is none.
#[track_caller]
pub(crate) fn code(page: &str, language: &str) -> Vec<String> {
    let path = Path::new(SESSIONS).join(page);
    let text = fs::read_to_string(&path);
    let text = text.unwrap_or_else(|error| panic!("{} cannot be read: {error}", path.display()));
    let blocks = blocks(&text, language);
    assert!(!blocks.is_empty(), "{page} has no block of {language}");
    blocks
}

fn blocks(text: &str, language: &str) -> Vec<String> {
    let mut lines = text.lines();
    let mut blocks = Vec::new();
    while lines.any(|line| line.strip_prefix("```") == Some(language)) {
        let mut code = String::new();
        loop {
            match lines.next() {
                None => return blocks,
                Some("```") => break,
                Some(line) => code.extend([line, "\n"]),
            }
        }
        blocks.push(code);
    }
    blocks
}

#[test]
fn the_blocks_of_a_language_are_found() {
    let text = "```sh\nnpm\n```\nwords\n```js\na\n\nb\n```\n```js\nc\n```\n```py\nnever ends\n";
    assert_eq!(blocks(text, "js"), ["a\n\nb\n", "c\n"]);
    assert_eq!(blocks(text, "sh"), ["npm\n"]);
    assert!(blocks(text, "j").is_empty() && blocks(text, "py").is_empty());
}
