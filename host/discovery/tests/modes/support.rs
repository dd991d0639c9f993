//! A host for tests, and a cipher without encryption.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use convoke_discovery::{
    Backend, BeaconCipher, BeaconCiphers, BeaconRejection, CallError, DiscoveryHost, Fakes, Grants,
    HostConfig, Instance, Interface, LoadError, LoadedMode, LocalMember, ModeSpec, Probed, Prober,
    Source,
};

use crate::guest::Guest;

/// Time limit for an expected event.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn config() -> HostConfig {
    HostConfig {
        interfaces: vec![Interface { address: IpAddr::from([127, 0, 0, 1]), index: Some(1) }],
        multicast_hops: 1,
        default_ports: vec![6900, 6901, 6902],
        cache_directory: None,
        state_directory: None,
        backend: Backend::Real,
        beacon_ciphers: cluster(b'k'),
        prober: Prober::new(|_| async { Probed::Closed }),
        on_own_thread: false,
    }
}

pub(crate) fn host() -> DiscoveryHost {
    DiscoveryHost::new(config()).unwrap()
}

pub(crate) fn local() -> LocalMember {
    LocalMember {
        cluster_name: "development".into(),
        member_id: "7c1bd6ca".into(),
        addresses: vec![IpAddr::from([127, 0, 0, 1])],
        port: 6900,
        attributes: vec![("zone".into(), "a".into())],
    }
}

pub(crate) fn spec(source: Source) -> ModeSpec {
    ModeSpec {
        name: "test".into(),
        source,
        digest: None,
        argument: String::new(),
        settings: Vec::new(),
        grants: Grants::default(),
    }
}

pub(crate) fn file(path: impl Into<PathBuf>) -> ModeSpec {
    spec(Source::File(path.into()))
}

pub(crate) fn granted(mut spec: ModeSpec, multicast: &str) -> ModeSpec {
    spec.grants = Grants::parse([("multicast", [multicast].as_slice())]).unwrap();
    spec
}

/// Adds `grants`, pairs of a capability and one pattern.
pub(crate) fn with_grants(mut spec: ModeSpec, grants: &[(&str, &str)]) -> ModeSpec {
    spec.grants = Grants::parse(
        grants.iter().map(|(capability, pattern)| (*capability, std::slice::from_ref(pattern))),
    )
    .unwrap();
    spec
}

/// A host with fakes.
pub(crate) fn host_in(fakes: Fakes) -> DiscoveryHost {
    let backend = Backend::Fake(Arc::new(fakes));
    DiscoveryHost::new(HostConfig { backend, ..config() }).unwrap()
}

/// A group address for this test run only, so that parallel runs on one machine do not
/// interfere.
pub(crate) fn group(port: u16) -> SocketAddr {
    let [_, _, high, low] = std::process::id().to_be_bytes();
    SocketAddr::from(([239, 255, high, low], port))
}

/// Loads a guest from a file.
pub(crate) async fn load(host: &DiscoveryHost, guest: &Guest) -> Result<LoadedMode, LoadError> {
    let folder = tempfile::tempdir().unwrap();
    host.load(&file(guest.write(folder.path(), "test"))).await
}

/// One configured instance of a guest.
pub(crate) async fn open(host: &DiscoveryHost, guest: &Guest) -> Result<Instance, CallError> {
    let loaded = load(host, guest).await.unwrap();
    host.open(&loaded, &local()).await
}

/// Ciphers of members of the cluster with key `key`; each join is another member.
pub(crate) fn cluster(key: u8) -> BeaconCiphers {
    static MEMBERS: AtomicU8 = AtomicU8::new(0);
    BeaconCiphers::new(move |_| {
        let member = MEMBERS.fetch_add(1, Ordering::Relaxed);
        Box::new(ToyCipher { key, member, sent: 0, seen: HashSet::new() })
    })
}

/// Frames of `T`, key, member, number and payload, without encryption.
pub(crate) struct ToyCipher {
    key: u8,
    member: u8,
    sent: u8,
    seen: HashSet<(u8, u8)>,
}

impl BeaconCipher for ToyCipher {
    fn seal(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        self.sent = self.sent.wrapping_add(1);
        out.extend_from_slice(&[b'T', self.key, self.member, self.sent]);
        out.extend_from_slice(payload);
        Ok(())
    }

    fn open(&mut self, datagram: &[u8], out: &mut Vec<u8>) -> Result<(), BeaconRejection> {
        let [b'T', key, member, number, payload @ ..] = datagram else {
            return Err(BeaconRejection::Malformed);
        };
        if *key != self.key {
            return Err(BeaconRejection::Foreign);
        }
        if *member == self.member {
            return Err(BeaconRejection::Own);
        }
        if !self.seen.insert((*member, *number)) {
            return Err(BeaconRejection::Replayed);
        }
        out.extend_from_slice(payload);
        Ok(())
    }
}

/// Captures the lines that this thread logs while it is alive; a test's tasks all run on its
/// own thread.
pub(crate) struct Log {
    written: Arc<Mutex<Vec<u8>>>,
    _default: tracing::subscriber::DefaultGuard,
}

impl Log {
    pub(crate) fn capture() -> Self {
        let written = Arc::new(Mutex::new(Vec::new()));
        let writing = Arc::clone(&written);
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::INFO)
            .without_time()
            .with_ansi(false)
            .with_target(false)
            .with_writer(move || Writer(Arc::clone(&writing)))
            .finish();
        Self { written, _default: tracing::subscriber::set_default(subscriber) }
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        let written = self.written.lock().unwrap();
        String::from_utf8_lossy(&written).lines().map(|line| line.trim().to_owned()).collect()
    }
}

struct Writer(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
