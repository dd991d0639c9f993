//! Parses Consul's list of the healthy instances of a service.

use std::collections::BTreeMap;
use std::net::IpAddr;

use convoke_mode_sdk::Candidate;
use serde::Deserialize;

/// The relevant fields of an instance.
#[derive(Debug, Deserialize)]
pub(crate) struct Instance {
    #[serde(rename = "Node")]
    node: Node,
    #[serde(rename = "Service")]
    service: Service,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Node {
    node: String,
    address: String,
    #[serde(default)]
    datacenter: Option<String>,
    #[serde(default)]
    meta: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Service {
    #[serde(default)]
    address: Option<String>,
    /// 0 if there is none. Consul does not validate the number.
    #[serde(default)]
    port: i64,
    #[serde(default)]
    meta: Option<BTreeMap<String, String>>,
}

/// Parses a response. The error is a text.
pub(crate) fn read(body: &[u8]) -> Result<Vec<Instance>, String> {
    serde_json::from_slice(body).map_err(|error| error.to_string())
}

impl Instance {
    /// The service's address, or else its node's. An IP literal, or a name, since Consul does
    /// not validate it.
    pub(crate) fn address(&self) -> &str {
        let own = self.service.address.as_deref().filter(|address| !address.is_empty());
        own.unwrap_or(&self.node.address)
    }

    /// Whether the host can call it: its address is an IP literal, and its port is valid.
    pub(crate) fn is_usable(&self) -> bool {
        self.address().parse::<IpAddr>().is_ok() && self.port() != Some(0)
    }

    /// The candidate. Unusable ones are returned as well, so that the host drops and counts
    /// them.
    pub(crate) fn candidate(&self) -> Candidate {
        let candidate = Candidate::at(self.address(), self.port()).with("node", &self.node.node);
        match self.zone() {
            Some(zone) => candidate.with("zone", zone),
            None => candidate,
        }
    }

    /// `None` for the start port, 0 for an invalid port.
    fn port(&self) -> Option<u16> {
        match self.service.port {
            0 => None,
            port => Some(u16::try_from(port).unwrap_or(0)),
        }
    }

    /// The zone in the service's metadata, or else the node's, or else the datacenter.
    fn zone(&self) -> Option<&str> {
        let sources = [&self.service.meta, &self.node.meta].into_iter().flatten();
        sources
            .filter_map(|meta| meta.get("zone"))
            .chain(&self.node.datacenter)
            .map(String::as_str)
            .find(|zone| !zone.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A response in the format of Consul 1.20.
    const ANSWER: &str = r#"[
        {
            "Node": {
                "ID": "3d1b7c5e-0000-0000-0000-000000000001",
                "Node": "rack-1", "Address": "10.0.0.1", "Datacenter": "east",
                "TaggedAddresses": {"lan": "10.0.0.1", "wan": "10.0.0.1"},
                "Meta": {"consul-network-segment": "", "zone": "b"},
                "CreateIndex": 13, "ModifyIndex": 14
            },
            "Service": {
                "ID": "shop-1", "Service": "shop", "Tags": ["live"],
                "Address": "10.1.0.1", "Meta": null, "Port": 6900,
                "Weights": {"Passing": 1, "Warning": 1}, "EnableTagOverride": false,
                "CreateIndex": 20, "ModifyIndex": 20
            },
            "Checks": [{"CheckID": "serfHealth", "Status": "passing"}]
        },
        {
            "Node": {"Node": "rack-2", "Address": "fd00::2", "Datacenter": "east", "Meta": {}},
            "Service": {"ID": "shop-2", "Address": "", "Port": 0, "Meta": {"zone": "c"}},
            "Checks": []
        },
        {
            "Node": {"Node": "rack-3", "Address": "10.0.0.3", "Datacenter": "east"},
            "Service": {"ID": "shop-3", "Port": 6901}
        },
        {
            "Node": {"Node": "rack-4", "Address": "10.0.0.4"},
            "Service": {"ID": "shop-4", "Address": "shop.example", "Port": 6900}
        },
        {
            "Node": {"Node": "rack-5", "Address": "10.0.0.5"},
            "Service": {"ID": "shop-5", "Port": 70000}
        }
    ]"#;

    #[test]
    fn the_address_is_that_of_the_service_or_else_of_its_node() {
        let instances = read(ANSWER.as_bytes()).unwrap();
        let found: Vec<_> = instances.iter().map(Instance::candidate).collect();
        assert_eq!(
            found,
            [
                Candidate::at("10.1.0.1", 6900).with("node", "rack-1").with("zone", "b"),
                Candidate::at("fd00::2", None).with("node", "rack-2").with("zone", "c"),
                Candidate::at("10.0.0.3", 6901).with("node", "rack-3").with("zone", "east"),
                Candidate::at("shop.example", 6900).with("node", "rack-4"),
                Candidate::at("10.0.0.5", 0).with("node", "rack-5"),
            ]
        );
        let usable: Vec<_> = instances.iter().map(Instance::is_usable).collect();
        assert_eq!(usable, [true, true, true, false, false]);
    }

    #[test]
    fn no_instances_are_an_empty_list() {
        assert!(read(b"[]").unwrap().is_empty());
    }

    #[test]
    fn an_invalid_response_is_rejected() {
        for body in ["", "null", "{}", "<html>", "[{}]", r#"[{"Node": {}, "Service": {}}]"#, "[1"] {
            assert!(read(body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn the_nesting_depth_is_limited() {
        assert!(read("[".repeat(1 << 20).as_bytes()).is_err());
    }

    /// Random JSON, which often contains the relevant keys.
    fn json() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("null".to_owned()),
            any::<bool>().prop_map(|value| value.to_string()),
            any::<i64>().prop_map(|value| value.to_string()),
            any::<f64>()
                .prop_filter("finite", |value| value.is_finite())
                .prop_map(|v| v.to_string()),
            "[a-z0-9.:]{0,12}".prop_map(|text| format!("{text:?}")),
        ];
        let key = prop_oneof![
            Just("Node".to_owned()),
            Just("Service".to_owned()),
            Just("Address".to_owned()),
            Just("Port".to_owned()),
            Just("Meta".to_owned()),
            Just("zone".to_owned()),
            "[a-z]{1,4}",
        ];
        leaf.prop_recursive(6, 64, 6, move |inner| {
            let member =
                (key.clone(), inner.clone()).prop_map(|(key, value)| format!("{key:?}:{value}"));
            prop_oneof![
                prop::collection::vec(inner, 0..6).prop_map(|all| format!("[{}]", all.join(","))),
                prop::collection::vec(member, 0..6)
                    .prop_map(|all| format!("{{{}}}", all.join(","))),
            ]
        })
    }

    proptest! {
        #[test]
        fn arbitrary_json_is_parsed_or_rejected(text in json()) {
            for instance in read(text.as_bytes()).into_iter().flatten() {
                let _ = instance.candidate();
                let _ = instance.is_usable();
            }
        }

        #[test]
        fn a_valid_instance_is_parsed(
            node in "\\PC{0,8}", address in "[0-9a-f.:]{0,12}", port in any::<i64>(),
            zone in proptest::option::of("\\PC{0,8}"),
        ) {
            let body = serde_json::json!([{
                "Node": {"Node": node, "Address": address, "Meta": {"zone": zone.clone().unwrap_or_default()}},
                "Service": {"Address": null, "Port": port},
            }]);
            let instances = read(body.to_string().as_bytes()).unwrap();
            prop_assert_eq!(instances.len(), 1);
            let candidate = instances[0].candidate();
            let is_usable = candidate.address.parse::<IpAddr>().is_ok() && candidate.port != Some(0);
            prop_assert_eq!(instances[0].is_usable(), is_usable);
        }

        #[test]
        fn arbitrary_bytes_are_parsed_or_rejected(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
        }
    }
}
