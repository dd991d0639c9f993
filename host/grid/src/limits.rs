//! Limits that several layers use. All others are beside the code that enforces them.

/// Maximum length of a key, in bytes.
pub const KEY_BYTES_MAX: usize = 16 * 1024;
/// Maximum length of a value, or of one element of a structure, in bytes.
pub const VALUE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Maximum length of the names and values of one entry of a stream together, in bytes.
pub const STREAM_ENTRY_BYTES_MAX: usize = VALUE_BYTES_MAX;
/// Maximum length of the name of a consumer or of a group of consumers, in bytes.
pub const STREAM_NAME_BYTES_MAX: usize = 16 * 1024;
/// Maximum number of groups of one stream.
pub const STREAM_GROUPS_MAX: usize = 10_000;
/// Maximum number of consumers of one group.
pub const STREAM_CONSUMERS_MAX: usize = 100_000;
/// Maximum number of maps in a cluster.
pub const MAPS_MAX: usize = 1_024;
/// Maximum length of one message between members, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 512 * 1024 * 1024;
/// Maximum time for an operation, in milliseconds. If its replication is not confirmed by then, the
/// outcome is unknown.
pub const OP_MS_MAX: u64 = 5_000;
/// Maximum time for operations that are executed in one partition without a break, in milliseconds:
/// half of a lease, since no lease is renewed meanwhile.
pub(crate) const BATCH_MS_MAX: u64 = 500;
