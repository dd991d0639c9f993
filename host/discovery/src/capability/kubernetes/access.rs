//! API server address and credentials: the pod's service account, or a kubeconfig that a grant
//! names.

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use kube::Config;
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use serde::Deserialize;

use super::failure::{Failure, Kind};
use crate::grant::KubernetesAccess;
use crate::limits;

/// Size of a file of a service account, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// The namespace when none is configured.
const DEFAULT_NAMESPACE: &str = "default";

/// Client configuration, and the account it authenticates as.
pub(super) struct Credentials {
    pub(super) config: Config,
    /// The account, as far as the credentials name it.
    pub(super) account: String,
    pub(super) server: String,
}

/// The namespace of this process. Reads files only.
pub(super) fn own_namespace(access: &KubernetesAccess) -> Result<String, Failure> {
    if let Some(kubeconfig) = kubeconfig(access)? {
        let current = access.context.as_ref().or(kubeconfig.current_context.as_ref());
        let named = kubeconfig.contexts.iter().find(|named| Some(&named.name) == current);
        let namespace = named.and_then(|named| named.context.as_ref()?.namespace.clone());
        return Ok(namespace.unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned()));
    }
    let path = access.account_folder().join("namespace");
    Ok(read(&path)?.trim().to_owned())
}

/// Reads the credentials from their files.
pub(super) async fn credentials(access: &KubernetesAccess) -> Result<Credentials, Failure> {
    let mut credentials = match kubeconfig(access)? {
        Some(kubeconfig) => outside(kubeconfig, access).await?,
        None => inside(access.account_folder())?,
    };
    let config = &mut credentials.config;
    config.connect_timeout = Some(Duration::from_millis(limits::API_CONNECT_MS_MAX));
    // The watchers have their own back-off.
    config.default_retry = false;
    Ok(credentials)
}

fn kubeconfig(access: &KubernetesAccess) -> Result<Option<Kubeconfig>, Failure> {
    let read = match (&access.kubeconfig, &access.context) {
        (Some(path), _) => Kubeconfig::read_from(path),
        (None, Some(_)) => Kubeconfig::read(),
        (None, None) => return Ok(None),
    };
    let of_no_use =
        |error| Failure::new(Kind::NotInCluster, format!("the kubeconfig cannot be used: {error}"));
    read.map(Some).map_err(of_no_use)
}

async fn outside(
    kubeconfig: Kubeconfig,
    access: &KubernetesAccess,
) -> Result<Credentials, Failure> {
    let context = access.context.clone().or_else(|| kubeconfig.current_context.clone());
    let options = KubeConfigOptions { context: context.clone(), ..KubeConfigOptions::default() };
    let mut config =
        Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|error| {
            Failure::new(Kind::NotInCluster, format!("the kubeconfig cannot be used: {error}"))
        })?;
    if let (None, Some(file)) = (&config.auth_info.token, config.auth_info.token_file.take()) {
        config.auth_info.token = bearer(&read_token(Path::new(&file))?).token;
    }
    let account = match context {
        Some(context) => format!("the user of context {context:?}"),
        None => "the user of the kubeconfig".to_owned(),
    };
    let server = shown(&config.cluster_url);
    Ok(Credentials { config, account, server })
}

/// The in-cluster configuration (Kubernetes documentation, "Accessing the Kubernetes API from a
/// Pod").
fn inside(folder: &Path) -> Result<Credentials, Failure> {
    let variable = |name: &str| {
        std::env::var(name).ok().filter(|value| !value.is_empty()).ok_or_else(|| {
            let text = format!(
                "{name} is not set, so this is not a pod; configure a kubeconfig, or use another mode"
            );
            Failure::new(Kind::NotInCluster, text)
        })
    };
    let (host, port) = (variable("KUBERNETES_SERVICE_HOST")?, variable("KUBERNETES_SERVICE_PORT")?);
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    let url = format!("https://{host}:{port}").parse().map_err(|error| {
        let text =
            format!("KUBERNETES_SERVICE_HOST and _PORT are not a valid server address ({host}:{port}): {error}");
        Failure::new(Kind::NotInCluster, text)
    })?;
    let token = read_token(&folder.join("token"))?;
    read(&folder.join("ca.crt"))?;
    let mut config = Config::new(url);
    config.root_cert_file = Some(folder.join("ca.crt"));
    config.auth_info = bearer(&token);
    let server = shown(&config.cluster_url);
    Ok(Credentials { account: subject(&token), config, server })
}

/// Credentials for a bearer token. A token file may end with a line break, which a header must
/// not contain: it is trimmed here, because kube uses the file's content unchanged. When the
/// server rejects an expired token, the file is read again.
fn bearer(token: &str) -> AuthInfo {
    let auth = serde_json::json!({ "token": token.trim() });
    serde_json::from_value(auth).unwrap_or_default()
}

fn shown(url: &http::Uri) -> String {
    url.to_string().trim_end_matches('/').to_owned()
}

/// Reads a token and trims white space. A token with characters that a header cannot hold is
/// invalid (RFC 6750, section 2.1); an empty one would be treated as no credentials.
fn read_token(path: &Path) -> Result<String, Failure> {
    let text = read(path)?;
    let token = text.trim();
    if !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic()) {
        return Ok(token.to_owned());
    }
    let is = if token.is_empty() { "is empty" } else { "does not hold a token" };
    let text = format!("{} {is}; expected one line of letters, digits and . _ -", path.display());
    Err(Failure::new(Kind::Unauthorized, text))
}

fn read(path: &Path) -> Result<String, Failure> {
    use std::io::Read as _;
    let mut text = String::new();
    let file = std::fs::File::open(path);
    let done = file.and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut text));
    match done {
        Ok(_) => Ok(text),
        Err(error) => {
            let text = format!(
                "{} cannot be read: {error}; check that the service account is mounted (automountServiceAccountToken)",
                path.display()
            );
            Err(Failure::new(Kind::NotInCluster, text))
        }
    }
}

/// The account that a token identifies: its `sub` claim (RFC 7519). Not verified; used in texts
/// only.
fn subject(token: &str) -> String {
    #[derive(Deserialize)]
    struct Claims {
        sub: String,
    }
    let claims = token.trim().split('.').nth(1).and_then(|part| {
        let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).ok()?;
        serde_json::from_slice::<Claims>(&bytes).ok()
    });
    match claims {
        Some(Claims { sub }) if !sub.contains(char::is_control) && sub.len() <= 253 => sub,
        _ => "this pod's account".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trailing_line_break_is_trimmed_from_a_token() {
        let auth = serde_json::to_value(bearer("abc.def\r\n")).unwrap();
        assert_eq!(auth["token"], "abc.def");
    }

    #[test]
    fn an_invalid_token_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            read_token(&path).map_err(|failure| failure.text)
        };
        assert_eq!(read(" abc.def_-\r\n\n").unwrap(), "abc.def_-");
        assert!(read("\n").unwrap_err().contains("/token is empty; expected one line"));
        for odd in ["abc\ndef", "a b", "t\u{e4}", "a\0b"] {
            assert!(read(odd).unwrap_err().contains("/token does not hold a token"), "{odd:?}");
        }
    }

    #[test]
    fn the_account_is_read_from_a_token() {
        let encode = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
        let claims = encode(r#"{"sub":"system:serviceaccount:shop:till","exp":1}"#);
        assert_eq!(subject(&format!("x.{claims}.y\n")), "system:serviceaccount:shop:till");
        for odd in ["", "opaque", "a.b.c", &format!("x.{}.y", encode("{}"))] {
            assert_eq!(subject(odd), "this pod's account");
        }
    }

    #[test]
    fn a_missing_service_account_is_reported() {
        let access = KubernetesAccess {
            service_account: Some("/nonexistent".into()),
            ..KubernetesAccess::default()
        };
        let failure = own_namespace(&access).unwrap_err();
        assert_eq!(failure.kind, Kind::NotInCluster);
        assert!(failure.text.starts_with("/nonexistent/namespace cannot be read:"));
    }

    #[test]
    fn fuzz_account() {
        let encode = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
        let claims = encode(r#"{"sub":"system:serviceaccount:shop:till","exp":1}"#);
        let samples = [
            format!("x.{claims}.y\n"),
            format!("x.{}.y", encode(r#"{"sub": "a\nb"}"#)),
            "a.b.c".to_owned(),
        ];
        convoke_harness::check!(&samples, |bytes| {
            let account = subject(&String::from_utf8_lossy(bytes));
            assert!(account.len() <= 253 && !account.contains(char::is_control), "{account:?}");
        });
    }
}
