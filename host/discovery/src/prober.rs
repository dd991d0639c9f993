//! Shaking hands with whoever is at an address, seen from this side: somebody
//! else has the keys.

use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

/// What is at an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Probed {
    /// A member of this cluster.
    Member(Peer),
    /// A member with another cluster name or password.
    OtherCluster,
    /// Something that does not speak as a member does, in words.
    NotAMember(String),
    /// Nothing listens there.
    Closed,
    /// No answer in time.
    TimedOut,
    /// Anything else, in words.
    Other(String),
}

/// A member of this cluster, as it says itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Unique to its run.
    pub member_id: String,
    /// As lists show it.
    pub name: String,
    /// Whether it stores nothing.
    pub lite: bool,
    /// Members of its cluster, itself included; 0 while it has none.
    pub cluster_size: u32,
    /// Where its cluster's coordinator can be dialled, best first.
    pub coordinator: Vec<SocketAddr>,
}

type Probing = Pin<Box<dyn Future<Output = Probed> + Send>>;

/// Probes one address; ends by itself within a few seconds.
#[derive(Clone)]
pub struct Prober(Arc<dyn Fn(SocketAddr) -> Probing + Send + Sync>);

impl Prober {
    /// `probe` dials, shakes hands and hangs up, without joining.
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
