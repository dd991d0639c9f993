//! HTTP requests, made by the host. Needs the cargo feature `http` and a grant: `grant = { http
//! = ["http://127.0.0.1:8500"] }`.
//!
//! A request blocks until the whole response has arrived, or its timeout has passed:
//!
//! ```
//! use convoke_mode_sdk::{Problem, http};
//! use std::time::Duration;
//!
//! fn members() -> Result<String, Problem> {
//!     let answer = http::Request::get("http://127.0.0.1:8500/v1/members")
//!         .query("service", "web shop")
//!         .header("accept", "application/json")
//!         .timeout(Duration::from_secs(3))
//!         .send()?
//!         .successful()?;
//!     Ok(answer.text().into_owned())
//! }
//!
//! // Outside of WebAssembly there is no network; a test provides the responses.
//! let answered = http::answered_by(
//!     |request| {
//!         assert_eq!(request.url(), "http://127.0.0.1:8500/v1/members?service=web%20shop");
//!         Ok(http::Response::new(200, "[]"))
//!     },
//!     members,
//! );
//! assert_eq!(answered, Ok("[]".to_owned()));
//! ```
//!
//! Cookies and redirects are not supported, and connections are managed by the host. A mode
//! that makes no request does not import these interfaces.

mod error;
#[cfg(not(target_arch = "wasm32"))]
mod fake;
mod request;
mod response;
mod url;
#[cfg(target_arch = "wasm32")]
mod wasi;

pub use error::Error;
#[cfg(not(target_arch = "wasm32"))]
pub use fake::answered_by;
pub use request::{Method, RESPONSE_BYTES_MAX, Request, TIMEOUT};
pub use response::Response;
pub use url::escaped;
