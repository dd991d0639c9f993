//! Derives keys from a cluster name and a password.
//!
//! ```text
//! salt   = SHA-256("convoke/1 cluster" || name length as u32 BE || name)
//! master = Argon2id(password, salt)            with a password
//!        = SHA-256("convoke/1 open cluster" || name length as u32 BE || name)    without
//! key    = HKDF-SHA-256(salt "convoke/1 keys", master, info "convoke/1 streams" | "… gossip" | "… beacons" | "… data")
//! ```

use argon2::{Algorithm, Argon2, Params, Version};
use ring::{digest, hkdf};
use std::fmt;
use thiserror::Error;
use zeroize::{Zeroize, Zeroizing};

/// The longest cluster name, in bytes of UTF-8.
pub const CLUSTER_NAME_BYTES_MAX: usize = 256;
/// The longest password, in bytes: enough for a key file, and too short for most files given by
/// mistake.
pub const PASSWORD_BYTES_MAX: usize = 4096;
/// Memory for one Argon2id evaluation, in KiB.
pub const ARGON2_KIB: u32 = 64 * 1024;
/// Passes over that memory. Both values are part of the protocol: changing one changes all keys.
pub const ARGON2_PASSES: u32 = 2;

const KEY_BYTES: usize = 32;

/// The keys of a cluster. All members with the same name and password derive the same ones.
pub struct ClusterKeys {
    cluster: [u8; KEY_BYTES],
    streams: Zeroizing<[u8; KEY_BYTES]>,
    gossip: DatagramKey,
    beacons: DatagramKey,
    data: Zeroizing<[u8; KEY_BYTES]>,
}

/// The key of one kind of datagrams, from which each sender's own key is derived.
#[derive(Clone)]
pub struct DatagramKey(Zeroizing<[u8; KEY_BYTES]>);

/// Why no keys could be derived.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum KeyError {
    /// The cluster name is empty.
    #[error("the cluster name is empty; it needs at least one character")]
    NameEmpty,
    /// The cluster name is longer than [`CLUSTER_NAME_BYTES_MAX`].
    #[error("the cluster name has {bytes} bytes; at most {CLUSTER_NAME_BYTES_MAX} are allowed")]
    NameTooLong {
        /// Length of the name, in bytes.
        bytes: usize,
    },
    /// The password is longer than [`PASSWORD_BYTES_MAX`].
    #[error(
        "the cluster password has {bytes} bytes; at most {PASSWORD_BYTES_MAX} are allowed (is \
         this the right file?)"
    )]
    PasswordTooLong {
        /// Length of the password, in bytes.
        bytes: usize,
    },
    /// Argon2id could not run; in practice, memory is exhausted.
    #[error(
        "cannot derive a key from the cluster password: {reason} (this temporarily needs {} MiB of memory)",
        ARGON2_KIB / 1024
    )]
    Stretch {
        /// The error of Argon2id.
        reason: String,
    },
}

impl ClusterKeys {
    /// Derives the keys of a cluster.
    ///
    /// With a password this deliberately takes tens of milliseconds and 64 MiB, once for each
    /// process: each guess of an attacker costs the same. Call it outside of async threads.
    ///
    /// An empty password holds no secret, so Argon2id is skipped. The keys then follow from the
    /// name alone and protect nothing; they only separate clusters with different names. Callers
    /// should warn about an empty password outside loopback.
    pub fn derive(cluster_name: &str, password: &[u8]) -> Result<Self, KeyError> {
        if cluster_name.is_empty() {
            return Err(KeyError::NameEmpty);
        }
        if cluster_name.len() > CLUSTER_NAME_BYTES_MAX {
            return Err(KeyError::NameTooLong { bytes: cluster_name.len() });
        }
        if password.len() > PASSWORD_BYTES_MAX {
            return Err(KeyError::PasswordTooLong { bytes: password.len() });
        }
        let cluster = name_digest(b"convoke/1 cluster", cluster_name);
        let master = if password.is_empty() {
            Zeroizing::new(name_digest(b"convoke/1 open cluster", cluster_name))
        } else {
            stretch(password, &cluster)?
        };
        Ok(Self::from_master(cluster, &master))
    }

    fn from_master(cluster: [u8; KEY_BYTES], master: &[u8; KEY_BYTES]) -> Self {
        let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, b"convoke/1 keys").extract(master);
        Self {
            cluster,
            streams: expand(&prk, b"convoke/1 streams"),
            gossip: DatagramKey(expand(&prk, b"convoke/1 gossip")),
            beacons: DatagramKey(expand(&prk, b"convoke/1 beacons")),
            data: expand(&prk, b"convoke/1 data"),
        }
    }

    /// The key of datagrams between members that know each other.
    pub fn gossip(&self) -> &DatagramKey {
        &self.gossip
    }

    /// The key of multicast beacons, by which members find each other.
    pub fn beacons(&self) -> &DatagramKey {
        &self.beacons
    }

    /// A secret that the members share for hashing keys: a client that does not know it cannot
    /// choose keys that collide.
    pub fn data_hashing(&self) -> [u8; 16] {
        let mut secret = [0; 16];
        secret.copy_from_slice(&self.data[..16]);
        secret
    }

    /// The pre-shared key of stream handshakes.
    pub(crate) fn streams(&self) -> &[u8; KEY_BYTES] {
        &self.streams
    }

    /// A digest of the cluster name; not secret, and never sent.
    pub(crate) fn cluster(&self) -> &[u8; KEY_BYTES] {
        &self.cluster
    }
}

impl DatagramKey {
    pub(crate) fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }

    #[cfg(test)]
    pub(crate) fn of(bytes: [u8; KEY_BYTES]) -> Self {
        Self(Zeroizing::new(bytes))
    }
}

impl fmt::Debug for ClusterKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClusterKeys(redacted)")
    }
}

impl fmt::Debug for DatagramKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DatagramKey(redacted)")
    }
}

/// The length comes first, so that no two (domain, name) pairs hash the same bytes.
fn name_digest(domain: &[u8], cluster_name: &str) -> [u8; KEY_BYTES] {
    let length = u32::try_from(cluster_name.len()).expect("bounded by CLUSTER_NAME_BYTES_MAX");
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(domain);
    context.update(&length.to_be_bytes());
    context.update(cluster_name.as_bytes());
    context.finish().as_ref().try_into().expect("SHA-256 gives 32 bytes")
}

fn stretch(password: &[u8], salt: &[u8]) -> Result<Zeroizing<[u8; KEY_BYTES]>, KeyError> {
    let failed = |error: argon2::Error| KeyError::Stretch { reason: error.to_string() };
    let params = Params::new(ARGON2_KIB, ARGON2_PASSES, 1, Some(KEY_BYTES)).map_err(failed)?;
    let mut master = Zeroizing::new([0; KEY_BYTES]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(password, salt, master.as_mut())
        .map_err(failed)?;
    Ok(master)
}

fn expand(prk: &hkdf::Prk, info: &[u8]) -> Zeroizing<[u8; KEY_BYTES]> {
    let mut key = [0; KEY_BYTES];
    prk.expand(&[info], hkdf::HKDF_SHA256)
        .and_then(|okm| okm.fill(&mut key))
        .expect("32 bytes are within the limit of HKDF");
    let kept = Zeroizing::new(key);
    key.zeroize();
    kept
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;

    // The expected values come from an independent implementation (Python: hashlib, hmac, and
    // OpenSSL's Argon2id).

    #[test]
    fn keys_without_a_password_match_the_test_vectors() {
        let keys = ClusterKeys::derive("development", b"").unwrap();
        assert_eq!(
            [&HEXLOWER.encode(keys.cluster()), &HEXLOWER.encode(keys.streams())],
            [
                "cd0a9f41d8c236fcd2e2ab9ee6adf5d8099f051ec707ff1342fdc1330db79a9f",
                "c7a54f5f0942de831ebb3fc819dff649101799f29c329c2ebd380d490417a4e5",
            ]
        );
        assert_eq!(
            [&HEXLOWER.encode(keys.gossip().bytes()), &HEXLOWER.encode(keys.beacons().bytes())],
            [
                "7dba9682b4f3f2c877794a64cc5fff2747eaba1e1556bf2eaef52e50a5e437f7",
                "6083d1612e9b0240fdbeec9b770c986f5c9f5d25be1c6df21a314f270d1489d3",
            ]
        );
    }

    #[test]
    fn keys_with_a_password_match_the_test_vectors() {
        let keys = ClusterKeys::derive("shop", b"correct horse battery staple").unwrap();
        assert_eq!(
            [&HEXLOWER.encode(keys.cluster()), &HEXLOWER.encode(keys.streams())],
            [
                "e6cd23270654513b18f80d0bddc0dec84f117a56f81aa3d8c7104823c0c3c756",
                "659b0db9aaceda9347a5e4073a1ade962ad73175158a3927410db0f69369889d",
            ]
        );
        assert_eq!(
            [&HEXLOWER.encode(keys.gossip().bytes()), &HEXLOWER.encode(keys.beacons().bytes())],
            [
                "ea87b2cf06141da11007bf999de26efee4832dd5c3172cdb2cf44bcad288ef04",
                "c241316c37b60cd37e9d9ec177917371eefb48b2c14f98f97e9e5298c124de2d",
            ]
        );
    }

    #[test]
    fn the_name_and_the_password_each_change_every_key() {
        let base = ClusterKeys::derive("a", b"").unwrap();
        for other in [
            ClusterKeys::derive("b", b"").unwrap(),
            ClusterKeys::derive("a", b"p").unwrap(),
            ClusterKeys::derive("ab", b"").unwrap(),
        ] {
            assert_ne!(base.streams(), other.streams());
            assert_ne!(base.gossip().bytes(), other.gossip().bytes());
            assert_ne!(base.beacons().bytes(), other.beacons().bytes());
        }
    }

    #[test]
    fn names_and_passwords_out_of_bounds_are_refused_with_their_size() {
        let refused = |name: &str, password: &[u8]| {
            ClusterKeys::derive(name, password).map(|_| ()).unwrap_err().to_string()
        };
        assert_eq!(refused("", b""), "the cluster name is empty; it needs at least one character");
        assert_eq!(
            refused(&"n".repeat(257), b""),
            "the cluster name has 257 bytes; at most 256 are allowed"
        );
        assert_eq!(
            refused("n", &[b'p'; 4097]),
            "the cluster password has 4097 bytes; at most 4096 are allowed (is this the right \
             file?)"
        );
        assert!(ClusterKeys::derive(&"n".repeat(256), b"").is_ok());
    }

    #[test]
    fn debug_output_does_not_show_keys() {
        let keys = ClusterKeys::derive("development", b"").unwrap();
        assert_eq!(format!("{keys:?}"), "ClusterKeys(redacted)");
        assert_eq!(format!("{:?}", keys.gossip()), "DatagramKey(redacted)");
    }
}
