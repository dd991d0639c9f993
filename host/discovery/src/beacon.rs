//! Encryption of multicast datagrams, as an interface: the binary implements it and holds the
//! key.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

/// Seals and opens the datagrams of one joined group. The keys never leave the implementation.
pub trait BeaconCipher: Send {
    /// Appends the sealed `payload` to `out`.
    ///
    /// # Errors
    /// The reason, for a log line; the datagram is not sent.
    fn seal(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), String>;

    /// Decrypts `datagram`, as received from the network, and appends its payload to `out`.
    ///
    /// # Errors
    /// Why the datagram is not passed to a mode.
    fn open(&mut self, datagram: &[u8], out: &mut Vec<u8>) -> Result<(), BeaconRejection>;
}

/// Why a datagram is not passed to a mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BeaconRejection {
    /// Sent by this member and looped back. Not counted.
    Own,
    /// Sealed with another key: another cluster name or another password.
    Foreign,
    /// Received before, or too old.
    Replayed,
    /// Not a sealed datagram.
    Malformed,
}

/// Creates a cipher for each join of a group.
#[derive(Clone)]
pub struct BeaconCiphers(Arc<dyn Fn(SocketAddr) -> Box<dyn BeaconCipher> + Send + Sync>);

impl BeaconCiphers {
    /// `make` receives the group and port to be joined.
    pub fn new(make: impl Fn(SocketAddr) -> Box<dyn BeaconCipher> + Send + Sync + 'static) -> Self {
        Self(Arc::new(make))
    }

    /// A cipher for hosts that run no mode: it seals nothing and rejects every datagram as
    /// malformed.
    pub fn none() -> Self {
        Self::new(|_| Box::new(NoCipher))
    }

    pub(crate) fn make(&self, group: SocketAddr) -> Box<dyn BeaconCipher> {
        (self.0)(group)
    }
}

struct NoCipher;

impl BeaconCipher for NoCipher {
    fn seal(&mut self, _: &[u8], _: &mut Vec<u8>) -> Result<(), String> {
        Err("no key is available".into())
    }

    fn open(&mut self, _: &[u8], _: &mut Vec<u8>) -> Result<(), BeaconRejection> {
        Err(BeaconRejection::Malformed)
    }
}

impl fmt::Debug for BeaconCiphers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BeaconCiphers")
    }
}
