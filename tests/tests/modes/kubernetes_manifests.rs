//! The Kubernetes manifests of the project match each other and the kubernetes mode.

use std::fs;
use std::path::Path;

use serde_json::Value;

/// All documents of one manifest.
fn manifest(name: &str) -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../host/convoke/deploy/kubernetes");
    let text = fs::read_to_string(folder.join(name)).expect("the manifest is there");
    let documents = text.split("\n---\n");
    documents.map(|text| serde_saphyr::from_str(text).expect("it is YAML")).collect()
}

#[test]
fn the_manifests_are_consistent() {
    let rbac = manifest("rbac.yaml");
    let [account, role, binding] = &rbac[..] else { panic!("three documents: {rbac:#?}") };
    let [service] = &manifest("service.yaml")[..] else { panic!("one document") };
    let [set] = &manifest("statefulset.yaml")[..] else { panic!("one document") };
    let pod = &set["spec"]["template"];
    let container = &pod["spec"]["containers"][0];

    assert_eq!(role["rules"][0]["apiGroups"][0], "discovery.k8s.io");
    assert_eq!(role["rules"][0]["resources"][0], "endpointslices");
    assert_eq!(role["rules"][0]["verbs"], serde_json::json!(["list", "watch"]));
    assert_eq!(role["rules"].as_array().map(Vec::len), Some(1), "no other rules");
    assert_eq!(binding["roleRef"]["name"], role["metadata"]["name"]);
    assert_eq!(binding["subjects"][0]["name"], account["metadata"]["name"]);
    assert_eq!(pod["spec"]["serviceAccountName"], account["metadata"]["name"]);

    assert_eq!(service["spec"]["clusterIP"], "None");
    assert_eq!(service["spec"]["publishNotReadyAddresses"], true);
    assert_eq!(service["spec"]["selector"], pod["metadata"]["labels"]);
    assert_eq!(set["spec"]["selector"]["matchLabels"], pod["metadata"]["labels"]);
    assert_eq!(set["spec"]["serviceName"], service["metadata"]["name"]);
    let mode = container["args"][1].as_str().expect("a mode");
    let named = service["metadata"]["name"].as_str().expect("a name");
    assert_eq!(mode, format!("kubernetes:$(NAMESPACE),{named}"));
    // The mode uses a port of this name as the member port.
    assert_eq!(service["spec"]["ports"][0]["name"], "convoke");
    assert_eq!(container["ports"][0]["containerPort"], 6900);
    assert_eq!(container["readinessProbe"]["httpGet"]["path"], "/health/ready");
    assert_eq!(container["livenessProbe"]["httpGet"]["path"], "/health/live");
    assert!(pod["spec"]["terminationGracePeriodSeconds"].as_u64() >= Some(10));
}
