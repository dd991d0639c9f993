//! `grant = { kubernetes = ["shop"] }`: namespaces that may be read, and how the
//! API server is reached when it is not by the pod's own account.

use std::path::{Path, PathBuf};

use super::GrantError;
use crate::names::is_kubernetes_name;

/// Where Kubernetes mounts the account of a pod.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Namespaces that may be read, and as whom.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KubernetesGrants {
    namespaces: Vec<Namespaces>,
    /// How the API server is reached.
    pub access: KubernetesAccess,
}

/// How the API server is reached; by default with the account of the pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct KubernetesAccess {
    /// A kubeconfig file, as from outside of a cluster.
    pub kubeconfig: Option<PathBuf>,
    /// One of its contexts; its current one otherwise. Without a file: of the
    /// usual one.
    pub context: Option<String>,
    /// The folder of the pod's account, when it is mounted at an unusual place.
    pub service_account: Option<PathBuf>,
}

impl KubernetesAccess {
    /// Where the token, the authority and the namespace of the pod's account are.
    pub fn account_folder(&self) -> &Path {
        self.service_account.as_deref().unwrap_or(Path::new(SERVICE_ACCOUNT))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Namespaces {
    /// The one that the host runs in.
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
                let reason = "not a namespace; expected \"shop\", \".\" for the one this runs in, \"*\" for every one, or \"kubeconfig:FILE\", \"context:NAME\", \"service-account:FOLDER\"";
                return Err(GrantError::malformed("kubernetes", text, reason));
            }
        }
        Ok(())
    }

    /// As they are written.
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

    /// Whether any namespace may be read.
    pub fn is_empty(&self) -> bool {
        self.namespaces.is_empty()
    }

    /// Whether `namespace` may be read; `own` when it was not named, and so is
    /// the one that the host runs in.
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
    fn namespaces_are_granted_by_name_all_or_the_own_one() {
        assert!(grants(&["shop"]).covers("shop", false));
        assert!(!grants(&["shop"]).covers("till", true));
        assert!(grants(&["."]).covers("till", true) && !grants(&["."]).covers("till", false));
        assert!(grants(&["*"]).covers("till", false));
        assert!(grants(&["context:staging"]).is_empty());
    }

    #[test]
    fn access_is_the_operators_to_say() {
        let access = grants(&["shop", "kubeconfig:/a/b:c", "context:kind-x"]).access;
        assert_eq!(access.kubeconfig, Some("/a/b:c".into()));
        assert_eq!(access.context.as_deref(), Some("kind-x"));
    }

    #[test]
    fn what_is_no_namespace_is_refused() {
        for wrong in ["", "Shop", "a b", "-a", "a-", "a.b", "context:", "colour:blue"] {
            let refusal = KubernetesGrants::default().add(wrong).unwrap_err().to_string();
            assert!(refusal.starts_with(&format!("kubernetes grant {wrong:?}: not a namespace;")));
        }
    }
}
