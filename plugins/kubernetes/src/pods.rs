//! Converts pods to candidates.

use convoke_mode_sdk::kubernetes::{Answer, Pod};
use convoke_mode_sdk::{Candidate, Problem, log};

use crate::target::Target;

/// The default name of the member port.
const PORT_NAME: &str = "convoke";

/// Converts the host's results to candidates, and logs inconsistencies once.
pub(crate) struct Pods {
    target: Target,
    own: Vec<String>,
    has_logged_absence: bool,
    has_logged_ports: bool,
}

impl Pods {
    pub(crate) fn new(target: Target, own: Vec<String>) -> Self {
        Self { target, own, has_logged_absence: false, has_logged_ports: false }
    }

    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// All addresses. An empty result is a problem, and so is one in which no pod has the
    /// required port: this pod should be included itself, and a configuration error must not be
    /// treated as an empty cluster. Pods that are excluded because they are not ready are no
    /// problem.
    pub(crate) fn candidates(&mut self, answer: &Answer) -> Result<Vec<Candidate>, Problem> {
        if answer.pods.is_empty() {
            return Err(Problem::Temporary(self.no_pods(&answer.namespace)));
        }
        let is_own = |pod: &Pod| pod.addresses.iter().any(|ip| self.own.contains(ip));
        if !self.has_logged_absence && !answer.pods.iter().any(is_own) {
            self.has_logged_absence = true;
            log::info(
                "this member is not among the pods of its query; the pods that are may not find it",
                &[("namespace", &answer.namespace), ("pods", &answer.pods.len())],
            );
        }
        let mut candidates = Vec::new();
        let mut without_port: Option<&Pod> = None;
        for pod in answer.pods.iter().filter(|pod| pod.ready || self.target.not_ready) {
            let Some(port) = port(&self.target, pod) else {
                without_port.get_or_insert(pod);
                if !self.has_logged_ports {
                    self.has_logged_ports = true;
                    let port_name = self.target.port_name.as_deref().unwrap_or_default();
                    log::warn(
                        "a pod has no port of the configured name and is ignored",
                        &[("pod", &pod.name), ("port-name", &port_name)],
                    );
                }
                continue;
            };
            let mut attributes = Vec::new();
            if !pod.name.is_empty() {
                attributes.push(("pod".to_owned(), pod.name.clone()));
            }
            attributes.extend(pod.zone.iter().map(|zone| ("zone".to_owned(), zone.clone())));
            for address in &pod.addresses {
                let attributes = attributes.clone();
                candidates.push(Candidate { address: address.clone(), port, attributes });
            }
        }
        match without_port {
            Some(pod) if candidates.is_empty() => Err(Problem::Temporary(self.no_port(pod))),
            _ => Ok(candidates),
        }
    }

    fn no_port(&self, pod: &Pod) -> String {
        let port_name = self.target.port_name.as_deref().unwrap_or_default();
        let named: Vec<&str> =
            pod.ports.iter().map(|(name, _)| name.as_str()).filter(|n| !n.is_empty()).collect();
        let has = if named.is_empty() { "none with a name".to_owned() } else { named.join(", ") };
        format!(
            "no pod has a TCP port named {port_name:?}; {:?} has {has}: set port-name to one of the pod's or service's, or port",
            pod.name
        )
    }

    fn no_pods(&self, namespace: &str) -> String {
        let labels = match self.target.label_selector.as_str() {
            "" => String::new(),
            selector => format!(" with labels {selector}"),
        };
        match &self.target.service {
            Some(service) if !labels.is_empty() => format!(
                "service {service:?} in namespace {namespace:?} has no endpoints{labels}; with a service, label-selector applies to the labels of the service and not of its pods; remove label-selector"
            ),
            Some(service) => format!(
                "service {service:?} in namespace {namespace:?} has no endpoints; check that it exists, that it selects these pods, and that it has publishNotReadyAddresses: true"
            ),
            None => format!("no pod{labels} in namespace {namespace:?} has an address yet"),
        }
    }
}

/// The port of a pod's member; `Some(None)` for the cluster's start port and the next two;
/// `None` if the pod has no port of the required name.
fn port(target: &Target, pod: &Pod) -> Option<Option<u16>> {
    let named =
        |name: &str| pod.ports.iter().find(|(known, _)| known == name).map(|(_, port)| *port);
    match (&target.port, &target.port_name) {
        (Some(port), _) => Some(Some(*port)),
        (None, Some(name)) => named(name).map(Some),
        (None, None) => Some(named(PORT_NAME)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use convoke_mode_sdk::ModeConfig;

    fn pods(argument: &str, settings: &[(&str, &str)]) -> Pods {
        let settings = settings.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect();
        let config = ModeConfig { argument: argument.to_owned(), settings };
        Pods::new(Target::read(&config).unwrap(), vec!["10.1.0.1".to_owned()])
    }

    fn pod(n: u8, ready: bool, ports: &[(&str, u16)]) -> Pod {
        Pod {
            name: format!("till-{n}"),
            addresses: vec![format!("10.1.0.{n}"), format!("fd00::{n}")],
            ready,
            ports: ports.iter().map(|&(name, port)| (name.to_owned(), port)).collect(),
            zone: Some("b".to_owned()),
        }
    }

    fn answer(pods: Vec<Pod>) -> Answer {
        Answer { namespace: "shop".to_owned(), pods, watched: true }
    }

    fn found(pods: &mut Pods, answer: &Answer) -> Vec<(String, Option<u16>)> {
        let candidates = pods.candidates(answer).unwrap();
        candidates.into_iter().map(|found| (found.address, found.port)).collect()
    }

    #[test]
    fn every_address_of_every_pod_is_a_candidate() {
        let list = answer(vec![pod(1, true, &[]), pod(2, false, &[("convoke", 7000)])]);
        let all = found(&mut pods("", &[]), &list);
        assert_eq!(all.len(), 4);
        assert_eq!(all[0], ("10.1.0.1".to_owned(), None));
        assert_eq!(all[3], ("fd00::2".to_owned(), Some(7000)));
        assert_eq!(found(&mut pods("", &[("not-ready", "false")]), &list).len(), 2);
        let attributes = pods("", &[]).candidates(&list).unwrap().remove(0).attributes;
        assert_eq!(attributes, [("pod".into(), "till-1".into()), ("zone".into(), "b".into())]);
    }

    #[test]
    fn the_port_is_configured_by_number_or_name_or_left_to_the_host() {
        let list = answer(vec![pod(1, true, &[("a", 1)]), pod(2, true, &[("b", 2)])]);
        assert!(
            found(&mut pods("", &[("port", "9")]), &list).iter().all(|(_, port)| *port == Some(9))
        );
        let named = found(&mut pods("", &[("port-name", "b")]), &list);
        assert_eq!(named.len(), 2, "the other pod has no such port");
        let problem = pods("", &[("port-name", "c")]).candidates(&list).unwrap_err();
        let expected = "no pod has a TCP port named \"c\"; \"till-1\" has a: set port-name to one of the pod's or service's, or port";
        assert_eq!(problem, Problem::Temporary(expected.to_owned()));
    }

    #[test]
    fn an_empty_result_is_a_problem() {
        let Err(Problem::Temporary(text)) = pods("shop,till", &[]).candidates(&answer(vec![]))
        else {
            panic!("expected a temporary problem");
        };
        let labelled = pods("shop,till", &[("label-selector", "app=a")]);
        assert!(
            labelled
                .no_pods("shop")
                .contains("with labels app=a; with a service, label-selector applies")
        );
        assert!(text.starts_with(
            "service \"till\" in namespace \"shop\" has no endpoints; check that it exists"
        ));
    }
}
