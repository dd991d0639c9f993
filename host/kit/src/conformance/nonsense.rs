//! Checks with input that makes no sense.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use convoke_discovery::{CallError, limits};

use super::{Run, Seen};
use crate::error::{HarnessError, in_words};
use crate::lan::Lan;
use crate::mode::Mode;
use crate::noise::Noise;

/// Datagrams between two looks: fewer than a mode's queue holds.
const BATCH: usize = 50;

/// Datagrams of two members whose like are made.
const SAMPLES_MAX: usize = 256;

/// Who sends nonsense.
const STRANGER: ([u8; 4], u16) = ([10, 9, 9, 9], 6900);

const STATUSES: &[u16] = &[
    200, 200, 200, 200, 201, 204, 206, 301, 304, 400, 401, 403, 404, 409, 418, 429, 500, 502, 503,
    599,
];

impl Run<'_> {
    pub(super) fn datagrams(&mut self) -> Seen {
        let groups = self.groups();
        if groups.is_empty() {
            return Err("no grant names a group and a port, such as 224.2.2.4:2904".to_owned());
        }
        let (lan, samples) = self.conversation()?;
        let (mut lan, key) = (lan, self.working.key());
        let member = lan.member("10.0.0.3", &self.working).map_err(|error| error.to_string())?;
        // Joins the group, where that is not done before.
        asked(&mut member.mode())?;
        let mut sent = 0;
        while sent < self.subject.datagrams {
            for _ in 0..BATCH {
                let group = groups[self.noise.up_to(groups.len() - 1)];
                let payload = match self.noise.up_to(3) {
                    0 => self.noise.bytes(limits::PAYLOAD_BYTES_MAX),
                    1 => self.noise.bytes(48),
                    _ if samples.is_empty() => self.noise.text(200).into_bytes(),
                    _ => {
                        let sample = &samples[self.noise.up_to(samples.len() - 1)];
                        self.noise.mutated(sample)
                    }
                };
                // Most are sealed as a member would, or no mode would ever see them.
                match self.noise.up_to(9) {
                    0 => lan.inject(group, STRANGER.into(), &payload),
                    _ => lan.say_as(group, STRANGER.into(), key, &payload),
                }
            }
            sent += BATCH;
            asked(&mut member.mode()).map_err(|why| format!("after {sent} datagrams: {why}"))?;
        }
        Ok(format!("{sent}, made from {} samples", samples.len()))
    }

    /// What two members say to each other, one of which leaves.
    fn conversation(&self) -> Result<(Lan, Vec<Vec<u8>>), String> {
        let told = |error: HarnessError| error.to_string();
        let mut lan = Lan::new(self.subject.seed).map_err(told)?;
        lan.listen(SAMPLES_MAX);
        let one = lan.member("10.0.0.1", &self.working).map_err(told)?;
        let two = lan.member("10.0.0.2", &self.working).map_err(told)?;
        lan.run(Duration::from_secs(10));
        one.leave().map_err(|error| in_words(&error))?;
        two.crash();
        let said = lan.said();
        Ok((lan, said))
    }

    fn groups(&self) -> Vec<SocketAddr> {
        let grants = self.working.grants.iter();
        grants
            .filter(|(of, _)| of == "multicast")
            .filter_map(|(_, group)| group.parse().ok())
            .collect()
    }

    pub(super) fn answers(&self) -> Seen {
        let answers = self.working.fakes().http.answers;
        let samples: Vec<Vec<u8>> = answers
            .into_iter()
            .map(|answer| answer.body.into_bytes())
            .filter(|body| !body.is_empty())
            .collect();
        let (number, seed) = (samples.len(), self.subject.seed);
        let nesting_max = self.subject.nesting_max;
        let harness = self.working.clone().world(move |fakes| {
            let noise = Arc::new(Mutex::new(Noise::new(seed)));
            let samples = samples.clone();
            fakes.http.answer_by(move |_, _| {
                let mut noise = noise.lock().unwrap_or_else(PoisonError::into_inner);
                Some((STATUSES[noise.up_to(STATUSES.len() - 1)], noise.body(&samples, nesting_max)))
            });
        });
        let mut mode = match harness.open() {
            Ok(mode) => mode,
            Err(HarnessError::Configure(CallError::Problem(problem))) => {
                return Ok(format!("it configures no more: {problem}"));
            }
            Err(error) => return Err(error.to_string()),
        };
        for look in 1..=self.subject.answers {
            asked(&mut mode).map_err(|why| format!("look {look}: {why}"))?;
            // As many requests a second as a mode may make.
            mode.wait(Duration::from_secs(1));
        }
        let requests = mode.requests().len();
        match requests {
            0 => Err("it asked nothing".to_owned()),
            _ => Ok(format!(
                "{requests} to {} looks, made from {number} samples",
                self.subject.answers
            )),
        }
    }

    pub(super) fn store(&mut self) -> Seen {
        if self.working.fakes().store.is_empty() {
            return Err(
                "the working world has nothing in its store; what is read there?".to_owned()
            );
        }
        let nesting_max = self.subject.nesting_max;
        for round in 1..=self.subject.stores {
            let seed = self.subject.seed.wrapping_add(round as u64);
            let harness = self.working.clone().world(move |fakes| {
                let mut noise = Noise::new(seed);
                for value in fakes.store.values_mut() {
                    let samples = [value.clone().into_bytes()];
                    *value =
                        String::from_utf8_lossy(&noise.body(&samples, nesting_max)).into_owned();
                }
            });
            let told = |why: String| format!("store {round}: {why}");
            match harness.open() {
                Ok(mut mode) => asked(&mut mode).map_err(told)?,
                Err(HarnessError::Configure(CallError::Problem(_))) => {}
                Err(error) => return Err(told(error.to_string())),
            }
        }
        Ok(format!("{}", self.subject.stores))
    }
}

/// Announces and looks; any problem will do.
fn asked(mode: &mut Mode) -> Result<(), String> {
    for (what, error) in [("announce", mode.announce().err()), ("discover", mode.discover().err())]
    {
        match error {
            None | Some(CallError::Problem(_)) => {}
            Some(error) => return Err(format!("{what}: {}", in_words(&error))),
        }
    }
    Ok(())
}
