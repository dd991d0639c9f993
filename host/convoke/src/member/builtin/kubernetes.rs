//! `kubernetes`: reads one namespace with the service account of the pod, or with a kubeconfig.

use std::path::{Path, PathBuf};

use convoke_discovery::{Grants, KubernetesAccess};

use super::{BuiltIn, setting};
use crate::settings::ModeSettings;

/// The folder where Kubernetes mounts the service account of a pod.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

pub(super) const MODE: BuiltIn = BuiltIn {
    name: "kubernetes",
    component: include_bytes!(concat!(env!("OUT_DIR"), "/kubernetes.cwasm")),
    settings: |_, _| Vec::new(),
    argument: None,
    grants: |_, _, mode| {
        let argued = mode.argument.split_once(',').map(|(namespace, _)| namespace.trim());
        let namespace = argued.or_else(|| setting(mode, "namespace")).unwrap_or(".");
        let grant = |namespace: &str| Grants::parse([("kubernetes", [namespace].as_slice())]);
        // A malformed namespace is left for the mode to refuse.
        grant(namespace).or_else(|_| grant(".")).unwrap_or_default()
    },
    access: Some(access),
};

fn access(mode: &ModeSettings, grants: &mut Grants) -> Result<(), String> {
    let set = |key: &str| setting(mode, key).filter(|value| !value.is_empty());
    let access = &mut grants.kubernetes.access;
    if let Some(path) = set("kubeconfig") {
        access.kubeconfig = Some(existing(path, "kubeconfig")?);
    }
    if let Some(context) = set("context") {
        access.context = Some(context.to_owned());
    }
    if let Some(path) = set("service-account") {
        access.service_account = Some(existing(path, "service-account")?);
    }
    let in_pod = std::env::var_os("KUBERNETES_SERVICE_HOST").is_some();
    check(access, in_pod, Path::new(SERVICE_ACCOUNT))
}

fn existing(path: &str, key: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(path);
    match path.metadata() {
        Ok(_) => Ok(path),
        Err(error) => Err(format!("{key}: {} cannot be read: {error}", path.display())),
    }
}

/// Refuses a mode without an API server to ask: its member would wait forever.
fn check(access: &KubernetesAccess, in_pod: bool, default: &Path) -> Result<(), String> {
    if access.kubeconfig.is_some() || access.context.is_some() {
        return Ok(());
    }
    if !in_pod {
        return Err("not running in a pod (KUBERNETES_SERVICE_HOST is not set); run it in one, or set kubeconfig or context in settings = { … } of its [[discovery]]".into());
    }
    let folder = access.service_account.as_deref().unwrap_or(default);
    let token = folder.join("token");
    if token.is_file() {
        return Ok(());
    }
    Err(format!(
        "the pod's service account is not mounted ({} does not exist); set automountServiceAccountToken: true, or service-account in the settings",
        token.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_an_api_server_the_start_is_refused() {
        let missing = Path::new("/nonexistent");
        let refusal = check(&KubernetesAccess::default(), false, missing).unwrap_err();
        assert!(refusal.starts_with("not running in a pod (KUBERNETES_SERVICE_HOST is not set)"));
        let refusal = check(&KubernetesAccess::default(), true, missing).unwrap_err();
        assert!(refusal.contains("(/nonexistent/token does not exist)"));
        let outside =
            KubernetesAccess { context: Some("kind".into()), ..KubernetesAccess::default() };
        assert!(check(&outside, false, missing).is_ok());
    }
}
