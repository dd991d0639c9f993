//! Encrypts multicast beacons, so that only members of this cluster can read them.

use std::sync::Arc;

use convoke_discovery::{BeaconCipher, BeaconCiphers, BeaconRejection};
use convoke_membership::MemberId;
use convoke_wire::{BROADCAST, ClusterKeys, DatagramOpener, DatagramSealer, OpenError, PeerId};

/// The process has one sealer, whose counter must never repeat under its key, and one opener for
/// each group, with a replay window of its own.
struct Cipher {
    sealer: Arc<std::sync::Mutex<DatagramSealer>>,
    opener: DatagramOpener,
    opened: Vec<u8>,
}

/// Creates a cipher for each group that a mode joins.
pub(crate) fn ciphers(keys: &Arc<ClusterKeys>, me: MemberId) -> BeaconCiphers {
    let me = PeerId(*me.as_bytes());
    let sealer = Arc::new(std::sync::Mutex::new(DatagramSealer::new(keys.beacons(), me)));
    let keys = Arc::clone(keys);
    BeaconCiphers::new(move |_group| {
        Box::new(Cipher {
            sealer: Arc::clone(&sealer),
            opener: DatagramOpener::for_broadcast(keys.beacons(), me),
            opened: Vec::new(),
        })
    })
}

impl BeaconCipher for Cipher {
    fn seal(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        let mut sealed = Vec::new();
        let mut sealer =
            self.sealer.lock().map_err(|_| "sealing another beacon failed".to_owned())?;
        sealer.seal(BROADCAST, payload, &mut sealed).map_err(|e| e.to_string())?;
        out.extend_from_slice(&sealed);
        Ok(())
    }

    fn open(&mut self, datagram: &[u8], out: &mut Vec<u8>) -> Result<(), BeaconRejection> {
        match self.opener.open(datagram, &mut self.opened) {
            Ok(_) => {
                out.extend_from_slice(&self.opened);
                Ok(())
            }
            Err(OpenError::Own) => Err(BeaconRejection::Own),
            Err(OpenError::Replayed) => Err(BeaconRejection::Replayed),
            Err(OpenError::Foreign) => Err(BeaconRejection::Foreign),
            Err(OpenError::Malformed | OpenError::TooLarge | OpenError::Version(_)) => {
                Err(BeaconRejection::Malformed)
            }
        }
    }
}
