//! API queries as URL paths.

use crate::names::is_kubernetes_name;

/// Length of a label selector, in bytes.
const SELECTOR_BYTES_MAX: usize = 1_024;
/// Objects per page.
const PAGE_OBJECTS: &str = "500";
/// Lifetime of a watch that is requested from the server, in seconds.
const WATCH_S: &str = "240";

/// The pods of a namespace, or the endpoints of one of its services.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Query {
    namespace: String,
    service: Option<String>,
    selector: String,
}

impl Query {
    /// Validates the names as the API server does.
    pub(super) fn new(
        namespace: &str,
        service: Option<&str>,
        selector: &str,
    ) -> Result<Self, String> {
        for name in std::iter::once(namespace).chain(service) {
            if !is_kubernetes_name(name) {
                return Err(format!("{name:?} is not a valid Kubernetes name"));
            }
        }
        if selector.len() > SELECTOR_BYTES_MAX || selector.chars().any(char::is_control) {
            return Err(format!(
                "a label selector has at most {SELECTOR_BYTES_MAX} bytes on one line"
            ));
        }
        let (namespace, service) = (namespace.to_owned(), service.map(str::to_owned));
        Ok(Self { namespace, service, selector: selector.trim().to_owned() })
    }

    pub(super) fn service(&self) -> Option<&str> {
        self.service.as_deref()
    }

    pub(super) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// API group and resource, as RBAC names them.
    pub(super) fn resource(&self) -> (&'static str, &'static str) {
        match self.service {
            Some(_) => ("discovery.k8s.io", "endpointslices"),
            None => ("", "pods"),
        }
    }

    pub(super) fn is_of_service(&self) -> bool {
        self.service.is_some()
    }

    /// The path of one page of the list; `token` continues after the previous page.
    pub(super) fn list_path(&self, token: Option<&str>) -> String {
        let mut pairs = vec![("limit", PAGE_OBJECTS)];
        pairs.extend(token.map(|token| ("continue", token)));
        self.path(&pairs)
    }

    /// The path of a watch for all changes after resource version `version`.
    pub(super) fn watch_path(&self, version: &str) -> String {
        self.path(&[
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("timeoutSeconds", WATCH_S),
            ("resourceVersion", version),
        ])
    }

    fn path(&self, pairs: &[(&str, &str)]) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        let of_service =
            self.service.as_ref().map(|name| format!("kubernetes.io/service-name={name}"));
        let selector: Vec<&str> = of_service
            .as_deref()
            .into_iter()
            .chain([&*self.selector])
            .filter(|s| !s.is_empty())
            .collect();
        if !selector.is_empty() {
            query.append_pair("labelSelector", &selector.join(","));
        }
        for (key, value) in pairs {
            query.append_pair(key, value);
        }
        let (group, resource) = self.resource();
        let api = if group.is_empty() { "/api/v1".to_owned() } else { format!("/apis/{group}/v1") };
        format!("{api}/namespaces/{}/{resource}?{}", self.namespace, query.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::Query;

    #[test]
    fn paths_match_the_api() {
        let pods = Query::new("shop", None, "app=convoke,tier in (a, b)").unwrap();
        assert_eq!(
            pods.list_path(None),
            "/api/v1/namespaces/shop/pods?labelSelector=app%3Dconvoke%2Ctier+in+%28a%2C+b%29&limit=500"
        );
        let slices = Query::new("shop", Some("till"), "").unwrap();
        assert_eq!(
            slices.list_path(Some("a/b")),
            "/apis/discovery.k8s.io/v1/namespaces/shop/endpointslices?labelSelector=kubernetes.io%2Fservice-name%3Dtill&limit=500&continue=a%2Fb"
        );
        assert!(slices.watch_path("17").ends_with(
            "&watch=true&allowWatchBookmarks=true&timeoutSeconds=240&resourceVersion=17"
        ));
    }

    #[test]
    fn an_invalid_name_never_becomes_a_path() {
        for wrong in ["", "../secrets", "a/b", "Shop", "a b", "-a", &"a".repeat(64)] {
            assert!(Query::new(wrong, None, "").is_err());
            assert!(Query::new("shop", Some(wrong), "").is_err());
        }
        assert!(Query::new("shop", None, "a\nb").is_err());
    }
}
