//! A simulated Kubernetes API server with what the kubernetes mode uses: paged lists, watches,
//! label selectors, service accounts, RBAC, status objects. Plain HTTP for a kubeconfig, TLS for
//! the service account of a pod.

mod answers;
mod selector;
mod serve;
mod state;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};

pub use state::Behavior;
use state::State;

use crate::ports;
use crate::server_thread::ServerThread;
use crate::tls::Identity;

/// The account that a server accepts.
const ACCOUNT: &str = "system:serviceaccount:shop:convoke";

/// A running server. Dropping it stops it and frees its ports.
#[derive(Debug)]
pub struct ApiServer {
    plain: SocketAddr,
    tls: SocketAddr,
    state: Arc<State>,
    authority: String,
    _thread: ServerThread,
}

impl ApiServer {
    /// Starts one with no pods, on two unused ports.
    #[must_use]
    pub fn start() -> Self {
        Self::start_at(ports::block(2))
    }

    /// Starts one on `port` (plain) and the next one (TLS).
    ///
    /// # Panics
    /// If a port is in use.
    #[must_use]
    pub fn start_at(port: u16) -> Self {
        let plain = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let tls = SocketAddr::from((Ipv4Addr::LOCALHOST, port + 1));
        let state = Arc::new(State::new(ACCOUNT));
        let Identity { authority, acceptor } = Identity::of_loopback();
        let served = Arc::clone(&state);
        let (thread, ()) = ServerThread::start(move || serve::bind(plain, tls, acceptor, served));
        Self { plain, tls, state, authority, _thread: thread }
    }

    /// The plain port; the one for TLS is the next.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.plain.port()
    }

    /// Writes a kubeconfig for the plain port, with the current token.
    pub fn kubeconfig(&self, folder: &Path) -> PathBuf {
        let text = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{ "name": "test", "cluster": { "server": format!("http://{}", self.plain) } }],
            "users": [{ "name": "test", "user": { "token": self.state.token() } }],
            "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "test", "namespace": "shop" } }],
        });
        // JSON is a subset of YAML.
        let path = folder.join("kubeconfig");
        fs::write(&path, text.to_string()).expect("the folder is writable");
        path
    }

    /// Writes the service account files that Kubernetes mounts into a pod, for the TLS port.
    pub fn service_account(&self, folder: &Path) -> PathBuf {
        let folder = folder.join("serviceaccount");
        fs::create_dir_all(&folder).expect("the folder is writable");
        let files = [
            ("token", self.state.token()),
            ("ca.crt", self.authority.clone()),
            ("namespace", "shop".into()),
        ];
        for (name, content) in files {
            fs::write(folder.join(name), content).expect("the folder is writable");
        }
        folder
    }

    /// The environment variables that Kubernetes sets in a pod.
    #[must_use]
    pub fn environment(&self) -> [(&'static str, String); 2] {
        [
            ("KUBERNETES_SERVICE_HOST", self.tls.ip().to_string()),
            ("KUBERNETES_SERVICE_PORT", self.tls.port().to_string()),
        ]
    }

    /// Adds or replaces an object of the API: a pod or an EndpointSlice.
    pub fn put(&self, object: Value) {
        self.state.put(object);
    }

    /// Adds or replaces a running pod.
    pub fn put_pod(&self, name: &str, addresses: &[&str], labels: &[(&str, &str)], ready: bool) {
        self.put(pod(name, addresses, labels, ready));
    }

    /// Adds or replaces an EndpointSlice of a service, with one endpoint for each address.
    pub fn put_slice(
        &self,
        service: &str,
        name: &str,
        addresses: &[&str],
        port: Option<(&str, u16)>,
    ) {
        self.put(slice(service, name, addresses, port));
    }

    /// Removes an object.
    pub fn remove(&self, kind: &str, name: &str) {
        self.state.remove(kind, name);
    }

    /// Sets how it answers.
    pub fn set_behavior(&self, behavior: Behavior) {
        self.state.set_behavior(behavior);
    }

    /// Denies a verb on a resource (RBAC).
    pub fn deny(&self, verb: &str, resource: &str) {
        self.state.deny(verb, resource, true);
    }

    /// Allows it again.
    pub fn allow(&self, verb: &str, resource: &str) {
        self.state.deny(verb, resource, false);
    }

    /// Replaces the token; the old one is not accepted any more.
    pub fn rotate_token(&self) {
        self.state.rotate();
    }

    /// Compacts the history, so that watches from older versions fail (410).
    pub fn compact(&self) {
        self.state.compact();
    }

    /// Number of requests with this verb (`list`, `watch`) so far.
    #[must_use]
    pub fn requests(&self, verb: &str) -> usize {
        self.state.requests(verb)
    }
}

/// A pod of namespace `shop`, as in the API.
#[must_use]
pub fn pod(name: &str, addresses: &[&str], labels: &[(&str, &str)], ready: bool) -> Value {
    let ips: Vec<Value> = addresses.iter().map(|ip| json!({ "ip": ip })).collect();
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": name, "namespace": "shop", "uid": name, "labels": map(labels) },
        "spec": {
            "nodeName": "node-1",
            "serviceAccountName": "convoke",
            "containers": [{ "name": "convoke", "image": "convoke", "ports": [{ "name": "http", "containerPort": 8080, "protocol": "TCP" }] }],
        },
        "status": {
            "phase": "Running",
            "hostIP": "10.9.9.9",
            "podIP": addresses.first(),
            "podIPs": ips,
            "conditions": [
                { "type": "PodScheduled", "status": "True" },
                { "type": "Ready", "status": if ready { "True" } else { "False" } },
            ],
        },
    })
}

/// An EndpointSlice of namespace `shop`, as in the API.
#[must_use]
pub fn slice(service: &str, name: &str, addresses: &[&str], port: Option<(&str, u16)>) -> Value {
    let endpoint = |(index, address): (usize, &&str)| {
        json!({
            "addresses": [address],
            "conditions": { "ready": true, "serving": true, "terminating": false },
            "targetRef": { "kind": "Pod", "name": format!("{service}-{index}"), "namespace": "shop" },
            "nodeName": "node-1",
            "zone": "zone-b",
        })
    };
    let is_v6 = addresses.first().is_some_and(|address| address.contains(':'));
    json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": name, "namespace": "shop",
            "labels": map(&[("kubernetes.io/service-name", service)]),
        },
        "addressType": if is_v6 { "IPv6" } else { "IPv4" },
        "endpoints": addresses.iter().enumerate().map(endpoint).collect::<Vec<_>>(),
        "ports": port.map(|(name, port)| vec![json!({ "name": name, "port": port, "protocol": "TCP" })]),
    })
}

fn map(pairs: &[(&str, &str)]) -> Value {
    let pairs = pairs.iter().map(|&(key, value)| (key.to_owned(), Value::from(value)));
    Value::Object(pairs.collect())
}
