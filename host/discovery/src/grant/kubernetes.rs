//! `grant = { kubernetes = ["shop"] }`: namespaces that may be read, and access to the API
//! server other than by the pod's service account.

use std::path::{Path, PathBuf};

use super::error::GrantError;
use crate::names::is_kubernetes_name;

/// The folder in which Kubernetes mounts the service account of a pod.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Namespaces that may be read, and the account to use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KubernetesGrants {
    namespaces: Vec<Namespaces>,
    /// Access to the API server.
    pub access: KubernetesAccess,
}

/// Access to the API server; by default with the pod's service account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct KubernetesAccess {
    /// A kubeconfig file, for access from outside a cluster.
    pub kubeconfig: Option<PathBuf>,
    /// A context of the kubeconfig; its current context if `None`. Without `kubeconfig`, of the
    /// default kubeconfig file.
    pub context: Option<String>,
    /// The folder of the pod's service account, if it is not the default one.
    pub service_account: Option<PathBuf>,
}

impl KubernetesAccess {
    /// The folder with the token, the CA certificate and the namespace of the pod's service
    /// account.
    pub fn account_folder(&self) -> &Path {
        self.service_account.as_deref().unwrap_or(Path::new(SERVICE_ACCOUNT))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Namespaces {
    /// The namespace that the host runs in.
    Own,
    Any,
    Named(String),
}

impl KubernetesGrants {
    pub(super) fn add(&mut self, text: &str) -> Result<(), GrantError> {
        let access = &mut self.access;
        match text.split_once(':') {
            Some(("kubeconfig", path)) if !path.is_empty() => access.kubeconfig = Some(path.into()),
            Some(("context", name)) if !name.is_empty() => access.context = Some(name.to_owned()),
            Some(("service-account", path)) if !path.is_empty() => {
                access.service_account = Some(path.into());
            }
            _ if text == "." => self.namespaces.push(Namespaces::Own),
            _ if text == "*" => self.namespaces.push(Namespaces::Any),
            _ if is_kubernetes_name(text) => {
                self.namespaces.push(Namespaces::Named(text.to_owned()));
            }
            _ => {
                let reason = "not a namespace; expected \"shop\", \".\" for the member's own namespace, \"*\" for every namespace, or \"kubeconfig:FILE\", \"context:NAME\", \"service-account:FOLDER\"";
                return Err(GrantError::malformed("kubernetes", text, reason));
            }
        }
        Ok(())
    }

    /// The patterns, as in a configuration.
    pub(super) fn patterns(&self) -> impl Iterator<Item = String> {
        let namespaces = self.namespaces.iter().map(|granted| match granted {
            Namespaces::Own => ".".to_owned(),
            Namespaces::Any => "*".to_owned(),
            Namespaces::Named(name) => name.clone(),
        });
        let path = |key: &str, path: &Option<PathBuf>| {
            path.as_ref().map(|path| format!("{key}:{}", path.display()))
        };
        let access = [
            path("kubeconfig", &self.access.kubeconfig),
            self.access.context.as_ref().map(|context| format!("context:{context}")),
            path("service-account", &self.access.service_account),
        ];
        namespaces.chain(access.into_iter().flatten())
    }

    /// Whether no namespace may be read.
    pub fn is_empty(&self) -> bool {
        self.namespaces.is_empty()
    }

    /// Whether `namespace` may be read. `own` is true if the request names no namespace, and so
    /// means the one that the host runs in.
    pub fn covers(&self, namespace: &str, own: bool) -> bool {
        self.namespaces.iter().any(|granted| match granted {
            Namespaces::Own => own,
            Namespaces::Any => true,
            Namespaces::Named(name) => name == namespace,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::KubernetesGrants;

    fn grants(patterns: &[&str]) -> KubernetesGrants {
        let mut grants = KubernetesGrants::default();
        for pattern in patterns {
            grants.add(pattern).unwrap();
        }
        grants
    }

    #[test]
    fn a_namespace_is_granted_by_name_or_as_own_or_as_any() {
        assert!(grants(&["shop"]).covers("shop", false));
        assert!(!grants(&["shop"]).covers("till", true));
        assert!(grants(&["."]).covers("till", true) && !grants(&["."]).covers("till", false));
        assert!(grants(&["*"]).covers("till", false));
        assert!(grants(&["context:staging"]).is_empty());
    }

    #[test]
    fn access_is_configured_by_the_operator() {
        let access = grants(&["shop", "kubeconfig:/a/b:c", "context:kind-x"]).access;
        assert_eq!(access.kubeconfig, Some("/a/b:c".into()));
        assert_eq!(access.context.as_deref(), Some("kind-x"));
    }

    #[test]
    fn an_invalid_namespace_is_rejected() {
        for wrong in ["", "Shop", "a b", "-a", "a-", "a.b", "context:", "colour:blue"] {
            let refusal = KubernetesGrants::default().add(wrong).unwrap_err().to_string();
            assert!(refusal.starts_with(&format!("kubernetes grant {wrong:?}: not a namespace;")));
        }
    }
}
