//! The seal on multicast beacons: what modes send, only this cluster can read.

use std::sync::Arc;

use convoke_discovery::{BeaconCipher, BeaconCiphers, BeaconRefusal};
use convoke_membership::MemberId;
use convoke_wire::{ClusterKeys, DatagramOpener, DatagramSealer, EVERYBODY, OpenError, PeerId};

/// One sealer for the process, whose counter must never repeat under its key;
/// one opener a group, since each has a replay window of its own.
struct Cipher {
    sealer: Arc<std::sync::Mutex<DatagramSealer>>,
    opener: DatagramOpener,
    opened: Vec<u8>,
}

/// Ciphers for each group that a mode joins.
pub(crate) fn ciphers(keys: &Arc<ClusterKeys>, me: MemberId) -> BeaconCiphers {
    let me = PeerId(*me.as_bytes());
    let sealer = Arc::new(std::sync::Mutex::new(DatagramSealer::new(keys.beacons(), me)));
    let keys = Arc::clone(keys);
    BeaconCiphers::new(move |_group| {
        Box::new(Cipher {
            sealer: Arc::clone(&sealer),
            opener: DatagramOpener::everybody(keys.beacons(), me),
            opened: Vec::new(),
        })
    })
}

impl BeaconCipher for Cipher {
    fn seal(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        let mut sealed = Vec::new();
        let mut sealer = self.sealer.lock().map_err(|_| "another beacon broke off".to_owned())?;
        sealer.seal(EVERYBODY, payload, &mut sealed).map_err(|e| e.to_string())?;
        out.extend_from_slice(&sealed);
        Ok(())
    }

    fn open(&mut self, datagram: &[u8], out: &mut Vec<u8>) -> Result<(), BeaconRefusal> {
        match self.opener.open(datagram, &mut self.opened) {
            Ok(_) => {
                out.extend_from_slice(&self.opened);
                Ok(())
            }
            Err(OpenError::Own) => Err(BeaconRefusal::Own),
            Err(OpenError::Replayed) => Err(BeaconRefusal::Replayed),
            Err(OpenError::Foreign) => Err(BeaconRefusal::Foreign),
            Err(OpenError::Malformed | OpenError::TooLarge | OpenError::Version(_)) => {
                Err(BeaconRefusal::Malformed)
            }
        }
    }
}
