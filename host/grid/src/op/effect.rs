//! How operations affect the stored data.

/// How an operation may affect the stored data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// It only reads.
    Reads,
    /// It changes or removes data, and needs no more memory.
    Changes,
    /// It may need more memory.
    Adds,
}
