//! A fake Kubernetes API.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Deserialize;

/// The pods of a namespace, or of one of its services.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct FakePods {
    /// The namespace; `default` is the member's own.
    pub namespace: String,
    /// The service; `None` for the pods of the namespace.
    #[serde(default)]
    pub service: Option<String>,
    /// The pods.
    pub pods: Vec<FakePod>,
}

/// A fake pod.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct FakePod {
    /// Its name.
    pub name: String,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Whether it is ready.
    #[serde(default = "yes")]
    pub ready: bool,
    /// Its TCP ports by name.
    #[serde(default)]
    pub ports: BTreeMap<String, u16>,
    /// Its node's zone.
    #[serde(default)]
    pub zone: Option<String>,
}

fn yes() -> bool {
    true
}
