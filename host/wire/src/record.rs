//! Records, the sealed units of a stream: `[u16 BE length][ciphertext … 16 bytes of tag]`.
//!
//! This is Noise's transport phase (revision 34, sections 5.1 and 11.3) with the two keys of snow's
//! handshake: AES-256-GCM, no associated data, nonce = four zero bytes || record counter. It is
//! implemented here and not by snow, to seal and open in place, and so that each direction owns its
//! key and can replace it independently: after each [`REKEY_RECORDS`] records both ends apply
//! Noise's REKEY, which keeps AES-GCM far within its limits for as long as a stream lives. The
//! tests compare it with snow's own transport.
//!
//! An empty record closes the stream: nothing follows it.

use crate::error::StreamError;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use zeroize::Zeroizing;

/// The longest plaintext of a record, in bytes: this much must arrive before any of it can be
/// opened.
pub const RECORD_BYTES_MAX: usize = 16 * 1024;

pub(crate) const LENGTH_BYTES: usize = 2;
pub(crate) const TAG_BYTES: usize = 16;
/// 64 GiB of full records; TLS 1.3 allows 388 GiB under one key.
const REKEY_RECORDS: u64 = 1 << 22;
/// Never reached in practice, and far below 2^64 - 1, the nonce that Noise reserves for REKEY.
const RECORDS_MAX: u64 = 1 << 62;

/// The key of one direction, with its record counter.
struct RecordCipher {
    key: LessSafeKey,
    counter: u64,
}

/// Seals outgoing records.
pub(crate) struct RecordSealer(RecordCipher);

/// Opens incoming records.
pub(crate) struct RecordOpener(RecordCipher);

impl RecordSealer {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self(RecordCipher { key: aes(key), counter: 0 })
    }

    /// Makes a record of the tail of `buffer`: [`LENGTH_BYTES`] reserved bytes at `start`, then at
    /// most [`RECORD_BYTES_MAX`] bytes of plaintext up to the end.
    pub(crate) fn seal_tail(
        &mut self,
        buffer: &mut Vec<u8>,
        start: usize,
    ) -> Result<(), StreamError> {
        let body = start + LENGTH_BYTES;
        let sealed_bytes = buffer.len() - body + TAG_BYTES;
        assert!(sealed_bytes <= RECORD_BYTES_MAX + TAG_BYTES, "a record is too long");
        let nonce = self.0.next_nonce()?;
        let tag = self
            .0
            .key
            .seal_in_place_separate_tag(nonce, Aad::empty(), &mut buffer[body..])
            .expect("a record is far below what AES-GCM can seal");
        buffer.extend_from_slice(tag.as_ref());
        let length = u16::try_from(sealed_bytes).expect("RECORD_BYTES_MAX fits 16 bits");
        buffer[start..body].copy_from_slice(&length.to_be_bytes());
        Ok(())
    }
}

impl RecordOpener {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self(RecordCipher { key: aes(key), counter: 0 })
    }

    /// Opens the body of the next record in place. The plaintext is at the front of `sealed`,
    /// [`TAG_BYTES`] shorter; returns its length.
    pub(crate) fn open(&mut self, sealed: &mut [u8]) -> Result<usize, StreamError> {
        let nonce = self.0.next_nonce()?;
        match self.0.key.open_in_place(nonce, Aad::empty(), sealed) {
            Ok(plaintext) => Ok(plaintext.len()),
            Err(_) => Err(StreamError::Tampered),
        }
    }
}

/// The length of a record's body, from the two bytes in front of it.
pub(crate) fn body_bytes(length: [u8; LENGTH_BYTES]) -> Result<usize, StreamError> {
    let bytes = usize::from(u16::from_be_bytes(length));
    if (TAG_BYTES..=RECORD_BYTES_MAX + TAG_BYTES).contains(&bytes) {
        Ok(bytes)
    } else {
        Err(StreamError::RecordLength { bytes })
    }
}

impl RecordCipher {
    fn next_nonce(&mut self) -> Result<Nonce, StreamError> {
        if self.counter >= RECORDS_MAX {
            return Err(StreamError::Exhausted);
        }
        if self.counter != 0 && self.counter.is_multiple_of(REKEY_RECORDS) {
            self.rekey();
        }
        let nonce = nonce(self.counter);
        self.counter += 1;
        Ok(nonce)
    }

    /// Noise's REKEY: the new key is the encryption of 32 zero bytes with the nonce 2^64 - 1.
    fn rekey(&mut self) {
        let mut key = Zeroizing::new([0; 32]);
        let _tag = self
            .key
            .seal_in_place_separate_tag(nonce(u64::MAX), Aad::empty(), key.as_mut_slice())
            .expect("32 bytes are far below what AES-GCM can seal");
        self.key = aes(&key);
    }
}

fn aes(key: &[u8; 32]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).expect("the key has the cipher's length"))
}

fn nonce(counter: u64) -> Nonce {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&counter.to_be_bytes());
    Nonce::assume_unique_for_key(nonce)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(sealer: &mut RecordSealer, plaintext: &[u8]) -> Vec<u8> {
        let mut buffer = vec![0; LENGTH_BYTES];
        buffer.extend_from_slice(plaintext);
        sealer.seal_tail(&mut buffer, 0).unwrap();
        buffer
    }

    fn opened(opener: &mut RecordOpener, record: &[u8]) -> Result<Vec<u8>, StreamError> {
        let mut body = record[LENGTH_BYTES..].to_vec();
        let bytes = opener.open(&mut body)?;
        body.truncate(bytes);
        Ok(body)
    }

    /// A handshake of snow with itself, up to the point where both ends may seal.
    fn snow_pair() -> (snow::HandshakeState, snow::HandshakeState) {
        let builder = || snow::Builder::new("Noise_NN_25519_AESGCM_SHA256".parse().unwrap());
        let mut initiator = builder().build_initiator().unwrap();
        let mut responder = builder().build_responder().unwrap();
        let (mut message, mut payload) = ([0; 96], [0; 96]);
        let bytes = initiator.write_message(&[], &mut message).unwrap();
        responder.read_message(&message[..bytes], &mut payload).unwrap();
        let bytes = responder.write_message(&[], &mut message).unwrap();
        initiator.read_message(&message[..bytes], &mut payload).unwrap();
        (initiator, responder)
    }

    #[test]
    fn records_are_compatible_with_the_transport_of_snow_across_a_rekey() {
        let (mut ours, theirs) = snow_pair();
        let (out, inward) = ours.dangerously_get_raw_split();
        let (mut sealer, mut opener) = (RecordSealer::new(&out), RecordOpener::new(&inward));
        let mut theirs = theirs.into_stateless_transport_mode().unwrap();
        let mut agree = |theirs: &snow::StatelessTransportState, nonce: u64| {
            sealer.0.counter = nonce;
            opener.0.counter = nonce;
            let mut plaintext = [0; 64];
            let sent = record(&mut sealer, b"from us");
            let bytes = theirs.read_message(nonce, &sent[LENGTH_BYTES..], &mut plaintext).unwrap();
            assert_eq!(&plaintext[..bytes], b"from us");

            let mut sealed = vec![0; LENGTH_BYTES + 64];
            let bytes =
                theirs.write_message(nonce, b"from them", &mut sealed[LENGTH_BYTES..]).unwrap();
            sealed.truncate(LENGTH_BYTES + bytes);
            assert_eq!(opened(&mut opener, &sealed).unwrap(), b"from them");
        };
        for nonce in [0, 1, 2, REKEY_RECORDS - 1] {
            agree(&theirs, nonce);
        }
        theirs.rekey_incoming();
        theirs.rekey_outgoing();
        for nonce in [REKEY_RECORDS, REKEY_RECORDS + 1] {
            agree(&theirs, nonce);
        }
    }

    #[test]
    fn a_record_opens_only_in_order() {
        let mut sealer = RecordSealer::new(&[1; 32]);
        let (first, second) = (record(&mut sealer, b"1"), record(&mut sealer, b"2"));
        let mut opener = RecordOpener::new(&[1; 32]);
        assert_eq!(opened(&mut opener, &first).unwrap(), b"1");
        assert!(matches!(opened(&mut opener, &first), Err(StreamError::Tampered)));
        let mut opener = RecordOpener::new(&[1; 32]);
        assert!(matches!(opened(&mut opener, &second), Err(StreamError::Tampered)));
    }

    #[test]
    fn an_exhausted_direction_reports_an_error_long_before_its_nonces_end() {
        let mut sealer = RecordSealer::new(&[1; 32]);
        sealer.0.counter = RECORDS_MAX;
        let mut buffer = vec![0; LENGTH_BYTES];
        assert!(matches!(sealer.seal_tail(&mut buffer, 0), Err(StreamError::Exhausted)));
        let mut opener = RecordOpener::new(&[1; 32]);
        opener.0.counter = RECORDS_MAX;
        assert!(matches!(opener.open(&mut [0; 20]), Err(StreamError::Exhausted)));
    }

    #[test]
    fn a_record_has_at_least_its_tag_and_at_most_16_kib() {
        assert_eq!(body_bytes(16_u16.to_be_bytes()).unwrap(), 16);
        assert_eq!(body_bytes(16_400_u16.to_be_bytes()).unwrap(), 16_400);
        for wrong in [0, 15, 16_401, u16::MAX] {
            assert!(matches!(
                body_bytes(wrong.to_be_bytes()),
                Err(StreamError::RecordLength { bytes }) if bytes == usize::from(wrong)
            ));
        }
    }
}
