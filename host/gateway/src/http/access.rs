//! Who may ask for data: the same trust as over RESP, by basic authentication.
//!
//! Without a client password only this machine may ask, and no page of another
//! site in a browser on it.

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

use super::Web;
use crate::trust::Trust;

/// Who is on the other end of a connection.
#[derive(Debug)]
pub(super) struct ConnectionInfo {
    peer: SocketAddr,
    /// It is sent a stream that has no end.
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

/// Lets a request for data through, or refuses it: the one place where permission is
/// decided. A request that is not GET or HEAD counts as a change, on every path.
pub(super) async fn admit(
    State(web): State<Arc<Web>>,
    request: Request,
    next: Next,
) -> Result<Response, AccessDenied> {
    let _under_way = web.begin().ok_or(AccessDenied::Leaving)?;
    let (parts, body) = request.into_parts();
    let is_read_only = trust(&parts, &web)? < Trust::Full;
    let is_read = [Method::GET, Method::HEAD].contains(&parts.method);
    if is_read_only && !is_read {
        return Err(AccessDenied::ReadOnly);
    }
    Ok(next.run(Request::from_parts(parts, body)).await)
}

/// Why somebody may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AccessDenied {
    /// No password, or a wrong one.
    Unauthenticated,
    /// The password is for looking.
    ReadOnly,
    /// Not from this machine, and there is no password.
    NotLocal,
    /// A page of another site asks.
    CrossOrigin,
    /// This member is about to stop.
    Leaving,
}

impl IntoResponse for AccessDenied {
    fn into_response(self) -> Response {
        let challenge = [(header::WWW_AUTHENTICATE, "Basic realm=\"convoke\", charset=\"UTF-8\"")];
        match self {
            Self::Unauthenticated => (
                StatusCode::UNAUTHORIZED,
                challenge,
                "the client password is needed: basic authentication, any user name or \"default\"\n",
            )
                .into_response(),
            Self::ReadOnly => {
                (StatusCode::FORBIDDEN, "this password is for looking only\n").into_response()
            }
            Self::NotLocal => (
                StatusCode::FORBIDDEN,
                "data is for clients on this machine only, until a client password is set (--client-password-file)\n",
            )
                .into_response(),
            Self::CrossOrigin => (
                StatusCode::FORBIDDEN,
                "asked by a page of another site: without a client password that is refused\n",
            )
                .into_response(),
            Self::Leaving => {
                (StatusCode::SERVICE_UNAVAILABLE, "this member is stopping\n").into_response()
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
    let (user, password) = given.and_then(credentials).ok_or(AccessDenied::Unauthenticated)?;
    // Whoever knows a password need not know what its user is called here.
    let named = [Trust::Full.user(), Trust::ReadOnly.user()].contains(&user.as_str());
    let user = named.then_some(user.as_bytes());
    web.passwords.trust_of(user, password.as_bytes()).ok_or(AccessDenied::Unauthenticated)
}

fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

/// User and password of `Basic …` (RFC 7617).
fn credentials(value: &[u8]) -> Option<(String, String)> {
    let (scheme, encoded) = value.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let text = String::from_utf8(BASE64_STANDARD.decode(encoded.trim_ascii()).ok()?).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.into(), password.into()))
}

/// Whether a browser asks for a page that is not this server's: then whoever wrote
/// that page would do what only this machine may. A name that is made to point here
/// (DNS rebinding) is such a page as well.
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
    fn programs_and_own_pages_are_not_foreign() {
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
    fn other_sites_and_names_that_were_made_to_point_here_are_foreign() {
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
    fn credentials_are_read_as_their_rfc_says() {
        let read = |text: &str| credentials(text.as_bytes());
        let pair = |user: &str, password: &str| Some((user.to_owned(), password.to_owned()));
        assert_eq!(read("Basic ZGVmYXVsdDpzOmVjcmV0"), pair("default", "s:ecret"));
        assert_eq!(read("basic  OnNlY3JldA=="), pair("", "secret"));
        for wrong in ["", "Basic", "Basic !", "Bearer OnNlY3JldA==", "Basic c2VjcmV0"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
