//! The local member.

use std::fmt::Display;

use crate::LocalMember;

impl LocalMember {
    /// A member of the cluster `development` with one address, for tests.
    ///
    /// ```
    /// use convoke_mode_sdk::LocalMember;
    ///
    /// let me = LocalMember::at("10.0.0.7", 6900);
    /// assert_eq!(me.address(), Some("10.0.0.7"));
    /// assert!(me.is_reachable());
    /// ```
    pub fn at(address: impl Display, port: u16) -> Self {
        Self {
            cluster_name: "development".to_owned(),
            member_id: "member-1".to_owned(),
            addresses: vec![address.to_string()],
            port,
            attributes: Vec::new(),
        }
    }

    /// Its best address, an IPv4 or IPv6 literal.
    pub fn address(&self) -> Option<&str> {
        self.addresses.first().map(String::as_str)
    }

    /// Whether it accepts connections. A dry run does not, and must not be announced.
    ///
    /// ```
    /// # use convoke_mode_sdk::LocalMember;
    /// assert!(!LocalMember::at("10.0.0.7", 0).is_reachable());
    /// ```
    pub fn is_reachable(&self) -> bool {
        self.port != 0 && !self.addresses.is_empty()
    }

    /// An attribute of the member, such as `group`.
    pub fn attribute(&self, key: &str) -> Option<&str> {
        self.attributes.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}
