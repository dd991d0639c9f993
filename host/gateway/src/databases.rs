//! The numbered databases of Redis clients. Each is a map of the grid.

/// Number of databases. Each is a map of its own.
pub(crate) const DATABASES: usize = 16;

/// The name of the map of a database, such as `resp:0`.
pub(crate) fn map_name(database: usize) -> String {
    format!("resp:{database}")
}
