//! Candidates, and the result of `discover`.

use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::{Candidate, Snapshot};

impl Candidate {
    /// A candidate: an IPv4 or IPv6 literal without brackets, and a TCP port; `None` means the
    /// cluster's start port.
    ///
    /// ```
    /// use convoke_mode_sdk::Candidate;
    ///
    /// let place = Candidate::at("10.0.0.7", 6900).with("zone", "b");
    /// assert_eq!((place.address.as_str(), place.port), ("10.0.0.7", Some(6900)));
    /// assert_eq!(place.attributes, [("zone".to_owned(), "b".to_owned())]);
    ///
    /// assert_eq!(Candidate::at("2001:db8::7", None).port, None);
    /// ```
    pub fn at(address: impl Display, port: impl Into<Option<u16>>) -> Self {
        Self { address: address.to_string(), port: port.into(), attributes: Vec::new() }
    }

    /// A candidate that could not be resolved: members may exist at `what`, such as a name,
    /// whose address could not be determined in this call because of `why`. The host does not
    /// connect to it, uses the other candidates, and founds no cluster on such a result.
    ///
    /// ```
    /// use convoke_mode_sdk::Candidate;
    ///
    /// let unknown = Candidate::unresolved("b.example", "no answer from 10.0.0.53");
    /// assert_eq!(unknown.attributes[0].0, "unresolved");
    /// ```
    pub fn unresolved(what: impl Display, why: impl Display) -> Self {
        Self::at(what, None).with("unresolved", why)
    }

    /// Adds a hint. The host keeps 16 hints, with keys and values of at most 256 bytes each.
    #[must_use]
    pub fn with(mut self, key: impl Into<String>, value: impl Display) -> Self {
        self.attributes.push((key.into(), value.to_string()));
        self
    }
}

/// ```
/// use convoke_mode_sdk::Candidate;
/// use std::net::SocketAddr;
///
/// let address: SocketAddr = "[2001:db8::7]:6900".parse().unwrap();
/// assert_eq!(Candidate::from(address), Candidate::at("2001:db8::7", 6900));
/// ```
impl From<SocketAddr> for Candidate {
    fn from(address: SocketAddr) -> Self {
        Self::at(address.ip(), address.port())
    }
}

/// A candidate without a port, which means the cluster's start port.
impl From<IpAddr> for Candidate {
    fn from(address: IpAddr) -> Self {
        Self::at(address, None)
    }
}

impl Snapshot {
    /// A result with these candidates. By default it is not complete, and the host chooses when
    /// to call again: see [`complete`](Self::complete) and
    /// [`look_again_in`](Self::look_again_in).
    ///
    /// ```
    /// use convoke_mode_sdk::{Candidate, Snapshot};
    /// use std::time::Duration;
    ///
    /// let places = [Candidate::at("10.0.0.7", 6900), Candidate::at("10.0.0.8", 6900)];
    /// let snapshot = Snapshot::of(places).look_again_in(Duration::from_secs(30));
    /// assert_eq!(snapshot.candidates.len(), 2);
    /// assert_eq!(snapshot.look_again_ms, Some(30_000));
    /// assert!(!snapshot.complete);
    ///
    /// // If nobody was found, return an empty snapshot and not a problem.
    /// assert!(Snapshot::of([]).candidates.is_empty());
    /// ```
    pub fn of(candidates: impl IntoIterator<Item = Candidate>) -> Self {
        let candidates = candidates.into_iter().collect();
        Self { candidates, complete: false, look_again_ms: None }
    }

    /// Declares that members that are not listed have left.
    #[must_use]
    pub fn complete(mut self) -> Self {
        self.complete = true;
        self
    }

    /// Asks for the next call after this time, in whole milliseconds. Zero asks for the next
    /// call at once, for a mode that waits in its calls.
    #[must_use]
    pub fn look_again_in(mut self, wait: Duration) -> Self {
        self.look_again_ms = Some(u32::try_from(wait.as_millis()).unwrap_or(u32::MAX));
        self
    }
}

/// As [`Snapshot::of`].
impl FromIterator<Candidate> for Snapshot {
    fn from_iter<I: IntoIterator<Item = Candidate>>(candidates: I) -> Self {
        Self::of(candidates)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_that_is_too_long_saturates() {
        let snapshot = Snapshot::of([]).look_again_in(Duration::from_secs(1 << 40)).complete();
        assert_eq!(snapshot.look_again_ms, Some(u32::MAX));
        assert!(snapshot.complete);
        assert_eq!(
            Snapshot::of([]).look_again_in(Duration::from_micros(900)).look_again_ms,
            Some(0)
        );
    }

    #[test]
    fn an_address_without_a_port_uses_the_start_port() {
        let address: IpAddr = "10.0.0.7".parse().unwrap();
        assert_eq!(Candidate::from(address), Candidate::at(address, None));
        let snapshot: Snapshot = [address].map(Candidate::from).into_iter().collect();
        assert_eq!(snapshot.candidates, [Candidate::at("10.0.0.7", None)]);
    }
}
