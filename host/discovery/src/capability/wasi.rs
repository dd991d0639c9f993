//! The WASI interfaces that language runtimes require, without access to the system: clocks and
//! random numbers work, standard output and error go to the log, and there are no arguments, no
//! environment, no files, no sockets.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context as TaskContext, Poll};

use convoke_text::escaped;
use tokio::io::AsyncWrite;
use tokio::time::Instant;
use wasmtime::component::{Linker, Resource};
use wasmtime::{Error, StoreContextMut};
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::{HostMonotonicClock, WasiCtx, WasiCtxBuilder, WasiView};
use wasmtime_wasi_http::WasiHttpView;

use super::log_budget::LogBudget;
use crate::limits;

/// Links the WASI interfaces that a component was found to import; see [`crate::imports`].
pub(crate) fn link<T: WasiView + WasiHttpView + 'static>(
    linker: &mut Linker<T>,
    http: bool,
    inert: bool,
) -> wasmtime::Result<()> {
    if inert {
        wasmtime_wasi::p2::add_to_linker_async(linker)?;
    } else if http {
        // Streams, and the clock for timeouts. Other interfaces that this links have been
        // rejected by `imports` already.
        wasmtime_wasi::p2::add_to_linker_proxy_interfaces_async(linker)?;
    }
    if inert || http {
        linker.allow_shadowing(true);
        linker
            .instance("wasi:io/error@0.2.12")?
            .func_wrap(TO_DEBUG_STRING, to_debug_string::<T>)?;
        linker.allow_shadowing(false);
    }
    if http { super::http::link(linker) } else { Ok(()) }
}

const TO_DEBUG_STRING: &str = "[method]error.to-debug-string";

/// The error's text on one line. The standard function would include the host's backtrace,
/// which guests must not see.
fn to_debug_string<T: WasiView + 'static>(
    mut store: StoreContextMut<'_, T>,
    (error,): (Resource<Error>,),
) -> wasmtime::Result<(String,)> {
    let error = store.data_mut().ctx().table.get(&error)?;
    Ok((escaped(&format!("{error:#}"), limits::PRINTED_LINE_BYTES_MAX),))
}

/// A WASI context without access to the system; output goes to the log of `mode`.
pub(crate) fn context(mode: &str, budget: &LogBudget) -> WasiCtx {
    let printed = |is_error| Printed { mode: mode.into(), is_error, budget: budget.clone() };
    WasiCtxBuilder::new()
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false)
        .max_random_size(limits::RANDOM_BYTES_MAX)
        .monotonic_clock(Clock(Instant::now()))
        .stdout(printed(false))
        .stderr(printed(true))
        .build()
}

/// Time since the instance was created, on tokio's clock, which a test may have paused.
struct Clock(Instant);

impl HostMonotonicClock for Clock {
    fn resolution(&self) -> u64 {
        1_000
    }

    fn now(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// Standard output or error of one instance.
struct Printed {
    mode: Arc<str>,
    is_error: bool,
    budget: LogBudget,
}

/// Splits output into log lines; holds the unfinished line.
struct Lines {
    mode: Arc<str>,
    is_error: bool,
    budget: LogBudget,
    unfinished: Mutex<Vec<u8>>,
}

impl IsTerminal for Printed {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Printed {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(Lines {
            mode: Arc::clone(&self.mode),
            is_error: self.is_error,
            budget: self.budget.clone(),
            unfinished: Mutex::default(),
        })
    }
}

impl Lines {
    fn write(&self, bytes: &[u8]) {
        let mut unfinished = self.unfinished.lock().unwrap_or_else(PoisonError::into_inner);
        for part in bytes.split_inclusive(|b| *b == b'\n') {
            unfinished.extend_from_slice(part);
            if part.ends_with(b"\n") || unfinished.len() >= limits::PRINTED_LINE_BYTES_MAX {
                self.log(&unfinished);
                unfinished.clear();
            }
        }
    }

    fn log(&self, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        let text = escaped(text.trim_end(), limits::PRINTED_LINE_BYTES_MAX);
        if text.is_empty() || !self.budget.take() {
            return;
        }
        let mode = &*self.mode;
        match self.is_error {
            true => tracing::warn!(mode, "{text}"),
            false => tracing::info!(mode, "{text}"),
        }
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.write(b"\n");
    }
}

impl AsyncWrite for Lines {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut TaskContext<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        // Written in chunks, so that a line does not exceed its bound by much.
        let some = bytes.len().min(limits::PRINTED_LINE_BYTES_MAX);
        self.write(&bytes[..some]);
        Poll::Ready(Ok(some))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
