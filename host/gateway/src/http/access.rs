//! Access control for data over HTTP: the same passwords as over RESP, by basic authentication (RFC
//! 7617).
//!
//! Without a client password, only clients on this machine are served, and no pages of other sites
//! in a browser on it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::web::Web;
use crate::trust::Trust;

/// State of a connection that its requests share.
#[derive(Debug)]
pub(super) struct ConnectionInfo {
    peer: SocketAddr,
    /// The connection carries a stream of server-sent events, which has no end.
    pub(super) is_streaming: AtomicBool,
}

impl ConnectionInfo {
    pub(super) fn new(peer: SocketAddr) -> Arc<Self> {
        Arc::new(Self { peer, is_streaming: AtomicBool::new(false) })
    }

    pub(super) fn is_streaming(&self) -> bool {
        self.is_streaming.load(Ordering::Relaxed)
    }
}

/// Middleware that admits or rejects a request for data: the only place where permissions over HTTP
/// are checked. Any method other than GET and HEAD counts as a write, on every path.
pub(super) async fn admit(
    State(web): State<Arc<Web>>,
    request: Request,
    next: Next,
) -> Result<Response, AccessDenied> {
    let _in_flight = web.begin().ok_or(AccessDenied::Leaving)?;
    let (parts, body) = request.into_parts();
    let is_read_only = trust(&parts, &web)? < Trust::Full;
    let is_read = [Method::GET, Method::HEAD].contains(&parts.method);
    if is_read_only && !is_read {
        return Err(AccessDenied::ReadOnly);
    }
    Ok(next.run(Request::from_parts(parts, body)).await)
}

/// Why a request was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AccessDenied {
    /// The password is missing.
    Unauthenticated,
    /// The user name or the password is wrong.
    WrongPassword,
    /// The user may only read.
    ReadOnly,
    /// No client password is set, and the client is not on this machine.
    NotLocal,
    /// No client password is set, and the request comes from a page of another site.
    CrossOrigin,
    /// This member is leaving.
    Leaving,
}

impl IntoResponse for AccessDenied {
    fn into_response(self) -> Response {
        let challenge = [(header::WWW_AUTHENTICATE, "Basic realm=\"convoke\", charset=\"UTF-8\"")];
        match self {
            Self::Unauthenticated => (
                StatusCode::UNAUTHORIZED,
                challenge,
                "authentication required: send the client password by basic authentication, with user name \"default\"\n",
            )
                .into_response(),
            Self::WrongPassword => {
                (StatusCode::UNAUTHORIZED, challenge, "wrong user name or password\n").into_response()
            }
            Self::ReadOnly => {
                (StatusCode::FORBIDDEN, "user readonly may only send GET and HEAD\n").into_response()
            }
            Self::NotLocal => (
                StatusCode::FORBIDDEN,
                "data is served to clients on this machine only; set a client password (--client-password-file) to allow others\n",
            )
                .into_response(),
            Self::CrossOrigin => (
                StatusCode::FORBIDDEN,
                "cross-origin requests are refused unless a client password is set (--client-password-file)\n",
            )
                .into_response(),
            Self::Leaving => {
                (StatusCode::SERVICE_UNAVAILABLE, "this member is shutting down\n").into_response()
            }
        }
    }
}

fn trust(parts: &Parts, web: &Web) -> Result<Trust, AccessDenied> {
    let peer = parts
        .extensions
        .get::<Arc<ConnectionInfo>>()
        .map(|connection_info| connection_info.peer.ip());
    let given = parts.headers.get(header::AUTHORIZATION).map(|value| value.as_bytes());
    if web.passwords.are_empty() {
        return if !peer.is_some_and(is_loopback) {
            Err(AccessDenied::NotLocal)
        } else if is_cross_origin(&parts.headers) {
            Err(AccessDenied::CrossOrigin)
        } else {
            Ok(Trust::Full)
        };
    }
    let Some(given) = given else { return Err(AccessDenied::Unauthenticated) };
    let (user, password) = credentials(given).ok_or(AccessDenied::Unauthenticated)?;
    // Any other user name is accepted with either password.
    let named = [Trust::Full.user(), Trust::ReadOnly.user()].contains(&user.as_str());
    let user = named.then_some(user.as_bytes());
    web.passwords.trust_of(user, password.as_bytes()).ok_or_else(|| {
        let peer = peer.map_or_else(|| "unknown".to_owned(), |peer| peer.to_string());
        web.refusals.add(peer, "wrong user name or password");
        AccessDenied::WrongPassword
    })
}

fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

/// The user name and password of `Basic …` (RFC 7617).
fn credentials(value: &[u8]) -> Option<(String, String)> {
    let (scheme, encoded) = value.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let text = String::from_utf8(BASE64_STANDARD.decode(encoded.trim_ascii()).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.into(), password.into()))
}

/// Whether the request comes from a page of another site in a browser, which must not act with the
/// rights of this machine. A foreign name that resolves to this machine (DNS rebinding) counts as
/// another site.
fn is_cross_origin(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value: &header::HeaderValue| value.to_str().ok());
    let host = text(header::HOST).unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, port)| {
        if port.bytes().all(|byte| byte.is_ascii_digit()) { name } else { host }
    });
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    let is_here = name.is_empty() || bare == "localhost" || bare.parse::<IpAddr>().is_ok();
    let is_own = match headers.get(header::ORIGIN) {
        None => true,
        Some(_) => text(header::ORIGIN)
            .and_then(|origin| origin.split_once("://"))
            .is_some_and(|(_, origin)| origin == host),
    };
    !is_here || !is_own
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(header::HeaderName, &'static str)]) -> HeaderMap {
        let value = |text| header::HeaderValue::from_static(text);
        pairs.iter().map(|(name, text)| (name.clone(), value(text))).collect()
    }

    #[test]
    fn programs_and_own_pages_are_same_origin() {
        for own in [
            headers(&[]),
            headers(&[(header::HOST, "127.0.0.1:8080")]),
            headers(&[(header::HOST, "[::1]:8080")]),
            headers(&[(header::HOST, "localhost")]),
            headers(&[(header::HOST, "[::1]:80"), (header::ORIGIN, "http://[::1]:80")]),
        ] {
            assert!(!is_cross_origin(&own), "{own:?}");
        }
    }

    #[test]
    fn other_sites_and_rebound_names_are_cross_origin() {
        for foreign in [
            headers(&[(header::HOST, "evil.example:8080")]),
            headers(&[(header::HOST, "localhost:8080"), (header::ORIGIN, "https://evil.example")]),
            headers(&[(header::HOST, "localhost:8080"), (header::ORIGIN, "null")]),
            headers(&[(header::HOST, "localhost:8080"), (header::ORIGIN, "http://localhost:1")]),
        ] {
            assert!(is_cross_origin(&foreign), "{foreign:?}");
        }
    }

    #[test]
    fn credentials_are_parsed_as_in_rfc_7617() {
        let read = |text: &str| credentials(text.as_bytes());
        let pair = |user: &str, password: &str| Some((user.to_owned(), password.to_owned()));
        assert_eq!(read("Basic ZGVmYXVsdDpzOmVjcmV0"), pair("default", "s:ecret"));
        assert_eq!(read("basic  OnNlY3JldA=="), pair("", "secret"));
        for wrong in ["", "Basic", "Basic !", "Bearer OnNlY3JldA==", "Basic c2VjcmV0"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn fuzz_credentials() {
        let samples =
            ["Basic ZGVmYXVsdDpzOmVjcmV0", "basic  OnNlY3JldA==", "Bearer OnNlY3JldA==", "Basic !"];
        convoke_harness::check!(&samples, |bytes| {
            let Some((user, password)) = credentials(bytes) else { return };
            assert!(!user.contains(':'));
            let encoded = BASE64_STANDARD.encode(format!("{user}:{password}"));
            assert_eq!(credentials(format!("Basic {encoded}").as_bytes()), Some((user, password)));
        });
    }

    /// The values of `Host` and `Origin`, separated by a line break.
    #[test]
    fn fuzz_origin() {
        let samples = [
            "127.0.0.1:8080\nhttp://127.0.0.1:8080",
            "[::1]:80\nhttps://evil.example",
            "localhost\nnull",
            "evil.example:8080\n",
            "localhost.evil.example\nhttp://localhost.evil.example",
        ];
        convoke_harness::check!(&samples, |bytes| {
            let mut lines =
                bytes.splitn(2, |byte| *byte == b'\n').map(header::HeaderValue::from_bytes);
            let (Some(Ok(host)), origin) = (lines.next(), lines.next()) else { return };
            let mut headers = HeaderMap::from_iter([(header::HOST, host.clone())]);
            if let Some(Ok(origin)) = origin {
                headers.insert(header::ORIGIN, origin);
            }
            if is_cross_origin(&headers) {
                return;
            }
            // A page of this machine: at an address or at localhost, and its own.
            let host = host.to_str().unwrap_or_default();
            assert!(
                !host.bytes().any(|byte| byte.is_ascii_alphabetic() && !byte.is_ascii_hexdigit())
                    || host.contains("localhost")
                    || host.contains('%'),
                "{host}"
            );
            if let Some(origin) = headers.get(header::ORIGIN) {
                assert!(origin.to_str().unwrap_or_default().ends_with(host));
            }
        });
    }
}
