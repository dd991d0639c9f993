//! HTTP responses.

use std::borrow::Cow;
use std::time::Duration;

use super::Error;

/// Bytes of an unsuccessful response that an error text shows.
const SHOWN_BYTES_MAX: usize = 200;

/// A complete response.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Response {
    /// The status code, such as 200.
    pub status: u16,
    /// The headers in their order; invalid UTF-8 is replaced.
    pub headers: Vec<(String, String)>,
    /// The body, at most as long as the request allows.
    pub body: Vec<u8>,
    /// The time from sending the request to the end of the response.
    pub elapsed: Duration,
    /// Method and URL of the request.
    pub(super) asked: String,
}

impl Response {
    /// A response for tests.
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: body.into(),
            elapsed: Duration::ZERO,
            asked: String::new(),
        }
    }

    /// Adds a header.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The first header with this name; not case-sensitive.
    pub fn header(&self, name: &str) -> Option<&str> {
        let is_it = |(key, _): &&(String, String)| key.eq_ignore_ascii_case(name);
        self.headers.iter().find(is_it).map(|(_, value)| value.as_str())
    }

    /// The body as text; invalid UTF-8 is replaced.
    pub fn text(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }

    /// Returns the response if its status is a success (200 to 299), and otherwise
    /// [`Error::Status`] with the beginning of the body.
    ///
    /// ```
    /// use convoke_mode_sdk::http::{Error, Response};
    ///
    /// assert!(Response::new(204, "").successful().is_ok());
    /// let error = Response::new(403, "Permission denied\n").successful().unwrap_err();
    /// assert_eq!(error, Error::Status(403, "status 403: Permission denied".to_owned()));
    /// ```
    pub fn successful(self) -> Result<Self, Error> {
        if (200..300).contains(&self.status) {
            return Ok(self);
        }
        let mut text = String::new();
        if !self.asked.is_empty() {
            text.push_str(&self.asked);
            text.push_str(": ");
        }
        text.push_str(&format!("status {}", self.status));
        let beginning = &self.body[..self.body.len().min(SHOWN_BYTES_MAX)];
        let beginning = String::from_utf8_lossy(beginning);
        let words: Vec<&str> = beginning.split_whitespace().collect();
        if !words.is_empty() {
            text.push_str(": ");
            text.push_str(&words.join(" "));
        }
        Err(Error::Status(self.status, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Request, answered_by};

    #[test]
    fn header_names_are_not_case_sensitive() {
        let answer = Response::new(200, "").with("X-Consul-Index", "7");
        assert_eq!(answer.header("x-consul-index"), Some("7"));
        assert_eq!(answer.header("x-consul"), None);
    }

    #[test]
    fn an_unsuccessful_status_shows_the_request_and_the_beginning_of_the_body() {
        let page = format!("<html>\n  {}", "é".repeat(500));
        let sent = answered_by(
            move |_| Ok(Response::new(502, page.clone())),
            || Request::get("http://a/b?c=d").send(),
        );
        let Err(Error::Status(502, text)) = sent.unwrap().successful() else {
            panic!("expected an error");
        };
        assert!(text.starts_with("GET http://a/b: status 502: <html> éé"), "{text}");
        assert!(text.len() < 2 * SHOWN_BYTES_MAX);
    }
}
