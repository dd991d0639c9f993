//! Pods made up.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::Deserialize;

/// The pods of a namespace, or behind a service of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct FakePods {
    /// The namespace; `default` is the one that the host is in.
    pub namespace: String,
    /// The service; none for the pods of the namespace.
    #[serde(default)]
    pub service: Option<String>,
    /// Each of them.
    pub pods: Vec<FakePod>,
}

/// One pod.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct FakePod {
    /// Its name.
    pub name: String,
    /// Where it is.
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
