//! Configuration shared by all modes of a host.

use std::path::PathBuf;

use crate::backend::Backend;
use crate::beacon::BeaconCiphers;
use crate::member::Interface;
use crate::prober::Prober;

/// Configuration shared by all modes.
#[derive(Clone, Debug)]
pub struct HostConfig {
    /// The addresses that the member uses; multicast is sent and received on these only.
    pub interfaces: Vec<Interface>,
    /// The TTL (IPv4) or hop limit (IPv6) of multicast datagrams: the number of routers they
    /// may pass, plus one.
    pub multicast_hops: u8,
    /// Ports to try for a candidate without a port.
    pub default_ports: Vec<u16>,
    /// The folder for compiled (`modes`) and fetched (`components`) components, kept between
    /// starts; `None` for no cache.
    pub cache_directory: Option<PathBuf>,
    /// The folder in which modes with the grant `store` have a subfolder each; `None` if there
    /// is none.
    pub state_directory: Option<PathBuf>,
    /// What implements the capabilities: the system, or fakes.
    pub backend: Backend,
    /// Seals and opens multicast datagrams.
    pub beacon_ciphers: BeaconCiphers,
    /// Probes the addresses that modes ask about.
    pub prober: Prober,
    /// Whether modes run on a thread of their own, so that a mode that uses its whole computing
    /// budget delays only other modes. If false, they run on the caller's runtime.
    pub on_own_thread: bool,
}
