//! Handshakes with an address, as an interface: the binary implements it and holds the keys.

use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

/// The result of probing an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probed {
    /// A member of this cluster.
    Member(Peer),
    /// A member with another cluster name or another password.
    OtherCluster,
    /// Something that does not speak the protocol of members; the text says why.
    NotAMember(String),
    /// Nothing listens on the port.
    Closed,
    /// No response in time.
    TimedOut,
    /// Any other result, as text.
    Other(String),
}

/// A member of this cluster, as it describes itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The member id, which is unique to a process.
    pub member_id: String,
    /// The name, as shown in lists.
    pub name: String,
    /// Whether it is a lite member, which stores no data.
    pub lite: bool,
    /// The number of members of its cluster, including itself; 0 while it is in no cluster.
    pub cluster_size: u32,
    /// The addresses of its cluster's coordinator, best first.
    pub coordinator: Vec<SocketAddr>,
}

type Probing = Pin<Box<dyn Future<Output = Probed> + Send>>;

/// Probes one address; the future ends within a few seconds.
#[derive(Clone)]
pub struct Prober(Arc<dyn Fn(SocketAddr) -> Probing + Send + Sync>);

impl Prober {
    /// `probe` connects, completes a handshake and disconnects, without joining.
    pub fn new<F>(probe: impl Fn(SocketAddr) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Probed> + Send + 'static,
    {
        Self(Arc::new(move |address| Box::pin(probe(address))))
    }

    pub(crate) fn probe(&self, address: SocketAddr) -> Probing {
        (self.0)(address)
    }
}

impl fmt::Debug for Prober {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Prober")
    }
}
