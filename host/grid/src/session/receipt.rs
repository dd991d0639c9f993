//! The format of a session: the framing of messages, and receipts.

use serde::{Deserialize, Serialize};

use crate::encoding;

/// Length of the header of each message, which contains its length.
pub(super) const LENGTH_BYTES: usize = 4;
/// Number of refusals of one session that each side remembers.
pub(super) const REFUSED_MAX: usize = 65_536;

/// A receipt, sent back by the receiver of a session over the connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Receipt {
    /// The first receipt: the session continues after this message.
    Resume {
        /// The session, as named by the sender.
        session: u64,
        /// The last message that was processed; [`u64::MAX`] ends the session, because the receiver
        /// has forgotten refusals that the sender does not know.
        received: u64,
        /// Refused messages after the last one that the sender knew to be acknowledged.
        refused: Vec<u64>,
    },
    /// All messages up to this one are processed.
    Received {
        /// The last processed message.
        received: u64,
        /// Messages since the last receipt whose content was refused: the sender did not know yet
        /// that another member is the primary.
        refused: Vec<u64>,
    },
}

impl Receipt {
    /// Encodes the receipt (postcard).
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        encoding::encoded(self)
    }

    /// Decodes a receipt; `None` when it is malformed.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        postcard::from_bytes(bytes).ok()
    }
}
