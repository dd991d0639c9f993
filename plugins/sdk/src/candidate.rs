//! Places where a member may be, and what one look found.

use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::{Candidate, Snapshot};

impl Candidate {
    /// A place: an IPv4 or IPv6 literal without brackets, and a TCP port, or
    /// `None` for the cluster's own start port.
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

    /// No place: members may be at `what`, such as a name, and where that is could not be told
    /// in this look, because of `why`. The host does not call it, uses the other candidates, and
    /// founds no cluster on such a look.
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

    /// The same place with one hint more. The host keeps 16, of at most 256 bytes
    /// for a key and again for its value.
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

/// Without a port: the cluster's own start port.
impl From<IpAddr> for Candidate {
    fn from(address: IpAddr) -> Self {
        Self::at(address, None)
    }
}

impl Snapshot {
    /// What is known now. Says nothing of who is gone, and leaves it to the host
    /// when to look again: see [`complete`](Self::complete) and
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
    /// // Nobody found is an empty snapshot, not a problem.
    /// assert!(Snapshot::of([]).candidates.is_empty());
    /// ```
    pub fn of(candidates: impl IntoIterator<Item = Candidate>) -> Self {
        let candidates = candidates.into_iter().collect();
        Self { candidates, complete: false, look_again_ms: None }
    }

    /// A member that is not listed is certainly gone.
    #[must_use]
    pub fn complete(mut self) -> Self {
        self.complete = true;
        self
    }

    /// Another look is worth while after this time, not before. Whole milliseconds;
    /// zero asks for the next look at once, for a mode that waits inside its calls.
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
    fn a_wait_beyond_what_the_contract_holds_is_the_longest_there_is() {
        let snapshot = Snapshot::of([]).look_again_in(Duration::from_secs(1 << 40)).complete();
        assert_eq!(snapshot.look_again_ms, Some(u32::MAX));
        assert!(snapshot.complete);
        assert_eq!(
            Snapshot::of([]).look_again_in(Duration::from_micros(900)).look_again_ms,
            Some(0)
        );
    }

    #[test]
    fn an_address_without_a_port_is_at_the_start_port() {
        let address: IpAddr = "10.0.0.7".parse().unwrap();
        assert_eq!(Candidate::from(address), Candidate::at(address, None));
        let snapshot: Snapshot = [address].map(Candidate::from).into_iter().collect();
        assert_eq!(snapshot.candidates, [Candidate::at("10.0.0.7", None)]);
    }
}
