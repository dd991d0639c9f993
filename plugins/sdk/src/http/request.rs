//! HTTP requests.

use std::fmt;
use std::time::Duration;

use super::url::{Url, escaped};
use super::{Error, Response};
use crate::quoted;

/// Default limit of a response body, in bytes.
pub const RESPONSE_BYTES_MAX: usize = 4 << 20;

/// Default timeout of a request: less than the 10 s that a call of the mode may take.
pub const TIMEOUT: Duration = Duration::from_secs(5);

/// The method of a request (RFC 9110, section 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Method {
    /// Read a resource.
    Get,
    /// Read the headers only.
    Head,
    /// Send data to a resource.
    Post,
    /// Replace a resource.
    Put,
    /// Change a resource partially.
    Patch,
    /// Remove a resource.
    Delete,
}

/// The method's name in a request: `GET`.
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

/// An HTTP request.
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
    /// A request without headers and body. `url` is absolute, with the scheme `http` or
    /// `https`.
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

    /// A `GET` request.
    pub fn get(url: impl Into<String>) -> Self {
        Self::new(Method::Get, url)
    }

    /// A `POST` request with `body`.
    pub fn post(url: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        Self::new(Method::Post, url).body(body)
    }

    /// A `PUT` request with `body`.
    pub fn put(url: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        Self::new(Method::Put, url).body(body)
    }

    /// A `DELETE` request.
    pub fn delete(url: impl Into<String>) -> Self {
        Self::new(Method::Delete, url)
    }

    /// Adds a header. `host`, `content-length` and connection headers are set by the host.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Adds a parameter to the URL's query, with escaping.
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

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Sets the timeout, from connecting to the end of the response.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets the limit of the response body, in bytes; a longer one is [`Error::TooLarge`].
    pub fn response_bytes_max(mut self, bytes: usize) -> Self {
        self.response_bytes_max = bytes;
        self
    }

    /// Sends the request, and waits for the whole response, with any status; see
    /// [`Response::successful`] for statuses.
    pub fn send(self) -> Result<Response, Error> {
        let url = self.checked()?;
        let response = self.exchange(&url)?;
        if response.body.len() > self.response_bytes_max {
            return Err(self.too_large());
        }
        Ok(Response { asked: self.describe(), ..response })
    }

    /// Checks the URL and the headers without sending anything; invalid ones are
    /// [`Error::Invalid`]. For a mode's `configure`, which must not wait for the network.
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
        // The value is not shown, since it may be a secret.
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        let is_value = |byte: u8| byte == b'\t' || (byte >= b' ' && byte != 0x7f);
        for (name, value) in &self.headers {
            if name.is_empty() || !name.bytes().all(is_name) {
                return Err(Error::Invalid(format!("{} is not a valid header name", quoted(name))));
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

    /// The method.
    pub fn method(&self) -> Method {
        self.method
    }

    /// The URL, including the query.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The value of a header; the name is not case-sensitive.
    pub fn header_value(&self, name: &str) -> Option<&str> {
        let is_it = |(key, _): &&(String, String)| key.eq_ignore_ascii_case(name);
        self.headers.iter().find(is_it).map(|(_, value)| value.as_str())
    }

    /// The body; may be empty.
    pub fn body_bytes(&self) -> &[u8] {
        self.body.as_deref().unwrap_or_default()
    }

    /// Method and URL for error texts, without the query, which may contain a secret.
    pub(super) fn describe(&self) -> String {
        let end = self.url.find(['?', '#']).unwrap_or(self.url.len());
        format!("{} {}", self.method, &self.url[..end])
    }

    pub(super) fn too_large(&self) -> Error {
        let max = self.response_bytes_max;
        Error::TooLarge(format!("{}: the response has more than {max} bytes", self.describe()))
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
    fn a_malformed_url_is_rejected_without_sending() {
        let sent =
            answered_by(|_| panic!("nothing may be sent"), || Request::get("consul:8500").send());
        let Err(Error::Invalid(text)) = sent else { panic!("it is not a URL") };
        assert!(text.starts_with("\"consul:8500\" is not a URL"), "{text}");
    }

    #[test]
    fn an_invalid_header_is_rejected_without_showing_its_value() {
        let request = Request::get("http://a").header("x-token", "secret\r\nx: y");
        let text = "the value for the header x-token has control characters".to_owned();
        assert_eq!(request.check(), Err(Error::Invalid(text)));
        let request = Request::get("http://a").header("x token", "");
        let text = "\"x token\" is not a valid header name".to_owned();
        assert_eq!(request.check(), Err(Error::Invalid(text)));
    }

    #[test]
    fn the_response_size_is_limited() {
        let long = |_: &Request| Ok(Response::new(200, "x".repeat(11)));
        let sent = answered_by(long, || {
            Request::get("http://a/b?token=secret").response_bytes_max(10).send()
        });
        let text = "GET http://a/b: the response has more than 10 bytes";
        assert_eq!(sent.unwrap_err(), Error::TooLarge(text.to_owned()));
    }
}
