//! The numbered databases of Redis clients. Each is a map of the grid.

use std::sync::LazyLock;

/// Number of databases. Each is a map of its own.
pub const DATABASES: usize = 16;

/// The names of their maps.
static MAP_NAMES: LazyLock<Vec<String>> = LazyLock::new(|| (0..DATABASES).map(map_name).collect());

/// The prefix of their names.
pub const PREFIX: &str = "resp:";

/// The name of the map of a database, such as `resp:0`.
pub(crate) fn map_name(database: usize) -> String {
    format!("{PREFIX}{database}")
}

/// As [`map_name`], if there is such a database.
pub(crate) fn existing_map_name(database: i64) -> Option<&'static str> {
    MAP_NAMES.get(usize::try_from(database).ok()?).map(String::as_str)
}

/// Whether a map of this name is a database.
#[must_use]
pub fn is_map_name(name: &str) -> bool {
    MAP_NAMES.iter().any(|known| known == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_database_is_one_map() {
        for (name, is_one) in [
            ("resp:0", true),
            ("resp:15", true),
            ("resp:16", false),
            ("resp:01", false),
            ("a", false),
        ] {
            assert_eq!(is_map_name(name), is_one, "{name}");
        }
    }
}
