//! Answers that lack what the token may not read.
//!
//! Consul filters its lists by the rights of the token, and answers 200 with what is left
//! (<https://developer.hashicorp.com/consul/api-docs/api-structure#results-filtered-by-acls>). It
//! says so in a header, but not to a request without a token: where the policy is to deny by
//! default, such a request is followed by the question what it may read.

use convoke_mode_sdk::http::Response;
use serde::{Deserialize, Serialize};

use crate::settings::Settings;

/// `true`: the answer is not all.
const FILTERED: &str = "X-Consul-Results-Filtered-By-ACLs";
/// `deny`: what no rule allows may not be read.
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

/// Whether instances may have been left out of an answer.
pub(crate) fn withholds(settings: &Settings, answer: &Response) -> bool {
    if answer.header(FILTERED) == Some("true") {
        return true;
    }
    let denies = answer.header(DEFAULT_POLICY) == Some("deny");
    denies && settings.is_anonymous() && !may_read(settings)
}

/// What to do about it.
pub(crate) fn in_words(settings: &Settings) -> String {
    let service = &settings.service;
    format!(
        "Consul withholds instances of {service} from this token; it wants one with service:read on {service} and node:read, as the setting token"
    )
}

/// Whether Consul says that this request's token may read the service, and any node. No, where
/// it does not say.
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
