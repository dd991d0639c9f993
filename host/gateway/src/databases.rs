//! The numbered databases of Redis clients. Each is a map of the grid.

use std::sync::LazyLock;

/// Number of databases. Each is a map of its own.
pub const DATABASES: usize = 16;

/// The names of their maps.
static MAP_NAMES: LazyLock<Vec<String>> = LazyLock::new(|| (0..DATABASES).map(map_name).collect());

/// The prefix of their names.
pub(crate) const PREFIX: &str = "resp:";

/// The name of the map of a database, such as `resp:0`.
pub(crate) fn map_name(database: usize) -> String {
    format!("{PREFIX}{database}")
}

/// As [`map_name`], if there is such a database.
pub(crate) fn existing_map_name(database: i64) -> Option<&'static str> {
    MAP_NAMES.get(usize::try_from(database).ok()?).map(String::as_str)
}
