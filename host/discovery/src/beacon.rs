//! The seal on multicast datagrams, seen from this side: somebody else has the key.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

/// Seals and opens the datagrams of one joined group. Keys stay behind it.
pub trait BeaconCipher: Send {
    /// Appends the sealed `payload` to `out`.
    ///
    /// # Errors
    /// Why nothing can be sealed, for a log line; the datagram is not sent.
    fn seal(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), String>;

    /// Appends the payload of `datagram`, as it came from the network, to `out`.
    ///
    /// # Errors
    /// Why the datagram is not shown to a mode.
    fn open(&mut self, datagram: &[u8], out: &mut Vec<u8>) -> Result<(), BeaconRefusal>;
}

/// Why a datagram is not shown to a mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BeaconRefusal {
    /// This member's own, looped back. Not counted.
    Own,
    /// Sealed with another key: another cluster name, or another password.
    Foreign,
    /// Seen before, or too old.
    Replayed,
    /// Not a sealed datagram at all.
    Malformed,
}

/// Makes a cipher for each join of a group.
#[derive(Clone)]
pub struct BeaconCiphers(Arc<dyn Fn(SocketAddr) -> Box<dyn BeaconCipher> + Send + Sync>);

impl BeaconCiphers {
    /// `make` is given the group and port that is joined.
    pub fn new(make: impl Fn(SocketAddr) -> Box<dyn BeaconCipher> + Send + Sync + 'static) -> Self {
        Self(Arc::new(make))
    }

    /// For hosts in which no mode runs: seals nothing, and takes everything for noise.
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
        Err("there is no key here".into())
    }

    fn open(&mut self, _: &[u8], _: &mut Vec<u8>) -> Result<(), BeaconRefusal> {
        Err(BeaconRefusal::Malformed)
    }
}

impl fmt::Debug for BeaconCiphers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BeaconCiphers")
    }
}
