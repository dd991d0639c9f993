//! One running copy of a mode, with its budgets. Dead after its first trap or time-out.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio::time::error::Elapsed;
use wasmtime::{ResourceLimiter, Store, Trap, UpdateDeadline, WasmBacktrace};
use wasmtime_wasi::WasiCtx;

use crate::bindings::announcer::Speaker;
use crate::bindings::strategy::Finder;
use crate::bindings::types;
use crate::candidate::{self, Problem, Snapshot};
use crate::capability::http::Http;
use crate::capability::{Context, wasi};
use crate::host::LoadedMode;
use crate::limits;
use crate::meter::Meter;
use crate::mode::LocalMember;
use crate::text::one_line;
use crate::ticker::Ticker;

/// Computing in one call.
const CALL_COMPUTE_MAX: Duration = Duration::from_millis(limits::CALL_COMPUTE_MS_MAX);

/// Why a call gave no result. After all but `Problem` the instance is dead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The mode crashed: a panic, a stack that is too deep, a broken component.
    #[error("crashed: {message}{}", in_frames(backtrace))]
    Trap {
        /// What wasmtime calls it, on one line.
        message: String,
        /// Innermost function first, at most [`limits::BACKTRACE_FRAMES_MAX`].
        backtrace: Vec<String>,
    },
    /// The whole call took too long, waits included.
    #[error("took longer than {ms} ms")]
    OutOfTime {
        /// The bound.
        ms: u64,
    },
    /// It computed too long.
    #[error("computed for more than {} ms in one call", limits::CALL_COMPUTE_MS_MAX)]
    OutOfBudget,
    /// It wanted more memory than a mode gets.
    #[error("memory limit of {mib} MiB reached")]
    OutOfMemory {
        /// What it gets, in MiB.
        mib: usize,
    },
    /// It handed the host more than the host takes.
    #[error("returned more than {} MiB at once", limits::TRANSFER_BYTES_MAX >> 20)]
    TooMuchData,
    /// It was called again after one of the above.
    #[error("cannot be called again after it failed")]
    Dead,
    /// It works, and reports a problem.
    #[error(transparent)]
    Problem(#[from] Problem),
}

fn in_frames(backtrace: &[String]) -> String {
    if backtrace.is_empty() { String::new() } else { format!(" (in {})", backtrace.join(" < ")) }
}

/// One running copy of a mode.
pub struct Instance {
    store: Store<State>,
    finder: Finder,
    speaker: Option<Speaker>,
    ticker: Arc<Ticker>,
    pub(crate) local: LocalMember,
    /// False from the start of a call to its good end. So a call that was given up
    /// half way leaves it false, as the component model wants it.
    alive: bool,
}

/// What the store of one instance holds.
pub(crate) struct State {
    pub(crate) capabilities: Context,
    pub(crate) wasi: WasiCtx,
    pub(crate) http: Http,
    limiter: Limiter,
    meter: Meter,
    out_of_budget: bool,
}

impl Instance {
    /// Instantiates and configures `loaded`.
    pub(crate) async fn open(loaded: &LoadedMode, local: &LocalMember) -> Result<Self, CallError> {
        let capabilities = Context::new(Arc::clone(&loaded.mode));
        let state = State {
            wasi: wasi::context(&loaded.mode.name, &capabilities.log),
            http: Http::new(Arc::clone(&loaded.mode)),
            capabilities,
            limiter: Limiter::new(loaded.spec.grants.inert_wasi),
            meter: Meter::default(),
            out_of_budget: false,
        };
        let mut store = Store::new(loaded.pre.engine(), state);
        store.limiter(|state| &mut state.limiter);
        store.set_hostcall_fuel(limits::TRANSFER_BYTES_MAX);
        store.set_max_component_handles(limits::HANDLES_MAX);
        store.epoch_deadline_callback(|mut store| {
            let state = store.data_mut();
            state.out_of_budget = state.meter.computed() >= CALL_COMPUTE_MAX;
            Ok(match state.out_of_budget {
                true => UpdateDeadline::Interrupt,
                // Tokio's own yield: unlike wasmtime's it lets timers and sockets
                // have their turn even where the runtime has a single thread.
                false => UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())),
            })
        });

        let mut alive = true;
        let budget = begin(&mut store, &mut alive, &loaded.ticker, limits::CONFIGURE_MS_MAX)?;
        let opening = async {
            let instance = loaded.pre.instantiate_async(&mut store).await?;
            let finder = loaded.finder.load(&mut store, &instance)?;
            let speaker = match &loaded.speaker {
                Some(speaker) => Some(speaker.load(&mut store, &instance)?),
                None => None,
            };
            Ok((finder, speaker))
        };
        let opened = budget.run(opening).await;
        let (finder, speaker) = end(&mut store, opened, budget.ms)?;
        let ticker = Arc::clone(&loaded.ticker);
        let mut instance =
            Self { store, finder, speaker, ticker, local: local.clone(), alive: true };
        instance.configure(loaded).await?;
        Ok(instance)
    }

    async fn configure(&mut self, loaded: &LoadedMode) -> Result<(), CallError> {
        let config = types::ModeConfig {
            argument: loaded.spec.argument.clone(),
            settings: loaded.spec.settings.clone(),
        };
        let local = self.local.to_wit();
        let budget =
            begin(&mut self.store, &mut self.alive, &self.ticker, limits::CONFIGURE_MS_MAX)?;
        let strategy = self.finder.convoke_discovery_strategy();
        let call = strategy.call_configure(&mut self.store, &config, &local);
        let called = budget.run(call).await;
        self.end(called, budget.ms)
    }

    /// Whether this mode makes the member known, too.
    pub fn announces(&self) -> bool {
        self.speaker.is_some()
    }

    /// Linear memory that it holds, in bytes; it never gives any back.
    pub fn memory_bytes(&self) -> usize {
        self.store.data().limiter.memory_bytes
    }

    /// Whether it holds so much memory that another one had better go on: a slow leak
    /// in a language's runtime, say.
    pub(crate) fn is_nearly_full(&self) -> bool {
        let limiter = &self.store.data().limiter;
        limiter.memory_bytes >= limiter.memory_max / 4 * 3
    }

    /// Takes one look. At most [`limits::CALL_MS_MAX`].
    pub async fn discover(&mut self) -> Result<Snapshot, CallError> {
        let budget = begin(&mut self.store, &mut self.alive, &self.ticker, limits::CALL_MS_MAX)?;
        let strategy = self.finder.convoke_discovery_strategy();
        let call = strategy.call_discover(&mut self.store);
        let called = budget.run(call).await;
        let raw = self.end(called, budget.ms)?;
        let default_ports = &self.store.data().capabilities.mode.host.default_ports;
        Ok(candidate::vet(raw, &self.local, default_ports))
    }

    /// Makes the member known, and says when to do so again: `None` for never, as
    /// for a mode that does not announce. At most [`limits::CALL_MS_MAX`].
    pub async fn announce(&mut self) -> Result<Option<Duration>, CallError> {
        let Some(speaker) = &self.speaker else { return Ok(None) };
        let budget = begin(&mut self.store, &mut self.alive, &self.ticker, limits::CALL_MS_MAX)?;
        let announcer = speaker.convoke_discovery_announcer();
        let call = announcer.call_announce(&mut self.store);
        let called = budget.run(call).await;
        let again_ms = self.end(called, budget.ms)?;
        Ok(again_ms.map(|ms| Duration::from_millis(ms.into())))
    }

    /// Takes the announcement back. At most [`limits::WITHDRAW_MS_MAX`].
    pub async fn withdraw(&mut self) -> Result<(), CallError> {
        let Some(speaker) = &self.speaker else { return Ok(()) };
        self.store.data().capabilities.mode.withdraw();
        let budget =
            begin(&mut self.store, &mut self.alive, &self.ticker, limits::WITHDRAW_MS_MAX)?;
        let announcer = speaker.convoke_discovery_announcer();
        let call = announcer.call_withdraw(&mut self.store);
        let called = budget.run(call).await;
        self.end(called, budget.ms)
    }

    fn end<T>(
        &mut self,
        called: Result<wasmtime::Result<Result<T, types::Problem>>, Elapsed>,
        ms: u64,
    ) -> Result<T, CallError> {
        let result = end(&mut self.store, called, ms)?;
        self.alive = true;
        result.map_err(|problem| CallError::Problem(problem.into()))
    }
}

/// What a call runs under.
struct Budget {
    meter: Meter,
    /// How long it may take.
    ms: u64,
}

impl Budget {
    async fn run<T>(&self, call: impl Future<Output = T>) -> Result<T, Elapsed> {
        tokio::time::timeout(Duration::from_millis(self.ms), self.meter.clone().run(call)).await
    }
}

/// Gives the next call its budget. Not `alive` until it ended well.
fn begin(
    store: &mut Store<State>,
    alive: &mut bool,
    ticker: &Ticker,
    ms: u64,
) -> Result<Budget, CallError> {
    if !std::mem::replace(alive, false) {
        return Err(CallError::Dead);
    }
    store.set_epoch_deadline(1);
    let state = store.data_mut();
    state.meter.reset();
    state.out_of_budget = false;
    state.limiter.refused = false;
    state.capabilities.running = Some(ticker.run());
    state.capabilities.ends = Instant::now() + Duration::from_millis(ms);
    Ok(Budget { meter: state.meter.clone(), ms })
}

/// Ends a call, and says in our words why it gave no result.
fn end<T>(
    store: &mut Store<State>,
    called: Result<wasmtime::Result<T>, Elapsed>,
    ms: u64,
) -> Result<T, CallError> {
    let state = store.data_mut();
    state.capabilities.running = None;
    let mode = Arc::clone(&state.capabilities.mode);
    state.capabilities.log.renew(&mode.name);
    let error = match called {
        Ok(Ok(result)) => return Ok(result),
        Ok(Err(error)) => error,
        Err(Elapsed { .. }) => return Err(CallError::OutOfTime { ms }),
    };
    // A guest that gets no memory gives up with `unreachable`, as in a panic.
    Err(if state.limiter.refused {
        CallError::OutOfMemory { mib: state.limiter.memory_max >> 20 }
    } else if state.out_of_budget && error.downcast_ref() == Some(&Trap::Interrupt) {
        CallError::OutOfBudget
    } else if format!("{:#}", error.root_cause()).contains("fuel allocated for hostcalls") {
        // wasmtime 48 has no type for it.
        CallError::TooMuchData
    } else {
        trap(&error)
    })
}

fn trap(error: &wasmtime::Error) -> CallError {
    let message = match error.downcast_ref::<Trap>() {
        Some(trap) => trap.to_string(),
        None => format!("{:#}", error.root_cause()),
    };
    let backtrace = error.downcast_ref::<WasmBacktrace>().map_or(Vec::new(), |backtrace| {
        backtrace
            .frames()
            .iter()
            .take(limits::BACKTRACE_FRAMES_MAX)
            .map(|frame| match frame.func_name() {
                Some(name) => one_line(name, 120),
                None => format!("function {}", frame.func_index()),
            })
            .collect()
    });
    let message = message.trim_start_matches("wasm trap: ");
    CallError::Trap { message: one_line(message, limits::LINE_BYTES_MAX), backtrace }
}

/// Bounds memory and tables of one instance, and remembers that it had to.
#[derive(Debug)]
struct Limiter {
    memory_max: usize,
    memory_bytes: usize,
    table_elements: usize,
    refused: bool,
}

impl Limiter {
    fn new(with_runtime: bool) -> Self {
        let memory_max = match with_runtime {
            true => limits::RUNTIME_MEMORY_BYTES_MAX,
            false => limits::MEMORY_BYTES_MAX,
        };
        Self { memory_max, memory_bytes: 0, table_elements: 0, refused: false }
    }

    /// Adds `desired - current` to `total` unless that passes `max`.
    fn grow(total: &mut usize, current: usize, desired: usize, max: usize) -> bool {
        let grown = total.saturating_add(desired.saturating_sub(current));
        let allowed = grown <= max;
        if allowed {
            *total = grown;
        }
        allowed
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        let allowed = Self::grow(&mut self.memory_bytes, current, desired, self.memory_max);
        self.refused |= !allowed;
        Ok(allowed)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        Ok(Self::grow(&mut self.table_elements, current, desired, limits::TABLE_ELEMENTS_MAX))
    }

    fn memories(&self) -> usize {
        limits::MEMORIES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::Limiter;
    use crate::limits;
    use wasmtime::ResourceLimiter as _;

    #[test]
    fn all_memories_together_stay_under_the_limit() {
        let mut limiter = Limiter::new(false);
        let half = limits::MEMORY_BYTES_MAX / 2;
        assert!(limiter.memory_growing(0, half, None).unwrap());
        assert!(limiter.memory_growing(0, half, None).unwrap());
        assert!(!limiter.refused);
        assert!(!limiter.memory_growing(half, half + 1, None).unwrap());
        assert!(limiter.refused);
    }

    #[test]
    fn growing_past_its_own_maximum_is_the_modes_own_affair() {
        let mut limiter = Limiter::new(false);
        assert!(!limiter.memory_growing(0, 2 << 16, Some(1 << 16)).unwrap());
        assert!(!limiter.refused);
    }
}
