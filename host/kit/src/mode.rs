//! A running mode to be called by a test.

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use convoke_discovery::{
    CallError, DiscoveryHost, Fakes, Instance, LoadedMode, LocalMember, ModeSpec, Snapshot,
};

use crate::clock::Clock;
use crate::error::HarnessError;
use crate::log::LogLine;
use crate::schedule::{Schedule, Tally};

/// A configured mode. Its calls block, and wait in virtual time: five seconds in `receive` take
/// no real time.
pub struct Mode {
    pub(crate) clock: Rc<Clock>,
    host: DiscoveryHost,
    loaded: LoadedMode,
    local: LocalMember,
    fakes: Arc<Fakes>,
    /// `None` after it has left, and while its network calls it.
    pub(crate) instance: Option<Instance>,
    pub(crate) schedule: Schedule,
    pub(crate) tally: Tally,
}

impl Mode {
    pub(crate) fn open(
        clock: Rc<Clock>,
        host: DiscoveryHost,
        spec: &ModeSpec,
        local: LocalMember,
        fakes: Arc<Fakes>,
    ) -> Result<Self, HarnessError> {
        let loaded = clock.run(host.load(spec))?;
        let begun = clock.run(begin(&host, &loaded, &local));
        let (instance, schedule) = begun.map_err(HarnessError::Configure)?;
        let (instance, tally) = (Some(instance), Tally::default());
        Ok(Self { clock, host, loaded, local, fakes, instance, schedule, tally })
    }

    /// Calls `discover`.
    ///
    /// # Errors
    /// The problem that the mode reports, or why the instance died; after that, calls return
    /// [`CallError::Dead`] until [`restart`](Self::restart).
    pub fn discover(&mut self) -> Result<Snapshot, CallError> {
        let instance = self.instance.as_mut().ok_or(CallError::Dead)?;
        self.clock.run(instance.discover())
    }

    /// Calls `announce`. Returns the interval until the next announcement; `None` if none is
    /// needed, as for a mode that does not announce.
    ///
    /// # Errors
    /// As for [`discover`](Self::discover).
    pub fn announce(&mut self) -> Result<Option<Duration>, CallError> {
        let instance = self.instance.as_mut().ok_or(CallError::Dead)?;
        self.clock.run(instance.announce())
    }

    /// Calls `withdraw`, which removes the announcement.
    ///
    /// # Errors
    /// As for [`discover`](Self::discover).
    pub fn withdraw(&mut self) -> Result<(), CallError> {
        let instance = self.instance.as_mut().ok_or(CallError::Dead)?;
        self.clock.run(instance.withdraw())
    }

    /// Replaces the instance by a new one, as the host does after a crash. The mode's store is
    /// kept.
    ///
    /// # Errors
    /// As for [`discover`](Self::discover).
    pub fn restart(&mut self) -> Result<(), CallError> {
        self.instance = None;
        let begun = self.clock.run(begin(&self.host, &self.loaded, &self.local));
        let (instance, schedule) = begun?;
        (self.instance, self.schedule, self.tally) = (Some(instance), schedule, Tally::default());
        Ok(())
    }

    /// Calls `discover` and `announce` as the host would, until `discover` has been called
    /// `calls` times.
    pub(crate) fn call_repeatedly(&mut self, calls: u64) {
        let Some(instance) = &mut self.instance else { return };
        let (schedule, tally) = (&mut self.schedule, &mut self.tally);
        let until = tally.calls + tally.problems + calls;
        self.clock.run(async {
            while tally.stopped.is_none() && tally.calls + tally.problems < until {
                schedule.step(instance, tally).await;
            }
        });
    }

    /// Advances the virtual time.
    pub fn wait(&self, time: Duration) {
        self.clock.run(async { tokio::time::sleep(time).await });
    }

    /// The virtual time since the harness was opened, or its network created.
    pub fn now(&self) -> Duration {
        self.clock.elapsed()
    }

    /// The last 10,000 log lines about the mode, from the mode and from the host, at all
    /// levels.
    pub fn log(&self) -> Vec<LogLine> {
        self.clock.log.of(self.loaded.name())
    }

    /// The HTTP requests, such as `GET http://10.0.0.5:8500/v1/`; the first 10,000.
    pub fn requests(&self) -> Vec<String> {
        self.fakes.http.asked()
    }

    /// Size of its linear memory, in bytes; 0 after it has left.
    pub fn memory_bytes(&self) -> usize {
        self.instance.as_ref().map_or(0, Instance::memory_bytes)
    }

    /// Whether it also announces its member.
    pub fn announces(&self) -> bool {
        self.loaded.announces()
    }
}

/// A configured instance, and the schedule of its calls.
async fn begin(
    host: &DiscoveryHost,
    loaded: &LoadedMode,
    local: &LocalMember,
) -> Result<(Instance, Schedule), CallError> {
    let instance = host.open(loaded, local).await?;
    let schedule = Schedule::begin(&instance);
    Ok((instance, schedule))
}

impl fmt::Debug for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mode")
            .field("name", &self.loaded.name())
            .field("local", &self.local)
            .field("tally", &self.tally)
            .finish_non_exhaustive()
    }
}
