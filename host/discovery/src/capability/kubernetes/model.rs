//! The fields of pods and EndpointSlices that are used. Other fields are skipped while parsing,
//! so that a page needs little memory.

use std::net::IpAddr;

use serde::Deserialize;

/// One page of a list.
#[derive(Debug, Deserialize)]
pub(super) struct Page<T> {
    #[serde(default)]
    pub(super) metadata: ListMeta,
    pub(super) items: Vec<T>,
}

/// Metadata of a list: its resource version and the token of the next page.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ListMeta {
    pub(super) resource_version: String,
    #[serde(rename = "continue")]
    pub(super) token: String,
}

/// One event of a watch.
#[derive(Debug, Deserialize)]
pub(super) struct Event<T> {
    pub(super) object: T,
}

/// The type of an event, parsed before its object.
#[derive(Debug, Deserialize)]
pub(super) struct EventHead {
    #[serde(rename = "type")]
    pub(super) kind: EventKind,
}

/// The type of a watch event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum EventKind {
    Added,
    Modified,
    Deleted,
    /// No change; the object carries the resource version to resume from.
    Bookmark,
    /// The object is a [`Status`].
    Error,
    #[serde(other)]
    Unknown,
}

/// An error response of the API server.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Status {
    pub(super) message: String,
    pub(super) reason: String,
    pub(super) code: u16,
}

/// An object type that can be listed and watched.
pub(super) trait Object: for<'de> Deserialize<'de> + Send {
    fn meta(&self) -> &ObjectMeta;
    /// The endpoints that have an address and are not terminating.
    fn endpoints(&self) -> Vec<Endpoint>;
}

/// An address set at which a member may run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) name: String,
    pub(super) addresses: Vec<IpAddr>,
    pub(super) ready: bool,
    pub(super) ports: Vec<(String, u16)>,
    pub(super) zone: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ObjectMeta {
    pub(super) name: String,
    pub(super) resource_version: String,
    deletion_timestamp: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Pod {
    metadata: ObjectMeta,
    spec: PodSpec,
    status: PodStatus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PodSpec {
    containers: Vec<Container>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Container {
    ports: Vec<ContainerPort>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ContainerPort {
    name: Option<String>,
    container_port: u16,
    protocol: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodStatus {
    phase: String,
    #[serde(rename = "podIP")]
    pod_ip: Option<String>,
    #[serde(rename = "podIPs")]
    pod_ips: Option<Vec<PodIp>>,
    conditions: Option<Vec<Condition>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PodIp {
    ip: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct EndpointSlice {
    metadata: ObjectMeta,
    address_type: String,
    endpoints: Option<Vec<SliceEndpoint>>,
    ports: Option<Vec<SlicePort>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SliceEndpoint {
    addresses: Vec<String>,
    conditions: Option<SliceConditions>,
    target_ref: Option<TargetRef>,
    zone: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SliceConditions {
    ready: Option<bool>,
    serving: Option<bool>,
    terminating: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct TargetRef {
    kind: String,
    name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SlicePort {
    name: Option<String>,
    port: Option<u16>,
    protocol: Option<String>,
}

/// TCP is the default protocol.
fn is_tcp(protocol: Option<&String>) -> bool {
    protocol.is_none_or(|protocol| protocol == "TCP")
}

impl Object for Pod {
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn endpoints(&self) -> Vec<Endpoint> {
        let ended = matches!(self.status.phase.as_str(), "Succeeded" | "Failed");
        if ended || self.metadata.deletion_timestamp.is_some() {
            return Vec::new();
        }
        let mut addresses: Vec<IpAddr> = Vec::new();
        let several = self.status.pod_ips.iter().flatten().map(|ip| &ip.ip);
        for text in self.status.pod_ip.iter().chain(several) {
            if let Ok(ip) = text.parse()
                && !addresses.contains(&ip)
            {
                addresses.push(ip);
            }
        }
        if addresses.is_empty() {
            return Vec::new();
        }
        let ready = self
            .status
            .conditions
            .iter()
            .flatten()
            .any(|condition| condition.kind == "Ready" && condition.status == "True");
        let ports = self.spec.containers.iter().flat_map(|container| &container.ports);
        let ports = ports
            .filter(|port| is_tcp(port.protocol.as_ref()) && port.container_port != 0)
            .map(|port| (port.name.clone().unwrap_or_default(), port.container_port));
        vec![Endpoint {
            name: self.metadata.name.clone(),
            addresses,
            ready,
            ports: ports.collect(),
            // A pod does not carry its node's zone.
            zone: None,
        }]
    }
}

impl Object for EndpointSlice {
    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn endpoints(&self) -> Vec<Endpoint> {
        if self.metadata.deletion_timestamp.is_some() || self.address_type == "FQDN" {
            return Vec::new();
        }
        let ports: Vec<(String, u16)> = self
            .ports
            .iter()
            .flatten()
            .filter(|port| is_tcp(port.protocol.as_ref()))
            .filter_map(|port| Some((port.name.clone().unwrap_or_default(), port.port?)))
            .filter(|(_, port)| *port != 0)
            .collect();
        let endpoint = |endpoint: &SliceEndpoint| {
            let conditions = endpoint.conditions.as_ref();
            let is =
                |condition: fn(&SliceConditions) -> Option<bool>| conditions.and_then(condition);
            if is(|conditions| conditions.terminating) == Some(true) {
                return None;
            }
            let addresses: Vec<IpAddr> =
                endpoint.addresses.iter().filter_map(|text| text.parse().ok()).collect();
            let pod = endpoint.target_ref.as_ref().filter(|target| target.kind == "Pod");
            (!addresses.is_empty()).then(|| Endpoint {
                name: pod.map(|target| target.name.clone()).unwrap_or_default(),
                addresses,
                // According to the API reference, an unknown `ready` means ready. A service
                // with publishNotReadyAddresses reports all endpoints as ready; `serving` then
                // reports the pod's readiness.
                ready: is(|conditions| conditions.ready) != Some(false)
                    && is(|conditions| conditions.serving) != Some(false),
                ports: ports.clone(),
                zone: endpoint.zone.clone(),
            })
        };
        self.endpoints.iter().flatten().filter_map(endpoint).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn endpoints<T: Object>(object: serde_json::Value) -> Vec<Endpoint> {
        serde_json::from_value::<T>(object).unwrap().endpoints()
    }

    #[test]
    fn a_pod_becomes_an_endpoint_with_all_its_addresses() {
        let pod = json!({
            "metadata": { "name": "till-0", "resourceVersion": "7", "labels": { "app": "till" } },
            "spec": { "containers": [
                { "name": "a", "ports": [
                    { "name": "member", "containerPort": 6900, "protocol": "TCP" },
                    { "name": "gossip", "containerPort": 6900, "protocol": "UDP" },
                    { "containerPort": 8080 },
                ] },
                { "name": "sidecar" },
            ] },
            "status": {
                "phase": "Running", "podIP": "10.1.0.7",
                "podIPs": [ { "ip": "10.1.0.7" }, { "ip": "fd00::7" } ],
                "conditions": [ { "type": "Initialized", "status": "True" }, { "type": "Ready", "status": "False" } ],
            },
        });
        let expected = Endpoint {
            name: "till-0".into(),
            addresses: vec![[10, 1, 0, 7].into(), "fd00::7".parse().unwrap()],
            ready: false,
            ports: vec![("member".into(), 6900), (String::new(), 8080)],
            zone: None,
        };
        assert_eq!(endpoints::<Pod>(pod), [expected]);
    }

    #[test]
    fn terminating_and_pending_pods_have_no_endpoint() {
        for pod in [
            json!({ "status": { "phase": "Pending" } }),
            json!({ "status": { "phase": "Succeeded", "podIP": "10.1.0.7" } }),
            json!({ "metadata": { "deletionTimestamp": "2026-11-24T07:00:00Z" }, "status": { "phase": "Running", "podIP": "10.1.0.7" } }),
            json!({}),
        ] {
            assert!(endpoints::<Pod>(pod).is_empty());
        }
    }

    #[test]
    fn a_slice_becomes_endpoints_with_its_ports() {
        let slice = json!({
            "metadata": { "name": "till-x7k" },
            "addressType": "IPv6",
            "endpoints": [
                { "addresses": ["fd00::7"], "conditions": { "ready": false, "serving": false, "terminating": false },
                  "targetRef": { "kind": "Pod", "name": "till-0" }, "zone": "b", "nodeName": "n1" },
                { "addresses": ["fd00::8"], "conditions": {} },
                { "addresses": ["fd00::9"], "conditions": { "ready": false, "terminating": true } },
            ],
            "ports": [ { "name": "member", "port": 6900, "protocol": "TCP" }, { "name": "all", "port": null } ],
        });
        let found = endpoints::<EndpointSlice>(slice);
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].name.as_str(), found[0].ready), ("till-0", false));
        let published = json!({
            "addressType": "IPv4",
            "endpoints": [
                { "addresses": ["10.77.0.2"], "conditions": { "ready": true, "serving": false, "terminating": false } },
                { "addresses": ["10.77.0.3"], "conditions": { "ready": true, "serving": true, "terminating": false } },
            ],
        });
        let published = endpoints::<EndpointSlice>(published);
        assert_eq!((published[0].ready, published[1].ready), (false, true));
        assert_eq!(found[0].zone.as_deref(), Some("b"));
        assert_eq!(found[1].ports, [("member".to_owned(), 6900)]);
        assert!(found[1].ready, "unknown is ready");
        let names = json!({ "addressType": "FQDN", "endpoints": [{ "addresses": ["a.example"] }] });
        assert!(endpoints::<EndpointSlice>(names).is_empty());
        assert!(endpoints::<EndpointSlice>(json!({ "endpoints": null, "ports": null })).is_empty());
    }

    fn check(found: &[Endpoint]) {
        for endpoint in found {
            assert!(!endpoint.addresses.is_empty());
            assert!(endpoint.ports.iter().all(|(_, port)| *port != 0));
        }
    }

    #[test]
    fn fuzz_kubernetes_page() {
        let samples = [
            r#"{"metadata": {"resourceVersion": "7", "continue": "abc"}, "items": [{"metadata": {"name": "till-0"},
            "spec": {"containers": [{"ports": [{"name": "member", "containerPort": 6900, "protocol": "TCP"}]}]},
            "status": {"phase": "Running", "podIP": "10.1.0.7", "podIPs": [{"ip": "fd00::7"}],
            "conditions": [{"type": "Ready", "status": "True"}]}}]}"#,
            r#"{"items": [{"metadata": {"deletionTimestamp": "2026-11-24T07:00:00Z"}, "status": {"phase": "Failed"}}]}"#,
            r#"{"items": null}"#,
            "[[[[[[[[[[[[[[[[",
        ];
        convoke_harness::check!(&samples, |json| {
            if let Ok(page) = serde_json::from_slice::<Page<Pod>>(json) {
                page.items.iter().for_each(|pod| check(&pod.endpoints()));
            }
            if let Ok(page) = serde_json::from_slice::<Page<EndpointSlice>>(json) {
                page.items.iter().for_each(|slice| check(&slice.endpoints()));
            }
        });
    }

    #[test]
    fn fuzz_kubernetes_event() {
        let samples = [
            r#"{"type": "ADDED", "object": {"metadata": {"name": "till-x7k", "resourceVersion": "9"},
            "addressType": "IPv6", "endpoints": [{"addresses": ["fd00::7"], "conditions": {"ready": false,
            "serving": true, "terminating": false}, "targetRef": {"kind": "Pod", "name": "till-0"}, "zone": "b"}],
            "ports": [{"name": "member", "port": 6900, "protocol": "TCP"}, {"port": null}]}}"#,
            r#"{"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "12"}}}"#,
            r#"{"type": "ERROR", "object": {"message": "too old", "reason": "Expired", "code": 410}}"#,
            r#"{"type": "UNHEARD", "object": {"endpoints": null, "ports": null}}"#,
        ];
        convoke_harness::check!(&samples, |json| {
            let _ = serde_json::from_slice::<EventHead>(json);
            let _ = serde_json::from_slice::<Event<Status>>(json);
            if let Ok(event) = serde_json::from_slice::<Event<Pod>>(json) {
                check(&event.object.endpoints());
            }
            if let Ok(event) = serde_json::from_slice::<Event<EndpointSlice>>(json) {
                check(&event.object.endpoints());
            }
        });
    }
}
