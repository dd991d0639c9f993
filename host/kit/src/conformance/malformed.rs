//! Checks with malformed input.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use convoke_discovery::{CallError, limits};

use super::{CheckResult, Suite};
use crate::error::{HarnessError, describe};
use crate::generator::Generator;
use crate::lan::Lan;
use crate::mode::Mode;

/// Datagrams between two calls: fewer than a mode's queue holds.
const BATCH: usize = 50;

/// Datagrams of two members that are recorded as samples.
const SAMPLES_MAX: usize = 256;

/// The sender of malformed datagrams.
const SENDER: ([u8; 4], u16) = ([10, 9, 9, 9], 6900);

const STATUSES: &[u16] = &[
    200, 200, 200, 200, 201, 204, 206, 301, 304, 400, 401, 403, 404, 409, 418, 429, 500, 502, 503,
    599,
];

impl Suite<'_> {
    pub(super) fn datagrams(&mut self) -> CheckResult {
        let groups = self.groups();
        if groups.is_empty() {
            return Err("no grant names a group and a port, such as 224.2.2.4:2904".to_owned());
        }
        let (lan, samples) = self.samples()?;
        let (mut lan, key) = (lan, self.working.key());
        let member = lan.member("10.0.0.3", &self.working).map_err(|error| error.to_string())?;
        // Joins the group, if the mode does that in its first call.
        call(&mut member.mode())?;
        let mut sent = 0;
        while sent < self.subject.datagrams {
            for _ in 0..BATCH {
                let group = groups[self.random.up_to(groups.len() - 1)];
                let payload = match self.random.up_to(3) {
                    0 => self.random.bytes(limits::PAYLOAD_BYTES_MAX),
                    1 => self.random.bytes(48),
                    _ if samples.is_empty() => self.random.text(200).into_bytes(),
                    _ => {
                        let sample = &samples[self.random.up_to(samples.len() - 1)];
                        self.random.mutated(sample)
                    }
                };
                // Most are sealed like those of a member; otherwise the host would drop them
                // before the mode.
                match self.random.up_to(9) {
                    0 => lan.inject(group, SENDER.into(), &payload),
                    _ => lan.inject_with_key(group, SENDER.into(), key, &payload),
                }
            }
            sent += BATCH;
            call(&mut member.mode()).map_err(|why| format!("after {sent} datagrams: {why}"))?;
        }
        Ok(format!("{sent}, made from {} samples", samples.len()))
    }

    /// Records the datagrams that two members exchange, including those of a member that
    /// leaves.
    fn samples(&self) -> Result<(Lan, Vec<Vec<u8>>), String> {
        let describe_error = |error: HarnessError| error.to_string();
        let mut lan = Lan::new(self.subject.seed).map_err(describe_error)?;
        lan.record(SAMPLES_MAX);
        let one = lan.member("10.0.0.1", &self.working).map_err(describe_error)?;
        let two = lan.member("10.0.0.2", &self.working).map_err(describe_error)?;
        lan.run(Duration::from_secs(10));
        one.leave().map_err(|error| describe(&error))?;
        two.crash();
        let samples = lan.recorded();
        Ok((lan, samples))
    }

    fn groups(&self) -> Vec<SocketAddr> {
        let grants = self.working.grants.iter();
        grants
            .filter(|(of, _)| of == "multicast")
            .filter_map(|(_, group)| group.parse().ok())
            .collect()
    }

    pub(super) fn answers(&self) -> CheckResult {
        let answers = self.working.initial_fakes().http.answers;
        let samples: Vec<Vec<u8>> = answers
            .into_iter()
            .map(|answer| answer.body.into_bytes())
            .filter(|body| !body.is_empty())
            .collect();
        let (number, seed) = (samples.len(), self.subject.seed);
        let nesting_max = self.subject.nesting_max;
        let harness = self.working.clone().fakes(move |fakes| {
            let random = Arc::new(Mutex::new(Generator::new(seed)));
            let samples = samples.clone();
            fakes.http.answer_by(move |_, _| {
                let mut random = random.lock().unwrap_or_else(PoisonError::into_inner);
                Some((
                    STATUSES[random.up_to(STATUSES.len() - 1)],
                    random.body(&samples, nesting_max),
                ))
            });
        });
        let mut mode = match harness.open() {
            Ok(mode) => mode,
            Err(HarnessError::Configure(CallError::Problem(problem))) => {
                return Ok(format!("its configuration was rejected: {problem}"));
            }
            Err(error) => return Err(error.to_string()),
        };
        for round in 1..=self.subject.answers {
            call(&mut mode).map_err(|why| format!("call {round}: {why}"))?;
            // Limits the requests per second to the mode's rate limit.
            mode.wait(Duration::from_secs(1));
        }
        let requests = mode.requests().len();
        match requests {
            0 => Err("it made no request".to_owned()),
            _ => Ok(format!(
                "{requests} in {} calls, made from {number} samples",
                self.subject.answers
            )),
        }
    }

    pub(super) fn store(&mut self) -> CheckResult {
        if self.working.initial_fakes().store.is_empty() {
            return Err(
                "the store of the working configuration is empty; insert a value that the mode reads".to_owned()
            );
        }
        let nesting_max = self.subject.nesting_max;
        for round in 1..=self.subject.stores {
            let seed = self.subject.seed.wrapping_add(round as u64);
            let harness = self.working.clone().fakes(move |fakes| {
                let mut random = Generator::new(seed);
                for value in fakes.store.values_mut() {
                    let samples = [value.clone().into_bytes()];
                    *value =
                        String::from_utf8_lossy(&random.body(&samples, nesting_max)).into_owned();
                }
            });
            let describe_error = |why: String| format!("store {round}: {why}");
            match harness.open() {
                Ok(mut mode) => call(&mut mode).map_err(describe_error)?,
                Err(HarnessError::Configure(CallError::Problem(_))) => {}
                Err(error) => return Err(describe_error(error.to_string())),
            }
        }
        Ok(format!("{}", self.subject.stores))
    }
}

/// Announces and discovers; any reported problem is accepted.
fn call(mode: &mut Mode) -> Result<(), String> {
    for (what, error) in [("announce", mode.announce().err()), ("discover", mode.discover().err())]
    {
        match error {
            None | Some(CallError::Problem(_)) => {}
            Some(error) => return Err(format!("{what}: {}", describe(&error))),
        }
    }
    Ok(())
}
