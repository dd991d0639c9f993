//! Registers this member in the catalogue.
//!
//! The member is registered once, with a check that it renews periodically. After a crash it is
//! no longer *passing* half a minute later, and Consul removes it after another minute.

use std::time::Duration;

use convoke_mode_sdk::http::{Error, Request, Response};
use convoke_mode_sdk::{LocalMember, Problem, tracing};
use serde::Serialize;

use crate::settings::Settings;
use crate::status;

/// Interval at which the check is renewed, in milliseconds: a third of its TTL.
const RENEW_MS: u32 = 10_000;
const CHECK_TTL: &str = "30s";
/// The shortest time that Consul accepts.
const DEREGISTER_AFTER: &str = "1m";

/// The agent usually runs on this machine.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Less than the 500 ms that the host gives a leaving member.
const WITHDRAW_TIMEOUT: Duration = Duration::from_millis(400);

/// The entry, and whether the agent has it.
#[derive(Debug)]
pub(crate) struct Registration {
    id: String,
    entry: Vec<u8>,
    right: String,
    is_registered: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Entry<'a> {
    #[serde(rename = "ID")]
    id: &'a str,
    name: &'a str,
    address: &'a str,
    port: u16,
    tags: Vec<&'a str>,
    meta: Meta<'a>,
    check: Check<'a>,
}

#[derive(Serialize)]
struct Meta<'a> {
    cluster: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Check<'a> {
    #[serde(rename = "CheckID")]
    id: &'a str,
    name: &'a str,
    #[serde(rename = "TTL")]
    ttl: &'a str,
    status: &'a str,
    deregister_critical_service_after: &'a str,
}

impl Registration {
    /// `None` if it is not configured, or this member accepts no connections.
    pub(crate) fn of(settings: &Settings, me: &LocalMember) -> Result<Option<Self>, Problem> {
        let Some(address) = me.address().filter(|_| settings.register && me.is_reachable()) else {
            return Ok(None);
        };
        let id = format!("{}-{}", settings.service, me.member_id);
        let entry = serde_json::to_vec(&Entry {
            id: &id,
            name: &settings.service,
            address,
            port: me.port,
            tags: settings.tag.as_deref().into_iter().collect(),
            meta: Meta { cluster: &me.cluster_name },
            check: Check {
                id: &check_of(&id),
                name: "renewed by the member",
                ttl: CHECK_TTL,
                status: "passing",
                deregister_critical_service_after: DEREGISTER_AFTER,
            },
        });
        let entry = entry.map_err(|error| Problem::Failed(error.to_string()))?;
        let right = format!("service:write on {}", settings.service);
        Ok(Some(Self { id, entry, right, is_registered: false }))
    }

    /// Registers, or renews the check; returns the interval until the next call, in
    /// milliseconds.
    pub(crate) fn renew(&mut self, settings: &Settings) -> Result<u32, Problem> {
        if self.is_registered {
            let renewed = settings.put("agent/check/pass", &check_of(&self.id), Vec::new());
            match send(renewed.timeout(TIMEOUT)) {
                Ok(_) => return Ok(RENEW_MS),
                // The agent was restarted, or has removed the entry.
                Err(Error::Status(404 | 500, text)) => {
                    self.is_registered = false;
                    tracing::debug!(text, "the entry is gone; registering it again");
                }
                Err(error) => return Err(status::problem(error, &self.right)),
            }
        }
        let register = settings
            .put("agent/service/register", "", self.entry.clone())
            .header("Content-Type", "application/json")
            .timeout(TIMEOUT);
        send(register).map_err(|error| status::problem(error, &self.right))?;
        self.is_registered = true;
        tracing::info!(id = self.id, "registered with Consul");
        Ok(RENEW_MS)
    }

    /// Removes the entry, if there is one.
    pub(crate) fn withdraw(&mut self, settings: &Settings) -> Result<(), Problem> {
        if !self.is_registered {
            return Ok(());
        }
        self.is_registered = false;
        let removed = settings.put("agent/service/deregister", &self.id, Vec::new());
        match send(removed.timeout(WITHDRAW_TIMEOUT)) {
            // The entry has been removed already.
            Ok(_) | Err(Error::Status(404, _)) => Ok(()),
            Err(error) => Err(status::problem(error, &self.right)),
        }
    }
}

fn check_of(id: &str) -> String {
    format!("service:{id}")
}

fn send(request: Request) -> Result<Response, Error> {
    request.send()?.successful()
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use convoke_mode_sdk::ModeConfig;
    use convoke_mode_sdk::http::answered_by;

    use super::*;

    fn settings(register: bool) -> Settings {
        let config = ModeConfig::of("http://127.0.0.1:8500")
            .with("service", "shop")
            .with("tag", "live")
            .with("token", "secret")
            .with("register", register);
        Settings::read(&config).unwrap()
    }

    fn registration(settings: &Settings) -> Registration {
        Registration::of(settings, &LocalMember::at("10.0.0.7", 6900)).unwrap().unwrap()
    }

    /// Runs `call` with Consul returning these statuses in order; returns the requests.
    fn requests_of(statuses: &'static [u16], call: impl FnOnce()) -> Vec<String> {
        let requests = Rc::new(RefCell::new(Vec::new()));
        let list = Rc::clone(&requests);
        let answer = move |request: &Request| {
            assert_eq!(request.header_value("X-Consul-Token"), Some("secret"));
            let path = request.url().trim_start_matches("http://127.0.0.1:8500/v1/agent/");
            list.borrow_mut().push(format!("{} {path}", request.method()));
            Ok(Response::new(statuses[list.borrow().len() - 1], ""))
        };
        answered_by(answer, call);
        requests.take()
    }

    #[test]
    fn it_registers_once_and_then_renews_the_check() {
        let settings = settings(true);
        let mut registration = registration(&settings);
        let requests = requests_of(&[200, 200, 200], || {
            assert_eq!(registration.renew(&settings), Ok(RENEW_MS));
            assert_eq!(registration.renew(&settings), Ok(RENEW_MS));
            assert_eq!(registration.withdraw(&settings), Ok(()));
            assert_eq!(registration.withdraw(&settings), Ok(()));
        });
        assert_eq!(
            requests,
            [
                "PUT service/register",
                "PUT check/pass/service%3Ashop-member-1",
                "PUT service/deregister/shop-member-1",
            ]
        );
    }

    #[test]
    fn a_removed_entry_is_registered_again() {
        let settings = settings(true);
        let mut registration = registration(&settings);
        let requests = requests_of(&[200, 404, 200], || {
            registration.renew(&settings).unwrap();
            registration.renew(&settings).unwrap();
        });
        assert_eq!(requests[2], "PUT service/register");
    }

    #[test]
    fn the_entry_has_name_address_and_check() {
        let registration = registration(&settings(true));
        let entry: serde_json::Value = serde_json::from_slice(&registration.entry).unwrap();
        assert_eq!(
            entry,
            serde_json::json!({
                "ID": "shop-member-1", "Name": "shop", "Address": "10.0.0.7", "Port": 6900,
                "Tags": ["live"], "Meta": {"cluster": "development"},
                "Check": {
                    "CheckID": "service:shop-member-1", "Name": "renewed by the member",
                    "TTL": "30s", "Status": "passing", "DeregisterCriticalServiceAfter": "1m",
                },
            })
        );
    }

    #[test]
    fn a_denial_says_what_the_token_lacks_and_is_retried() {
        let settings = settings(true);
        let mut registration = registration(&settings);
        requests_of(&[403, 200], || {
            let Err(Problem::Temporary(text)) = registration.renew(&settings) else {
                panic!("expected a temporary problem");
            };
            assert!(text.contains("a token with service:write on shop"), "{text}");
            assert!(!text.contains("secret"), "{text}");
            assert!(registration.renew(&settings).is_ok());
        });
    }

    #[test]
    fn a_dry_run_and_a_member_without_register_are_not_registered() {
        let reachable = LocalMember::at("10.0.0.7", 6900);
        assert!(Registration::of(&settings(false), &reachable).unwrap().is_none());
        let dry = LocalMember::at("10.0.0.7", 0);
        assert!(Registration::of(&settings(true), &dry).unwrap().is_none());
    }
}
