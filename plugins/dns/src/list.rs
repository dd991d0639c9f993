//! The whole argument.

use convoke_mode_sdk::quoted;

use crate::entry::{EXPECTED, Entry};

/// Entries of one argument: the host looks up as many names at once.
const ENTRIES_MAX: usize = 256;

/// Reads a list separated by `,`, `;` or white space, each entry once. Errors are
/// for the operator, and start with the offending value.
pub(crate) fn parse(argument: &str) -> Result<Vec<Entry>, String> {
    if argument.trim().is_empty() {
        return Err(format!("no name is given; {EXPECTED}"));
    }
    let mut entries = Vec::new();
    for (index, part) in argument.split([',', ';']).enumerate() {
        if part.trim().is_empty() {
            return Err(format!(
                "{} has nothing between its separators at part {}; {EXPECTED}",
                quoted(argument),
                index + 1
            ));
        }
        for text in part.split_whitespace() {
            let entry = Entry::parse(text)?;
            if !entries.contains(&entry) {
                entries.push(entry);
            }
            if entries.len() > ENTRIES_MAX {
                return Err(format!(
                    "{} is one more than {ENTRIES_MAX} names: give one name several addresses, or use a service (srv:)",
                    quoted(text)
                ));
            }
        }
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_all_kinds_mix() {
        let entries = parse(" a:1, b;c\t10.0.0.1:2 srv:_x._tcp.d ,a:1").unwrap();
        assert_eq!(entries.len(), 5);
    }

    #[test]
    fn nothing_is_no_list_and_neither_are_ten_thousand() {
        assert!(parse(" ").unwrap_err().starts_with("no name is given; expected name:port"));
        assert!(parse("a,,b").unwrap_err().contains("nothing between its separators at part 2"));
        let many: Vec<String> = (0..10_000).map(|n| format!("host-{n}:6900")).collect();
        let refusal = parse(&many.join(",")).unwrap_err();
        assert!(refusal.starts_with("\"host-256:6900\" is one more than 256 names"), "{refusal}");
    }
}
