//! Classifies Consul's error responses.

use convoke_mode_sdk::Problem;
use convoke_mode_sdk::http::Error;

/// Classifies an error. `right` is the permission that the token needs, in Consul's syntax.
///
/// Errors that require a change of the configuration are `Misconfigured`, and the host stops
/// calling. Errors that are corrected at Consul, or in front of it, are `Temporary`: the member
/// waits, and needs no restart.
pub(crate) fn problem(error: Error, right: &str) -> Problem {
    match error {
        Error::Status(400, text) => Problem::Misconfigured(text),
        Error::Status(300..=399, text) => Problem::Misconfigured(format!(
            "{text}; redirects are not followed; configure the final URL"
        )),
        Error::Status(401 | 403, text) => Problem::Temporary(format!(
            "{text}; Consul requires a token with {right}, in the setting token"
        )),
        Error::Status(404 | 405, text) => Problem::Temporary(format!(
            "{text}; check that this is Consul; the argument is its base URL, such as http://127.0.0.1:8500"
        )),
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16) -> Problem {
        problem(Error::Status(status, format!("status {status}")), "service:read on shop")
    }

    #[test]
    fn each_status_is_classified() {
        for (status, expected) in [
            (400, "Misconfigured"),
            (301, "Misconfigured"),
            (401, "Temporary"),
            (403, "Temporary"),
            (404, "Temporary"),
            (429, "Temporary"),
            (500, "Temporary"),
            (503, "Temporary"),
            (418, "Failed"),
        ] {
            let sorted = format!("{:?}", of(status));
            assert!(sorted.contains(&format!("::{expected}(")), "{sorted}");
        }
    }

    #[test]
    fn a_denial_says_what_the_token_lacks() {
        assert_eq!(
            of(403).text(),
            "status 403; Consul requires a token with service:read on shop, in the setting token"
        );
    }

    #[test]
    fn transport_errors_are_classified_by_the_sdk() {
        let text = || "x".to_owned();
        assert_eq!(problem(Error::Denied(text()), ""), Problem::Denied(text()));
        assert_eq!(problem(Error::Temporary(text()), ""), Problem::Temporary(text()));
        assert_eq!(problem(Error::Invalid(text()), ""), Problem::Misconfigured(text()));
        assert_eq!(problem(Error::Other(text()), ""), Problem::Failed(text()));
    }
}
