//! Scripts: `EVAL`, `EVALSHA` and `SCRIPT`; and functions: `FUNCTION` and `FCALL`.
//!
//! A script is atomic: other clients see all of its changes or none. If all its keys are in one partition whose primary is this member, it runs at once,
//! under the partition's lock, for [`STEP_MS_MAX`] at most. If it takes longer, or uses a key of
//! another partition, what it did is undone, and it starts again as a transaction ([`transacting`]), which
//! locks each key that it uses. Then it may use any keys, also those that it did not name.
//!
//! In a transaction (`MULTI`) a script and the commands before and after it are one [`program`], which is
//! executed in the same way.
//!
//! It runs on the member that is the primary of its first key; what is replicated is its effects.
//! Sources are kept in a map of the cluster, so `EVALSHA` finds a script that was loaded through
//! another member. [Libraries](libraries) of functions are stored in the same way; each member knows all of
//! them.

mod caller;
mod calls;
mod commands;
pub(crate) mod evaluation;
pub(crate) mod functions;
mod libraries;
mod planning;
pub(crate) mod program;
mod run;
mod stepping;
mod transacting;
mod value;
mod writing;

use std::cell::RefCell;
use std::time::{Duration, Instant};

use convoke_script::{Engine, Limits, Value};

use super::server::REDIS_VERSION;

pub(crate) use commands::{debug, eval, eval_ro, evalsha, evalsha_ro, exists, flush, kill, load};
pub(crate) use libraries::Functions;
pub(crate) use planning::{Known, is_call, plan};
pub(crate) use run::{home, run, run_request};
pub(crate) use stepping::step;
pub(crate) use writing::{learn_whether_it_may_write, may_write};

/// How long a script may run while it prevents everything else in its partition, in milliseconds.
const STEP_MS_MAX: u64 = 5;
/// How long a script may run, in milliseconds. It prevents others from using its keys.
const SCRIPT_MS_MAX: u64 = 5_000;
/// Memory of the state that runs scripts on one thread, in bytes.
const MEMORY_BYTES_MAX: usize = 64 << 20;
/// The longest reply of a script, in bytes.
const REPLY_BYTES_MAX: usize = 64 << 20;

/// The error if a thread has no memory for a state.
const NO_MEMORY: &str = "ERR not enough memory for the script engine";

thread_local! {
    /// The state that runs scripts on this thread.
    static ENGINE: RefCell<Option<Engine>> = const { RefCell::new(None) };
}

/// Calls `work` with the state of this thread.
fn with_engine<R>(work: impl FnOnce(&mut Engine) -> R) -> Result<R, Value> {
    ENGINE.with_borrow_mut(|slot| {
        if slot.is_none() {
            let made = Engine::new(REDIS_VERSION);
            *slot = Some(made.map_err(|_| Value::error(NO_MEMORY))?);
        }
        slot.as_mut().map(work).ok_or_else(|| Value::error(NO_MEMORY))
    })
}

fn limits(ms: u64) -> Limits {
    Limits {
        deadline: Instant::now() + Duration::from_millis(ms),
        memory_bytes_max: MEMORY_BYTES_MAX,
        reply_bytes_max: REPLY_BYTES_MAX,
        stop: None,
    }
}
