//! Checks of what a mode answers: to its configuration, to refusals, to many looks.

use convoke_discovery::{AskedGrant, CallError, Problem};

use super::{Run, Seen, arguments};
use crate::error::{HarnessError, in_words};
use crate::harness::Harness;

/// A grant of each capability that covers nothing that anybody asks for. A store is
/// granted by its size: nothing of it can be denied later.
pub(super) const UNUSED: &[(&str, &str)] = &[
    ("dns", "unused.invalid"),
    ("http", "http://unused.invalid"),
    ("kubernetes", "unused-namespace"),
    ("multicast", "239.255.255.254:9"),
    ("probe", "192.0.2.254:9"),
];

/// What is in the world's words when all of it is away.
const AWAY: &str = "made up: the server is away";

impl Run<'_> {
    pub(super) fn imports(&self) -> Seen {
        let inspection = self.working.inspect().map_err(|error| error.to_string())?;
        if let Some(problem) = inspection.problems.first() {
            return Err(problem.to_string());
        }
        let mut asked = Vec::new();
        for ask in &inspection.asks {
            let capability = match ask.grant {
                AskedGrant::Always => continue,
                AskedGrant::InertWasi => "wasi",
                AskedGrant::Entry { capability, .. } => capability,
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

    pub(super) fn two_looks(&self) -> Seen {
        let mut mode = self.working.open().map_err(|error| error.to_string())?;
        let mut candidates = 0;
        for number in ["first", "second"] {
            if number == "first" && mode.announces() {
                mode.announce().map_err(|error| format!("announce: {}", in_words(&error)))?;
            }
            let snapshot =
                mode.discover().map_err(|error| format!("the {number}: {}", in_words(&error)))?;
            candidates = snapshot.candidates.len();
        }
        mode.withdraw().map_err(|error| format!("withdraw: {}", in_words(&error)))?;
        Ok(format!("{candidates} candidates"))
    }

    pub(super) fn silly_arguments(&mut self) -> Seen {
        let (mut refused, mut taken) = (0, 0);
        for argument in arguments::silly(&mut self.noise, &self.subject.arguments) {
            let told = |what: &str| Err(format!("{}: {what}", shown(&argument)));
            match self.working.clone().argument(&*argument).open() {
                Ok(mut mode) => match mode.discover() {
                    Ok(_) | Err(CallError::Problem(_)) => taken += 1,
                    Err(error) => return told(&format!("discover: {}", in_words(&error))),
                },
                Err(HarnessError::Configure(CallError::Problem(
                    Problem::Misconfigured(_) | Problem::Denied(_),
                ))) => refused += 1,
                Err(error) => return told(&error.to_string()),
            }
        }
        Ok(format!("{refused} refused, {taken} taken"))
    }

    pub(super) fn denied(&self, capability: &str, unused: &str) -> Seen {
        match self.problem(&self.working.clone().regrant(capability, unused))? {
            Problem::Denied(text) => Ok(text),
            other => Err(format!("expected denied, not {}: {other}", other.kind())),
        }
    }

    pub(super) fn failing(&self) -> Seen {
        let away = self.working.clone().world(|fakes| fakes.failing = Some(AWAY.to_owned()));
        match self.problem(&away)? {
            Problem::Temporary(text) => Ok(text),
            other => Err(format!("expected temporary, not {}: {other}", other.kind())),
        }
    }

    /// What a mode that cannot look says of it.
    fn problem(&self, harness: &Harness) -> Result<Problem, String> {
        let mut mode = match harness.open() {
            Ok(mode) => mode,
            Err(HarnessError::Configure(CallError::Problem(problem))) => return Ok(problem),
            Err(error) => return Err(error.to_string()),
        };
        match mode.announce() {
            Ok(_) | Err(CallError::Problem(_)) => {}
            Err(error) => return Err(format!("announce: {}", in_words(&error))),
        }
        match mode.discover() {
            Err(CallError::Problem(problem)) => Ok(problem),
            Err(error) => Err(format!("discover: {}", in_words(&error))),
            Ok(snapshot) => {
                Err(format!("expected a problem, not {} candidates", snapshot.candidates.len()))
            }
        }
    }

    /// Of the number of looks, and of the memory held.
    pub(super) fn many_looks(&self) -> (Seen, Seen) {
        let subject = self.subject;
        let mut mode = match self.working.open() {
            Ok(mode) => mode,
            Err(error) => return (Err(error.to_string()), Err("it does not open".to_owned())),
        };
        mode.look_often(subject.warm_up);
        let before = mode.memory_bytes();
        mode.look_often(subject.looks - subject.warm_up);
        let after = mode.memory_bytes();
        let growth = ((after - before) as u64).div_ceil((subject.looks - subject.warm_up).max(1));
        let tally = &mode.tally;
        let many = if let Some(error) = &tally.stopped {
            Err(format!("after {} looks: {}", tally.looks, in_words(error)))
        } else if let Some(problem) =
            tally.last_problem.as_ref().filter(|_| tally.problems > tally.looks)
        {
            Err(format!("{} of {} fail: {problem}", tally.problems, subject.looks))
        } else if growth > subject.growth_max {
            let warm_up = subject.warm_up;
            Err(format!("{before} bytes after {warm_up} looks, {after} after {}", subject.looks))
        } else {
            let (looks, problems, s) = (tally.looks, tally.problems, mode.now().as_secs());
            let grown =
                if growth > 0 { format!(", {growth} bytes more by each") } else { String::new() };
            Ok(format!("{looks}, {problems} problems, {s} s{grown}"))
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
