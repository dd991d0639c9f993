//! Parses the argument into entries.

use convoke_mode_sdk::quoted;

use crate::entry::{EXPECTED, Entry};

/// Entries of one argument; the host looks up as many names in one call.
const ENTRIES_MAX: usize = 256;

/// Parses a list separated by `,`, `;` or white space, and removes duplicates. Error texts are
/// for the operator, and start with the offending value.
pub(crate) fn parse(argument: &str) -> Result<Vec<Entry>, String> {
    if argument.trim().is_empty() {
        return Err(format!("the argument is empty; {EXPECTED}"));
    }
    let mut entries = Vec::new();
    for (index, part) in argument.split([',', ';']).enumerate() {
        if part.trim().is_empty() {
            return Err(format!(
                "{} has an empty entry at position {}; {EXPECTED}",
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
                    "{} exceeds the limit of {ENTRIES_MAX} entries; use one name with several addresses, or a service (srv:)",
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
    fn entries_of_all_kinds_can_be_combined() {
        let entries = parse(" a:1, b;c\t10.0.0.1:2 srv:_x._tcp.d ,a:1").unwrap();
        assert_eq!(entries.len(), 5);
    }

    #[test]
    fn an_empty_list_and_a_list_that_is_too_long_are_rejected() {
        assert!(parse(" ").unwrap_err().starts_with("the argument is empty; expected name:port"));
        assert!(parse("a,,b").unwrap_err().contains("an empty entry at position 2"));
        let many: Vec<String> = (0..10_000).map(|n| format!("host-{n}:6900")).collect();
        let refusal = parse(&many.join(",")).unwrap_err();
        assert!(
            refusal.starts_with("\"host-256:6900\" exceeds the limit of 256 entries"),
            "{refusal}"
        );
    }
}
