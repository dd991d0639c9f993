//! Checks that the repository is written in plain technical English: expressions that have been
//! replaced must not come back.

use std::fs;
use std::path::{Path, PathBuf};

/// Expressions that must not occur, and what to write instead.
const REPLACED: &[(&str, &str)] = &[
    ("told", "returned, reported, sent, notified"),
    ("so many", "N, at most N, as many as"),
    ("so long", "for N ms, as long as"),
    ("anew", "again, re- (reload, rebuild)"),
    ("whoever", "the member that, the client that"),
    ("stranger", "unauthenticated peer"),
    ("strangers", "unauthenticated peers"),
    ("makes no sense", "is invalid"),
    ("goes its own way", "is partitioned"),
    ("stands still", "is paused"),
    ("stood still", "was paused"),
    ("hung up", "disconnected"),
    ("politely", "gracefully"),
    ("in vain", "timed out, without success"),
    ("read with care", "validated"),
    ("set otherwise", "with different settings"),
    ("half-done", "applied partially"),
    ("not whole", "incomplete"),
];

/// The folders and types of files that are checked: sources, pages and configuration.
const FOLDERS: &[&str] = &["host", "plugins", "wit", "xtask/src", "findings", "tests"];
const ENDINGS: &[&str] = &["rs", "md", "toml", "wit", "py", "mjs", "sh", "tcl", "c", "java"];
/// Folders with third-party and generated files, and this file.
const SKIPPED: &[&str] = &["deps", "target", "node_modules", "wording.rs"];

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if SKIPPED.contains(&&*name) || name.starts_with('.') {
            continue;
        }
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|end| ENDINGS.iter().any(|e| end == *e)) {
            found.push(path);
        }
    }
}

/// Whether a line contains `words`, not as part of a longer word.
fn has(line: &str, words: &str) -> bool {
    let is_inside = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    line.match_indices(words).any(|(at, _)| {
        let bytes = line.as_bytes();
        let before = at.checked_sub(1).and_then(|at| bytes.get(at));
        !is_inside(before) && !is_inside(bytes.get(at + words.len()))
    })
}

#[test]
fn replaced_words_do_not_come_back() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut all = Vec::new();
    for folder in FOLDERS {
        files(&root.join(folder), &mut all);
    }
    let pages = fs::read_dir(&root).expect("the repository").filter_map(|e| Some(e.ok()?.path()));
    all.extend(pages.filter(|path| path.extension().is_some_and(|end| end == "md")));
    assert!(all.len() > 300, "{} files", all.len());
    let mut found = Vec::new();
    for path in all {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        for (number, line) in text.lines().enumerate() {
            let line = line.to_ascii_lowercase();
            for (words, instead) in REPLACED.iter().filter(|(words, _)| has(&line, words)) {
                let path = path.strip_prefix(&root).unwrap_or(&path).display();
                found.push(format!("{path}:{}: {words:?}; write: {instead}", number + 1));
            }
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}
