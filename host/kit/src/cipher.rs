//! Frames that replace the encryption of members: anyone can read and create them. Own, foreign
//! and replayed frames are detected as with real encryption.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};

use convoke_discovery::{BeaconCipher, BeaconCiphers, BeaconRejection};

/// The first bytes of a frame.
const MAGIC: [u8; 4] = *b"KIT0";
/// Magic, key, sender, number.
const HEADER_BYTES: usize = 4 + 4 + 8 + 8;

/// The key shared by members of one cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key([u8; 4]);

impl Key {
    /// FNV-1a of the cluster name.
    pub(crate) fn of(cluster: &str) -> Self {
        let hash = cluster
            .bytes()
            .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
        Self(hash.to_be_bytes())
    }
}

/// Ciphers of one member of the cluster with `key`.
pub(crate) fn ciphers(key: Key) -> BeaconCiphers {
    let sender = new_sender();
    BeaconCiphers::new(move |_| Box::new(Frames { key, sender, sent: 0, seen: HashSet::new() }))
}

/// A frame as another member of the cluster would send it.
pub(crate) fn frame_from_new_sender(key: Key, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(HEADER_BYTES + payload.len());
    write(key, new_sender(), 1, payload, &mut frame);
    frame
}

/// The payload of a frame; `None` if it is not a frame.
pub(crate) fn payload(frame: &[u8]) -> Option<&[u8]> {
    frame.starts_with(&MAGIC).then(|| frame.get(HEADER_BYTES..))?
}

fn new_sender() -> u64 {
    static SENDERS: AtomicU64 = AtomicU64::new(1);
    SENDERS.fetch_add(1, Ordering::Relaxed)
}

fn write(key: Key, sender: u64, number: u64, payload: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&key.0);
    out.extend_from_slice(&sender.to_be_bytes());
    out.extend_from_slice(&number.to_be_bytes());
    out.extend_from_slice(payload);
}

struct Frames {
    key: Key,
    sender: u64,
    sent: u64,
    seen: HashSet<[u8; 16]>,
}

impl BeaconCipher for Frames {
    fn seal(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        self.sent += 1;
        write(self.key, self.sender, self.sent, payload, out);
        Ok(())
    }

    fn open(&mut self, datagram: &[u8], out: &mut Vec<u8>) -> Result<(), BeaconRejection> {
        let payload = payload(datagram).ok_or(BeaconRejection::Malformed)?;
        if datagram[4..8] != self.key.0 {
            return Err(BeaconRejection::Foreign);
        }
        if datagram[8..16] == self.sender.to_be_bytes() {
            return Err(BeaconRejection::Own);
        }
        let mut identity = [0; 16];
        identity.copy_from_slice(&datagram[8..HEADER_BYTES]);
        if !self.seen.insert(identity) {
            return Err(BeaconRejection::Replayed);
        }
        out.extend_from_slice(payload);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Frames, Key, frame_from_new_sender, new_sender};
    use convoke_discovery::{BeaconCipher as _, BeaconRejection};
    use std::collections::HashSet;

    fn member(cluster: &str) -> Frames {
        Frames { key: Key::of(cluster), sender: new_sender(), sent: 0, seen: HashSet::new() }
    }

    fn opened(by: &mut Frames, datagram: &[u8]) -> Result<Vec<u8>, BeaconRejection> {
        let mut payload = Vec::new();
        by.open(datagram, &mut payload).map(|()| payload)
    }

    #[test]
    fn own_foreign_replayed_and_malformed_frames_are_distinguished() {
        let (mut one, mut two, mut other) = (member("shop"), member("shop"), member("till"));
        let mut frame = Vec::new();
        one.seal(b"hello", &mut frame).unwrap();
        assert_eq!(opened(&mut two, &frame).unwrap(), b"hello");
        assert_eq!(opened(&mut two, &frame), Err(BeaconRejection::Replayed));
        assert_eq!(opened(&mut one, &frame), Err(BeaconRejection::Own));
        assert_eq!(opened(&mut other, &frame), Err(BeaconRejection::Foreign));
        for cut in 0..24 {
            assert_eq!(opened(&mut two, &frame[..cut]), Err(BeaconRejection::Malformed));
        }
        let other_sender = frame_from_new_sender(Key::of("shop"), b"");
        assert_eq!(opened(&mut two, &other_sender).unwrap(), b"");
    }
}
