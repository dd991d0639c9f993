//! The only place that loads machine code without compiling it.

#![allow(unsafe_code, reason = "machine code that wasmtime cannot check; see `builtin`")]

use wasmtime::Engine;
use wasmtime::component::Component;

/// The component of a built-in mode, from the output of [`precompile`](crate::precompile).
///
/// The bound `'static` is the safeguard: such bytes are part of this binary, and as trusted as
/// its code. Files that an operator names are never loaded this way; they are compiled, and the
/// result is cached.
pub(crate) fn builtin(engine: &Engine, precompiled: &'static [u8]) -> wasmtime::Result<Component> {
    // SAFETY: the bytes are the output of `Component::serialize` at build time, and are
    // embedded in this binary; wasmtime checks that its version and settings match.
    unsafe { Component::deserialize(engine, precompiled) }
}
