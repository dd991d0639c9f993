//! HTTP requests with limits on size and time: over HTTPS, or over plain HTTP on this machine.

use std::error::Error;
use std::fmt;

use bytes::Bytes;
use convoke_text::excerpt;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use reqwest::redirect::{Action, Attempt, Policy};
use reqwest::{Client, ClientBuilder, Response, StatusCode, Url};
use rustls::crypto::{CryptoProvider, ring};
use tokio::sync::OnceCell;

use crate::digest::{Digest, Hasher};
use crate::error::Cause;
use crate::limits::{ATTEMPTS_MAX, ERROR_BODY_BYTES_MAX, EXCERPT_CHARS_MAX, Limits, REDIRECTS_MAX};

/// A request.
pub(crate) struct Get<'a> {
    pub(crate) url: &'a Url,
    /// The `Accept` header: media types.
    pub(crate) accept: Option<&'a str>,
    pub(crate) authorization: Option<&'a HeaderValue>,
    pub(crate) bytes_max: u64,
}

/// A response.
pub(crate) enum Answer {
    Content(Content),
    /// Status 401, with its challenges.
    Unauthorized(Vec<String>),
}

pub(crate) struct Content {
    pub(crate) bytes: Bytes,
    pub(crate) digest: Digest,
}

pub(crate) struct Http {
    limits: Limits,
    /// Created when needed, since it reads the trusted root certificates.
    tls: OnceCell<Client>,
    loopback: OnceCell<Client>,
}

impl Http {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, tls: OnceCell::new(), loopback: OnceCell::new() }
    }

    /// Sends the request, retrying failures that may be temporary.
    pub(crate) async fn get(&self, get: &Get<'_>) -> Result<Answer, Cause> {
        let mut attempt = 1;
        let mut wait = self.limits.back_off;
        loop {
            match self.get_once(get).await {
                Err(cause) if cause.is_retryable() && attempt < ATTEMPTS_MAX => {
                    tracing::debug!(%cause, attempt, "retrying");
                }
                outcome => return outcome,
            }
            tokio::time::sleep(wait).await;
            attempt += 1;
            wait *= 2;
        }
    }

    async fn get_once(&self, get: &Get<'_>) -> Result<Answer, Cause> {
        let mut request = self.client(get.url).await?.get(get.url.clone());
        if let Some(accept) = get.accept {
            request = request.header(ACCEPT, accept);
        }
        if let Some(authorization) = get.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let response = request.send().await.map_err(|error| self.cause(get.url, &error))?;
        match response.status() {
            StatusCode::OK => self.content(response, get.bytes_max).await.map(Answer::Content),
            StatusCode::UNAUTHORIZED => Ok(Answer::Unauthorized(challenges(&response))),
            _ => Err(self.status_error(response).await),
        }
    }

    async fn client(&self, url: &Url) -> Result<&Client, Cause> {
        let (cell, builder) = match url.scheme() {
            "https" => (&self.tls, Client::builder().redirect(Policy::custom(stay_with_tls))),
            "http" if is_loopback(url) => (
                &self.loopback,
                Client::builder()
                    .redirect(Policy::custom(stay_on_this_machine))
                    .no_proxy()
                    .tls_certs_only([]),
            ),
            _ => return Err(Cause::Plain { at: at(url) }),
        };
        cell.get_or_try_init(async || self.build(builder)).await
    }

    fn build(&self, builder: ClientBuilder) -> Result<Client, Cause> {
        if CryptoProvider::get_default().is_none() {
            // Fails if another thread has set it, which is equivalent.
            let _ = ring::default_provider().install_default();
        }
        builder
            .user_agent(concat!("convoke/", env!("CARGO_PKG_VERSION")))
            // A query may contain a signature, which the target of a redirect must not see.
            .referer(false)
            .connect_timeout(self.limits.connect)
            .read_timeout(self.limits.idle)
            .build()
            .map_err(|error| Cause::NoRoots(innermost(&error)))
    }

    async fn content(&self, mut response: Response, bytes_max: u64) -> Result<Content, Cause> {
        let url = response.url().clone();
        let too_large = |announced| Cause::TooLarge { at: at(&url), announced, bytes_max };
        if let Some(length) = response.content_length()
            && length > bytes_max
        {
            return Err(too_large(Some(length)));
        }
        let mut bytes = Vec::new();
        let mut hasher = Hasher::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.cause(&url, &error))? {
            if (bytes.len() + chunk.len()) as u64 > bytes_max {
                return Err(too_large(None));
            }
            hasher.update(&chunk);
            bytes.extend_from_slice(&chunk);
        }
        Ok(Content { bytes: bytes.into(), digest: hasher.finish() })
    }

    async fn status_error(&self, mut response: Response) -> Cause {
        let (at, status) = (at(response.url()), response.status().as_u16());
        let mut body = Vec::new();
        while body.len() < ERROR_BODY_BYTES_MAX as usize
            && let Ok(Some(chunk)) = response.chunk().await
        {
            let room = ERROR_BODY_BYTES_MAX as usize - body.len();
            body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        }
        Cause::Status {
            at,
            status,
            body: excerpt(&String::from_utf8_lossy(&body), EXCERPT_CHARS_MAX),
        }
    }

    fn cause(&self, asked: &Url, error: &reqwest::Error) -> Cause {
        let at = at(error.url().unwrap_or(asked));
        if let Some(refused) = find::<RefusedRedirect>(error) {
            return match refused {
                RefusedRedirect::Target(to) => Cause::Redirect { to: to.clone() },
                RefusedRedirect::TooMany => Cause::Redirects { at: self::at(asked) },
            };
        }
        let why = innermost(error);
        match find::<rustls::Error>(error) {
            Some(rustls::Error::InvalidCertificate(_)) => Cause::Certificate { at, why },
            Some(_) => Cause::Tls { at, why },
            None if error.is_connect() => Cause::Connect { at, why },
            None if error.is_timeout() => Cause::Idle { at, after: self.limits.idle },
            None => Cause::Broken { at, why },
        }
    }
}

/// Whether `url` is on this machine, so that plain HTTP does not cross a network.
pub(crate) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Host, port and path of a URL.
pub(crate) fn at(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    excerpt(
        &format!("{}{port}{}", url.host_str().unwrap_or_default(), url.path()),
        EXCERPT_CHARS_MAX,
    )
}

#[derive(Debug)]
enum RefusedRedirect {
    Target(String),
    TooMany,
}

impl fmt::Display for RefusedRedirect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("refused")
    }
}

impl Error for RefusedRedirect {}

fn stay_with_tls(attempt: Attempt<'_>) -> Action {
    let stays = attempt.url().scheme() == "https";
    redirect(attempt, stays)
}

fn stay_on_this_machine(attempt: Attempt<'_>) -> Action {
    let stays = attempt.url().scheme() == "http" && is_loopback(attempt.url());
    redirect(attempt, stays)
}

fn redirect(attempt: Attempt<'_>, stays: bool) -> Action {
    // The first entry is the original request.
    if attempt.previous().len() > REDIRECTS_MAX {
        return attempt.error(RefusedRedirect::TooMany);
    }
    if !stays {
        let to = format!("{}://{}", attempt.url().scheme(), at(attempt.url()));
        return attempt.error(RefusedRedirect::Target(to));
    }
    attempt.follow()
}

fn challenges(response: &Response) -> Vec<String> {
    let values = response.headers().get_all(WWW_AUTHENTICATE).iter();
    values.filter_map(|value| value.to_str().ok()).map(str::to_owned).collect()
}

/// The error of type `E` in a chain of causes. `io::Error` does not report the error it wraps
/// as its source.
fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        let held = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let found = error.downcast_ref().or_else(|| find(held?));
        if found.is_some() {
            return found;
        }
        next = error.source();
    }
    None
}

/// The innermost cause, without URLs.
fn innermost(error: &dyn Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    excerpt(&innermost.to_string(), EXCERPT_CHARS_MAX)
}
