//! Pages for users, whose code is what the tests run.

use std::fs;
use std::path::Path;

/// Where the pages on session stores are.
const SESSIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../host/gateway/sessions");

/// The first code block of a language on a page about sessions.
///
/// # Panics
/// If there is none.
#[track_caller]
pub(crate) fn code(page: &str, language: &str) -> String {
    let path = Path::new(SESSIONS).join(page);
    let text = fs::read_to_string(&path);
    let text = text.unwrap_or_else(|error| panic!("{} cannot be read: {error}", path.display()));
    first_block(&text, language).unwrap_or_else(|| panic!("{page} has no block of {language}"))
}

fn first_block(text: &str, language: &str) -> Option<String> {
    let mut lines = text.lines();
    lines.find(|line| line.strip_prefix("```") == Some(language))?;
    let mut code = String::new();
    for line in lines {
        if line == "```" {
            return Some(code);
        }
        code.push_str(line);
        code.push('\n');
    }
    None
}

#[test]
fn the_first_block_of_a_language_is_found() {
    let text = "```sh\nnpm\n```\nwords\n```js\na\n\nb\n```\n```js\nc\n```\n```py\nnever ends\n";
    assert_eq!(first_block(text, "js").as_deref(), Some("a\n\nb\n"));
    assert_eq!(first_block(text, "sh").as_deref(), Some("npm\n"));
    assert_eq!(first_block(text, "j"), None);
    assert_eq!(first_block(text, "py"), None);
}
