//! Limits on what a peer may send.

/// Maximum length of a message before the client is authenticated, in bytes.
pub const UNAUTHENTICATED_BYTES_MAX: usize = 64 * 1024;

/// Maximum length of a message of an authenticated client, in bytes. Also the maximum of all
/// fragments that a connection keeps.
pub const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Maximum number of frames of a message: a list of two million entries.
pub const FRAMES_MAX: usize = 4 * 1024 * 1024;

/// Maximum depth of nested data structures in a message. The deepest one that is defined, a list
/// of errors with their stack traces, has a depth of 4.
pub const DEPTH_MAX: usize = 16;

/// Maximum number of fragmented messages that a connection may have open.
pub const FRAGMENTED_MAX: usize = 16;

/// Maximum depth of nested objects in a blob ([`crate::data`]) or in a stream of Java objects.
pub const OBJECT_DEPTH_MAX: usize = 16;
