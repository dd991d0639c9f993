//! The format of beacons.
//!
//! A beacon, all numbers big-endian:
//!
//! | bytes | content |
//! |---|---|
//! | 1 | version of the format, 1 |
//! | 1 | kind: 1 query, 2 announcement, 3 goodbye |
//! | 1 + n | length of the member id, and the id (UTF-8) |
//! | 2 | TCP port, 0 if the member accepts no connections |
//! | 1 | number of addresses, at most 16 |
//! | each 1 + 4 or 1 + 16 | length of an address, and the address |
//!
//! Further bytes are ignored, so that later versions can add fields. A beacon of another
//! version or kind, or a malformed one, is skipped. A beacon has at most 533 bytes, less than
//! the host's limit of 1,024.

use std::net::IpAddr;

/// Addresses of one member in a beacon.
pub(crate) const ADDRESSES_MAX: usize = 16;

/// Length of a member id, in bytes.
pub(crate) const MEMBER_ID_BYTES_MAX: usize = 255;

const VERSION: u8 = 1;

/// The kind of a beacon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The member looks for others, which should announce themselves.
    Query,
    /// The member announces itself.
    Announcement,
    /// The member leaves.
    Goodbye,
}

/// A beacon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Beacon {
    pub(crate) kind: Kind,
    /// At most [`MEMBER_ID_BYTES_MAX`] bytes.
    pub(crate) member_id: String,
    /// 0 if the member accepts no connections and must not be a candidate.
    pub(crate) port: u16,
    /// At most [`ADDRESSES_MAX`]; if empty, the datagram's source is the address.
    pub(crate) addresses: Vec<IpAddr>,
}

impl Beacon {
    /// Encodes the beacon.
    pub(crate) fn encode(&self) -> Vec<u8> {
        debug_assert!(self.member_id.len() <= MEMBER_ID_BYTES_MAX);
        debug_assert!(self.addresses.len() <= ADDRESSES_MAX);
        let kind = match self.kind {
            Kind::Query => 1,
            Kind::Announcement => 2,
            Kind::Goodbye => 3,
        };
        let mut bytes = vec![VERSION, kind, self.member_id.len() as u8];
        bytes.extend(self.member_id.as_bytes());
        bytes.extend(self.port.to_be_bytes());
        bytes.push(self.addresses.len() as u8);
        for address in &self.addresses {
            match address {
                IpAddr::V4(address) => {
                    bytes.push(4);
                    bytes.extend(address.octets());
                }
                IpAddr::V6(address) => {
                    bytes.push(16);
                    bytes.extend(address.octets());
                }
            }
        }
        bytes
    }

    /// Decodes a beacon; `None` if it is malformed, or of another version or kind.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = Rest(bytes);
        if rest.byte()? != VERSION {
            return None;
        }
        let kind = match rest.byte()? {
            1 => Kind::Query,
            2 => Kind::Announcement,
            3 => Kind::Goodbye,
            _ => return None,
        };
        let id_length = rest.byte()?;
        let member_id = str::from_utf8(rest.take(usize::from(id_length))?).ok()?.to_owned();
        let port = u16::from_be_bytes(rest.array()?);
        let count = usize::from(rest.byte()?);
        if count > ADDRESSES_MAX {
            return None;
        }
        let mut addresses = Vec::with_capacity(count);
        for _ in 0..count {
            addresses.push(match rest.byte()? {
                4 => IpAddr::from(rest.array::<4>()?),
                16 => IpAddr::from(rest.array::<16>()?),
                _ => return None,
            });
        }
        Some(Self { kind, member_id, port, addresses })
    }
}

/// The bytes that are still to be decoded.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn byte(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_beacon() -> impl Strategy<Value = Beacon> {
        let kind = prop::sample::select(vec![Kind::Query, Kind::Announcement, Kind::Goodbye]);
        let addresses = prop::collection::vec(any::<IpAddr>(), 0..=ADDRESSES_MAX);
        (kind, "[ -~]{0,255}", any::<u16>(), addresses).prop_map(
            |(kind, member_id, port, addresses)| Beacon { kind, member_id, port, addresses },
        )
    }

    #[test]
    fn the_encoding_matches_the_documentation() {
        let beacon = Beacon {
            kind: Kind::Announcement,
            member_id: "m1".to_owned(),
            port: 0x1AF4,
            addresses: vec!["10.0.0.7".parse().unwrap()],
        };
        assert_eq!(beacon.encode(), [1, 2, 2, b'm', b'1', 0x1A, 0xF4, 1, 4, 10, 0, 0, 7]);
    }

    #[test]
    fn the_largest_beacon_fits_the_hosts_limit() {
        let beacon = Beacon {
            kind: Kind::Query,
            member_id: "m".repeat(MEMBER_ID_BYTES_MAX),
            port: 6900,
            addresses: vec!["fd00::7".parse().unwrap(); ADDRESSES_MAX],
        };
        assert_eq!(beacon.encode().len(), 3 + 255 + 2 + 1 + 16 * 17);
        assert!(beacon.encode().len() <= 1024);
    }

    #[test]
    fn other_versions_and_kinds_are_skipped() {
        assert_eq!(Beacon::decode(&[2, 1, 1, b'm', 0, 1, 0]), None);
        assert_eq!(Beacon::decode(&[1, 9, 1, b'm', 0, 1, 0]), None);
        assert_eq!(Beacon::decode(&[]), None);
    }

    proptest! {
        #[test]
        fn an_encoded_beacon_is_decoded_and_trailing_bytes_are_ignored(
            beacon in any_beacon(), later_fields: Vec<u8>,
        ) {
            let mut bytes = beacon.encode();
            bytes.extend(later_fields);
            prop_assert_eq!(Beacon::decode(&bytes), Some(beacon));
        }

        #[test]
        fn a_truncated_beacon_is_skipped(beacon in any_beacon(), cut: prop::sample::Index) {
            let bytes = beacon.encode();
            prop_assert_eq!(Beacon::decode(&bytes[..cut.index(bytes.len())]), None);
        }

        #[test]
        fn decoding_never_panics(bytes: Vec<u8>) {
            let _ = Beacon::decode(&bytes);
        }

        #[test]
        fn a_decoded_beacon_is_bounded(mut bytes in prop::collection::vec(any::<u8>(), 2..1024)) {
            bytes[0] = VERSION;
            bytes[1] = 1 + bytes[1] % 3;
            if let Some(beacon) = Beacon::decode(&bytes) {
                prop_assert!(beacon.member_id.len() <= MEMBER_ID_BYTES_MAX);
                prop_assert!(beacon.addresses.len() <= ADDRESSES_MAX);
            }
        }
    }
}
