//! Checks of a mode's results: for its configuration, for denied and failing capabilities, and
//! after many calls.

use convoke_discovery::{CallError, PermissionGrant, Problem};

use super::{CheckResult, Suite, arguments};
use crate::error::{HarnessError, describe};
use crate::harness::Harness;

/// A grant for each capability that covers no target of any mode. A store is not listed: it is
/// granted by size, so that no call can be denied.
pub(super) const UNUSED: &[(&str, &str)] = &[
    ("dns", "unused.invalid"),
    ("http", "http://unused.invalid"),
    ("kubernetes", "unused-namespace"),
    ("multicast", "239.255.255.254:9"),
    ("probe", "192.0.2.254:9"),
];

/// The error text of all fakes in the check "failing".
const DOWN: &str = "fake: the server is down";

impl Suite<'_> {
    pub(super) fn imports(&self) -> CheckResult {
        let inspection = self.working.inspect().map_err(|error| error.to_string())?;
        if let Some(problem) = inspection.problems.first() {
            return Err(problem.to_string());
        }
        let mut asked = Vec::new();
        for ask in &inspection.permissions {
            let capability = match ask.grant {
                PermissionGrant::Always => continue,
                PermissionGrant::InertWasi => "wasi",
                PermissionGrant::Entry { capability, .. } => capability,
            };
            if !self.declares(capability) {
                return Err(format!(
                    "{} is imported, and {capability} is not declared",
                    ask.interface
                ));
            }
            asked.push(capability);
        }
        Ok(if asked.is_empty() { "none".to_owned() } else { asked.join(", ") })
    }

    pub(super) fn two_calls(&self) -> CheckResult {
        let mut mode = self.working.open().map_err(|error| error.to_string())?;
        let mut candidates = 0;
        for number in ["first", "second"] {
            if number == "first" && mode.announces() {
                mode.announce().map_err(|error| format!("announce: {}", describe(&error)))?;
            }
            let snapshot = mode
                .discover()
                .map_err(|error| format!("the {number} call: {}", describe(&error)))?;
            candidates = snapshot.candidates.len();
        }
        mode.withdraw().map_err(|error| format!("withdraw: {}", describe(&error)))?;
        Ok(format!("{candidates} candidates"))
    }

    pub(super) fn invalid_arguments(&mut self) -> CheckResult {
        let (mut refused, mut taken) = (0, 0);
        for argument in arguments::invalid(&mut self.random, &self.subject.arguments) {
            let fail = |what: &str| Err(format!("{}: {what}", shown(&argument)));
            match self.working.clone().argument(&*argument).open() {
                Ok(mut mode) => match mode.discover() {
                    Ok(_) | Err(CallError::Problem(_)) => taken += 1,
                    Err(error) => return fail(&format!("discover: {}", describe(&error))),
                },
                Err(HarnessError::Configure(CallError::Problem(
                    Problem::Misconfigured(_) | Problem::Denied(_),
                ))) => refused += 1,
                Err(error) => return fail(&error.to_string()),
            }
        }
        Ok(format!("{refused} rejected, {taken} accepted"))
    }

    pub(super) fn denied(&self, capability: &str, unused: &str) -> CheckResult {
        match self.problem(&self.working.clone().regrant(capability, unused))? {
            Problem::Denied(text) => Ok(text),
            other => Err(format!("expected denied, got {}: {other}", other.kind())),
        }
    }

    pub(super) fn failing(&self) -> CheckResult {
        let down = self.working.clone().fakes(|fakes| fakes.failing = Some(DOWN.to_owned()));
        match self.problem(&down)? {
            Problem::Temporary(text) => Ok(text),
            other => Err(format!("expected temporary, got {}: {other}", other.kind())),
        }
    }

    /// The problem that a mode reports when it cannot discover.
    fn problem(&self, harness: &Harness) -> Result<Problem, String> {
        let mut mode = match harness.open() {
            Ok(mode) => mode,
            Err(HarnessError::Configure(CallError::Problem(problem))) => return Ok(problem),
            Err(error) => return Err(error.to_string()),
        };
        match mode.announce() {
            Ok(_) | Err(CallError::Problem(_)) => {}
            Err(error) => return Err(format!("announce: {}", describe(&error))),
        }
        match mode.discover() {
            Err(CallError::Problem(problem)) => Ok(problem),
            Err(error) => Err(format!("discover: {}", describe(&error))),
            Ok(snapshot) => {
                Err(format!("expected a problem, got {} candidates", snapshot.candidates.len()))
            }
        }
    }

    /// The results for the number of calls, and for the memory in use.
    pub(super) fn many_calls(&self) -> (CheckResult, CheckResult) {
        let subject = self.subject;
        let mut mode = match self.working.open() {
            Ok(mode) => mode,
            Err(error) => {
                return (Err(error.to_string()), Err("the mode cannot be opened".to_owned()));
            }
        };
        mode.call_repeatedly(subject.warm_up);
        let before = mode.memory_bytes();
        mode.call_repeatedly(subject.calls - subject.warm_up);
        let after = mode.memory_bytes();
        let growth = ((after - before) as u64).div_ceil((subject.calls - subject.warm_up).max(1));
        let tally = &mode.tally;
        let many = if let Some(error) = &tally.stopped {
            Err(format!("after {} calls: {}", tally.calls, describe(error)))
        } else if let Some(problem) =
            tally.last_problem.as_ref().filter(|_| tally.problems > tally.calls)
        {
            Err(format!("{} of {} fail: {problem}", tally.problems, subject.calls))
        } else if growth > subject.growth_max {
            let warm_up = subject.warm_up;
            Err(format!("{before} bytes after {warm_up} calls, {after} after {}", subject.calls))
        } else {
            let (calls, problems, s) = (tally.calls, tally.problems, mode.now().as_secs());
            let grown = if growth > 0 {
                format!(", growing by {growth} bytes per call")
            } else {
                String::new()
            };
            Ok(format!("{calls} calls, {problems} problems, {s} s{grown}"))
        };
        let memory = format!("{:.1} of {:.1} MiB", in_mib(after), in_mib(subject.memory_max));
        (many, if after <= subject.memory_max { Ok(memory) } else { Err(memory) })
    }
}

fn in_mib(bytes: usize) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// The beginning of a text, fit for a line.
fn shown(text: &str) -> String {
    let start: String = text.chars().take(40).collect();
    let more = text.len() - start.len();
    if more == 0 { format!("{start:?}") } else { format!("{start:?} and {more} more bytes") }
}
