//! Detects results that lack entries which the token may not read.
//!
//! Consul filters lists by the permissions of the token, and returns status 200 with the rest
//! (<https://developer.hashicorp.com/consul/api-docs/api-structure#results-filtered-by-acls>).
//! A header reports that, but not for a request without a token: if the default policy is
//! `deny`, such a request is followed by a query for its permissions.

use convoke_mode_sdk::http::Response;
use serde::{Deserialize, Serialize};

use crate::settings::Settings;

/// `true`: the result is incomplete.
const FILTERED: &str = "X-Consul-Results-Filtered-By-ACLs";
/// `deny`: what no rule allows must not be read.
const DEFAULT_POLICY: &str = "X-Consul-Default-Acl-Policy";

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Right<'a> {
    resource: &'a str,
    access: &'a str,
    segment: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Verdict {
    allow: bool,
}

/// Whether instances may be missing in a result.
pub(crate) fn withholds(settings: &Settings, answer: &Response) -> bool {
    if answer.header(FILTERED) == Some("true") {
        return true;
    }
    let denies = answer.header(DEFAULT_POLICY) == Some("deny");
    denies && settings.is_anonymous() && !may_read(settings)
}

/// The text of the problem.
pub(crate) fn problem_text(settings: &Settings) -> String {
    let service = &settings.service;
    format!(
        "Consul withholds instances of {service} from this token; it needs service:read on {service} and node:read; configure such a token in the setting token"
    )
}

/// Whether the request's token may read the service, and any node, according to Consul. False
/// if Consul does not say.
fn may_read(settings: &Settings) -> bool {
    let right = |resource, segment| Right { resource, access: "read", segment };
    let rights = [right("service", settings.service.as_str()), right("node", "")];
    let Ok(body) = serde_json::to_vec(&rights) else { return false };
    let answer = settings.authorize(body).send().and_then(Response::successful);
    let verdicts = answer.ok().and_then(|answer| {
        let verdicts: Vec<Verdict> = serde_json::from_slice(&answer.body).ok()?;
        (verdicts.len() == rights.len()).then_some(verdicts)
    });
    verdicts.is_some_and(|verdicts| verdicts.iter().all(|verdict| verdict.allow))
}
