//! Fault injection: faults are chosen by a seed and injected one at a time, the next one only after
//! the data is safe again.

use std::thread;
use std::time::{Duration, Instant};

use super::fleet::Fleet;
use super::history::{Fault, Profile};
use super::network::{Rule, Shape};
use super::random::Random;
use super::stop::Stop;
use super::workload::nanos;

/// Range of the duration of a pause, in ms.
const PAUSE_MS: (u64, u64) = (200, 8_000);

/// Range of the downtime of a lost member, in ms.
const DOWN_MS: (u64, u64) = (0, 3_000);

/// Range of an outage that is too short for a member to be removed, in ms.
const OUTAGE_MS: (u64, u64) = (100, 700);

/// Range of the duration of a split, in ms.
const SPLIT_MS: (u64, u64) = (3_000, 9_000);

/// Range of the duration of loss, delay or a rate limit, in ms.
const IMPAIRMENT_MS: (u64, u64) = (1_500, 6_000);

/// Offsets of clocks, in seconds.
const CLOCK_S: [i64; 6] = [3_600, -3_600, 600, -600, 30, -30];

/// Range of the time that the other side of a cut connection is paused, in ms.
const CUT_MS: (u64, u64) = (250, 600);

/// One fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// SIGKILL, and a new process after this time, in milliseconds.
    Kill(u64),
    /// SIGTERM, and a new process after this time, in milliseconds.
    Terminate(u64),
    /// SIGSTOP for this time, in milliseconds.
    Pause(u64),
    /// The same, with a monotonic clock that is stopped meanwhile.
    Suspend(u64),
    /// A wall clock that is off by this many seconds, for this many milliseconds.
    ClockStep(i64, u64),
    /// SIGTERM, and a new process whose wall clock is off by this many seconds.
    ClockAtStart(i64),
    /// A percentage of the packets to and from a member is lost, for a time in milliseconds.
    Loss(u64, u64),
    /// A rate limit in Mbit/s for packets from a member, for a time in milliseconds.
    Rate(u64, u64),
    /// A delay in milliseconds of packets from a member, for a time in milliseconds.
    Delay(u64, u64),
    /// Packets from one member to another are dropped, for a time in milliseconds.
    OneWay(u64),
    /// All packets to and from a member are dropped, for a time in milliseconds.
    Outage(u64),
    /// Connections between two members are broken on one side only, while the other one is paused
    /// for a time in milliseconds.
    Cut(u64),
    /// The two sides of the network cannot reach each other, for a time in milliseconds.
    Split(u64),
    /// Packets from one side to the other are dropped, for a time in milliseconds.
    SplitOneWay(u64),
    /// One member is isolated, for a time in milliseconds.
    Isolate(u64),
}

impl Step {
    /// Its name in histories and counts.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Kill(_) => "kill",
            Self::Terminate(_) => "terminate",
            Self::Pause(_) => "pause",
            Self::Suspend(_) => "suspend",
            Self::ClockStep(..) => "clock-step",
            Self::ClockAtStart(_) => "clock-at-start",
            Self::Loss(..) => "loss",
            Self::Rate(..) => "rate",
            Self::Delay(..) => "delay",
            Self::OneWay(_) => "drop-one-way",
            Self::Outage(_) => "outage",
            Self::Cut(_) => "cut",
            Self::Split(_) => "split",
            Self::SplitOneWay(_) => "split-one-way",
            Self::Isolate(_) => "isolate",
        }
    }
}

/// The faults that this machine can inject.
#[derive(Clone, Copy, Debug)]
pub(super) struct Abilities {
    pub(super) can_drop: bool,
    pub(super) can_limit: bool,
    pub(super) can_delay: bool,
    pub(super) has_clocks: bool,
}

/// The next fault.
pub(super) fn choose(random: &mut Random, profile: Profile, abilities: Abilities) -> Step {
    let split = |random: &mut Random| random.between(SPLIT_MS.0, SPLIT_MS.1);
    if profile == Profile::Split {
        return match random.below(10) {
            0..5 => Step::Split(split(random)),
            5..7 => Step::SplitOneWay(split(random)),
            _ => Step::Isolate(split(random)),
        };
    }
    loop {
        let weather = random.between(IMPAIRMENT_MS.0, IMPAIRMENT_MS.1);
        let down = random.between(DOWN_MS.0, DOWN_MS.1);
        // Short pauses are as likely as long ones.
        let pause = random.between(PAUSE_MS.0, PAUSE_MS.1);
        let pause = if random.percent(50) { pause } else { PAUSE_MS.0 + pause / 8 };
        let step = match random.below(100) {
            0..20 => Step::Kill(down),
            20..35 => Step::Terminate(down),
            35..52 => Step::Pause(pause),
            52..58 => Step::Suspend(pause),
            58..64 => Step::ClockStep(*random.pick(&CLOCK_S), weather),
            64..70 => Step::ClockAtStart(*random.pick(&CLOCK_S)),
            70..76 => Step::Loss(random.between(1, 8), weather),
            76..82 => Step::Rate(random.between(8, 40), weather),
            82..86 => Step::Delay(random.between(2, 30), weather),
            86..90 => Step::OneWay(random.between(OUTAGE_MS.0, OUTAGE_MS.1)),
            90..95 => Step::Outage(random.between(OUTAGE_MS.0, OUTAGE_MS.1)),
            _ => Step::Cut(random.between(CUT_MS.0, CUT_MS.1)),
        };
        let is_possible = match step {
            Step::Kill(_) | Step::Terminate(_) | Step::Pause(_) => true,
            Step::Suspend(_) | Step::ClockStep(..) | Step::ClockAtStart(_) => abilities.has_clocks,
            Step::Rate(..) => abilities.can_limit,
            Step::Delay(..) => abilities.can_delay,
            _ => abilities.can_drop,
        };
        if is_possible {
            return step;
        }
    }
}

/// Injects faults and records them.
pub(super) struct Nemesis<'a> {
    pub(super) fleet: &'a mut Fleet,
    pub(super) random: &'a mut Random,
    pub(super) start: Instant,
    pub(super) stop: &'a Stop,
    /// The side that each member is on.
    pub(super) sides: &'a [u32],
    pub(super) faults: &'a mut Vec<Fault>,
}

impl Nemesis<'_> {
    /// Injects one fault, undoes it, and waits until the data is safe.
    ///
    /// # Errors
    /// If a tool fails, a member does not leave, or the data is not safe in time.
    pub(super) fn inject(&mut self, step: Step) -> Result<(), String> {
        let target = self.target();
        let other = (target + 1 + self.random.index(self.fleet.len() - 1)) % self.fleet.len();
        let from = nanos(self.start);
        let at = self.faults.len();
        self.faults.push(Fault {
            kind: step.name().to_owned(),
            members: self.touched(step, target, other),
            from,
            until: u64::MAX,
            safe: u64::MAX,
            detail: format!("{step:?}"),
        });
        let done = self.apply(step, target, other);
        self.faults[at].until = nanos(self.start);
        done?;
        self.fleet.wait_until_safe()?;
        self.faults[at].safe = nanos(self.start);
        Ok(())
    }

    /// A random member; the coordinator is chosen more often than the others.
    fn target(&mut self) -> usize {
        if self.random.percent(35)
            && let Some(coordinator) = self.fleet.coordinator()
        {
            return coordinator;
        }
        self.random.index(self.fleet.len())
    }

    fn touched(&self, step: Step, target: usize, other: usize) -> Vec<u32> {
        let number = |index: usize| u32::try_from(index).expect("few members");
        match step {
            Step::OneWay(_) | Step::Cut(_) => vec![number(target), number(other)],
            Step::Split(_) | Step::SplitOneWay(_) => {
                (0..self.fleet.len()).filter(|&i| self.sides[i] == 0).map(number).collect()
            }
            _ => vec![number(target)],
        }
    }

    fn hold(&self, ms: u64) {
        self.stop.wait(Duration::from_millis(ms));
    }

    fn apply(&mut self, step: Step, target: usize, other: usize) -> Result<(), String> {
        match step {
            Step::Kill(down) => {
                self.fleet.kill(target);
                self.away(down)?;
                self.fleet.launch(target);
            }
            Step::Terminate(down) => {
                self.fleet.terminate(target)?;
                self.away(down)?;
                self.fleet.launch(target);
            }
            Step::Pause(ms) => {
                self.fleet.pause(target);
                self.hold(ms);
                self.fleet.resume(target, Duration::ZERO);
            }
            Step::Suspend(ms) => {
                self.fleet.pause(target);
                let paused = Instant::now();
                self.hold(ms);
                self.fleet.resume(target, paused.elapsed());
            }
            Step::ClockStep(seconds, ms) => {
                self.fleet.set_clock(target, seconds);
                self.hold(ms);
                self.fleet.set_clock(target, 0);
            }
            Step::ClockAtStart(seconds) => {
                self.fleet.terminate(target)?;
                self.fleet.wait_until_safe()?;
                self.fleet.set_clock(target, seconds);
                self.fleet.launch(target);
            }
            Step::Loss(percent, ms) => {
                self.everywhere(|index| {
                    if index == target { vec![Rule::Loss(percent)] } else { Vec::new() }
                })?;
                self.hold(ms);
                self.whole()?;
            }
            Step::Rate(mbit, ms) => self.shaped(target, Shape::Rate(mbit), ms)?,
            Step::Delay(late, ms) => self.shaped(target, Shape::Delay(late), ms)?,
            Step::OneWay(ms) => {
                let rule = self.from(target);
                self.everywhere(|index| if index == other { vec![rule] } else { Vec::new() })?;
                self.hold(ms);
                self.whole()?;
            }
            Step::Outage(ms) | Step::Isolate(ms) => {
                self.cut_off(ms, |index| index == target, true)?;
            }
            Step::Cut(ms) => self.cut(target, other, ms)?,
            Step::Split(ms) => {
                let sides = self.sides.to_vec();
                self.cut_off(ms, |index| sides[index] == 0, true)?;
            }
            Step::SplitOneWay(ms) => {
                let sides = self.sides.to_vec();
                let left = u32::from(self.random.percent(50));
                self.cut_off(ms, |index| sides[index] == left, false)?;
            }
        }
        Ok(())
    }

    /// Waits for a time while a member is away, or until the others are safe without it.
    fn away(&self, ms: u64) -> Result<(), String> {
        if ms.is_multiple_of(3) {
            return self.fleet.wait_until_safe().map(drop);
        }
        self.hold(ms);
        Ok(())
    }

    fn from(&self, index: usize) -> Rule {
        let host = self.fleet.places()[index].host.as_ref().expect("a network has hosts");
        Rule::From(host.address(), host.address_v6())
    }

    /// Replaces the rules of all hosts.
    fn everywhere(&self, rules: impl Fn(usize) -> Vec<Rule>) -> Result<(), String> {
        let Some(network) = self.fleet.network() else { return Ok(()) };
        for (index, place) in self.fleet.places().iter().enumerate() {
            if let Some(host) = &place.host {
                network.filter(host, &rules(index))?;
            }
        }
        Ok(())
    }

    fn whole(&self) -> Result<(), String> {
        self.everywhere(|_| Vec::new())
    }

    /// Drops packets from the members outside to those inside for a time, and also in the other
    /// direction if `both`.
    fn cut_off(&self, ms: u64, inside: impl Fn(usize) -> bool, both: bool) -> Result<(), String> {
        self.everywhere(|index| {
            let is_deaf = both || inside(index);
            let others = (0..self.fleet.len()).filter(|&from| inside(from) != inside(index));
            others.filter(|_| is_deaf).map(|from| self.from(from)).collect()
        })?;
        self.hold(ms);
        self.whole()
    }

    fn shaped(&self, index: usize, shape: Shape, ms: u64) -> Result<(), String> {
        let host = self.fleet.places()[index].host.clone();
        let (Some(network), Some(host)) = (self.fleet.network(), host) else { return Ok(()) };
        network.shape(&host, Some(shape))?;
        self.hold(ms);
        network.shape(&host, None)
    }

    /// The target's connections are closed while the other member is paused and receives no reset,
    /// so that it continues with a broken connection in addition to the new one.
    fn cut(&mut self, target: usize, other: usize, ms: u64) -> Result<(), String> {
        let host = |fleet: &Fleet, index: usize| fleet.places()[index].host.clone();
        let (Some(network), Some(from), Some(to)) =
            (self.fleet.network(), host(self.fleet, target), host(self.fleet, other))
        else {
            return Ok(());
        };
        network.filter(&to, &[Rule::Resets])?;
        self.fleet.pause(other);
        thread::sleep(Duration::from_millis(ms / 2));
        let cut = network.cut(&from, to.address());
        self.hold(ms / 2);
        self.fleet.resume(other, Duration::ZERO);
        self.hold(ms);
        network.filter(&to, &[])?;
        cut
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn only_supported_faults_are_chosen() {
        let none =
            Abilities { can_drop: false, can_limit: false, can_delay: false, has_clocks: false };
        let all = Abilities { can_drop: true, can_limit: true, can_delay: true, has_clocks: true };
        let names = |abilities| -> BTreeSet<&str> {
            let mut random = Random::new(1);
            (0..2_000).map(|_| choose(&mut random, Profile::Strong, abilities).name()).collect()
        };
        assert_eq!(names(none), BTreeSet::from(["kill", "terminate", "pause"]));
        assert_eq!(names(all).len(), 12, "{:?}", names(all));
    }

    #[test]
    fn the_same_seed_chooses_the_same_faults() {
        let all = Abilities { can_drop: true, can_limit: true, can_delay: true, has_clocks: true };
        let steps = |seed| {
            let mut random = Random::new(seed);
            (0..50).map(|_| choose(&mut random, Profile::Strong, all)).collect::<Vec<_>>()
        };
        assert_eq!(steps(3), steps(3));
        assert_ne!(steps(3), steps(4));
    }
}
