//! What is behind the capabilities: the world, or one made up for a test or a dry run.

mod dns;
mod http;
mod kubernetes;
mod lan;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use serde::Deserialize;

use crate::prober::{Peer, Probed, Prober};

pub use dns::{FakeDns, FakePlace};
pub use http::{FakeAnswer, FakeHttp};
pub use kubernetes::{FakePod, FakePods};
pub use lan::Lan;
pub(crate) use lan::LanSocket;

/// What is behind the capabilities of all modes of a host.
#[derive(Clone, Debug, Default)]
pub enum World {
    /// Sockets, servers, the disk.
    #[default]
    Real,
    /// None of them. Grants and limits hold all the same.
    Fake(Arc<Fakes>),
}

/// A world made up. What is not in it is not there: a name is not found, a place is
/// closed. Read from TOML by `convoke plugin try --fakes`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Fakes {
    /// Every call of every capability fails with these words, as if its server were away.
    pub failing: Option<String>,
    /// Names and where they lead.
    pub dns: FakeDns,
    /// Answers to requests.
    pub http: FakeHttp,
    /// Pods by namespace and service.
    pub kubernetes: Vec<FakePods>,
    /// Who is where; see [`Fakes::prober`].
    pub probe: Vec<FakeProbe>,
    /// Datagrams that arrive in a group as soon as it is joined.
    pub datagrams: Vec<FakeDatagram>,
    /// What the mode's store holds at first, as text.
    pub store: BTreeMap<String, String>,
    /// The network for multicast, and this member's place in it.
    #[serde(skip)]
    pub lan: Option<(Lan, SocketAddr)>,
}

/// What a probe of one place gives.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct FakeProbe {
    /// Where.
    pub address: SocketAddr,
    /// `member`, `other-cluster`, `not-a-member`, `closed` or `timed-out`.
    pub is: FakeProbed,
    /// Members of its cluster, where it is a member.
    #[serde(default)]
    pub cluster_size: u32,
    /// Where its coordinator is.
    #[serde(default)]
    pub coordinator: Vec<SocketAddr>,
}

/// See [`FakeProbe::is`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "as `Probed` has them")]
pub enum FakeProbed {
    Member,
    OtherCluster,
    NotAMember,
    Closed,
    TimedOut,
}

/// One datagram on its way.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct FakeDatagram {
    /// The group it was sent to.
    pub group: SocketAddr,
    /// Who sent it.
    pub from: SocketAddr,
    /// What the mode receives, in hexadecimal digits; other characters are skipped.
    pub hex: String,
}

impl World {
    pub(crate) fn fakes(&self) -> Option<&Fakes> {
        match self {
            Self::Real => None,
            Self::Fake(fakes) => Some(fakes),
        }
    }

    /// Why nothing answers, where that is so.
    pub(crate) fn failing(&self) -> Option<String> {
        self.fakes().and_then(|fakes| fakes.failing.clone())
    }
}

impl Fakes {
    /// Gives what [`Fakes::probe`] says of each place; others are closed.
    pub fn prober(self: &Arc<Self>) -> Prober {
        let fakes = Arc::clone(self);
        Prober::new(move |address| {
            let probed = fakes.probed(address);
            async move { probed }
        })
    }

    /// A literal as it is, a name as it is made up.
    pub(crate) fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
        if let Ok(ip) = host.parse() {
            return Ok(vec![SocketAddr::new(ip, port)]);
        }
        let addresses = self.dns.addresses(host).ok_or("no such name is made up")?;
        Ok(addresses.iter().map(|ip| SocketAddr::new(*ip, port)).collect())
    }

    fn probed(&self, address: SocketAddr) -> Probed {
        if let Some(why) = &self.failing {
            return Probed::Other(why.clone());
        }
        let Some(place) = self.probe.iter().find(|place| place.address == address) else {
            return Probed::Closed;
        };
        match place.is {
            FakeProbed::Member => Probed::Member(Peer {
                member_id: format!("member at {address}"),
                name: "fake".into(),
                lite: false,
                cluster_size: place.cluster_size,
                coordinator: place.coordinator.clone(),
            }),
            FakeProbed::OtherCluster => Probed::OtherCluster,
            FakeProbed::NotAMember => Probed::NotAMember("not a member".into()),
            FakeProbed::Closed => Probed::Closed,
            FakeProbed::TimedOut => Probed::TimedOut,
        }
    }
}

impl FakeDatagram {
    /// The bytes; a last digit without a partner is left out.
    pub(crate) fn payload(&self) -> Vec<u8> {
        let digits: Vec<u8> =
            self.hex.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
        digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    }
}
