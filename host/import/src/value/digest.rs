//! Digests of values, to compare those of two servers without keeping them.

use std::hash::Hasher as _;

use siphasher::sip128::{Hasher128 as _, SipHasher13};

use super::reader::{Reader, Unread};
use super::{Kind, Piece, Store, score};

/// The digest of a value that is added piece by piece. How it is divided makes no difference, nor
/// does the order of sets, sorted sets and fields.
#[derive(Clone, Debug, Default)]
pub(crate) struct Digest {
    /// Of what has an order.
    sequence: SipHasher13,
    /// Sum of the digests of what has none.
    sum: u128,
    elements: u64,
}

/// The digest of parts, each of which is preceded by its length.
fn of(parts: &[&[u8]]) -> u128 {
    let mut hasher = SipHasher13::new();
    for part in parts {
        hasher.write_u64(part.len() as u64);
        hasher.write(part);
    }
    hasher.finish128().as_u128()
}

impl Digest {
    fn append(&mut self, parts: &[&[u8]]) {
        self.elements += 1;
        self.sequence.write(&of(parts).to_le_bytes());
    }

    fn include(&mut self, parts: &[&[u8]]) {
        self.elements += 1;
        self.sum = self.sum.wrapping_add(of(parts));
    }

    pub(crate) fn add(&mut self, piece: &Piece) {
        match piece {
            Piece::Bytes(bytes) => self.sequence.write(bytes),
            Piece::Elements(all) => all.iter().for_each(|element| self.append(&[element])),
            Piece::Members(all) => all.iter().for_each(|member| self.include(&[member])),
            Piece::Scored(all) => {
                for (member, text) in all {
                    // Servers write the same score in different ways.
                    let score = score(text).map(|score| (score + 0.0).to_bits());
                    self.include(&[member, &score.unwrap_or(u64::MAX).to_le_bytes()]);
                }
            }
            Piece::Fields(all) => {
                for field in all {
                    let deadline = field.deadline_ms.unwrap_or(u64::MAX).to_le_bytes();
                    self.include(&[&field.name, &field.value, &deadline]);
                }
            }
            Piece::Entries(all) => {
                for entry in all {
                    let fields = entry.fields.iter().map(Vec::as_slice);
                    let parts: Vec<&[u8]> = std::iter::once(&*entry.id).chain(fields).collect();
                    self.append(&parts);
                }
            }
            Piece::StreamEnd(info) => self.append(&[b"end", &info.last_id]),
            Piece::Group(group) => {
                let consumers = group.consumers.iter().map(Vec::as_slice);
                let group = [&b"group"[..], &group.name, &group.last_id];
                let parts: Vec<&[u8]> = group.into_iter().chain(consumers).collect();
                self.include(&parts);
            }
            Piece::Pending(group, all) => {
                for pending in all {
                    let deliveries = pending.deliveries.to_le_bytes();
                    self.include(&[group, &pending.id, &pending.consumer, &deliveries]);
                }
            }
        }
    }

    pub(crate) fn finish(&self) -> (u128, u128, u64) {
        (self.sequence.finish128().as_u128(), self.sum, self.elements)
    }

    /// The digest of the value of a key.
    pub(crate) async fn read(
        store: &mut impl Store,
        key: &[u8],
        kind: &Kind,
    ) -> Result<(u128, u128, u64), Unread> {
        let (mut reader, mut digest) = (Reader::new(key, kind), Self::default());
        while let Some(piece) = reader.next(store).await? {
            digest.add(&piece);
        }
        Ok(digest.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(pieces: &[Piece]) -> (u128, u128, u64) {
        let mut digest = Digest::default();
        pieces.iter().for_each(|piece| digest.add(piece));
        digest.finish()
    }

    fn words(words: &[&str]) -> Vec<Vec<u8>> {
        words.iter().map(|word| word.as_bytes().to_vec()).collect()
    }

    #[test]
    fn the_order_counts_for_lists_only() {
        let list = |all: &[&str]| digest(&[Piece::Elements(words(all))]);
        assert_ne!(list(&["a", "b"]), list(&["b", "a"]));
        assert_ne!(list(&["ab", "c"]), list(&["a", "bc"]));
        let set = |all: &[&str]| digest(&[Piece::Members(words(all))]);
        assert_eq!(set(&["a", "b"]), set(&["b", "a"]));
        assert_ne!(set(&["a", "b"]), set(&["a", "c"]));
    }

    #[test]
    fn the_pieces_make_no_difference() {
        let parts = [Piece::Elements(words(&["a"])), Piece::Elements(words(&["b", "c"]))];
        assert_eq!(digest(&parts), digest(&[Piece::Elements(words(&["a", "b", "c"]))]));
        let parts = [Piece::Bytes(b"he".to_vec()), Piece::Bytes(b"llo".to_vec())];
        assert_eq!(digest(&parts), digest(&[Piece::Bytes(b"hello".to_vec())]));
    }

    #[test]
    fn scores_are_compared_as_numbers() {
        let scored = |text: &str| digest(&[Piece::Scored(vec![(b"m".to_vec(), text.into())])]);
        assert_eq!(scored("1e3"), scored("1000"));
        assert_eq!(scored("-0"), scored("0"));
        assert_ne!(scored("1"), scored("2"));
    }
}
