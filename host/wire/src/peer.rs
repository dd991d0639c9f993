//! Who sent it, whom it is for.

use std::fmt;

/// A member's id: the 16 bytes of a UUID, drawn anew at each start of a process.
///
/// Fresh at each start is not a nicety: datagram nonces count from zero under a key that is derived
/// from this id (see [`crate::DatagramSealer`]).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub [u8; 16]);

/// The address of a datagram that is for every member: 16 zero bytes, which is no member's id.
pub const EVERYBODY: PeerId = PeerId([0; 16]);

/// The usual spelling of a UUID: `7c1bd6ca-1574-4e38-9189-effcd4ccafd2`.
impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            if matches!(at, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
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
    fn an_id_is_spelled_as_a_uuid() {
        let id = PeerId(std::array::from_fn(|at| 0x10 + at as u8));
        assert_eq!(id.to_string(), "10111213-1415-1617-1819-1a1b1c1d1e1f");
        assert_eq!(format!("{id:?}"), id.to_string());
    }
}
