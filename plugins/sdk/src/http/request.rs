//! What is asked.

use std::fmt;
use std::time::Duration;

use super::url::{Url, escaped};
use super::{Error, Response};
use crate::quoted;

/// Bytes that the body of an answer may have, unless a request says otherwise.
pub const RESPONSE_BYTES_MAX: usize = 4 << 20;

/// What an answer may take, unless a request says otherwise: within the 10 s that
/// the host gives a whole call.
pub const TIMEOUT: Duration = Duration::from_secs(5);

/// What to do with a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Method {
    /// Read it.
    Get,
    /// Read what is known about it, without its content.
    Head,
    /// Hand it something.
    Post,
    /// Put something in its place.
    Put,
    /// Change a part of it.
    Patch,
    /// Remove it.
    Delete,
}

/// As in the request: `GET`.
impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        })
    }
}

/// One request, to be sent.
#[derive(Clone, Debug)]
#[must_use = "a request does nothing until it is sent"]
pub struct Request {
    method: Method,
    url: String,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
    timeout: Duration,
    response_bytes_max: usize,
}

impl Request {
    /// A request without headers and body. `url` is absolute, `http` or `https`.
    pub fn new(method: Method, url: impl Into<String>) -> Self {
        Self {
            method,
            url: url.into(),
            headers: Vec::new(),
            body: None,
            timeout: TIMEOUT,
            response_bytes_max: RESPONSE_BYTES_MAX,
        }
    }

    /// Reads what is at a URL.
    pub fn get(url: impl Into<String>) -> Self {
        Self::new(Method::Get, url)
    }

    /// Hands `body` to what is at a URL.
    pub fn post(url: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        Self::new(Method::Post, url).body(body)
    }

    /// Puts `body` in the place of what is at a URL.
    pub fn put(url: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        Self::new(Method::Put, url).body(body)
    }

    /// Removes what is at a URL.
    pub fn delete(url: impl Into<String>) -> Self {
        Self::new(Method::Delete, url)
    }

    /// One header more. `host`, `content-length` and those of a single connection are
    /// the host's affair.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// One parameter more in the URL's query, escaped as need be.
    pub fn query(mut self, name: &str, value: &str) -> Self {
        let start = self.url.find('#').unwrap_or(self.url.len());
        self.url.truncate(start);
        let mark = if self.url.contains('?') { '&' } else { '?' };
        self.url.push(mark);
        self.url.push_str(&escaped(name));
        self.url.push('=');
        self.url.push_str(&escaped(value));
        self
    }

    /// What is sent along.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// How long all of it may take, from the connection to the end of the answer.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How many bytes the body of the answer may have; a longer one is
    /// [`Error::TooLarge`].
    pub fn response_bytes_max(mut self, bytes: usize) -> Self {
        self.response_bytes_max = bytes;
        self
    }

    /// Sends it, and waits for the whole answer, of whatever status. Errors are those
    /// of [`Error`]; see [`Response::successful`] for statuses.
    pub fn send(self) -> Result<Response, Error> {
        let url = self.checked()?;
        let response = self.exchange(&url)?;
        if response.body.len() > self.response_bytes_max {
            return Err(self.too_large());
        }
        Ok(Response { asked: self.in_words(), ..response })
    }

    /// Whether it can be sent at all, without asking anybody: [`Error::Invalid`] when the
    /// URL or a header is none. For a mode's `configure`, which does not wait for the
    /// network.
    ///
    /// ```
    /// use convoke_mode_sdk::http::Request;
    ///
    /// assert!(Request::get("http://127.0.0.1:8500").check().is_ok());
    /// assert!(Request::get("127.0.0.1:8500").check().is_err());
    /// assert!(Request::get("http://a").header("x-token", "a\nb").check().is_err());
    /// ```
    pub fn check(&self) -> Result<(), Error> {
        self.checked().map(drop)
    }

    fn checked(&self) -> Result<Url, Error> {
        // The value is not shown: it may be a secret.
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        let is_value = |byte: u8| byte == b'\t' || (byte >= b' ' && byte != 0x7f);
        for (name, value) in &self.headers {
            if name.is_empty() || !name.bytes().all(is_name) {
                return Err(Error::Invalid(format!("{} is no name of a header", quoted(name))));
            }
            if !value.bytes().all(is_value) {
                let text = format!("the value for the header {name} has control characters");
                return Err(Error::Invalid(text));
            }
        }
        Url::split(&self.url).map_err(Error::Invalid)
    }

    #[cfg(target_arch = "wasm32")]
    fn exchange(&self, url: &Url) -> Result<Response, Error> {
        super::wasi::exchange(self, url)
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn exchange(&self, _: &Url) -> Result<Response, Error> {
        super::fake::exchange(self)
    }

    /// What is asked.
    pub fn method(&self) -> Method {
        self.method
    }

    /// Where, the query included.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A header, whatever the case of its name.
    pub fn header_value(&self, name: &str) -> Option<&str> {
        let is_it = |(key, _): &&(String, String)| key.eq_ignore_ascii_case(name);
        self.headers.iter().find(is_it).map(|(_, value)| value.as_str())
    }

    /// What is sent along; empty when nothing is.
    pub fn body_bytes(&self) -> &[u8] {
        self.body.as_deref().unwrap_or_default()
    }

    /// Method and URL for an operator; a query may hold what is not for a log.
    pub(super) fn in_words(&self) -> String {
        let end = self.url.find(['?', '#']).unwrap_or(self.url.len());
        format!("{} {}", self.method, &self.url[..end])
    }

    pub(super) fn too_large(&self) -> Error {
        let max = self.response_bytes_max;
        Error::TooLarge(format!("{}: the answer has more than {max} bytes", self.in_words()))
    }
}

#[cfg(target_arch = "wasm32")]
impl Request {
    pub(super) fn headers(&self) -> &[(String, String)] {
        &self.headers
    }

    pub(super) fn has_body(&self) -> bool {
        self.body.is_some()
    }

    pub(super) fn time_limit(&self) -> Duration {
        self.timeout
    }

    pub(super) fn answer_bytes_max(&self) -> usize {
        self.response_bytes_max
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::answered_by;

    #[test]
    fn parameters_are_added_before_a_fragment_and_escaped() {
        let request = Request::get("http://a/b#top").query("dc", "east 1").query("a&b", "=");
        assert_eq!(request.url(), "http://a/b?dc=east%201&a%26b=%3D");
    }

    #[test]
    fn a_malformed_url_is_an_error_of_the_request_and_asks_nobody() {
        let sent =
            answered_by(|_| panic!("nobody is asked"), || Request::get("consul:8500").send());
        let Err(Error::Invalid(text)) = sent else { panic!("it is no URL") };
        assert!(text.starts_with("\"consul:8500\" is no URL"), "{text}");
    }

    #[test]
    fn a_header_that_is_none_is_refused_without_its_value() {
        let request = Request::get("http://a").header("x-token", "secret\r\nx: y");
        let text = "the value for the header x-token has control characters".to_owned();
        assert_eq!(request.check(), Err(Error::Invalid(text)));
        let request = Request::get("http://a").header("x token", "");
        let text = "\"x token\" is no name of a header".to_owned();
        assert_eq!(request.check(), Err(Error::Invalid(text)));
    }

    #[test]
    fn an_answer_is_bounded() {
        let long = |_: &Request| Ok(Response::new(200, "x".repeat(11)));
        let sent = answered_by(long, || {
            Request::get("http://a/b?token=secret").response_bytes_max(10).send()
        });
        let text = "GET http://a/b: the answer has more than 10 bytes";
        assert_eq!(sent.unwrap_err(), Error::TooLarge(text.to_owned()));
    }
}
