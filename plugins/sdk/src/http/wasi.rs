//! Sends requests through `wasi:http`.

use std::time::Duration;

use super::url::Url;
use super::{Error, Method, Request, Response};
use crate::bindings::wasi::wasi::clocks::monotonic_clock;
use crate::bindings::wasi::wasi::http::outgoing_handler;
use crate::bindings::wasi::wasi::http::types::{
    self, ErrorCode, Fields, OutgoingBody, OutgoingRequest, RequestOptions, Scheme,
};
use crate::bindings::wasi::wasi::io::poll::{self, Pollable};
use crate::bindings::wasi::wasi::io::streams::{InputStream, StreamError};

/// Bytes read from a stream at a time.
const READ_BYTES: u64 = 64 << 10;

/// Sends a request and receives the response.
pub(super) fn exchange(request: &Request, url: &Url) -> Result<Response, Error> {
    let exchange = Exchange::start(request);
    exchange.run(url).map_err(|why| why.describe(request))
}

/// Why a request failed, before it is formatted.
enum Why {
    Code(ErrorCode),
    Invalid(String),
    TimedOut,
    TooLarge,
    Broken(String),
}

impl From<ErrorCode> for Why {
    fn from(code: ErrorCode) -> Self {
        Self::Code(code)
    }
}

impl From<StreamError> for Why {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::Closed => Self::Broken("the connection was interrupted".to_owned()),
            StreamError::LastOperationFailed(error) => types::http_error_code(&error)
                .map_or_else(|| Self::Broken(error.to_debug_string()), Self::Code),
        }
    }
}

struct Exchange<'a> {
    request: &'a Request,
    started_ns: u64,
    deadline: Pollable,
}

impl<'a> Exchange<'a> {
    fn start(request: &'a Request) -> Self {
        let started_ns = monotonic_clock::now();
        let deadline = monotonic_clock::subscribe_duration(nanoseconds(request.time_limit()));
        Self { request, started_ns, deadline }
    }

    fn run(&self, url: &Url) -> Result<Response, Why> {
        let outgoing = self.outgoing(url)?;
        let body = self.request.has_body().then(|| outgoing.body()).transpose();
        let body =
            body.map_err(|()| Why::Broken("the host returned no request body".to_owned()))?;
        let answer = outgoing_handler::handle(outgoing, Some(self.options()))?;
        let written = body.map_or(Ok(()), |body| self.write(body));
        if matches!(written, Err(Why::TimedOut)) {
            return Err(Why::TimedOut);
        }
        self.wait_for(&answer.subscribe())?;
        // If sending the body failed, the response may say why, or be valid nevertheless.
        let answer = match answer.get() {
            Some(Ok(answer)) => answer?,
            Some(Err(())) | None => {
                written?;
                return Err(Why::Broken("the host returned no response".to_owned()));
            }
        };
        let status = answer.status();
        let lossy =
            |(name, value): (String, Vec<u8>)| (name, String::from_utf8_lossy(&value).into_owned());
        let headers = answer.headers().entries().into_iter().map(lossy).collect();
        let body = answer
            .consume()
            .map_err(|()| Why::Broken("the host returned no response body".to_owned()))?;
        let stream = body
            .stream()
            .map_err(|()| Why::Broken("the host returned no response body".to_owned()))?;
        let body = self.read(&stream)?;
        let elapsed = Duration::from_nanos(monotonic_clock::now().saturating_sub(self.started_ns));
        Ok(Response { status, headers, body, elapsed, asked: String::new() })
    }

    fn outgoing(&self, url: &Url) -> Result<OutgoingRequest, Why> {
        let headers = Fields::new();
        for (name, value) in self.request.headers() {
            headers.append(name, value.as_bytes()).map_err(|error| {
                Why::Invalid(format!("the header {name:?} cannot be sent: {error}"))
            })?;
        }
        if self.request.has_body() {
            let length = self.request.body_bytes().len().to_string();
            headers.append("content-length", length.as_bytes()).map_err(|error| {
                Why::Invalid(format!("the body's length cannot be sent: {error}"))
            })?;
        }
        let outgoing = OutgoingRequest::new(headers);
        let method = match self.request.method() {
            Method::Get => types::Method::Get,
            Method::Head => types::Method::Head,
            Method::Post => types::Method::Post,
            Method::Put => types::Method::Put,
            Method::Patch => types::Method::Patch,
            Method::Delete => types::Method::Delete,
        };
        let scheme = if url.is_https { Scheme::Https } else { Scheme::Http };
        outgoing
            .set_method(&method)
            .and_then(|()| outgoing.set_scheme(Some(&scheme)))
            .and_then(|()| outgoing.set_authority(Some(&url.authority)))
            .and_then(|()| outgoing.set_path_with_query(Some(&url.path_and_query)))
            .map_err(|()| Why::Invalid("the host rejects the URL".to_owned()))?;
        Ok(outgoing)
    }

    /// Sets the host's own timeouts, so that it stops when the deadline has passed. Unsupported
    /// options are ignored, since the deadline applies in any case.
    fn options(&self) -> RequestOptions {
        let limit = Some(nanoseconds(self.request.time_limit()));
        let options = RequestOptions::new();
        let _ = options.set_connect_timeout(limit);
        let _ = options.set_first_byte_timeout(limit);
        let _ = options.set_between_bytes_timeout(limit);
        options
    }

    fn write(&self, body: OutgoingBody) -> Result<(), Why> {
        let stream = body
            .write()
            .map_err(|()| Why::Broken("the host returned no request body".to_owned()))?;
        let ready = stream.subscribe();
        let room = || loop {
            match stream.check_write()? {
                0 => self.wait_for(&ready)?,
                room => return Ok::<_, Why>(usize::try_from(room).unwrap_or(usize::MAX)),
            }
        };
        let mut rest = self.request.body_bytes();
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(room()?));
            stream.write(now)?;
            rest = later;
        }
        stream.flush()?;
        room()?;
        drop(ready);
        drop(stream);
        Ok(OutgoingBody::finish(body, None)?)
    }

    fn read(&self, stream: &InputStream) -> Result<Vec<u8>, Why> {
        let ready = stream.subscribe();
        let mut body = Vec::new();
        loop {
            match stream.read(READ_BYTES) {
                Ok(bytes) if bytes.is_empty() => self.wait_for(&ready)?,
                Ok(bytes) => {
                    body.extend_from_slice(&bytes);
                    if body.len() > self.request.answer_bytes_max() {
                        return Err(Why::TooLarge);
                    }
                }
                Err(StreamError::Closed) => return Ok(body),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn wait_for(&self, what: &Pollable) -> Result<(), Why> {
        // If both are ready, the data arrived in time.
        let ready = poll::poll(&[what, &self.deadline]);
        if ready.contains(&0) { Ok(()) } else { Err(Why::TimedOut) }
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Why {
    fn describe(self, request: &Request) -> Error {
        let asked = request.describe();
        match self {
            Self::Code(code) => of_code(code, &asked),
            Self::Invalid(text) => Error::Invalid(format!("{asked}: {text}")),
            Self::TimedOut => Error::Temporary(format!(
                "{asked}: no complete response within {} ms",
                request.time_limit().as_millis()
            )),
            Self::TooLarge => request.too_large(),
            Self::Broken(text) => Error::Other(format!("{asked}: {text}")),
        }
    }
}

fn of_code(code: ErrorCode, asked: &str) -> Error {
    let words = |text: &str| format!("{asked}: {text}");
    match code {
        ErrorCode::HttpRequestDenied => Error::Denied(words("this server is not granted")),
        ErrorCode::DnsTimeout => Error::Temporary(words("no response from DNS in time")),
        ErrorCode::DnsError(why) => Error::Temporary(words(&match why.rcode {
            Some(code) => format!("the name cannot be resolved ({code})"),
            None => "the name cannot be resolved".to_owned(),
        })),
        ErrorCode::DestinationNotFound => Error::Temporary(words("the name does not resolve")),
        ErrorCode::DestinationUnavailable | ErrorCode::DestinationIpUnroutable => {
            Error::Temporary(words("the server cannot be reached"))
        }
        ErrorCode::ConnectionRefused => Error::Temporary(words("nothing listens on that port")),
        ErrorCode::ConnectionTerminated | ErrorCode::HttpResponseIncomplete => {
            Error::Temporary(words("the connection was interrupted"))
        }
        ErrorCode::ConnectionTimeout
        | ErrorCode::ConnectionReadTimeout
        | ErrorCode::ConnectionWriteTimeout
        | ErrorCode::HttpResponseTimeout => Error::Temporary(words("no response in time")),
        ErrorCode::ConnectionLimitReached => {
            Error::Temporary(words("the host's connection limit is reached"))
        }
        ErrorCode::HttpRequestMethodInvalid
        | ErrorCode::HttpRequestUriInvalid
        | ErrorCode::HttpRequestUriTooLong => Error::Invalid(words("the host rejects the URL")),
        ErrorCode::HttpResponseBodySize(_) => {
            Error::TooLarge(words("the response exceeds the host's limit"))
        }
        ErrorCode::TlsCertificateError => {
            Error::Other(words("the server's certificate is not trusted"))
        }
        ErrorCode::InternalError(Some(text)) => Error::Other(words(&text)),
        other => Error::Other(words(&format!("{other:?}"))),
    }
}
