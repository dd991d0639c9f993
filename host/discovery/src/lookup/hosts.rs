//! Parser of `/etc/hosts` (hosts(5)): static names that are not looked up in DNS.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::limits;

/// Addresses by name; names are in lower case.
#[derive(Clone, Debug, Default)]
pub(super) struct Hosts(HashMap<String, Vec<IpAddr>>);

impl Hosts {
    /// Parses the file's text; invalid lines are ignored.
    pub(super) fn read(text: &str) -> Self {
        let mut hosts: HashMap<String, Vec<IpAddr>> = HashMap::new();
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default();
            let mut fields = line.split_whitespace();
            let Some(Ok(ip)) = fields.next().map(str::parse::<IpAddr>) else { continue };
            for name in fields {
                let known = hosts.entry(name.to_ascii_lowercase()).or_default();
                if !known.contains(&ip) && known.len() < limits::LOOKUP_ADDRESSES_MAX {
                    known.push(ip);
                }
            }
        }
        Self(hosts)
    }

    /// The addresses of a name. As in glibc, the name is compared as given, without the search
    /// list.
    pub(super) fn addresses(&self, name: &str) -> Option<&[IpAddr]> {
        self.0.get(&name.to_ascii_lowercase()).map(Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_a_line_has_its_address() {
        let hosts = Hosts::read(
            "127.0.0.1 localhost\n10.0.0.5\tA.example a # b\r\nfd00::5 a\n10.0.0.5 a\nx y\n",
        );
        let of_a: Vec<IpAddr> = vec!["10.0.0.5".parse().unwrap(), "fd00::5".parse().unwrap()];
        assert_eq!(hosts.addresses("A"), Some(&of_a[..]));
        assert_eq!(hosts.addresses("a.example").map(<[_]>::len), Some(1));
        assert_eq!((hosts.addresses("b"), hosts.addresses("y")), (None, None));
    }

    #[test]
    fn fuzz_hosts() {
        let samples = [
            "127.0.0.1 localhost\n10.0.0.5\tA.example a # b\r\nfd00::5 a\n10.0.0.5 a\nx y\n",
            "::1%lo a\n#\n 10.0.0.1",
        ];
        convoke_harness::check!(&samples, |bytes| {
            let hosts = Hosts::read(&String::from_utf8_lossy(bytes));
            for (name, addresses) in &hosts.0 {
                assert!((1..=limits::LOOKUP_ADDRESSES_MAX).contains(&addresses.len()));
                assert_eq!(hosts.addresses(&name.to_ascii_uppercase()), Some(&addresses[..]));
            }
        });
    }
}
