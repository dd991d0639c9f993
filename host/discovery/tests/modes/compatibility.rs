//! Modes that were built for an earlier version of Convoke still run: see `fixtures`.

use std::path::PathBuf;
use std::sync::Arc;

use convoke_discovery::{
    Backend, DiscoveryHost, FakeDns, FakePod, FakePods, FakeProbe, FakeProbed, Fakes, HostConfig,
    Interface, Lan, ModeSpec, Snapshot,
};

use crate::support::{PATIENCE, config, file, local, with_grants};

fn released(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/0.1.0/{name}.wasm"))
}

fn mode(name: &str, argument: &str, grants: &[(&str, &str)]) -> ModeSpec {
    let mut spec = with_grants(file(released(name)), grants);
    spec.argument = argument.into();
    spec
}

/// Fakes with a member at 10.0.0.7:6900, known as `members.shop.example`.
fn fakes() -> Arc<Fakes> {
    let member = "10.0.0.7".parse().unwrap();
    Arc::new(Fakes {
        dns: FakeDns {
            names: [("members.shop.example".to_owned(), vec![member])].into(),
            ..FakeDns::default()
        },
        kubernetes: vec![FakePods {
            namespace: "shop".into(),
            service: Some("convoke".into()),
            pods: vec![FakePod {
                name: "convoke-0".into(),
                addresses: vec![member],
                ready: true,
                ports: [].into(),
                zone: None,
            }],
        }],
        probe: vec![FakeProbe {
            address: "10.0.0.7:6900".parse().unwrap(),
            is: FakeProbed::Member,
            cluster_size: 1,
            coordinator: vec!["10.0.0.7:6900".parse().unwrap()],
        }],
        ..Fakes::default()
    })
}

async fn discover(spec: &ModeSpec) -> Result<Snapshot, String> {
    discover_with(fakes(), spec).await
}

async fn discover_with(fakes: Arc<Fakes>, spec: &ModeSpec) -> Result<Snapshot, String> {
    let (prober, backend) = (fakes.prober(), Backend::Fake(fakes));
    let host = DiscoveryHost::new(HostConfig { backend, prober, ..config() }).unwrap();
    let loaded = host.load(spec).await.unwrap_or_else(|error| panic!("{error}"));
    let mut instance = host.open(&loaded, &local()).await.map_err(|error| error.to_string())?;
    instance.announce().await.map_err(|error| error.to_string())?;
    instance.discover().await.map_err(|error| error.to_string())
}

#[tokio::test]
async fn the_tcpip_mode_runs() {
    let found = discover(&mode("tcpip", "10.0.0.7-9:6900", &[])).await.unwrap();
    assert_eq!(found.candidates.len(), 3);
}

#[tokio::test]
async fn the_dns_mode_runs() {
    let grants = [("dns", "*.shop.example")];
    let found = discover(&mode("dns", "members.shop.example:6900", &grants)).await.unwrap();
    assert_eq!(found.candidates[0].address, "10.0.0.7:6900".parse().unwrap());
}

#[tokio::test]
async fn the_kubernetes_mode_runs() {
    let grants = [("kubernetes", "shop")];
    let found = discover(&mode("kubernetes", "shop,convoke", &grants)).await.unwrap();
    assert_eq!(found.candidates[0].address.ip(), "10.0.0.7".parse::<std::net::IpAddr>().unwrap());
}

#[tokio::test]
async fn the_domain_mode_runs() {
    let grants = [("probe", "10.0.0.7:6900")];
    let found = discover(&mode("domain", "10.0.0.7:6900", &grants)).await.unwrap();
    assert_eq!(found.candidates[0].address, "10.0.0.7:6900".parse().unwrap());
}

#[tokio::test]
async fn the_multicast_mode_runs() {
    let grants = [("multicast", "224.2.2.4:2904")];
    let lan = Lan::new(1);
    let mut instances = Vec::new();
    for last in [7_u8, 8] {
        let place = ([10, 0, 0, last], 6900).into();
        let fakes = Fakes { lan: Some((lan.clone(), place)), ..Fakes::default() };
        let interfaces = vec![Interface { address: [10, 0, 0, last].into(), index: None }];
        let backend = Backend::Fake(Arc::new(fakes));
        let host = DiscoveryHost::new(HostConfig { backend, interfaces, ..config() }).unwrap();
        let mut spec = mode("multicast", "224.2.2.4:2904", &grants);
        spec.settings = Vec::new();
        let mut local = local();
        local.addresses = vec![[10, 0, 0, last].into()];
        local.member_id = format!("member {last}");
        let loaded = host.load(&spec).await.unwrap();
        instances.push(host.open(&loaded, &local).await.unwrap());
    }
    let [one, other] = &mut instances[..] else { unreachable!() };
    one.announce().await.unwrap();
    let found = async {
        loop {
            other.announce().await.unwrap();
            one.announce().await.unwrap();
            let found = other.discover().await.unwrap();
            if let Some(candidate) = found.candidates.first() {
                return candidate.address.ip();
            }
        }
    };
    let found = tokio::time::timeout(PATIENCE, found).await.unwrap();
    assert_eq!(found, std::net::IpAddr::from([10, 0, 0, 7]));
}

#[tokio::test]
async fn the_address_file_example_in_c_runs() {
    let mut fakes = Fakes::default();
    fakes.store.insert("addresses".into(), "10.0.0.7:6900\n10.0.0.8\n".into());
    let spec = mode("address-file", "", &[("store", "64KiB")]);
    let found = discover_with(Arc::new(fakes), &spec).await.unwrap();
    assert_eq!(found.candidates[0].address, "10.0.0.7:6900".parse().unwrap());
}
