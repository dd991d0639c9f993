//! Sealed datagrams: the payload of one UDP datagram, authenticated and bound to one receiver,
//! delivered at most once.
//!
//! ```text
//! offset  0       1            17            23               29
//!         version sender id    salt, random  counter, u48 BE  ciphertext … 16 bytes of tag
//!         └──────────────── header ─────────────────────────┘
//! cipher  AES-256-GCM
//! key     HKDF-Expand(datagram key, "convoke/1 datagrams" || sender id)
//! nonce   salt || counter
//! aad     header || receiver id
//! ```
//!
//! The counter starts at zero in each process. Nonces do not repeat anyway, since each process has
//! a new sender id and the key is derived from it. Resuming a snapshot of a running virtual machine
//! more than once gives several processes with the same id and counter; the salt, random in each
//! datagram, keeps their nonces apart. The receiver's id is authenticated but not sent: a datagram
//! for one member does not authenticate at any other, and a datagram recorded before a member
//! restarted does not authenticate afterwards.

use crate::keys::DatagramKey;
use crate::peer::{BROADCAST, PeerId};
use crate::replay::ReplayWindow;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf;
use ring::rand::{SecureRandom, SystemRandom};
use std::collections::HashMap;
use thiserror::Error;

/// The longest sealed datagram, in bytes: fits the MTU of Ethernet, including tunnels.
pub const DATAGRAM_BYTES_MAX: usize = 1_400;
/// The longest payload of a datagram, in bytes.
pub const DATAGRAM_PAYLOAD_BYTES_MAX: usize = DATAGRAM_BYTES_MAX - OVERHEAD_BYTES;
/// Senders that an opener remembers, at most.
///
/// When the table is full, the sender that was silent longest is forgotten, as if by
/// [`DatagramOpener::forget`]: a recorded datagram from it could then be replayed once. Far above
/// the size of a cluster, so that the forgotten sender is one that no longer runs.
pub const SENDERS_MAX: usize = 8_192;

const VERSION: u8 = 2;
const SENDER_AT: usize = 1;
const NONCE_AT: usize = 17;
const SALT_BYTES: usize = 6;
const NONCE_BYTES: usize = 12;
const HEADER_BYTES: usize = NONCE_AT + NONCE_BYTES;
const TAG_BYTES: usize = 16;
const OVERHEAD_BYTES: usize = HEADER_BYTES + TAG_BYTES;
const AAD_BYTES: usize = HEADER_BYTES + 16;
/// 2^48 datagrams, the range of six bytes: a million a second for eight years, and far below the
/// limits of AES-GCM.
const COUNTER_MAX: u64 = 1 << 48;

/// Why a payload was not sealed.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum SealError {
    /// The payload does not fit a datagram.
    #[error(
        "a datagram of {bytes} bytes is too large; at most {DATAGRAM_PAYLOAD_BYTES_MAX} are \
         allowed"
    )]
    TooLarge {
        /// Length of the payload, in bytes.
        bytes: usize,
    },
    /// 2^48 datagrams were sealed under this sender id.
    #[error("this member has sealed 2^48 datagrams; restart it to get a new id")]
    Exhausted,
    /// The operating system provided no random bytes.
    #[error("the operating system provided no random bytes for a datagram")]
    NoRandomness,
}

/// Why a datagram was not opened. Only `Replayed` concerns a datagram that a member sent.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum OpenError {
    /// It does not authenticate: it is from another cluster, for another member, altered, or noise.
    #[error(
        "the datagram does not authenticate (it is from another cluster, for another member, or noise)"
    )]
    Foreign,
    /// It was delivered before, or is too old for the replay window.
    #[error("the datagram was delivered before, or is too old for the replay window")]
    Replayed,
    /// It is shorter than an empty datagram, or its header is invalid.
    #[error("the datagram is malformed")]
    Malformed,
    /// It is longer than [`DATAGRAM_BYTES_MAX`].
    #[error("the datagram is longer than {DATAGRAM_BYTES_MAX} bytes")]
    TooLarge,
    /// Its first byte is a layout version that this build does not support. Nothing is
    /// authenticated yet: on a shared port this is most often a datagram of another program.
    #[error("the datagram has layout version {0}; this member supports {VERSION}")]
    Version(u8),
    /// It has this process's own sender id: a multicast beacon that was looped back.
    #[error("the datagram was sent by this member")]
    Own,
}

/// The authenticated properties of an opened datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The sender: a holder of the cluster's keys that uses this id.
    pub sender: PeerId,
}

/// Seals the datagrams of one process.
///
/// At most one may exist for each key and sender id, since two would reuse nonces; therefore it is
/// not `Clone`.
pub struct DatagramSealer {
    sender: PeerId,
    key: LessSafeKey,
    counter: u64,
    random: SystemRandom,
}

impl DatagramSealer {
    /// A sealer for `sender`, an id that no other process has used.
    ///
    /// # Panics
    /// If `sender` is [`BROADCAST`], which is not a member id.
    pub fn new(key: &DatagramKey, sender: PeerId) -> Self {
        assert_ne!(sender, BROADCAST, "the nil id is not a member id");
        let key = sender_key(&expander(key), sender);
        Self { sender, key, counter: 0, random: SystemRandom::new() }
    }

    /// Seals `payload` for the member `to`, or for [`BROADCAST`]. `out` is replaced by the
    /// datagram; on an error it is empty.
    pub fn seal(&mut self, to: PeerId, payload: &[u8], out: &mut Vec<u8>) -> Result<(), SealError> {
        out.clear();
        let mut salt = [0; SALT_BYTES];
        self.random.fill(&mut salt).map_err(|_| SealError::NoRandomness)?;
        self.seal_with(salt, to, payload, out)
    }

    fn seal_with(
        &mut self,
        salt: [u8; SALT_BYTES],
        to: PeerId,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), SealError> {
        if payload.len() > DATAGRAM_PAYLOAD_BYTES_MAX {
            return Err(SealError::TooLarge { bytes: payload.len() });
        }
        if self.counter >= COUNTER_MAX {
            return Err(SealError::Exhausted);
        }
        let nonce = nonce(salt, self.counter);
        self.counter += 1;

        out.reserve(payload.len() + OVERHEAD_BYTES);
        out.push(VERSION);
        out.extend_from_slice(&self.sender.0);
        out.extend_from_slice(&nonce);
        let aad = aad(out, to);
        out.extend_from_slice(payload);
        let tag = self
            .key
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                aad,
                &mut out[HEADER_BYTES..],
            )
            .expect("a datagram is far below what AES-GCM can seal");
        out.extend_from_slice(tag.as_ref());
        debug_assert!(out.len() <= DATAGRAM_BYTES_MAX);
        Ok(())
    }
}

/// Opens the datagrams for one process, each at most once.
///
/// Keys and counters are kept only for senders that authenticated, so unauthenticated peers cannot
/// fill the table. What was delivered before the opener was created, or before a sender was
/// forgotten, is not known. For datagrams to a member this does not matter, since its id is new at
/// each start. A recorded beacon may be replayed to a member that has just started, so treat
/// beacons as hints.
pub struct DatagramOpener {
    own: PeerId,
    receiver: PeerId,
    expander: hkdf::Prk,
    senders: HashMap<PeerId, Sender>,
    senders_max: usize,
    opened: u64,
}

struct Sender {
    key: LessSafeKey,
    window: ReplayWindow,
    /// The opener's count of opened datagrams when this sender was last heard.
    heard: u64,
}

impl DatagramOpener {
    /// An opener for datagrams to the member `own` only.
    pub fn new(key: &DatagramKey, own: PeerId) -> Self {
        Self::with(key, own, own)
    }

    /// An opener for datagrams to [`BROADCAST`] only.
    pub fn for_broadcast(key: &DatagramKey, own: PeerId) -> Self {
        Self::with(key, own, BROADCAST)
    }

    fn with(key: &DatagramKey, own: PeerId, receiver: PeerId) -> Self {
        Self {
            own,
            receiver,
            expander: expander(key),
            senders: HashMap::new(),
            senders_max: SENDERS_MAX,
            opened: 0,
        }
    }

    /// Opens a datagram. `out` is replaced by its payload; on an error it is empty.
    pub fn open(&mut self, datagram: &[u8], out: &mut Vec<u8>) -> Result<Opened, OpenError> {
        out.clear();
        let (sender, nonce) = self.read_header(datagram)?;
        let counter = counter_of(nonce);
        let (header, sealed) = datagram.split_at(HEADER_BYTES);
        let aad = aad(header, self.receiver);
        out.extend_from_slice(sealed);

        let opened = if let Some(known) = self.senders.get_mut(&sender) {
            open_in_place(&known.key, nonce, aad, out).and_then(|()| {
                if !known.window.accept(counter) {
                    return Err(OpenError::Replayed);
                }
                known.heard = self.opened;
                Ok(())
            })
        } else {
            let key = sender_key(&self.expander, sender);
            open_in_place(&key, nonce, aad, out).map(|()| {
                let window = ReplayWindow::starting_at(counter);
                self.remember(sender, Sender { key, window, heard: self.opened });
            })
        };
        match opened {
            Ok(()) => {
                self.opened += 1;
                Ok(Opened { sender })
            }
            Err(error) => {
                out.clear();
                Err(error)
            }
        }
    }

    /// The sender id in the header of a datagram. Cheap, and not authenticated.
    pub fn claimed_sender(&self, datagram: &[u8]) -> Result<PeerId, OpenError> {
        self.read_header(datagram).map(|(sender, _)| sender)
    }

    /// Whether a datagram from this sender was opened before. The first one costs several times as
    /// much as later ones, since a key is derived.
    pub fn is_known(&self, sender: PeerId) -> bool {
        self.senders.contains_key(&sender)
    }

    /// Forgets a sender that left for good. Its recorded datagrams would open once more, so the
    /// caller must reject the sender from then on.
    pub fn forget(&mut self, sender: PeerId) {
        self.senders.remove(&sender);
    }

    /// Number of remembered senders; at most [`SENDERS_MAX`].
    pub fn senders(&self) -> usize {
        self.senders.len()
    }

    /// Checks what can be checked without cryptography.
    fn read_header(&self, datagram: &[u8]) -> Result<(PeerId, [u8; NONCE_BYTES]), OpenError> {
        if datagram.len() > DATAGRAM_BYTES_MAX {
            return Err(OpenError::TooLarge);
        }
        let version = *datagram.first().ok_or(OpenError::Malformed)?;
        if version != VERSION {
            return Err(OpenError::Version(version));
        }
        if datagram.len() < OVERHEAD_BYTES {
            return Err(OpenError::Malformed);
        }
        let mut sender = [0; 16];
        sender.copy_from_slice(&datagram[SENDER_AT..NONCE_AT]);
        let mut nonce = [0; NONCE_BYTES];
        nonce.copy_from_slice(&datagram[NONCE_AT..HEADER_BYTES]);
        let sender = PeerId(sender);
        if sender == BROADCAST {
            return Err(OpenError::Malformed);
        }
        if sender == self.own {
            return Err(OpenError::Own);
        }
        Ok((sender, nonce))
    }

    fn remember(&mut self, id: PeerId, sender: Sender) {
        if self.senders.len() >= self.senders_max {
            // Linear, but runs only when a new sender authenticates while the table is full.
            let stalest = self.senders.iter().min_by_key(|(_, known)| known.heard);
            if let Some(stalest) = stalest.map(|(id, _)| *id) {
                self.senders.remove(&stalest);
            }
        }
        self.senders.insert(id, sender);
    }
}

/// The HKDF key from which senders' keys are expanded; the datagram key is itself an output of
/// HKDF.
fn expander(key: &DatagramKey) -> hkdf::Prk {
    hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, key.bytes())
}

fn sender_key(expander: &hkdf::Prk, sender: PeerId) -> LessSafeKey {
    let info: [&[u8]; 2] = [b"convoke/1 datagrams", &sender.0];
    let okm = expander.expand(&info, &AES_256_GCM).expect("32 bytes are within the limit of HKDF");
    LessSafeKey::new(UnboundKey::from(okm))
}

fn nonce(salt: [u8; SALT_BYTES], counter: u64) -> [u8; NONCE_BYTES] {
    let mut nonce = [0; NONCE_BYTES];
    nonce[NONCE_BYTES - 8..].copy_from_slice(&counter.to_be_bytes());
    nonce[..SALT_BYTES].copy_from_slice(&salt);
    nonce
}

fn counter_of(nonce: [u8; NONCE_BYTES]) -> u64 {
    let mut counter = [0; 8];
    counter[8 - (NONCE_BYTES - SALT_BYTES)..].copy_from_slice(&nonce[SALT_BYTES..]);
    u64::from_be_bytes(counter)
}

fn aad(header: &[u8], receiver: PeerId) -> Aad<[u8; AAD_BYTES]> {
    let mut aad = [0; AAD_BYTES];
    aad[..HEADER_BYTES].copy_from_slice(header);
    aad[HEADER_BYTES..].copy_from_slice(&receiver.0);
    Aad::from(aad)
}

fn open_in_place(
    key: &LessSafeKey,
    nonce: [u8; NONCE_BYTES],
    aad: Aad<[u8; AAD_BYTES]>,
    out: &mut Vec<u8>,
) -> Result<(), OpenError> {
    let nonce = Nonce::assume_unique_for_key(nonce);
    let bytes = key.open_in_place(nonce, aad, out).map_err(|_| OpenError::Foreign)?.len();
    out.truncate(bytes);
    Ok(())
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;
    use proptest::prelude::*;

    use super::*;
    use std::collections::HashSet;

    const A: PeerId = PeerId([0xaa; 16]);
    const B: PeerId = PeerId([0xbb; 16]);
    const C: PeerId = PeerId([0xcc; 16]);

    fn key() -> DatagramKey {
        DatagramKey::of([7; 32])
    }

    fn sealed(sealer: &mut DatagramSealer, to: PeerId, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        sealer.seal(to, payload, &mut out).unwrap();
        out
    }

    fn open(opener: &mut DatagramOpener, datagram: &[u8]) -> Result<(PeerId, Vec<u8>), OpenError> {
        let mut out = vec![1, 2, 3];
        let opened = opener.open(datagram, &mut out);
        assert!(opened.is_ok() || out.is_empty(), "the output has bytes after an error");
        opened.map(|opened| (opened.sender, out))
    }

    // The expected bytes come from an independent implementation (Python: hmac, OpenSSL's AES-GCM).
    #[test]
    fn the_layout_matches_the_test_vector() {
        let sender = PeerId(std::array::from_fn(|at| at as u8));
        let receiver = PeerId(std::array::from_fn(|at| 16 + at as u8));
        let mut sealer = DatagramSealer::new(&key(), sender);
        let mut out = Vec::new();
        sealer
            .seal_with([0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5], receiver, b"hello", &mut out)
            .unwrap();
        assert_eq!(
            HEXLOWER.encode(&out),
            "02000102030405060708090a0b0c0d0e0fa0a1a2a3a4a5000000000000\
             aa830c95f2a9008903c762da5f1537c54416621fe6"
        );
        out.clear();
        sealer.seal_with([0xb0; SALT_BYTES], BROADCAST, b"", &mut out).unwrap();
        assert_eq!(
            HEXLOWER.encode(&out),
            "02000102030405060708090a0b0c0d0e0fb0b0b0b0b0b0000000000001\
             9f079dee36d908244a2baae41970b7e0"
        );
    }

    #[test]
    fn two_processes_from_one_snapshot_use_no_nonce_twice() {
        let mut sealers = [(); 2].map(|()| DatagramSealer::new(&key(), A));
        let mut nonces = HashSet::new();
        for sealer in &mut sealers {
            for _ in 0..100 {
                let datagram = sealed(sealer, B, b"ping");
                nonces.insert(datagram[NONCE_AT..HEADER_BYTES].to_vec());
            }
        }
        assert_eq!(nonces.len(), 200);
    }

    #[test]
    fn a_datagram_opens_at_its_receiver_and_names_its_sender() {
        let mut sealer = DatagramSealer::new(&key(), A);
        let mut opener = DatagramOpener::new(&key(), B);
        let datagram = sealed(&mut sealer, B, b"ping");
        assert_eq!(open(&mut opener, &datagram), Ok((A, b"ping".to_vec())));
    }

    #[test]
    fn a_datagram_for_one_member_does_not_open_at_another() {
        let mut sealer = DatagramSealer::new(&key(), A);
        let datagram = sealed(&mut sealer, B, b"ping");
        let mut at_c = DatagramOpener::new(&key(), C);
        let mut at_broadcast = DatagramOpener::for_broadcast(&key(), B);
        assert_eq!(open(&mut at_c, &datagram), Err(OpenError::Foreign));
        assert_eq!(open(&mut at_broadcast, &datagram), Err(OpenError::Foreign));
        assert_eq!((at_c.senders(), at_broadcast.senders()), (0, 0));
    }

    #[test]
    fn a_beacon_opens_at_every_member_but_not_as_a_datagram_for_one_member() {
        let mut sealer = DatagramSealer::new(&key(), A);
        let beacon = sealed(&mut sealer, BROADCAST, b"here");
        for id in [B, C] {
            let mut opener = DatagramOpener::for_broadcast(&key(), id);
            assert_eq!(open(&mut opener, &beacon), Ok((A, b"here".to_vec())));
        }
        assert_eq!(open(&mut DatagramOpener::new(&key(), B), &beacon), Err(OpenError::Foreign));
    }

    #[test]
    fn a_datagram_of_another_cluster_is_foreign() {
        let mut sealer = DatagramSealer::new(&DatagramKey::of([8; 32]), A);
        let datagram = sealed(&mut sealer, B, b"ping");
        assert_eq!(open(&mut DatagramOpener::new(&key(), B), &datagram), Err(OpenError::Foreign));
    }

    #[test]
    fn a_looped_back_beacon_is_recognized_as_own() {
        let mut sealer = DatagramSealer::new(&key(), A);
        let beacon = sealed(&mut sealer, BROADCAST, b"here");
        assert_eq!(
            open(&mut DatagramOpener::for_broadcast(&key(), A), &beacon),
            Err(OpenError::Own)
        );
    }

    #[test]
    fn a_datagram_opens_once() {
        let mut sealer = DatagramSealer::new(&key(), A);
        let mut opener = DatagramOpener::new(&key(), B);
        let (first, second) = (sealed(&mut sealer, B, b"1"), sealed(&mut sealer, B, b"2"));
        assert!(open(&mut opener, &second).is_ok());
        assert!(open(&mut opener, &first).is_ok());
        assert_eq!(open(&mut opener, &first), Err(OpenError::Replayed));
        assert_eq!(open(&mut opener, &second), Err(OpenError::Replayed));
    }

    #[test]
    fn the_largest_payload_fills_the_largest_datagram_and_one_more_byte_is_refused() {
        let mut sealer = DatagramSealer::new(&key(), A);
        let mut opener = DatagramOpener::new(&key(), B);
        let datagram = sealed(&mut sealer, B, &[5; DATAGRAM_PAYLOAD_BYTES_MAX]);
        assert_eq!(datagram.len(), DATAGRAM_BYTES_MAX);
        assert_eq!(open(&mut opener, &datagram).unwrap().1.len(), DATAGRAM_PAYLOAD_BYTES_MAX);

        let mut out = Vec::new();
        let error = sealer.seal(B, &[5; DATAGRAM_PAYLOAD_BYTES_MAX + 1], &mut out).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a datagram of 1356 bytes is too large; at most 1355 are allowed"
        );
        assert_eq!(open(&mut opener, &[VERSION; DATAGRAM_BYTES_MAX + 1]), Err(OpenError::TooLarge));
    }

    #[test]
    fn other_bytes_are_refused_with_the_reason() {
        let mut opener = DatagramOpener::new(&key(), B);
        assert_eq!(open(&mut opener, b""), Err(OpenError::Malformed));
        assert_eq!(open(&mut opener, &[VERSION; OVERHEAD_BYTES - 1]), Err(OpenError::Malformed));
        assert_eq!(open(&mut opener, &[1; OVERHEAD_BYTES]), Err(OpenError::Version(1)));
        let mut from_nobody = [0; OVERHEAD_BYTES];
        from_nobody[0] = VERSION;
        assert_eq!(open(&mut opener, &from_nobody), Err(OpenError::Malformed));
        assert_eq!(opener.senders(), 0);
    }

    #[test]
    fn a_sender_is_known_only_after_its_datagram_authenticated() {
        let mut sealer = DatagramSealer::new(&key(), A);
        let mut opener = DatagramOpener::new(&key(), B);
        let datagram = sealed(&mut sealer, B, b"ping");
        assert_eq!(opener.claimed_sender(&datagram), Ok(A));
        assert!(!opener.is_known(A), "the claimed sender is not authenticated");
        assert!(open(&mut opener, &datagram).is_ok());
        assert!(opener.is_known(A));
        assert_eq!(opener.claimed_sender(&datagram[..40]), Err(OpenError::Malformed));
        assert_eq!(opener.claimed_sender(&[1; OVERHEAD_BYTES]), Err(OpenError::Version(1)));
    }

    #[test]
    fn a_full_table_evicts_the_sender_that_was_silent_longest() {
        let mut opener = DatagramOpener::new(&key(), B);
        opener.senders_max = 2;
        let mut sealers = [1, 2, 3].map(|n| DatagramSealer::new(&key(), PeerId([n; 16])));
        let of_first = sealed(&mut sealers[0], B, b"");
        let of_second = sealed(&mut sealers[1], B, b"");
        assert!(open(&mut opener, &of_first).is_ok());
        assert!(open(&mut opener, &of_second).is_ok());
        assert!(open(&mut opener, &sealed(&mut sealers[0], B, b"")).is_ok());
        assert!(open(&mut opener, &sealed(&mut sealers[2], B, b"")).is_ok());

        assert_eq!(opener.senders(), 2);
        assert_eq!(open(&mut opener, &of_first), Err(OpenError::Replayed));
        assert!(open(&mut opener, &of_second).is_ok(), "the second sender was evicted");
    }

    #[test]
    fn an_evicted_sender_counts_as_new() {
        let mut sealer = DatagramSealer::new(&key(), A);
        let mut opener = DatagramOpener::new(&key(), B);
        let datagram = sealed(&mut sealer, B, b"");
        assert!(open(&mut opener, &datagram).is_ok());
        opener.forget(A);
        assert_eq!(opener.senders(), 0);
        assert!(open(&mut opener, &datagram).is_ok());
    }

    #[test]
    fn an_exhausted_sealer_reports_an_error_and_never_wraps() {
        let mut sealer = DatagramSealer::new(&key(), A);
        sealer.counter = COUNTER_MAX - 1;
        let last = sealed(&mut sealer, B, b"");
        assert!(open(&mut DatagramOpener::new(&key(), B), &last).is_ok());
        let mut out = Vec::new();
        assert_eq!(sealer.seal(B, b"", &mut out), Err(SealError::Exhausted));
        assert_eq!(sealer.seal(B, b"", &mut out), Err(SealError::Exhausted));
    }

    /// Only what the sender sealed is opened, and only once.
    #[test]
    fn fuzz_datagram() {
        let mut sealer = DatagramSealer::new(&key(), A);
        let mut sealed = |payload: &[u8]| {
            let mut out = Vec::new();
            sealer.seal_with([7; SALT_BYTES], B, payload, &mut out).unwrap();
            out
        };
        let samples = [sealed(b""), sealed(b"payload"), sealed(&[9; 300])];
        let other = sealed(b"another one");
        convoke_harness::check!(&samples, |bytes| {
            let mut opener = DatagramOpener::new(&key(), B);
            let mut out = b"before".to_vec();
            let is_sealed = samples.iter().any(|sample| sample == bytes);
            assert_eq!(opener.open(bytes, &mut out).is_ok(), is_sealed);
            assert_eq!(opener.senders(), usize::from(is_sealed));
            assert_eq!(out.is_empty(), !is_sealed || bytes == samples[0]);
            assert!(opener.open(bytes, &mut out).is_err(), "it is opened twice");
            // The same if the sender is known already.
            let mut opener = DatagramOpener::new(&key(), B);
            opener.open(&other, &mut out).unwrap();
            assert_eq!(opener.open(bytes, &mut out).is_ok(), is_sealed);
        });
    }

    proptest! {
        #[test]
        fn in_any_order_with_any_repeats_each_datagram_is_delivered_at_most_once(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..60),
            picks in prop::collection::vec(any::<prop::sample::Index>(), 0..200),
        ) {
            let mut sealer = DatagramSealer::new(&key(), A);
            let mut opener = DatagramOpener::new(&key(), B);
            let datagrams: Vec<_> = payloads.iter().map(|p| sealed(&mut sealer, B, p)).collect();
            let mut delivered = HashSet::new();
            for pick in picks {
                let at = pick.index(datagrams.len());
                match open(&mut opener, &datagrams[at]) {
                    Ok((sender, payload)) => {
                        prop_assert_eq!(sender, A);
                        prop_assert_eq!(&payload, &payloads[at]);
                        prop_assert!(delivered.insert(at), "datagram {} twice", at);
                    }
                    Err(error) => {
                        prop_assert_eq!(error, OpenError::Replayed);
                        prop_assert!(delivered.contains(&at));
                    }
                }
            }
        }

        #[test]
        fn a_datagram_with_a_bit_flipped_never_opens(
            payload in prop::collection::vec(any::<u8>(), 0..100),
            at in any::<prop::sample::Index>(),
            bit in 0..8_u32,
            known in any::<bool>(),
        ) {
            let mut sealer = DatagramSealer::new(&key(), A);
            let mut opener = DatagramOpener::new(&key(), B);
            if known {
                open(&mut opener, &sealed(&mut sealer, B, b"")).unwrap();
            }
            let mut datagram = sealed(&mut sealer, B, &payload);
            let at = at.index(datagram.len());
            datagram[at] ^= 1 << bit;
            prop_assert!(open(&mut opener, &datagram).is_err());
            datagram[at] ^= 1 << bit;
            prop_assert!(open(&mut opener, &datagram).is_ok(), "the original still opens");
        }

        #[test]
        fn a_truncated_datagram_never_opens(
            payload in prop::collection::vec(any::<u8>(), 0..100),
            at in any::<prop::sample::Index>(),
        ) {
            let mut sealer = DatagramSealer::new(&key(), A);
            let datagram = sealed(&mut sealer, B, &payload);
            let cut = &datagram[..at.index(datagram.len())];
            prop_assert!(open(&mut DatagramOpener::new(&key(), B), cut).is_err());
        }
    }
}
