//! One running instance of a mode, with its budgets. It cannot be used after its first trap or
//! timeout.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use convoke_text::escaped;
use tokio::time::Instant;
use tokio::time::error::Elapsed;
use wasmtime::{Store, Trap, UpdateDeadline, WasmBacktrace};

use crate::bindings::announcer::AnnouncerExport;
use crate::bindings::strategy::StrategyExport;
use crate::bindings::types;
use crate::candidate::{self, Problem, Snapshot};
use crate::capability::State;
use crate::limits;
use crate::link::LoadedMode;
use crate::member::LocalMember;
use crate::meter::Meter;
use crate::ticker::Ticker;

/// Computing time of one call.
const CALL_COMPUTE_MAX: Duration = Duration::from_millis(limits::CALL_COMPUTE_MS_MAX);

/// Why a call gave no result. After any of these except `Problem` the instance is dead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The mode trapped: a panic, a stack overflow, an invalid component.
    #[error("crashed: {message}{}", in_frames(backtrace))]
    Trap {
        /// The trap's text, on one line.
        message: String,
        /// Function names, innermost first, at most [`limits::BACKTRACE_FRAMES_MAX`].
        backtrace: Vec<String>,
    },
    /// The call took too long, including waits in the host.
    #[error("took longer than {ms} ms")]
    OutOfTime {
        /// The bound, in milliseconds.
        ms: u64,
    },
    /// The call used up its computing budget.
    #[error("computed for more than {} ms in one call", limits::CALL_COMPUTE_MS_MAX)]
    OutOfBudget,
    /// The memory limit was reached.
    #[error("memory limit of {mib} MiB reached")]
    OutOfMemory {
        /// The limit, in MiB.
        mib: usize,
    },
    /// The call returned more data than the host accepts.
    #[error("returned more than {} MiB at once", limits::TRANSFER_BYTES_MAX >> 20)]
    TooMuchData,
    /// The instance was called after one of the above.
    #[error("cannot be called again after it failed")]
    Dead,
    /// The mode works, and reports a problem.
    #[error(transparent)]
    Problem(#[from] Problem),
}

fn in_frames(backtrace: &[String]) -> String {
    if backtrace.is_empty() { String::new() } else { format!(" (in {})", backtrace.join(" < ")) }
}

/// One running instance of a mode.
pub struct Instance {
    store: Store<State>,
    strategy: StrategyExport,
    announcer: Option<AnnouncerExport>,
    ticker: Arc<Ticker>,
    pub(crate) local: LocalMember,
    /// False from the start of a call until it ends successfully, so that the instance stays
    /// dead if the call is dropped halfway; the component model does not allow another call
    /// then.
    alive: bool,
}

impl Instance {
    /// Instantiates and configures `loaded`.
    pub(crate) async fn open(loaded: &LoadedMode, local: &LocalMember) -> Result<Self, CallError> {
        let (mode, shared) = (Arc::clone(&loaded.mode), Arc::clone(&loaded.shared));
        let state = State::new(mode, shared, loaded.spec.grants.inert_wasi);
        let mut store = Store::new(loaded.pre.engine(), state);
        store.limiter(|state| &mut state.limiter);
        store.set_hostcall_fuel(limits::TRANSFER_BYTES_MAX);
        store.set_max_component_handles(limits::HANDLES_MAX);
        store.epoch_deadline_callback(|mut store| {
            let state = store.data_mut();
            state.out_of_budget = state.meter.computed() >= CALL_COMPUTE_MAX;
            Ok(match state.out_of_budget {
                true => UpdateDeadline::Interrupt,
                // Tokio's yield, unlike wasmtime's, lets timers and sockets run even on a
                // single-threaded runtime.
                false => UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())),
            })
        });

        let mut alive = true;
        let budget = begin(&mut store, &mut alive, &loaded.ticker, limits::CONFIGURE_MS_MAX)?;
        let opening = async {
            let instance = loaded.pre.instantiate_async(&mut store).await?;
            let strategy = loaded.strategy.load(&mut store, &instance)?;
            let announcer = match &loaded.announcer {
                Some(announcer) => Some(announcer.load(&mut store, &instance)?),
                None => None,
            };
            Ok((strategy, announcer))
        };
        let opened = budget.run(opening).await;
        let (strategy, announcer) = end(&mut store, opened, budget.ms)?;
        let ticker = Arc::clone(&loaded.ticker);
        let mut instance =
            Self { store, strategy, announcer, ticker, local: local.clone(), alive: true };
        instance.configure(loaded).await?;
        Ok(instance)
    }

    async fn configure(&mut self, loaded: &LoadedMode) -> Result<(), CallError> {
        let config = types::ModeConfig {
            argument: loaded.spec.argument.clone(),
            settings: loaded.spec.settings.clone(),
        };
        let local = to_wit(&self.local);
        let budget =
            begin(&mut self.store, &mut self.alive, &self.ticker, limits::CONFIGURE_MS_MAX)?;
        let strategy = self.strategy.convoke_discovery_strategy();
        let call = strategy.call_configure(&mut self.store, &config, &local);
        let called = budget.run(call).await;
        self.end(called, budget.ms)
    }

    /// Whether this mode also announces the member.
    pub fn announces(&self) -> bool {
        self.announcer.is_some()
    }

    /// Size of its linear memory, in bytes; linear memory never shrinks.
    pub fn memory_bytes(&self) -> usize {
        self.store.data().limiter.memory_bytes
    }

    /// Whether its memory is close to the limit, so that it should be replaced, for example
    /// because of a slow leak in a language runtime.
    pub(crate) fn is_nearly_full(&self) -> bool {
        let limiter = &self.store.data().limiter;
        limiter.memory_bytes >= limiter.memory_max / 4 * 3
    }

    /// Calls `discover`. Takes at most [`limits::CALL_MS_MAX`].
    pub async fn discover(&mut self) -> Result<Snapshot, CallError> {
        let budget = begin(&mut self.store, &mut self.alive, &self.ticker, limits::CALL_MS_MAX)?;
        let strategy = self.strategy.convoke_discovery_strategy();
        let call = strategy.call_discover(&mut self.store);
        let called = budget.run(call).await;
        let raw = self.end(called, budget.ms)?;
        let default_ports = &self.store.data().caller.mode.host.default_ports;
        Ok(candidate::vet(raw, &self.local, default_ports))
    }

    /// Calls `announce`. Returns the interval until the next announcement; `None` if none is
    /// needed, as for a mode that does not announce. Takes at most [`limits::CALL_MS_MAX`].
    pub async fn announce(&mut self) -> Result<Option<Duration>, CallError> {
        let Some(announcer) = &self.announcer else { return Ok(None) };
        let budget = begin(&mut self.store, &mut self.alive, &self.ticker, limits::CALL_MS_MAX)?;
        let announcer = announcer.convoke_discovery_announcer();
        let call = announcer.call_announce(&mut self.store);
        let called = budget.run(call).await;
        let again_ms = self.end(called, budget.ms)?;
        Ok(again_ms.map(|ms| Duration::from_millis(ms.into())))
    }

    /// Calls `withdraw`, which removes the announcement. Takes at most
    /// [`limits::WITHDRAW_MS_MAX`].
    pub async fn withdraw(&mut self) -> Result<(), CallError> {
        let Some(announcer) = &self.announcer else { return Ok(()) };
        self.store.data().caller.mode.withdraw();
        let budget =
            begin(&mut self.store, &mut self.alive, &self.ticker, limits::WITHDRAW_MS_MAX)?;
        let announcer = announcer.convoke_discovery_announcer();
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

fn to_wit(local: &LocalMember) -> types::LocalMember {
    types::LocalMember {
        cluster_name: local.cluster_name.clone(),
        member_id: local.member_id.clone(),
        addresses: local.addresses.iter().map(IpAddr::to_string).collect(),
        port: local.port,
        attributes: local.attributes.clone(),
    }
}

/// The limits of one call.
struct Budget {
    meter: Meter,
    /// The longest duration of the call.
    ms: u64,
}

impl Budget {
    async fn run<T>(&self, call: impl Future<Output = T>) -> Result<T, Elapsed> {
        tokio::time::timeout(Duration::from_millis(self.ms), self.meter.clone().run(call)).await
    }
}

/// Resets the budgets for the next call. `alive` is false until it ends successfully.
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
    state.caller.running = Some(ticker.run());
    state.caller.ends = Instant::now() + Duration::from_millis(ms);
    Ok(Budget { meter: state.meter.clone(), ms })
}

/// Ends a call, and translates the reason why it gave no result.
fn end<T>(
    store: &mut Store<State>,
    called: Result<wasmtime::Result<T>, Elapsed>,
    ms: u64,
) -> Result<T, CallError> {
    let state = store.data_mut();
    state.caller.running = None;
    state.caller.log.renew(&state.caller.mode.name);
    let error = match called {
        Ok(Ok(result)) => return Ok(result),
        Ok(Err(error)) => error,
        Err(Elapsed { .. }) => return Err(CallError::OutOfTime { ms }),
    };
    // A guest whose allocation fails executes `unreachable`, as in a panic.
    Err(if state.limiter.refused {
        CallError::OutOfMemory { mib: state.limiter.memory_max >> 20 }
    } else if state.out_of_budget && error.downcast_ref() == Some(&Trap::Interrupt) {
        CallError::OutOfBudget
    } else if format!("{:#}", error.root_cause()).contains("fuel allocated for hostcalls") {
        // wasmtime 48 has no error type for it.
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
                Some(name) => escaped(name, 120),
                None => format!("function {}", frame.func_index()),
            })
            .collect()
    });
    let message = message.trim_start_matches("wasm trap: ");
    CallError::Trap { message: escaped(message, limits::LINE_BYTES_MAX), backtrace }
}
