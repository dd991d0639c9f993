//! Frames in place of the members' seal: anybody can read and make them, and they tell
//! own, foreign and repeated ones as the seal does.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};

use convoke_discovery::{BeaconCipher, BeaconCiphers, BeaconRefusal};

/// What a frame begins with.
const MAGIC: [u8; 4] = *b"KIT0";
/// Magic, key, sender, number.
const HEADER_BYTES: usize = 4 + 4 + 8 + 8;

/// What members of one cluster share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key([u8; 4]);

impl Key {
    /// FNV-1a of the cluster's name.
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

/// A frame as some other member of the cluster would send it.
pub(crate) fn frame_of_a_stranger(key: Key, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(HEADER_BYTES + payload.len());
    write(key, new_sender(), 1, payload, &mut frame);
    frame
}

/// What is in a frame; `None` when it is none.
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

    fn open(&mut self, datagram: &[u8], out: &mut Vec<u8>) -> Result<(), BeaconRefusal> {
        let payload = payload(datagram).ok_or(BeaconRefusal::Malformed)?;
        if datagram[4..8] != self.key.0 {
            return Err(BeaconRefusal::Foreign);
        }
        if datagram[8..16] == self.sender.to_be_bytes() {
            return Err(BeaconRefusal::Own);
        }
        let mut identity = [0; 16];
        identity.copy_from_slice(&datagram[8..HEADER_BYTES]);
        if !self.seen.insert(identity) {
            return Err(BeaconRefusal::Replayed);
        }
        out.extend_from_slice(payload);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Frames, Key, frame_of_a_stranger, new_sender};
    use convoke_discovery::{BeaconCipher as _, BeaconRefusal};
    use std::collections::HashSet;

    fn member(cluster: &str) -> Frames {
        Frames { key: Key::of(cluster), sender: new_sender(), sent: 0, seen: HashSet::new() }
    }

    fn opened(by: &mut Frames, datagram: &[u8]) -> Result<Vec<u8>, BeaconRefusal> {
        let mut payload = Vec::new();
        by.open(datagram, &mut payload).map(|()| payload)
    }

    #[test]
    fn own_foreign_repeated_and_malformed_ones_are_told_apart() {
        let (mut one, mut two, mut other) = (member("shop"), member("shop"), member("till"));
        let mut frame = Vec::new();
        one.seal(b"hello", &mut frame).unwrap();
        assert_eq!(opened(&mut two, &frame).unwrap(), b"hello");
        assert_eq!(opened(&mut two, &frame), Err(BeaconRefusal::Replayed));
        assert_eq!(opened(&mut one, &frame), Err(BeaconRefusal::Own));
        assert_eq!(opened(&mut other, &frame), Err(BeaconRefusal::Foreign));
        for cut in 0..24 {
            assert_eq!(opened(&mut two, &frame[..cut]), Err(BeaconRefusal::Malformed));
        }
        let stranger = frame_of_a_stranger(Key::of("shop"), b"");
        assert_eq!(opened(&mut two, &stranger).unwrap(), b"");
    }
}
