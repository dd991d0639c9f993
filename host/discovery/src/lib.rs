//! The Wasm host: loads, inspects, grants, runs and supervises discovery modes.
//!
//! A *mode* is a WebAssembly component that finds members (`wit/discovery`). What
//! it may touch is what it imports (`wit/host`) and an operator granted. From the
//! outside in:
//!
//! - [`DiscoveryHost`] takes a [`ModeSpec`] through three steps. `load` reads,
//!   pins, compiles, inspects and links the component; `check` configures it once,
//!   so that what an operator got wrong stops the start; `start` hands it to a
//!   task that looks again and again and reports [`ModeEvent`]s.
//! - An [`Instance`] is one running copy with its budgets. It is dead after its
//!   first trap or time-out, and the supervisor builds another.
//! - `capability/` is what a mode can import: one file each, of the same shape.
//!
//! Promises: nothing is granted that the operator did not write; no mode holds a
//! CPU, memory, the network or the log beyond the figures in [`limits`]; a mode
//! that fails changes nothing but its own status; every refusal says what to do.
//!
//! Must never know: passwords, keys, views, or how members join. A candidate is a
//! rumour that somebody else has to check; beacons are sealed and opened by the
//! [`BeaconCipher`], and handshakes made by the [`Prober`], that the binary hands in.

mod back_off;
mod beacon;
mod bindings;
mod candidate;
mod capability;
mod digest;
mod engine;
mod grant;
mod host;
mod imports;
mod inspection;
mod instance;
pub mod limits;
mod load;
mod meter;
mod mode;
mod names;
mod precompiled;
mod prober;
mod source;
mod successor;
mod supervisor;
mod text;
mod thread;
mod ticker;
mod world;
mod zone;

pub use beacon::{BeaconCipher, BeaconCiphers, BeaconRefusal};
pub use candidate::{Candidate, Dropped, Problem, Refusal, Snapshot};
pub use capability::Rehearsal;
pub use capability::multicast::MulticastCounters;
pub use convoke_fetch::{Reference, ReferenceError};
pub use digest::{Digest, DigestError};
pub use engine::{EngineError, precompile, precompiled_for};
pub use grant::{
    DnsGrants, DnsServer, GrantError, Grants, HttpGrant, HttpScheme, KubernetesAccess,
    KubernetesGrants, MulticastGrant, ProbeGrant, StoreGrant,
};
pub use host::{DiscoveryHost, HostConfig, Interface, LoadedMode};
pub use imports::{ImportProblem, Unlinkable};
pub use inspection::{Asked, AskedGrant, Inspection};
pub use instance::{CallError, Instance};
pub use load::{LoadError, NotAComponent};
pub use mode::{LocalMember, ModeEvent, ModeSpec, ModeState, ModeStatus, SnapshotStatus};
pub use names::is_dns_name;
pub use prober::{Peer, Probed, Prober};
pub use source::Source;
pub use supervisor::ModeHandle;
pub use world::{
    FakeAnswer, FakeDatagram, FakeDns, FakeHttp, FakePlace, FakePod, FakePods, FakeProbe,
    FakeProbed, Fakes, Lan, World,
};
