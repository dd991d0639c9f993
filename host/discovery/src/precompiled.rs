//! The one place that turns bytes into machine code without compiling them.

#![allow(unsafe_code, reason = "machine code that wasmtime cannot check; see `builtin`")]

use wasmtime::Engine;
use wasmtime::component::Component;

/// The component of a built-in mode, from what [`precompile`](crate::precompile) made of it.
///
/// `'static` is the guard: such bytes are part of this binary, as trusted as the
/// code that reads them. A file that an operator names never comes here; it is
/// compiled, with its result kept in the cache.
pub(crate) fn builtin(engine: &Engine, precompiled: &'static [u8]) -> wasmtime::Result<Component> {
    // SAFETY: the bytes come out of `Component::serialize` at build time and are
    // embedded in this binary; wasmtime checks that version and settings agree.
    unsafe { Component::deserialize(engine, precompiled) }
}
