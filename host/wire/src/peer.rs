//! Ids of senders and receivers.

use std::fmt;

use data_encoding::HEXLOWER;

/// A member's id: the 16 bytes of a UUID, generated at each start of a process.
///
/// A new id at each start is required for security: datagram nonces count from zero under a key
/// that is derived from this id (see [`crate::DatagramSealer`]).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub [u8; 16]);

/// The receiver of a datagram to all members: 16 zero bytes, which is not a member id.
pub const BROADCAST: PeerId = PeerId([0; 16]);

/// Formats the id as a UUID: `7c1bd6ca-1574-4e38-9189-effcd4ccafd2`.
impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = HEXLOWER.encode(&self.0);
        let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| &digits[part]);
        f.write_str(&parts.join("-"))
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<[u8; 16]> for PeerId {
    fn from(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_formatted_as_a_uuid() {
        let id = PeerId(std::array::from_fn(|at| 0x10 + at as u8));
        assert_eq!(id.to_string(), "10111213-1415-1617-1819-1a1b1c1d1e1f");
        assert_eq!(format!("{id:?}"), id.to_string());
    }
}
