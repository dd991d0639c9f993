//! The implementation of the capabilities: the system, or fakes for tests and dry runs.

mod dns;
mod http;
mod kubernetes;
mod lan;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use data_encoding::HEXLOWER_PERMISSIVE;
use serde::Deserialize;

use crate::prober::{Peer, Probed, Prober};

pub use dns::{FakeDns, FakeServiceTarget};
pub use http::{FakeAnswer, FakeHttp};
pub use kubernetes::{FakePod, FakePods};
pub use lan::Lan;
pub(crate) use lan::LanSocket;

/// The implementation of the capabilities of all modes of a host.
#[derive(Clone, Debug, Default)]
pub enum Backend {
    /// Sockets, servers and files of the system.
    #[default]
    Real,
    /// Fakes only. Grants and limits apply as usual.
    Fake(Arc<Fakes>),
}

/// Fake implementations of all capabilities. Names that are not listed do not exist, and
/// addresses that are not listed are closed. `convoke plugin try --fakes` reads them from TOML.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Fakes {
    /// If set, every capability call fails with this text, as if its server were down.
    pub failing: Option<String>,
    /// Fake DNS records.
    pub dns: FakeDns,
    /// Fake HTTP responses.
    pub http: FakeHttp,
    /// Fake pods by namespace and service.
    pub kubernetes: Vec<FakePods>,
    /// The results of probes; see [`Fakes::prober`].
    pub probe: Vec<FakeProbe>,
    /// Datagrams that arrive in a group once it is joined.
    pub datagrams: Vec<FakeDatagram>,
    /// The initial values of the mode's store, as text.
    pub store: BTreeMap<String, String>,
    /// The simulated multicast network, and this member's address in it.
    #[serde(skip)]
    pub lan: Option<(Lan, SocketAddr)>,
}

/// The result of probing one address.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct FakeProbe {
    /// The address.
    pub address: SocketAddr,
    /// The result: `member`, `other-cluster`, `not-a-member`, `closed` or `timed-out`.
    pub is: FakeProbed,
    /// The number of members of its cluster, if it is a member.
    #[serde(default)]
    pub cluster_size: u32,
    /// The addresses of its coordinator.
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

/// A datagram to be received.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct FakeDatagram {
    /// The group it is sent to.
    pub group: SocketAddr,
    /// The sender's address.
    pub from: SocketAddr,
    /// The payload, in hexadecimal digits; other characters are skipped.
    pub hex: String,
}

impl Backend {
    pub(crate) fn fakes(&self) -> Option<&Fakes> {
        match self {
            Self::Real => None,
            Self::Fake(fakes) => Some(fakes),
        }
    }

    /// The text of [`Fakes::failing`], if set.
    pub(crate) fn failing(&self) -> Option<String> {
        self.fakes().and_then(|fakes| fakes.failing.clone())
    }
}

impl Fakes {
    /// A prober that returns the results of [`Fakes::probe`]; other addresses are closed.
    pub fn prober(self: &Arc<Self>) -> Prober {
        let fakes = Arc::clone(self);
        Prober::new(move |address| {
            let probed = fakes.probed(address);
            async move { probed }
        })
    }

    /// The addresses of a literal, or of a name in the fake DNS.
    pub(crate) fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
        if let Ok(ip) = host.parse() {
            return Ok(vec![SocketAddr::new(ip, port)]);
        }
        let addresses = self.dns.addresses(host).ok_or("there is no fake for this name")?;
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
    /// The payload; an odd last digit is ignored.
    pub(crate) fn payload(&self) -> Vec<u8> {
        let mut digits: Vec<u8> = self.hex.bytes().filter(u8::is_ascii_hexdigit).collect();
        digits.truncate(digits.len() & !1);
        HEXLOWER_PERMISSIVE.decode(&digits).unwrap_or_default()
    }
}
