//! Parser of the recorded values, in the format of `Effective.java`: `[file]`, followed by lines
//! `name = value`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::Values;

/// The values of each file, by its name.
pub(super) fn read(path: &Path) -> Result<BTreeMap<String, Values>, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    parse(&text)
        .map_err(|line| format!("{}:{line}: expected [file] or name = value", path.display()))
}

/// Parses the records. The error is the number of the invalid line.
fn parse(text: &str) -> Result<BTreeMap<String, Values>, usize> {
    let mut files: BTreeMap<String, Values> = BTreeMap::new();
    let mut current: Option<String> = None;
    for (number, line) in (1_usize..).zip(text.lines()) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(file) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            files.entry(file.to_owned()).or_default();
            current = Some(file.to_owned());
            continue;
        }
        let values = current.as_ref().and_then(|file| files.get_mut(file)).ok_or(number)?;
        let (name, value) = line.split_once(" = ").ok_or(number)?;
        values.insert(name.to_owned(), value.to_owned());
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn values_belong_to_the_file_above_them() {
        let files =
            parse("# by hand\n[a.xml]\nport = 1\nmap[x = y].ttl-s = 2\n\n[b.xml]\nport = 3\n");
        let files = files.unwrap();
        assert_eq!(files["a.xml"]["port"], "1");
        assert_eq!(files["b.xml"]["port"], "3");
        assert_eq!(parse("port = 1"), Err(1));
        assert_eq!(parse("[a]\nport"), Err(2));
    }
}
