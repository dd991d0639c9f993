//! Parses the configuration: namespace, service, labels, ports.

use convoke_mode_sdk::kubernetes::Query;
use convoke_mode_sdk::{ModeConfig, log, quoted};

/// Length of a name (RFC 1123 label), in bytes.
const NAME_BYTES_MAX: usize = 63;
/// Length of a port's name (RFC 6335, section 5.1), in bytes.
const PORT_NAME_BYTES_MAX: usize = 15;
/// Length of a label selector, in bytes.
const SELECTOR_BYTES_MAX: usize = 1_024;
/// Settings that are for the host and not for this mode.
const HOST_SETTINGS: [&str; 3] = ["kubeconfig", "context", "service-account"];

const EXPECTED: &str = "expected kubernetes without an argument, for the pods of the member's namespace, or kubernetes:namespace,service";

/// The pods to query, and their port.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// `None` for the member's own namespace.
    pub(crate) namespace: Option<String>,
    pub(crate) service: Option<String>,
    pub(crate) label_selector: String,
    pub(crate) port: Option<u16>,
    pub(crate) port_name: Option<String>,
    /// Whether pods that are not ready are candidates.
    pub(crate) not_ready: bool,
}

impl Target {
    /// Parses the configuration. Error texts are for the operator, and start with the offending
    /// value.
    pub(crate) fn read(config: &ModeConfig) -> Result<Self, String> {
        let mut target = Self {
            namespace: None,
            service: None,
            label_selector: String::new(),
            port: None,
            port_name: None,
            not_ready: true,
        };
        for (key, value) in &config.settings {
            match key.as_str() {
                "namespace" => target.namespace = Some(name(value, "namespace")?),
                "service" => target.service = Some(name(value, "service")?),
                "label-selector" => target.label_selector = selector(value)?,
                "port" => target.port = Some(port(value)?),
                "port-name" => target.port_name = Some(port_name(value)?),
                "not-ready" => target.not_ready = boolean(value)?,
                key if HOST_SETTINGS.contains(&key) => {}
                _ => log::warn("unknown setting ignored", &[("setting", key)]),
            }
        }
        if target.port.is_some() && target.port_name.is_some() {
            return Err("port and port-name are both set; keep one of them".to_owned());
        }
        target.take_argument(config.argument.trim())?;
        Ok(target)
    }

    /// Parses `namespace,service`, or an empty argument.
    fn take_argument(&mut self, argument: &str) -> Result<(), String> {
        if argument.is_empty() {
            return Ok(());
        }
        let half = |which: &str| format!("{} names {which}; {EXPECTED}", quoted(argument));
        let (namespace, service) = match argument.split_once(',') {
            None => return Err(half("a namespace without a service")),
            Some((namespace, service)) => (namespace.trim(), service.trim()),
        };
        if service.contains(',') {
            return Err(half("more than a namespace and a service"));
        }
        match (namespace.is_empty(), service.is_empty()) {
            (true, true) => return Err(half("neither a namespace nor a service")),
            (true, false) => return Err(half("a service without a namespace")),
            (false, true) => return Err(half("a namespace without a service")),
            (false, false) => {}
        }
        for (given, argued) in [(&mut self.namespace, namespace), (&mut self.service, service)] {
            let argued = name(argued, argument)?;
            if let Some(given) = given.as_ref().filter(|given| **given != argued) {
                return Err(format!(
                    "{} in the argument and {} in the settings differ; configure it once",
                    quoted(&argued),
                    quoted(given)
                ));
            }
            *given = Some(argued);
        }
        Ok(())
    }

    pub(crate) fn query(&self) -> Query {
        Query {
            namespace: self.namespace.clone(),
            service: self.service.clone(),
            label_selector: self.label_selector.clone(),
        }
    }
}

fn name(text: &str, within: &str) -> Result<String, String> {
    let sound = (1..=NAME_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-');
    if sound {
        return Ok(text.to_owned());
    }
    Err(format!(
        "{} is not a valid Kubernetes name (in {}); expected 1 to 63 of a-z, 0-9 and -",
        quoted(text),
        quoted(within)
    ))
}

fn selector(text: &str) -> Result<String, String> {
    if text.len() > SELECTOR_BYTES_MAX || text.chars().any(char::is_control) {
        return Err(format!(
            "{} is not a label selector; expected at most {SELECTOR_BYTES_MAX} bytes such as app=shop,tier in (a, b)",
            quoted(text)
        ));
    }
    Ok(text.trim().to_owned())
}

fn port(text: &str) -> Result<u16, String> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    let port = text.parse().ok().filter(|port| digits && *port != 0);
    port.ok_or_else(|| {
        format!("{} is not a port (in port = {text}); expected 1 to 65535", quoted(text))
    })
}

fn port_name(text: &str) -> Result<String, String> {
    let sound = (1..=PORT_NAME_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if sound {
        return Ok(text.to_owned());
    }
    Err(format!("{} is not the name of a port; expected 1 to 15 of a-z, 0-9 and -", quoted(text)))
}

fn boolean(text: &str) -> Result<bool, String> {
    text.parse()
        .map_err(|_| format!("{} is neither true nor false (in not-ready = {text})", quoted(text)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(argument: &str, settings: &[(&str, &str)]) -> Result<Target, String> {
        let settings = settings.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect();
        Target::read(&ModeConfig { argument: argument.to_owned(), settings })
    }

    #[test]
    fn an_empty_argument_means_the_pods_of_the_own_namespace() {
        let target = read("", &[("kubeconfig", "/x"), ("context", "y")]).unwrap();
        assert_eq!((target.namespace, target.service, target.not_ready), (None, None, true));
    }

    #[test]
    fn an_argument_is_a_namespace_and_a_service() {
        let target = read(" shop , till ", &[("port", "7000"), ("not-ready", "false")]).unwrap();
        assert_eq!(target.namespace.as_deref(), Some("shop"));
        assert_eq!(target.service.as_deref(), Some("till"));
        assert_eq!((target.port, target.not_ready), (Some(7000), false));
        assert!(read("shop,till", &[("service", "till")]).is_ok());
    }

    #[test]
    fn an_invalid_configuration_is_rejected() {
        for (argument, expected) in [
            (
                "shop",
                "\"shop\" names a namespace without a service; expected kubernetes without an argument",
            ),
            ("shop,", "a namespace without a service"),
            (",till", "a service without a namespace"),
            (",", "neither a namespace nor a service"),
            ("a,b,c", "more than a namespace and a service"),
            ("Shop,till", "\"Shop\" is not a valid Kubernetes name (in \"Shop,till\")"),
            ("shop,my till", "\"my till\" is not a valid Kubernetes name"),
        ] {
            let refusal = read(argument, &[]).unwrap_err();
            assert!(refusal.contains(expected), "{argument}: {refusal}");
        }
        for (key, value, expected) in [
            ("port", "0", "\"0\" is not a port"),
            ("port", "70000", "expected 1 to 65535"),
            ("port-name", "a_b", "is not the name of a port"),
            ("not-ready", "perhaps", "neither true nor false"),
            ("service", "", "is not a valid Kubernetes name"),
            ("label-selector", "a\nb", "is not a label selector"),
        ] {
            let refusal = read("", &[(key, value)]).unwrap_err();
            assert!(refusal.contains(expected), "{key}: {refusal}");
        }
        assert!(read("", &[("port", "1"), ("port-name", "a")]).unwrap_err().contains("both set"));
        assert!(read("a,b", &[("service", "c")]).unwrap_err().contains("differ"));
    }

    proptest! {
        #[test]
        fn arbitrary_arguments_are_parsed_or_rejected_on_one_line(text in "\\PC{0,100}") {
            if let Err(refusal) = read(&text, &[]) {
                prop_assert!(!refusal.contains('\n') && refusal.len() < 900);
            }
        }
    }
}
