//! The configuration.

use std::time::Duration;

use convoke_mode_sdk::http::{Request, escaped};
use convoke_mode_sdk::{ModeConfig, Problem};

/// The known settings; any other is rejected.
const NAMES: [&str; 8] = ["service", "passing", "dc", "tag", "near", "token", "wait-s", "register"];

/// Time for which Consul holds a request while nothing changes, in seconds: the default and the
/// maximum. With Consul's jitter and the network delay it stays below the 10 s that a call may
/// take.
const WAIT_S: u64 = 5;
const WAIT_S_MAX: u64 = 7;
/// Together with a preceding request that was held, still below these 10 s.
const AUTHORIZE_TIMEOUT: Duration = Duration::from_millis(1_000);

/// Consul's address, and the service to look for.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Without a trailing slash.
    base: String,
    /// The service's name.
    pub(crate) service: String,
    passing: bool,
    dc: Option<String>,
    /// The tag to look for, and the tag of this member's own entry.
    pub(crate) tag: Option<String>,
    near: Option<String>,
    token: Option<String>,
    /// Zero: Consul responds at once.
    pub(crate) wait: Duration,
    /// Whether this member registers itself.
    pub(crate) register: bool,
}

impl Settings {
    /// Parses and validates the configuration, without network access.
    pub(crate) fn read(config: &ModeConfig) -> Result<Self, Problem> {
        config.only(&NAMES)?;
        if config.argument.is_empty() {
            return Err(Problem::Misconfigured(
                "the argument is empty; expected a URL such as http://127.0.0.1:8500 as argument"
                    .to_owned(),
            ));
        }
        if config.argument.contains(['?', '#']) {
            return Err(Problem::Misconfigured(format!(
                "{:?} is not a base URL; expected one such as http://127.0.0.1:8500",
                config.argument
            )));
        }
        let given = |name| config.setting(name).filter(|text| !text.is_empty()).map(str::to_owned);
        let register = config.flag("register", false)?;
        // A leaving member does not wait for a request that Consul holds, and could not remove
        // its entry.
        let wait_s = if register { 0 } else { WAIT_S };
        let settings = Self {
            base: config.argument.trim_end_matches('/').to_owned(),
            service: config.required("service")?.to_owned(),
            passing: config.flag("passing", true)?,
            dc: given("dc"),
            tag: given("tag"),
            near: given("near"),
            token: given("token"),
            wait: Duration::from_secs(config.number("wait-s", 0..=WAIT_S_MAX)?.unwrap_or(wait_s)),
            register,
        };
        settings.instances().check()?;
        Ok(settings)
    }

    /// The request for the instances of the service.
    pub(crate) fn instances(&self) -> Request {
        let mut request = self.signed(Request::get(self.at("health/service", &self.service)));
        if self.passing {
            request = request.query("passing", "true");
        }
        for (name, value) in [("dc", &self.dc), ("tag", &self.tag), ("near", &self.near)] {
            if let Some(value) = value {
                request = request.query(name, value);
            }
        }
        request
    }

    /// Whether no token is configured.
    pub(crate) fn is_anonymous(&self) -> bool {
        self.token.is_none()
    }

    /// The request for the permissions of the token, as Consul's own UI makes it.
    pub(crate) fn authorize(&self, rights: Vec<u8>) -> Request {
        let request = Request::post(format!("{}/v1/internal/acl/authorize", self.base), rights)
            .header("Content-Type", "application/json")
            .timeout(AUTHORIZE_TIMEOUT);
        let request = self.signed(request);
        match &self.dc {
            Some(dc) => request.query("dc", dc),
            None => request,
        }
    }

    /// A `PUT` request to the agent.
    pub(crate) fn put(&self, path: &str, name: &str, body: Vec<u8>) -> Request {
        self.signed(Request::put(self.at(path, name), body))
    }

    fn at(&self, path: &str, name: &str) -> String {
        let slash = if name.is_empty() { "" } else { "/" };
        format!("{}/v1/{path}{slash}{}", self.base, escaped(name))
    }

    fn signed(&self, request: Request) -> Request {
        match &self.token {
            Some(token) => request.header("X-Consul-Token", token),
            None => request,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONSUL: &str = "http://127.0.0.1:8500";

    fn refused(config: &ModeConfig) -> String {
        match Settings::read(config) {
            Err(Problem::Misconfigured(text)) => text,
            other => panic!("it must be rejected: {other:?}"),
        }
    }

    #[test]
    fn url_and_service_are_sufficient() {
        let settings = Settings::read(&ModeConfig::of(CONSUL).with("service", "shop")).unwrap();
        let request = settings.instances();
        assert_eq!(request.url(), "http://127.0.0.1:8500/v1/health/service/shop?passing=true");
        assert_eq!(request.header_value("x-consul-token"), None);
        assert_eq!(settings.wait, Duration::from_secs(5));
    }

    #[test]
    fn all_settings_are_part_of_the_request() {
        let config = ModeConfig::of("https://consul.example/proxy/")
            .with("service", "web shop")
            .with("passing", false)
            .with("dc", "east")
            .with("tag", "a&b")
            .with("near", "_agent")
            .with("token", "secret");
        let request = Settings::read(&config).unwrap().instances();
        assert_eq!(
            request.url(),
            "https://consul.example/proxy/v1/health/service/web%20shop?dc=east&tag=a%26b&near=_agent"
        );
        assert_eq!(request.header_value("x-consul-token"), Some("secret"));
    }

    #[test]
    fn requests_of_a_member_that_registers_are_not_held() {
        let config = ModeConfig::of(CONSUL).with("service", "shop").with("register", true);
        assert_eq!(Settings::read(&config).unwrap().wait, Duration::ZERO);
        let config = config.with("wait-s", 2);
        assert_eq!(Settings::read(&config).unwrap().wait, Duration::from_secs(2));
    }

    #[test]
    fn invalid_configuration_is_misconfigured() {
        let named = |argument: &str| ModeConfig::of(argument).with("service", "shop");
        assert!(refused(&named("")).starts_with("the argument is empty; expected a URL"));
        assert!(refused(&named("127.0.0.1:8500")).contains("is not a URL"));
        assert!(refused(&named("http://a/?dc=x")).contains("is not a base URL"));
        assert!(refused(&ModeConfig::of(CONSUL)).starts_with("the setting service is missing"));
        assert!(
            refused(&named(CONSUL).with("token", "a\nb")).contains("has control characters"),
            "the token must not be shown"
        );
        assert_eq!(
            refused(&named(CONSUL).with("wait-s", "60")),
            "\"60\" is not a number from 0 to 7 (in wait-s = 60)"
        );
        assert!(refused(&named(CONSUL).with("datacenter", "x")).contains("is not a setting"));
    }
}
