//! `wasi:http/outgoing-handler`, the standard interface: HTTP requests to servers that are
//! granted by scheme, host and port. The host opens the connections and verifies certificates.
//! It does not follow redirects, so that each server is checked. A granted name is not
//! connected to if it resolves only to addresses of this machine or its links.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use convoke_text::escaped;
use http_body_util::{BodyExt as _, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error as ClientError};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource, ResourceTable};
use wasmtime_wasi_http::p2::bindings::LinkOptions;
use wasmtime_wasi_http::p2::bindings::http::{outgoing_handler, types};
use wasmtime_wasi_http::p2::types::{HostFutureIncomingResponse, HostOutgoingRequest};
use wasmtime_wasi_http::{
    Error, RequestOptions, WasiBody, WasiHttp, WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks,
    WasiHttpView,
};

use super::local_addresses::{GuardedResolver, ResolvesToLocal, local_kind};
use super::mode::Mode;
use super::rate::Bucket;
use super::view::Grant;
use crate::grant::{HttpScheme, address_of, is_localhost};
use crate::limits;

pub(crate) const GRANT: Grant = Grant {
    is_granted: |grants| !grants.http.is_empty(),
    capability: "http",
    example: "https://consul.example:8501",
};

/// Links `wasi:http` only; the interfaces it depends on are linked by [`super::wasi`].
pub(crate) fn link<T: WasiHttpView + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    let options = LinkOptions::default();
    types::add_to_linker::<_, WasiHttp>(linker, &(&options).into(), T::http)?;
    linker.allow_shadowing(true);
    linker.instance("wasi:http/types@0.2.12")?.func_wrap("http-error-code", error_code::<T>)?;
    linker.allow_shadowing(false);
    linker.instance("wasi:http/outgoing-handler@0.2.12")?.func_wrap("handle", handle::<T>)
}

/// Replaces the standard function, which in wasmtime 48.0 does not report failures of a body.
fn error_code<T: WasiHttpView + 'static>(
    mut store: StoreContextMut<'_, T>,
    (error,): (Resource<types::IoError>,),
) -> wasmtime::Result<(Option<types::ErrorCode>,)> {
    use types::ErrorCode;
    let error = store.data_mut().http().table.get(&error)?;
    if let Some(code) = error.downcast_ref::<ErrorCode>() {
        return Ok((Some(code.clone()),));
    }
    Ok((error.downcast_ref().map(|error| match error {
        Error::HttpResponseBodySize(bytes) => ErrorCode::HttpResponseBodySize(*bytes),
        Error::Hyper(error) if error.is_timeout() => ErrorCode::ConnectionReadTimeout,
        Error::Hyper(error) if error.is_parse() => ErrorCode::HttpProtocolError,
        Error::Hyper(_) => ErrorCode::HttpResponseIncomplete,
        other => ErrorCode::InternalError(Some(escaped(&other.to_string(), 300))),
    }),))
}

type Handled = Result<Resource<HostFutureIncomingResponse>, types::ErrorCode>;

/// Replaces the standard handler, which in wasmtime 48.0 never frees a request's options: a
/// mode that sets them would run out of handles.
fn handle<T: WasiHttpView + 'static>(
    mut store: StoreContextMut<'_, T>,
    (request, options): (Resource<HostOutgoingRequest>, Option<Resource<RequestOptions>>),
) -> wasmtime::Result<(Handled,)> {
    let mut view = store.data_mut().http();
    let given = options.as_ref().map(|options| Resource::<RequestOptions>::new_own(options.rep()));
    let handled = outgoing_handler::Host::handle(&mut view, request, options);
    if let Some(options) = given {
        // Newer handlers may have freed the options already.
        let _ = view.table.delete(options);
    }
    match handled {
        Ok(response) => Ok((Ok(response),)),
        Err(error) => Ok((Err(error.downcast()?),)),
    }
}

/// The HTTP connections of one mode; they outlive its instances.
#[derive(Debug)]
pub(crate) struct Requests {
    client: OnceLock<Result<HttpClient, String>>,
    at_once: Arc<Semaphore>,
    bucket: Mutex<Bucket>,
}

type HttpClient = Client<HttpsConnector<HttpConnector<GuardedResolver>>, WasiBody>;

/// The HTTP state of one instance.
pub(crate) struct Http {
    context: WasiHttpCtx,
    hooks: Hooks,
}

struct Hooks {
    mode: Arc<Mode>,
    requests: Arc<Requests>,
}

impl Default for Requests {
    fn default() -> Self {
        Self {
            client: OnceLock::new(),
            at_once: Arc::new(Semaphore::new(limits::REQUESTS_AT_ONCE)),
            bucket: Mutex::new(Bucket::new(limits::REQUESTS_PER_SECOND, limits::REQUESTS_BURST)),
        }
    }
}

impl Requests {
    /// The client. It trusts the system's certificates, or those of `SSL_CERT_FILE`, read at
    /// the first request.
    fn client(&self, mode: &str) -> Result<HttpClient, String> {
        self.client.get_or_init(|| connect(mode)).clone()
    }
}

fn connect(mode: &str) -> Result<HttpClient, String> {
    let mut plain = HttpConnector::new_with_resolver(GuardedResolver::new());
    plain.enforce_http(false);
    plain.set_nodelay(true);
    plain.set_connect_timeout(Some(Duration::from_millis(limits::REQUEST_CONNECT_MS_MAX)));
    let provider = rustls::crypto::ring::default_provider();
    let builder = HttpsConnectorBuilder::new();
    let builder = match builder.with_provider_and_native_roots(provider.clone()) {
        Ok(builder) => builder,
        // For example in a minimal container: plain HTTP works without certificates.
        Err(error) => {
            tracing::warn!(
                mode,
                "no CA certificates found on this machine ({error}); https:// requests will fail; set SSL_CERT_FILE to a certificate bundle"
            );
            let tls = without_trust_roots(provider).map_err(|error| error.to_string())?;
            HttpsConnectorBuilder::new().with_tls_config(tls)
        }
    };
    let connector = builder.https_or_http().enable_http1().wrap_connector(plain);
    Ok(Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_max_idle_per_host(limits::REQUEST_IDLE_CONNECTIONS_MAX)
        .pool_idle_timeout(Duration::from_millis(limits::REQUEST_IDLE_MS_MAX))
        .build(connector))
}

fn without_trust_roots(
    provider: rustls::crypto::CryptoProvider,
) -> Result<rustls::ClientConfig, rustls::Error> {
    Ok(rustls::ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth())
}

impl Http {
    pub(crate) fn new(mode: Arc<Mode>, requests: Arc<Requests>) -> Self {
        let mut context = WasiHttpCtx::new();
        context.set_field_size_limit(limits::HTTP_FIELDS_BYTES_MAX);
        Self { context, hooks: Hooks { mode, requests } }
    }

    pub(crate) fn view<'a>(&'a mut self, table: &'a mut ResourceTable) -> WasiHttpCtxView<'a> {
        WasiHttpCtxView { hooks: &mut self.hooks, table, ctx: &mut self.context }
    }
}

type Sent =
    Result<(http::Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>), Error>;

impl WasiHttpHooks for Hooks {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        let permit = match admit(&self.mode, &self.requests, &request) {
            Ok(permit) => permit,
            Err(refused) => return Box::new(std::future::ready(Err(refused))),
        };
        let (mode, requests) = (Arc::clone(&self.mode), Arc::clone(&self.requests));
        Box::new(async move {
            let bound = options
                .and_then(|options| options.first_byte_timeout)
                .unwrap_or(Duration::MAX)
                .min(Duration::from_millis(limits::REQUEST_ANSWER_MS_MAX));
            let answer = tokio::time::timeout(bound, send(&mode, &requests, request));
            let answer = match mode.unless_stopped(answer).await {
                Some(Ok(answer)) => answer?,
                Some(Err(_)) => return Err(Error::HttpResponseTimeout),
                None => return Err(Error::ConnectionTerminated),
            };
            let bytes =
                answer.headers().iter().map(|(name, value)| name.as_str().len() + value.len());
            let bytes: usize = bytes.sum();
            if bytes > limits::HTTP_FIELDS_BYTES_MAX {
                let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
                return Err(Error::HttpResponseHeaderSectionSize(Some(bytes)));
            }
            // Counts as in progress until its body has been read or dropped.
            let answer = answer.map(|body| {
                body.map_frame(move |frame| {
                    let _ = &permit;
                    frame
                })
                .boxed_unsync()
            });
            let done: Box<dyn Future<Output = _> + Send> = Box::new(std::future::ready(Ok(())));
            Ok((answer, done))
        })
    }
}

/// Checks the grant and the limits of this request.
fn admit(
    mode: &Mode,
    requests: &Requests,
    request: &http::Request<WasiBody>,
) -> Result<OwnedSemaphorePermit, Error> {
    let uri = request.uri();
    let scheme = match uri.scheme_str() {
        Some("http") => HttpScheme::Http,
        Some("https") => HttpScheme::Https,
        _ => return Err(Error::HttpProtocolError),
    };
    let authority = uri.authority().ok_or(Error::HttpRequestUriInvalid)?;
    let host = escaped(authority.host(), 253);
    if authority.as_str().contains('@') || host.is_empty() || host != authority.host() {
        return Err(Error::HttpRequestUriInvalid);
    }
    let port = authority.port_u16().unwrap_or(scheme.default_port());
    if request.method() == http::Method::CONNECT {
        return Err(Error::HttpRequestMethodInvalid);
    }
    if !is_granted(mode, scheme, &host, port) {
        return Err(Error::HttpRequestDenied);
    }
    // The query is omitted, since it may hold a secret.
    mode.called(format_args!(
        "http: {} {scheme}://{authority}{}",
        request.method(),
        escaped(uri.path(), 200)
    ));
    let too_many = || Error::ConnectionLimitReached;
    let permit = Arc::clone(&requests.at_once).try_acquire_owned().map_err(|_| too_many())?;
    let mut bucket = requests.bucket.lock().unwrap_or_else(PoisonError::into_inner);
    if bucket.take() { Ok(permit) } else { Err(too_many()) }
}

/// Whether this server is granted. A denial is logged.
fn is_granted(mode: &Mode, scheme: HttpScheme, host: &str, port: u16) -> bool {
    // `*` covers every name and address except those of this machine.
    let is_local = is_localhost(host) || address_of(host).and_then(local_kind).is_some();
    let granted = match is_local {
        true => mode.grants.grants_http_by_address(scheme, host, port),
        false => mode.grants.grants_http(scheme, host, port),
    };
    if !granted {
        mode.warn_denied("http", &shown(scheme, host, port));
    }
    granted
}

/// Records the servers in `text`, from the configuration, that are not granted: a mode whose
/// first server is denied in a rehearsal may never try the others.
pub(crate) fn rehearse(mode: &Mode, text: &str) {
    for (scheme, prefix) in [(HttpScheme::Http, "http://"), (HttpScheme::Https, "https://")] {
        for (at, _) in text.match_indices(prefix) {
            let rest = &text[at + prefix.len()..];
            let ends = |c: char| c.is_whitespace() || matches!(c, '/' | '?' | '#' | ',' | ';');
            let authority = rest.split(ends).next().unwrap_or_default();
            // A grant does not include a user, and a log must not contain a password.
            let place = authority.rsplit('@').next().unwrap_or_default();
            let Ok(place) = place.parse::<http::uri::Authority>() else { continue };
            let port = place.port_u16().unwrap_or(scheme.default_port());
            if port != 0 && !place.host().is_empty() {
                is_granted(mode, scheme, &escaped(place.host(), 253), port);
            }
        }
    }
}

/// A server, written as in a grant.
fn shown(scheme: HttpScheme, host: &str, port: u16) -> String {
    if port == scheme.default_port() {
        format!("{scheme}://{host}")
    } else {
        format!("{scheme}://{host}:{port}")
    }
}

/// Logs that a granted name resolves to an address that needs a grant of its own.
fn warn_resolves_to_local(mode: &Mode, uri: &http::Uri, local: &ResolvesToLocal) {
    let scheme =
        if uri.scheme_str() == Some("https") { HttpScheme::Https } else { HttpScheme::Http };
    let port = uri.port_u16().unwrap_or(scheme.default_port());
    let name = shown(scheme, &escaped(uri.host().unwrap_or_default(), 253), port);
    let address = match local.ip {
        std::net::IpAddr::V4(ip) => shown(scheme, &ip.to_string(), port),
        std::net::IpAddr::V6(ip) => shown(scheme, &format!("[{ip}]"), port),
    };
    mode.record_denied("http", std::iter::once(address.as_str()));
    let to_allow = format!(
        "{local}, which the grant of a name does not cover; to allow it, use {address} instead of the name in the mode's settings, and its [[discovery]] needs: {}",
        mode.grants_needed()
    );
    mode.warn_denied_with("http", &name, &to_allow);
}

/// Sends the request; returns once the response headers have arrived.
async fn send(
    mode: &Mode,
    requests: &Requests,
    request: http::Request<WasiBody>,
) -> Result<http::Response<WasiBody>, Error> {
    if mode.host.backend.failing().is_some() {
        return Err(Error::ConnectionRefused);
    }
    if let Some(fakes) = mode.host.backend.fakes() {
        return Ok(fakes.http.answer(&request).map(|body| {
            http_body_util::Full::new(body).map_err(|never| match never {}).boxed_unsync()
        }));
    }
    let client = requests.client(&mode.name).map_err(|why| Error::InternalError(Some(why)))?;
    let uri = request.uri().clone();
    let answer = client.request(request).await.map_err(|error| match local_target(&error) {
        Some(local) => {
            warn_resolves_to_local(mode, &uri, local);
            Error::HttpRequestDenied
        }
        None => error_code_of(&error),
    })?;
    Ok(answer.map(|body| {
        Limited::new(body, limits::ANSWER_BODY_BYTES_MAX)
            .map_err(|error| match error.downcast::<hyper::Error>() {
                Ok(error) => Error::Hyper(*error),
                Err(_) => Error::HttpResponseBodySize(Some(limits::ANSWER_BODY_BYTES_MAX as u64)),
            })
            .boxed_unsync()
    }))
}

/// The local address that the name resolves to, if that is why no connection was made.
fn local_target(error: &ClientError) -> Option<&ResolvesToLocal> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(local) = error.downcast_ref() {
            return Some(local);
        }
        cause = error.source();
    }
    None
}

/// Maps a client error to the error codes of `wasi:http`.
fn error_code_of(error: &ClientError) -> Error {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            match io.kind() {
                std::io::ErrorKind::ConnectionRefused => return Error::ConnectionRefused,
                std::io::ErrorKind::TimedOut => return Error::ConnectionTimeout,
                std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::UnexpectedEof => {
                    return Error::ConnectionTerminated;
                }
                _ => {}
            }
            if io.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) {
                return Error::TlsCertificateError;
            }
        }
        if error.is::<rustls::Error>() {
            return Error::TlsCertificateError;
        }
        if error.to_string().starts_with("dns error") {
            return Error::DnsError { rcode: None, info_code: None };
        }
        cause = error.source();
    }
    let mut message = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        message = format!("{message}: {error}");
        cause = error.source();
    }
    Error::InternalError(Some(escaped(&message, 300)))
}
