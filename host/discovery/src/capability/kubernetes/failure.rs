//! Failures of the Kubernetes API, with texts for an operator and the RBAC objects that would
//! help.

use convoke_text::escaped;

use super::model::Status;
use super::query::Query;

/// Bytes shown of a text from the server.
const SHOWN_BYTES: usize = 300;

/// The user name of a request without credentials.
const ANONYMOUS: &str = "system:anonymous";
/// Bytes of a user's name that become part of an object name.
const USER_SHOWN_BYTES: usize = 63;

/// The kind of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    NotInCluster,
    Unauthorized,
    Forbidden,
    NotFound,
    /// The resource version to resume from is no longer available (410): list again.
    Expired,
    Temporary,
    Other,
}

/// A failure, with a text for an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) kind: Kind,
    pub(super) text: String,
    /// The account that was denied; empty for other failures.
    pub(super) account: String,
}

impl Failure {
    pub(super) fn new(kind: Kind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into(), account: String::new() }
    }

    pub(super) fn temporary(text: impl Into<String>) -> Self {
        Self::new(Kind::Temporary, text)
    }

    /// The failure for a status code other than 200.
    pub(super) fn of_status(code: u16, status: &Status, asked: &Asking<'_>) -> Self {
        let Asking { query, verb, account, server } = asked;
        let (group, resource) = query.resource();
        let resource = match group {
            "" => resource.to_owned(),
            group => format!("{resource}.{group}"),
        };
        let namespace = query.namespace();
        let message = escaped(&status.message, SHOWN_BYTES);
        let account = user(&status.message).unwrap_or(account);
        let code = if status.code == 0 { code } else { status.code };
        let failure = match code {
            // The server uses this user name for requests without valid credentials.
            403 if account == ANONYMOUS => Self::new(
                Kind::Unauthorized,
                format!(
                    "the API server at {server} treats this member as {ANONYMOUS} (403): no credentials were sent; check that the user in the kubeconfig has a token or a certificate"
                ),
            ),
            401 => Self::new(
                Kind::Unauthorized,
                format!(
                    "the API server at {server} rejects the credentials of {account} (401); check that the token is not expired, revoked, or from another cluster"
                ),
            ),
            403 => Self::new(
                Kind::Forbidden,
                format!(
                    "{account} may not {verb} {resource} in namespace {namespace:?} (403); apply the Role and RoleBinding that the log shows"
                ),
            ),
            404 => Self::new(
                Kind::NotFound,
                format!(
                    "the API server at {server} has no {resource} in namespace {namespace:?} (404): {message}"
                ),
            ),
            410 => Self::new(
                Kind::Expired,
                format!("the API server no longer has that resource version (410): {message}"),
            ),
            400 | 422 => Self::new(
                Kind::Other,
                format!(
                    "the API server rejects the query ({code}): {message}; check label-selector"
                ),
            ),
            code => {
                Self::temporary(format!("the API server at {server} returned {code}: {message}"))
            }
        };
        Self { account: account.to_owned(), ..failure }
    }
}

/// The context of a request, for error texts.
pub(super) struct Asking<'a> {
    pub(super) query: &'a Query,
    pub(super) verb: &'static str,
    /// As far as it is known from the credentials.
    pub(super) account: &'a str,
    pub(super) server: &'a str,
}

/// The account named in a message of the API server: `User "…"`.
pub(super) fn user(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once("User \"")?;
    let (user, _) = rest.split_once('"')?;
    (!user.is_empty() && !user.contains(char::is_control)).then_some(user)
}

/// The minimal Role and RoleBinding that let `account` list and watch what `query` needs. The
/// object names are unique to resource and account, so that applying them does not replace
/// those of another account or query.
pub(super) fn rbac(query: &Query, account: &str) -> String {
    let (group, resource) = query.resource();
    let namespace = query.namespace();
    let role = format!("convoke-discovery-{resource}");
    let service_account =
        account.strip_prefix("system:serviceaccount:").and_then(|a| a.split_once(':'));
    let (subject, whose) = match service_account {
        Some((of, name)) => (
            format!("- kind: ServiceAccount\n  name: {name}\n  namespace: {of}"),
            format!("{of}.{name}"),
        ),
        None => (
            format!("- kind: User\n  name: {account:?}\n  apiGroup: rbac.authorization.k8s.io"),
            user_in_a_name(account),
        ),
    };
    format!(
        "apiVersion: rbac.authorization.k8s.io/v1\n\
         kind: Role\n\
         metadata:\n  name: {role}\n  namespace: {namespace}\n\
         rules:\n\
         - apiGroups: [{group:?}]\n  resources: [{resource:?}]\n  verbs: [\"list\", \"watch\"]\n\
         ---\n\
         apiVersion: rbac.authorization.k8s.io/v1\n\
         kind: RoleBinding\n\
         metadata:\n  name: {role}.{whose}\n  namespace: {namespace}\n\
         roleRef:\n  apiGroup: rbac.authorization.k8s.io\n  kind: Role\n  name: {role}\n\
         subjects:\n{subject}\n"
    )
}

/// A user's name as part of an object name: invalid characters are replaced, and a hash keeps
/// users apart.
fn user_in_a_name(user: &str) -> String {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let plain: String =
        user.chars().map(|c| if is_plain(c) { c } else { '-' }).take(USER_SHOWN_BYTES).collect();
    if plain == user {
        return format!("user-{plain}");
    }
    let mut hasher = DefaultHasher::new();
    user.hash(&mut hasher);
    format!("user-{plain}-{:08x}", hasher.finish() >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORBIDDEN: &str = "endpointslices.discovery.k8s.io is forbidden: User \"system:serviceaccount:shop:default\" cannot list resource \"endpointslices\" in API group \"discovery.k8s.io\" in the namespace \"shop\"";

    fn failure(code: u16, message: &str) -> Failure {
        let query = Query::new("shop", Some("till"), "").unwrap();
        let asked = Asking {
            query: &query,
            verb: "list",
            account: "this pod's account",
            server: "https://10.96.0.1",
        };
        Failure::of_status(code, &Status { message: message.into(), ..Status::default() }, &asked)
    }

    #[test]
    fn a_denial_names_account_verb_resource_and_namespace() {
        assert_eq!(
            failure(403, FORBIDDEN).text,
            "system:serviceaccount:shop:default may not list endpointslices.discovery.k8s.io in namespace \"shop\" (403); apply the Role and RoleBinding that the log shows"
        );
        assert!(
            failure(401, "Unauthorized").text.contains("credentials of this pod's account (401)")
        );
        assert_eq!(failure(503, "etcd is down").kind, Kind::Temporary);
        assert_eq!(failure(410, "too old").kind, Kind::Expired);
    }

    #[test]
    fn the_rbac_objects_are_minimal_and_for_the_right_account() {
        let query = Query::new("shop", Some("till"), "").unwrap();
        let text = rbac(&query, "system:serviceaccount:shop:default");
        assert!(text.contains("- apiGroups: [\"discovery.k8s.io\"]\n  resources: [\"endpointslices\"]\n  verbs: [\"list\", \"watch\"]"));
        assert!(
            text.ends_with(
                "subjects:\n- kind: ServiceAccount\n  name: default\n  namespace: shop\n"
            )
        );
        let text = rbac(&Query::new("shop", None, "").unwrap(), "jane");
        assert!(text.contains("- apiGroups: [\"\"]\n  resources: [\"pods\"]"));
        assert!(text.contains("- kind: User\n  name: \"jane\""));
    }

    #[test]
    fn the_rbac_objects_do_not_replace_those_of_another_account_or_query() {
        let names = |service, account: &str| -> Vec<String> {
            let text = rbac(&Query::new("shop", service, "").unwrap(), account);
            let names = text.lines().filter_map(|line| line.strip_prefix("  name: "));
            names.map(str::to_owned).collect()
        };
        let till = names(Some("till"), "system:serviceaccount:shop:default");
        assert_eq!(till[0], "convoke-discovery-endpointslices");
        assert_eq!(till[1], "convoke-discovery-endpointslices.shop.default");
        assert_eq!(till[2], till[0]);
        assert_eq!(names(None, "jane")[1], "convoke-discovery-pods.user-jane");
        let (a, b) = (names(None, "jane@shop.example"), names(None, "jane+shop.example"));
        assert!(a[1].starts_with("convoke-discovery-pods.user-jane-shop-example-") && a[1] != b[1]);
        let long = names(None, &"J".repeat(500));
        assert!(long[1].len() < 253);
    }

    #[test]
    fn a_request_without_credentials_is_not_reported_as_a_missing_role() {
        let failure =
            failure(403, "pods is forbidden: User \"system:anonymous\" cannot list resource");
        assert_eq!(failure.kind, Kind::Unauthorized);
        assert!(failure.text.contains("no credentials were sent"), "{}", failure.text);
    }
}
