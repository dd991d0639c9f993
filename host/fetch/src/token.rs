//! Anonymous tokens of a registry.

use convoke_text::excerpt;
use reqwest::Url;
use reqwest::header::HeaderValue;
use serde_json::Value;

use crate::artifact::Artifact;
use crate::error::Cause;
use crate::http::{Answer, Get, Http, at, is_loopback};
use crate::limits::{EXCERPT_CHARS_MAX, TOKEN_BYTES_MAX};

/// The `Authorization` header, if one of `challenges` requires a token; `None` if they require
/// a user and a password.
pub(crate) async fn get(
    http: &Http,
    artifact: &Artifact,
    challenges: &[String],
) -> Result<Option<HeaderValue>, Cause> {
    let Some(url) = challenges.iter().find_map(|challenge| address(challenge, artifact)) else {
        return Ok(None);
    };
    let url = url?;
    let get = Get { url: &url, accept: None, authorization: None, bytes_max: TOKEN_BYTES_MAX };
    match http.get(&get).await? {
        Answer::Content(content) => header(&url, &content.bytes).map(Some),
        Answer::Unauthorized(_) => Err(Cause::Credentials { at: at(&url) }),
    }
}

/// The URL of the token server in a challenge; `None` if the challenge is not of type `Bearer`.
fn address(challenge: &str, artifact: &Artifact) -> Option<Result<Url, Cause>> {
    let challenges = http_auth::parse_challenges(challenge).ok()?;
    let bearer = challenges.iter().find(|it| it.scheme.eq_ignore_ascii_case("bearer"))?;
    let param = |name: &str| {
        let mut params = bearer.params.iter();
        params.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, v)| v.to_unescaped())
    };
    let realm = param("realm")?;
    Some(token_url(&realm, artifact).map(|mut url| {
        if let Some(service) = param("service") {
            url.query_pairs_mut().append_pair("service", &service);
        }
        let scope = format!("repository:{}:pull", artifact.repository());
        url.query_pairs_mut().append_pair("scope", &scope);
        url
    }))
}

/// A remote registry must not make this machine send requests to itself.
fn token_url(realm: &str, artifact: &Artifact) -> Result<Url, Cause> {
    let refused = |why: &str| {
        Cause::Token(format!("the token server is {:?}, {why}", excerpt(realm, EXCERPT_CHARS_MAX)))
    };
    let url = Url::parse(realm).map_err(|error| refused(&error.to_string()))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(Cause::Token("the URL of the token server has a user before its host".into()));
    }
    let local = is_loopback(artifact.base());
    match url.scheme() {
        "https" => Ok(url),
        "http" if local && is_loopback(&url) => Ok(url),
        _ => Err(refused("which is not https")),
    }
}

fn header(url: &Url, json: &[u8]) -> Result<HeaderValue, Cause> {
    let answer: Value = serde_json::from_slice(json).unwrap_or_default();
    let token = answer.get("token").or(answer.get("access_token")).and_then(Value::as_str);
    let header = token
        .filter(|token| !token.is_empty())
        .and_then(|token| HeaderValue::from_str(&format!("Bearer {token}")).ok());
    let Some(mut header) = header else {
        return Err(Cause::Token(format!("{} returned no token", at(url))));
    };
    header.set_sensitive(true);
    Ok(header)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A registry elsewhere names a token server with TLS, or none.
    #[test]
    fn fuzz_challenge() {
        let samples = [
            r#"Bearer realm="https://auth.example/token",service="registry.example",scope="a:b:pull""#,
            r#"Basic realm="x", Bearer realm="https://auth.example""#,
            r#"bearer Realm="http://127.0.0.1:5000/token""#,
            r#"Bearer realm="https://user:secret@auth.example/\"quoted\"""#,
            "Bearer realm=https://auth.example/?a=b",
        ];
        let artifact = Artifact::parse("registry.example/shop/shelf:1").unwrap();
        convoke_harness::check!(&samples, |bytes| {
            let challenge = String::from_utf8_lossy(bytes);
            match address(&challenge, &artifact) {
                Some(Ok(url)) => {
                    assert_eq!(url.scheme(), "https");
                    assert!(url.username().is_empty() && url.password().is_none());
                    let scope = ("scope".into(), "repository:shop/shelf:pull".into());
                    assert_eq!(url.query_pairs().last(), Some(scope));
                }
                Some(Err(error)) => assert!(!error.to_string().contains('\n'), "{error}"),
                None => {}
            }
        });
    }

    #[test]
    fn fuzz_token() {
        let samples = [
            r#"{"token": "abc.def", "expires_in": 300}"#,
            r#"{"access_token": "abc"}"#,
            r#"{"token": "a\nb"}"#,
            r#"{"token": ""}"#,
            "[[[[[[[[",
        ];
        let url = Url::parse("https://auth.example/token").unwrap();
        convoke_harness::check!(&samples, |json| {
            let Ok(header) = header(&url, json) else { return };
            assert!(header.is_sensitive());
            assert!(header.as_bytes().len() > b"Bearer ".len());
            assert!(!header.as_bytes().iter().any(|byte| b"\r\n\0".contains(byte)));
        });
    }
}
