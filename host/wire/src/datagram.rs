//! Sealed datagrams: one UDP payload, authenticated, addressed, delivered at most once.
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
//! The counter starts at zero in each process. Nonces still do not repeat, since each process has a
//! new sender id and the key is derived from it. A snapshot of a running machine that is started
//! more than once gives several processes with the same id and counter: the salt, random and new in
//! each datagram, keeps their nonces apart. The receiver's id is authenticated but not sent: a
//! datagram for one member looks like noise to every other, and one recorded before a member
//! restarted is noise to it afterwards.

use crate::keys::DatagramKey;
use crate::peer::{EVERYBODY, PeerId};
use crate::replay::ReplayWindow;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf;
use ring::rand::{SecureRandom, SystemRandom};
use std::collections::HashMap;
use thiserror::Error;

/// The longest sealed datagram, in bytes: fits the MTU of Ethernet, tunnels included.
pub const DATAGRAM_BYTES_MAX: usize = 1_400;
/// The longest payload of a datagram, in bytes.
pub const DATAGRAM_PAYLOAD_BYTES_MAX: usize = DATAGRAM_BYTES_MAX - OVERHEAD_BYTES;
/// How many senders an opener remembers.
///
/// One more and the least recently heard is forgotten, as if by [`DatagramOpener::forget`]: its
/// next datagram is accepted as a first one, so what was recorded from it could be replayed once.
/// Far above the size of a cluster, so that it is an old incarnation that goes.
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
/// 2^48 datagrams, what six bytes can count: a million a second for eight years, and far from where AES-GCM wears thin.
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
        /// Length of the payload.
        bytes: usize,
    },
    /// 2^48 datagrams were sealed under this id.
    #[error("this member has sealed 2^48 datagrams; restart it for a fresh id")]
    WornOut,
    /// The operating system gives no random bytes.
    #[error("the operating system gives no random bytes for a datagram")]
    NoRandomness,
}

/// Why a datagram was not opened. Only `Replayed` is about one that a member did send.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum OpenError {
    /// It does not authenticate: another cluster's, for another member, altered, or noise.
    #[error("the datagram does not authenticate (another cluster's, for another member, or noise)")]
    Foreign,
    /// It was delivered before, or is too old to tell.
    #[error("the datagram was delivered before, or is too old to tell")]
    Replayed,
    /// It is shorter than an empty datagram, or its header makes no sense.
    #[error("the datagram is malformed")]
    Malformed,
    /// It is over [`DATAGRAM_BYTES_MAX`].
    #[error("the datagram is over {DATAGRAM_BYTES_MAX} bytes")]
    TooLarge,
    /// Its first byte names a layout that this build does not know. Nothing is authenticated yet:
    /// on a shared port this is most often another program's datagram.
    #[error("the datagram has layout version {0}; this member speaks {VERSION}")]
    Version(u8),
    /// It says it is from ourselves: an own beacon that came back from the group.
    #[error("the datagram is our own")]
    Own,
}

/// What is known of a datagram that was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Who sealed it: some holder of the cluster's keys that goes by this id.
    pub sender: PeerId,
}

/// Seals one process's datagrams.
///
/// At most one for each key and sender id: two would use the same nonces. So it is not `Clone`.
pub struct DatagramSealer {
    sender: PeerId,
    key: LessSafeKey,
    counter: u64,
    random: SystemRandom,
}

impl DatagramSealer {
    /// A sealer for `sender`, an id that no process used before.
    ///
    /// # Panics
    /// When `sender` is [`EVERYBODY`], which is no member's id.
    pub fn new(key: &DatagramKey, sender: PeerId) -> Self {
        assert_ne!(sender, EVERYBODY, "the nil id is no member's");
        let key = sender_key(&expander(key), sender);
        Self { sender, key, counter: 0, random: SystemRandom::new() }
    }

    /// Seals `payload` for the member `to`, or for [`EVERYBODY`]. `out` is replaced by the datagram;
    /// on an error it is left empty.
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
            return Err(SealError::WornOut);
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

/// Opens the datagrams that are for one process, each at most once.
///
/// It remembers keys and counters only of senders that authenticated, so strangers cannot fill it.
/// It cannot know what was delivered before it was made, or before a sender was forgotten. For what
/// is addressed to a member that does not matter, its id being fresh at each start. A recorded
/// beacon is news to a member that has just started: treat it as a rumour.
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
    /// The opener's count of opened datagrams when this one was last heard.
    heard: u64,
}

impl DatagramOpener {
    /// An opener for what is addressed to the member `own`, and nothing else.
    pub fn new(key: &DatagramKey, own: PeerId) -> Self {
        Self::with(key, own, own)
    }

    /// An opener for what is addressed to [`EVERYBODY`], and nothing else.
    pub fn everybody(key: &DatagramKey, own: PeerId) -> Self {
        Self::with(key, own, EVERYBODY)
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

    /// Opens a datagram. `out` is replaced by its payload; on an error it is left empty.
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

    /// Who a datagram says it is from, as far as that can be said before any cryptography: cheap,
    /// and proves nothing.
    pub fn claimed_sender(&self, datagram: &[u8]) -> Result<PeerId, OpenError> {
        self.read_header(datagram).map(|(sender, _)| sender)
    }

    /// Whether a datagram of this sender was opened before. The first one of a sender costs
    /// several times as much as the others: a key is derived for it.
    pub fn is_known(&self, sender: PeerId) -> bool {
        self.senders.contains_key(&sender)
    }

    /// Drops what is known of a sender that left for good. Its recorded datagrams would open once
    /// more: the caller must by then refuse the sender itself.
    pub fn forget(&mut self, sender: PeerId) {
        self.senders.remove(&sender);
    }

    /// How many senders are remembered; at most [`SENDERS_MAX`].
    pub fn senders(&self) -> usize {
        self.senders.len()
    }

    /// What can be said before any cryptography.
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
        if sender == EVERYBODY {
            return Err(OpenError::Malformed);
        }
        if sender == self.own {
            return Err(OpenError::Own);
        }
        Ok((sender, nonce))
    }

    fn remember(&mut self, id: PeerId, sender: Sender) {
        if self.senders.len() >= self.senders_max {
            // Linear, but only when a newcomer has authenticated while the table is full.
            let stalest = self.senders.iter().min_by_key(|(_, known)| known.heard);
            if let Some(stalest) = stalest.map(|(id, _)| *id) {
                self.senders.remove(&stalest);
            }
        }
        self.senders.insert(id, sender);
    }
}

/// The PRK from which senders' keys are expanded; the datagram key is itself an HKDF output.
fn expander(key: &DatagramKey) -> hkdf::Prk {
    hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, key.bytes())
}

fn sender_key(expander: &hkdf::Prk, sender: PeerId) -> LessSafeKey {
    let info: [&[u8]; 2] = [b"convoke/1 datagrams", &sender.0];
    let okm = expander.expand(&info, &AES_256_GCM).expect("32 bytes are within HKDF's reach");
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
    use super::*;
    use proptest::prelude::*;
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
        assert!(opened.is_ok() || out.is_empty(), "an error left bytes behind");
        opened.map(|opened| (opened.sender, out))
    }

    // The expected bytes come from an independent implementation (Python: hmac, OpenSSL's AES-GCM).
    #[test]
    fn the_layout_is_the_known_one() {
        let sender = PeerId(std::array::from_fn(|at| at as u8));
        let receiver = PeerId(std::array::from_fn(|at| 16 + at as u8));
        let mut sealer = DatagramSealer::new(&key(), sender);
        let hex = |bytes: &[u8]| -> String { bytes.iter().map(|b| format!("{b:02x}")).collect() };
        let mut out = Vec::new();
        sealer
            .seal_with([0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5], receiver, b"hello", &mut out)
            .unwrap();
        assert_eq!(
            hex(&out),
            "02000102030405060708090a0b0c0d0e0fa0a1a2a3a4a5000000000000\
             aa830c95f2a9008903c762da5f1537c54416621fe6"
        );
        out.clear();
        sealer.seal_with([0xb0; SALT_BYTES], EVERYBODY, b"", &mut out).unwrap();
        assert_eq!(
            hex(&out),
            "02000102030405060708090a0b0c0d0e0fb0b0b0b0b0b0000000000001\
             9f079dee36d908244a2baae41970b7e0"
        );
    }

    #[test]
    fn two_processes_of_one_snapshot_use_no_nonce_twice() {
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
        let mut at_everybody = DatagramOpener::everybody(&key(), B);
        assert_eq!(open(&mut at_c, &datagram), Err(OpenError::Foreign));
        assert_eq!(open(&mut at_everybody, &datagram), Err(OpenError::Foreign));
        assert_eq!((at_c.senders(), at_everybody.senders()), (0, 0));
    }

    #[test]
    fn a_beacon_opens_at_everybody_but_not_as_a_datagram_for_one() {
        let mut sealer = DatagramSealer::new(&key(), A);
        let beacon = sealed(&mut sealer, EVERYBODY, b"here");
        for id in [B, C] {
            let mut opener = DatagramOpener::everybody(&key(), id);
            assert_eq!(open(&mut opener, &beacon), Ok((A, b"here".to_vec())));
        }
        assert_eq!(open(&mut DatagramOpener::new(&key(), B), &beacon), Err(OpenError::Foreign));
    }

    #[test]
    fn another_clusters_datagram_is_foreign() {
        let mut sealer = DatagramSealer::new(&DatagramKey::of([8; 32]), A);
        let datagram = sealed(&mut sealer, B, b"ping");
        assert_eq!(open(&mut DatagramOpener::new(&key(), B), &datagram), Err(OpenError::Foreign));
    }

    #[test]
    fn an_own_beacon_that_came_back_is_known_as_own() {
        let mut sealer = DatagramSealer::new(&key(), A);
        let beacon = sealed(&mut sealer, EVERYBODY, b"here");
        assert_eq!(open(&mut DatagramOpener::everybody(&key(), A), &beacon), Err(OpenError::Own));
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
    fn what_is_no_datagram_is_told_apart() {
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
    fn a_sender_is_claimed_before_it_is_proved_and_known_after() {
        let mut sealer = DatagramSealer::new(&key(), A);
        let mut opener = DatagramOpener::new(&key(), B);
        let datagram = sealed(&mut sealer, B, b"ping");
        assert_eq!(opener.claimed_sender(&datagram), Ok(A));
        assert!(!opener.is_known(A), "anybody can claim");
        assert!(open(&mut opener, &datagram).is_ok());
        assert!(opener.is_known(A));
        assert_eq!(opener.claimed_sender(&datagram[..40]), Err(OpenError::Malformed));
        assert_eq!(opener.claimed_sender(&[1; OVERHEAD_BYTES]), Err(OpenError::Version(1)));
    }

    #[test]
    fn a_full_table_forgets_the_sender_that_was_silent_longest() {
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
        assert!(open(&mut opener, &of_second).is_ok(), "the second was the one to go");
    }

    #[test]
    fn a_forgotten_sender_is_heard_as_a_new_one() {
        let mut sealer = DatagramSealer::new(&key(), A);
        let mut opener = DatagramOpener::new(&key(), B);
        let datagram = sealed(&mut sealer, B, b"");
        assert!(open(&mut opener, &datagram).is_ok());
        opener.forget(A);
        assert_eq!(opener.senders(), 0);
        assert!(open(&mut opener, &datagram).is_ok());
    }

    #[test]
    fn a_worn_out_sealer_says_so_and_never_wraps() {
        let mut sealer = DatagramSealer::new(&key(), A);
        sealer.counter = COUNTER_MAX - 1;
        let last = sealed(&mut sealer, B, b"");
        assert!(open(&mut DatagramOpener::new(&key(), B), &last).is_ok());
        let mut out = Vec::new();
        assert_eq!(sealer.seal(B, b"", &mut out), Err(SealError::WornOut));
        assert_eq!(sealer.seal(B, b"", &mut out), Err(SealError::WornOut));
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
        fn arbitrary_bytes_are_an_error_and_leave_nothing_behind(
            mut bytes in prop::collection::vec(any::<u8>(), 0..1500),
            right_version in any::<bool>(),
        ) {
            if let (true, Some(first)) = (right_version, bytes.first_mut()) {
                *first = VERSION;
            }
            let mut opener = DatagramOpener::new(&key(), B);
            prop_assert!(open(&mut opener, &bytes).is_err());
            prop_assert_eq!(opener.senders(), 0);
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
            prop_assert!(open(&mut opener, &datagram).is_ok(), "the true one still opens");
        }

        #[test]
        fn a_datagram_cut_short_never_opens(
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
