//! A mode that runs, for a test to call.

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
use crate::pace::{Pace, Tally};

/// A configured mode. Its calls block, and wait in virtual time: five seconds in
/// `receive` take none.
pub struct Mode {
    pub(crate) clock: Rc<Clock>,
    host: DiscoveryHost,
    loaded: LoadedMode,
    local: LocalMember,
    fakes: Arc<Fakes>,
    /// None once it left, and while its network runs it.
    pub(crate) instance: Option<Instance>,
    pub(crate) pace: Pace,
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
        let (instance, pace) = begun.map_err(HarnessError::Configure)?;
        let (instance, tally) = (Some(instance), Tally::default());
        Ok(Self { clock, host, loaded, local, fakes, instance, pace, tally })
    }

    /// Takes one look.
    ///
    /// # Errors
    /// The problem that the mode reports, or what ended it; then it is
    /// [`CallError::Dead`] until [`restart`](Self::restart).
    pub fn discover(&mut self) -> Result<Snapshot, CallError> {
        let instance = self.instance.as_mut().ok_or(CallError::Dead)?;
        self.clock.run(instance.discover())
    }

    /// Makes the member known, and says when to do so again: `None` for never, as for a
    /// mode that does not announce.
    ///
    /// # Errors
    /// As [`discover`](Self::discover).
    pub fn announce(&mut self) -> Result<Option<Duration>, CallError> {
        let instance = self.instance.as_mut().ok_or(CallError::Dead)?;
        self.clock.run(instance.announce())
    }

    /// Takes the announcement back.
    ///
    /// # Errors
    /// As [`discover`](Self::discover).
    pub fn withdraw(&mut self) -> Result<(), CallError> {
        let instance = self.instance.as_mut().ok_or(CallError::Dead)?;
        self.clock.run(instance.withdraw())
    }

    /// Throws the instance away and configures another, as the host does after a crash.
    /// What the mode put into its store is there.
    ///
    /// # Errors
    /// As [`discover`](Self::discover).
    pub fn restart(&mut self) -> Result<(), CallError> {
        self.instance = None;
        let begun = self.clock.run(begin(&self.host, &self.loaded, &self.local));
        let (instance, pace) = begun?;
        (self.instance, self.pace, self.tally) = (Some(instance), pace, Tally::default());
        Ok(())
    }

    /// Looks and announces as the host would, until it was asked `calls` times for a look.
    pub(crate) fn look_often(&mut self, calls: u64) {
        let Some(instance) = &mut self.instance else { return };
        let (pace, tally) = (&mut self.pace, &mut self.tally);
        let until = tally.looks + tally.problems + calls;
        self.clock.run(async {
            while tally.stopped.is_none() && tally.looks + tally.problems < until {
                pace.step(instance, tally).await;
            }
        });
    }

    /// Lets time pass.
    pub fn wait(&self, time: Duration) {
        self.clock.run(async { tokio::time::sleep(time).await });
    }

    /// Virtual time since the harness was opened, or its network begun.
    pub fn now(&self) -> Duration {
        self.clock.elapsed()
    }

    /// What was logged about the mode, in its words and in the host's; the last 10,000
    /// lines, those of `debug` and `trace` too.
    pub fn log(&self) -> Vec<LogLine> {
        self.clock.log.of(self.loaded.name())
    }

    /// What was asked over HTTP, as `GET http://10.0.0.5:8500/v1/`; the first 10,000.
    pub fn requests(&self) -> Vec<String> {
        self.fakes.http.asked()
    }

    /// Linear memory that it holds, in bytes; 0 when it left.
    pub fn memory_bytes(&self) -> usize {
        self.instance.as_ref().map_or(0, Instance::memory_bytes)
    }

    /// Whether it makes its member known, too.
    pub fn announces(&self) -> bool {
        self.loaded.announces()
    }
}

/// A configured instance, and when it is called first.
async fn begin(
    host: &DiscoveryHost,
    loaded: &LoadedMode,
    local: &LocalMember,
) -> Result<(Instance, Pace), CallError> {
    let instance = host.open(loaded, local).await?;
    let pace = Pace::begin(&instance);
    Ok((instance, pace))
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
