//! A fake HTTP server.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use http::header::{HeaderName, HeaderValue};
use serde::Deserialize;

/// Requests that are recorded for a test; later ones are not.
const RECORDED_MAX: usize = 10_000;

/// Responses to requests: the first that matches, or 404.
#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
pub struct FakeHttp {
    /// Tried in this order.
    pub answers: Vec<FakeAnswer>,
    #[serde(skip)]
    asked: Mutex<Vec<String>>,
    #[serde(skip)]
    server: Option<Server>,
}

/// A function that computes responses.
struct Server(Box<Answering>);

type Answering = dyn Fn(&str, &str) -> Option<(u16, Vec<u8>)> + Send + Sync;

/// A fake response.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct FakeAnswer {
    /// The prefix of the URLs that it matches, such as `http://10.0.0.5:8500/v1/`.
    pub url: String,
    /// The method that it matches; `None` for all.
    #[serde(default)]
    pub method: Option<String>,
    /// The status code.
    #[serde(default = "ok")]
    pub status: u16,
    /// The headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The body.
    #[serde(default)]
    pub body: String,
}

fn ok() -> u16 {
    200
}

impl FakeHttp {
    /// Computes responses with a function of method and URL that returns status and body; if it
    /// returns `None`, [`FakeHttp::answers`] are tried.
    pub fn answer_by(
        &mut self,
        answer: impl Fn(&str, &str) -> Option<(u16, Vec<u8>)> + Send + Sync + 'static,
    ) {
        self.server = Some(Server(Box::new(answer)));
    }

    /// The requests so far, such as `GET http://10.0.0.5:8500/v1/`.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn answer<B>(&self, request: &http::Request<B>) -> http::Response<bytes::Bytes> {
        let (method, url) = (request.method().as_str(), request.uri().to_string());
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.len() < RECORDED_MAX {
            asked.push(format!("{method} {url}"));
        }
        drop(asked);
        let served = self.server.as_ref().and_then(|server| (server.0)(method, &url));
        if let Some((status, body)) = served {
            return response(status, &BTreeMap::new(), body);
        }
        let fits = |answer: &&FakeAnswer| {
            url.starts_with(&answer.url)
                && answer.method.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(method))
        };
        let Some(answer) = self.answers.iter().find(fits) else {
            return response(404, &BTreeMap::new(), Vec::new());
        };
        response(answer.status, &answer.headers, answer.body.clone().into_bytes())
    }
}

fn response(
    status: u16,
    headers: &BTreeMap<String, String>,
    body: Vec<u8>,
) -> http::Response<bytes::Bytes> {
    let mut response = http::Response::new(bytes::Bytes::from(body));
    *response.status_mut() =
        http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) =
            (HeaderName::try_from(name.as_str()), HeaderValue::try_from(value.as_str()))
        {
            response.headers_mut().append(name, value);
        }
    }
    response
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Server")
    }
}
