//! Lua scripts as Redis runs them.
//!
//! An [`Engine`] holds one Lua state and runs one [`Script`] at a time, on the thread that calls
//! it. What `redis.call` does is up to the caller, who passes an implementation of [`Commands`];
//! this crate knows no command. It gives scripts the libraries that Redis gives them (`string`,
//! `table`, `math`, `cjson`, `cmsgpack`, `bit`, `struct`, `redis`), converts values both ways,
//! and bounds time, memory, nesting and the size of a reply.
//!
//! A script reaches no file, process, network or clock (`TIME` is a command), and leaves nothing
//! behind in the state: globals and libraries are read-only.
//!
//! The language is Luau, which runs programs written for Lua 5.1 and is maintained against
//! hostile scripts. Differences that a script can notice: numbers are written with as many digits
//! as they need (Lua 5.1: 14), and `setfenv`, `getfenv` and bytecode are missing.

mod bits;
mod convert;
mod deadline;
mod engine;
mod json;
mod library;
mod msgpack;
mod nesting;
mod number;
mod patterns;
mod script;
mod source;
mod structs;
mod value;
mod words;

pub use engine::{Commands, Engine, Failure, FunctionInfo, Interrupt, Limits, LogLevel};
pub use number::number_text;
pub use script::{Flags, Library, SOURCE_BYTES_MAX, Script, ScriptError, sha1_hex};
pub use value::Value;
pub use words::Words;
