//! This member's own entry in the catalogue.
//!
//! It is registered once, with a check that fails unless this member says now and then
//! that it is well. One that crashed is no longer *passing* half a minute later, and
//! Consul strikes it off after another minute.

use std::time::Duration;

use convoke_mode_sdk::http::{Error, Request, Response};
use convoke_mode_sdk::{LocalMember, Problem, tracing};
use serde::Serialize;

use crate::refusal;
use crate::settings::Settings;

/// How often the check is renewed, in milliseconds: a third of what it holds.
const RENEW_MS: u32 = 10_000;
const CHECK_TTL: &str = "30s";
/// The shortest that Consul takes.
const STRUCK_OFF_AFTER: &str = "1m";

/// The agent is on this machine, as a rule.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Below the 500 ms that the host gives a leaving member.
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
    /// None when it is not asked for, or this member must not be dialled.
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
                name: "says that it is well",
                ttl: CHECK_TTL,
                status: "passing",
                deregister_critical_service_after: STRUCK_OFF_AFTER,
            },
        });
        let entry = entry.map_err(|error| Problem::Failed(error.to_string()))?;
        let right = format!("service:write on {}", settings.service);
        Ok(Some(Self { id, entry, right, is_registered: false }))
    }

    /// Registers, or says that this member is well; in how many milliseconds again.
    pub(crate) fn renew(&mut self, settings: &Settings) -> Result<u32, Problem> {
        if self.is_registered {
            let well = settings.tell("agent/check/pass", &check_of(&self.id), Vec::new());
            match send(well.timeout(TIMEOUT)) {
                Ok(_) => return Ok(RENEW_MS),
                // The agent was started anew, or struck the entry off.
                Err(Error::Status(404 | 500, text)) => {
                    self.is_registered = false;
                    tracing::debug!(text, "the entry is gone; it is registered again");
                }
                Err(error) => return Err(refusal::problem(error, &self.right)),
            }
        }
        let register = settings
            .tell("agent/service/register", "", self.entry.clone())
            .header("Content-Type", "application/json")
            .timeout(TIMEOUT);
        send(register).map_err(|error| refusal::problem(error, &self.right))?;
        self.is_registered = true;
        tracing::info!(id = self.id, "registered with Consul");
        Ok(RENEW_MS)
    }

    /// Takes the entry back, if there is one.
    pub(crate) fn withdraw(&mut self, settings: &Settings) -> Result<(), Problem> {
        if !self.is_registered {
            return Ok(());
        }
        self.is_registered = false;
        let away = settings.tell("agent/service/deregister", &self.id, Vec::new());
        match send(away.timeout(WITHDRAW_TIMEOUT)) {
            // Somebody else took it back.
            Ok(_) | Err(Error::Status(404, _)) => Ok(()),
            Err(error) => Err(refusal::problem(error, &self.right)),
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

    /// Calls while Consul answers with these statuses in turn; gives what was asked.
    fn asked(statuses: &'static [u16], call: impl FnOnce()) -> Vec<String> {
        let asked = Rc::new(RefCell::new(Vec::new()));
        let list = Rc::clone(&asked);
        let answer = move |request: &Request| {
            assert_eq!(request.header_value("X-Consul-Token"), Some("secret"));
            let path = request.url().trim_start_matches("http://127.0.0.1:8500/v1/agent/");
            list.borrow_mut().push(format!("{} {path}", request.method()));
            Ok(Response::new(statuses[list.borrow().len() - 1], ""))
        };
        answered_by(answer, call);
        asked.take()
    }

    #[test]
    fn it_registers_once_and_then_says_that_it_is_well() {
        let settings = settings(true);
        let mut registration = registration(&settings);
        let asked = asked(&[200, 200, 200], || {
            assert_eq!(registration.renew(&settings), Ok(RENEW_MS));
            assert_eq!(registration.renew(&settings), Ok(RENEW_MS));
            assert_eq!(registration.withdraw(&settings), Ok(()));
            assert_eq!(registration.withdraw(&settings), Ok(()));
        });
        assert_eq!(
            asked,
            [
                "PUT service/register",
                "PUT check/pass/service%3Ashop-member-1",
                "PUT service/deregister/shop-member-1",
            ]
        );
    }

    #[test]
    fn an_entry_that_is_gone_is_registered_again() {
        let settings = settings(true);
        let mut registration = registration(&settings);
        let asked = asked(&[200, 404, 200], || {
            registration.renew(&settings).unwrap();
            registration.renew(&settings).unwrap();
        });
        assert_eq!(asked[2], "PUT service/register");
    }

    #[test]
    fn the_entry_says_who_where_and_until_when() {
        let registration = registration(&settings(true));
        let entry: serde_json::Value = serde_json::from_slice(&registration.entry).unwrap();
        assert_eq!(
            entry,
            serde_json::json!({
                "ID": "shop-member-1", "Name": "shop", "Address": "10.0.0.7", "Port": 6900,
                "Tags": ["live"], "Meta": {"cluster": "development"},
                "Check": {
                    "CheckID": "service:shop-member-1", "Name": "says that it is well",
                    "TTL": "30s", "Status": "passing", "DeregisterCriticalServiceAfter": "1m",
                },
            })
        );
    }

    #[test]
    fn a_refusal_says_what_the_token_lacks_and_is_tried_again() {
        let settings = settings(true);
        let mut registration = registration(&settings);
        asked(&[403, 200], || {
            let Err(Problem::Temporary(text)) = registration.renew(&settings) else {
                panic!("it is refused");
            };
            assert!(text.contains("a token with service:write on shop"), "{text}");
            assert!(!text.contains("secret"), "{text}");
            assert!(registration.renew(&settings).is_ok());
        });
    }

    #[test]
    fn a_dry_run_and_a_member_that_does_not_want_to_are_not_registered() {
        let reachable = LocalMember::at("10.0.0.7", 6900);
        assert!(Registration::of(&settings(false), &reachable).unwrap().is_none());
        let dry = LocalMember::at("10.0.0.7", 0);
        assert!(Registration::of(&settings(true), &dry).unwrap().is_none());
    }
}
