//! The WebAssembly host: loads, inspects, grants, runs and supervises discovery modes.
//!
//! A *mode* is a WebAssembly component that finds members (`wit/discovery`). It can access only
//! what it imports (`wit/host`) and what an operator granted. From the outside in:
//!
//! - [`DiscoveryHost`] takes a [`ModeSpec`] through three steps. `load` reads the component,
//!   checks its digest, compiles, inspects and links it; `check` configures it once, so that
//!   configuration errors are reported before the start; `start` passes it to a task that calls
//!   it at intervals and reports [`ModeEvent`]s.
//! - An [`Instance`] is one running copy with its budgets. It cannot be used after its first
//!   trap or timeout; the supervisor then creates another one.
//! - `capability/` contains the interfaces that a mode can import: one file each, of the same
//!   structure.
//!
//! Guarantees: nothing is granted that the operator did not configure; no mode uses more CPU,
//! memory, network or log than [`limits`] allows; a failing mode affects only its own status;
//! every rejection says what to do.
//!
//! This crate must not know passwords, keys, views, or how members join. A candidate is an
//! untrusted hint that the caller has to verify. Beacons are encrypted by the [`BeaconCipher`],
//! and handshakes made by the [`Prober`], which the binary provides.

mod backend;
mod beacon;
mod bindings;
mod candidate;
mod capability;
mod config;
mod engine;
mod file_version;
mod grant;
mod host;
mod imports;
mod inspection;
mod instance;
mod limiter;
pub mod limits;
mod link;
mod load;
mod lookup;
mod member;
mod meter;
mod mode;
mod names;
mod precompiled;
mod prober;
mod reload;
pub mod schedule;
mod source;
mod supervisor;
mod thread;
mod ticker;
mod zone;

pub use backend::{
    Backend, FakeAnswer, FakeDatagram, FakeDns, FakeHttp, FakePod, FakePods, FakeProbe, FakeProbed,
    FakeServiceTarget, Fakes, Lan,
};
pub use beacon::{BeaconCipher, BeaconCiphers, BeaconRejection};
pub use candidate::{Candidate, DropReason, Dropped, Problem, Snapshot};
pub use capability::mode::Rehearsal;
pub use capability::multicast::MulticastCounters;
pub use config::HostConfig;
pub use convoke_fetch::{Digest, DigestError, Reference, ReferenceError};
pub use engine::{EngineError, precompile, precompiled_for};
pub use grant::{
    DnsGrants, DnsServer, GrantError, Grants, HttpGrant, HttpScheme, KubernetesAccess,
    KubernetesGrants, MulticastGrant, ProbeGrant, StoreGrant,
};
pub use host::DiscoveryHost;
pub use imports::{ImportProblem, Unlinkable};
pub use inspection::{Inspection, Permission, PermissionGrant};
pub use instance::{CallError, Instance};
pub use link::LoadedMode;
pub use load::{LoadError, NotAComponent};
pub use member::{Interface, LocalMember};
pub use mode::{ModeEvent, ModeSpec, ModeState, ModeStatus, SnapshotStatus};
pub use names::is_dns_name;
pub use prober::{Peer, Probed, Prober};
pub use source::Source;
pub use supervisor::ModeHandle;
