//! Copies the keys and functions of a running Redis or Valkey into a cluster: `convoke import`.
//!
//! The source is read with `SCAN`, and is not changed. Keys are written through the RESP port of
//! any member. Memory is bounded by the sizes of a few batches, however large values are.
//!
//! Files import only those above them:
//!
//! 1. `trouble`, `retry`, `address`, `options`: errors, waits, what is asked for.
//! 2. `reply`, `tls`, `client`, `info`: one connection, and what `INFO` says of a server.
//! 3. `value`: values as the commands of their types read and write them, and digests.
//! 4. `source` and `target`: servers whose connections are opened again when they are lost.
//! 5. `counts`, `state`, `meter`: the summary, the state file, and progress.
//! 6. `functions`: libraries of functions. `copy` reads keys, `write` writes them, `verify` compares them; `import` does all of it.

mod address;
mod client;
mod copy;
mod counts;
mod functions;
mod import;
mod info;
mod meter;
mod options;
mod reply;
mod retry;
mod source;
mod state;
mod target;
mod tls;
mod trouble;
mod value;
mod verify;
mod write;

pub use address::{Address, SourceUrl};
pub use import::{Outcome, Report, run};
pub use options::{Existing, Mode, Options};
pub use retry::Stop;
