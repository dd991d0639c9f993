//! The members of a run: starts, kills, pauses and observes them, and tolerates members that do not
//! respond.

use std::fmt::Write as _;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use super::clock::{self, Offsets};
use super::network::Network;
use super::stop::Stop;
use crate::lab::{Host, Lab};
use crate::member::Member;
use crate::{Cluster, http};

/// Time limit until the data is safe again, on a busy machine.
pub(super) const SAFE_MAX: Duration = Duration::from_secs(90);

/// Time limit until a leaving member has exited.
const LEAVE_MAX: Duration = Duration::from_secs(45);

/// Polling interval.
const POLL: Duration = Duration::from_millis(50);

/// The configuration of a fleet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) members: usize,
    pub(super) workers: u32,
    /// Whether members are on separate hosts, with a network for faults.
    pub(super) has_network: bool,
    pub(super) has_clocks: bool,
    /// Backups of each partition; `None` for the default.
    pub(super) backups: Option<u8>,
}

/// The address of a member, and the host to connect from.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) host: Option<Host>,
    pub(super) resp: SocketAddr,
    http: SocketAddr,
}

impl Place {
    /// Calls `work` on the host of the member.
    pub(super) fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        match &self.host {
            None => work(),
            Some(host) => host.inside(work),
        }
    }

    fn status(&self) -> io::Result<Value> {
        let answer = self.inside(|| http::get(self.http, "/status"))?;
        serde_json::from_str(&answer.body).map_err(io::Error::other)
    }
}

#[derive(Debug)]
struct Slot {
    member: Option<Member>,
    is_paused: bool,
    offsets: Option<Offsets>,
}

/// The members of a cluster, by index. Dropping it stops them and removes their hosts.
#[derive(Debug)]
pub(super) struct Fleet {
    slots: Vec<Slot>,
    places: Arc<Vec<Place>>,
    network: Option<Network>,
    library: Option<PathBuf>,
    /// The configuration file, if one is needed.
    settings: Option<PathBuf>,
    workers: u32,
    cluster: Cluster,
    stop: Stop,
    /// Last, so that hosts are dropped after their members.
    _lab: Option<Lab>,
}

impl Fleet {
    /// Starts all members, one after the other, and waits until the data is safe.
    pub(super) fn start(shape: Shape, stop: &Stop) -> Result<Self, String> {
        let lab = if shape.has_network { Lab::of(shape.members) } else { None };
        let cluster = Cluster::exclusive();
        let network = lab.as_ref().map(|lab| Network::probe(lab.host(0)));
        let library = shape.has_clocks.then(|| clock::build(cluster.folder())).transpose()?;
        let settings = shape.backups.map(|backups| {
            cluster.write("settings.toml", format!("[maps.\"*\"]\nbackups = {backups}\n"))
        });
        let (mut slots, mut places) = (Vec::new(), Vec::new());
        for index in 0..shape.members {
            let shift = u16::try_from(index).expect("few members");
            let host = lab.as_ref().map(|lab| lab.host(index).clone());
            let address = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port + shift));
            let (resp, http) = (address(cluster.resp_port()), address(cluster.http_port()));
            let path = cluster.folder().join(format!("clock-{index}"));
            let offsets = shape.has_clocks.then(|| Offsets::new(path)).transpose();
            let offsets = offsets.map_err(|error| format!("a file of offsets: {error}"))?;
            slots.push(Slot { member: None, is_paused: false, offsets });
            places.push(Place { host, resp, http });
        }
        let mut fleet = Self {
            slots,
            places: Arc::new(places),
            network,
            library,
            settings,
            workers: shape.workers,
            cluster,
            stop: stop.clone(),
            _lab: lab,
        };
        for index in 0..shape.members {
            fleet.launch(index);
            fleet.wait_until_safe()?;
        }
        Ok(fleet)
    }

    pub(super) fn places(&self) -> &Arc<Vec<Place>> {
        &self.places
    }

    pub(super) fn network(&self) -> Option<Network> {
        self.network
    }

    pub(super) fn has_clocks(&self) -> bool {
        self.library.is_some()
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Starts a member, without waiting for it.
    pub(super) fn launch(&mut self, index: usize) {
        let place = &self.places[index];
        let mut launch = self
            .cluster
            .launch()
            .label(&format!("m{index}"))
            .option("--resp-port", place.resp.port().to_string())
            .option("--port", place.http.port().to_string())
            .option("--name", format!("m{index}"))
            .env("CONVOKE_WORKERS", self.workers.to_string())
            .env("NO_COLOR", "1");
        if let Some(host) = &place.host {
            launch = launch.on(host);
        }
        if let Some(settings) = &self.settings {
            launch = launch.option("--config", settings.display().to_string());
        }
        let slot = &mut self.slots[index];
        if let (Some(library), Some(offsets)) = (&self.library, &mut slot.offsets) {
            offsets.start();
            launch = launch
                .env("LD_PRELOAD", library.display().to_string())
                .env(clock::VARIABLE, offsets.path().display().to_string());
        }
        slot.member = Some(launch.start());
        slot.is_paused = false;
    }

    /// Kills a member with SIGKILL.
    pub(super) fn kill(&mut self, index: usize) {
        if let Some(mut member) = self.slots[index].member.take() {
            member.kill();
        }
    }

    /// Lets a member leave gracefully, and waits until it has exited.
    pub(super) fn terminate(&mut self, index: usize) -> Result<Duration, String> {
        let Some(mut member) = self.slots[index].member.take() else { return Ok(Duration::ZERO) };
        let started = Instant::now();
        if member.is_running() {
            member.signal(Signal::TERM);
        }
        while member.is_running() {
            if started.elapsed() > LEAVE_MAX {
                return Err(format!("m{index} has not ended {LEAVE_MAX:?} after SIGTERM"));
            }
            thread::sleep(POLL);
        }
        Ok(started.elapsed())
    }

    /// Pauses a member.
    pub(super) fn pause(&mut self, index: usize) {
        self.signal(index, Signal::STOP);
        self.slots[index].is_paused = true;
    }

    /// Resumes it. If the machine was suspended, its monotonic clock was stopped for `suspended`.
    pub(super) fn resume(&mut self, index: usize, suspended: Duration) {
        if let Some(offsets) = &mut self.slots[index].offsets
            && !suspended.is_zero()
        {
            offsets.suspend(i64::try_from(suspended.as_nanos()).unwrap_or(0));
        }
        self.signal(index, Signal::CONT);
        self.slots[index].is_paused = false;
    }

    fn signal(&mut self, index: usize, signal: Signal) {
        if let Some(member) = &mut self.slots[index].member
            && member.is_running()
        {
            member.signal(signal);
        }
    }

    /// Offsets the wall clock of a member, in seconds.
    pub(super) fn set_clock(&mut self, index: usize, seconds: i64) {
        if let Some(offsets) = &mut self.slots[index].offsets {
            offsets.set_wall(seconds * 1_000_000_000);
        }
    }

    /// Corrects all wall clocks.
    pub(super) fn right_clocks(&mut self) {
        for offsets in self.slots.iter_mut().filter_map(|slot| slot.offsets.as_mut()) {
            if !offsets.is_right() {
                offsets.set_wall(0);
            }
        }
    }

    /// The index of the coordinator, if a member reports it.
    pub(super) fn coordinator(&self) -> Option<usize> {
        let all: Vec<Option<Value>> =
            self.running().map(|index| self.places[index].status().ok()).collect();
        let status = all.iter().flatten().next()?;
        let id = &status["cluster"]["coordinator"];
        let has_it = |status: &Option<Value>| {
            status.as_ref().is_some_and(|status| status["member"]["id"] == *id)
        };
        self.running().zip(&all).find(|(_, status)| has_it(status)).map(|(index, _)| index)
    }

    /// Members that run and are not paused.
    fn running(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.slots.len())
            .filter(|&index| self.slots[index].member.is_some() && !self.slots[index].is_paused)
    }

    /// A member that has closed its outputs, as it does when it exits, and its last lines.
    pub(super) fn closed(&self) -> Option<String> {
        let members = self.slots.iter().enumerate();
        let mut members = members.filter_map(|(index, slot)| Some((index, slot.member.as_ref()?)));
        members.find_map(|(index, member)| {
            member.record(|record| {
                let last: Vec<&str> = record.lines().rev().take(3).map(|l| &*l.text).collect();
                let text = || format!("m{index} has ended by itself: {}", last.join(" | "));
                record.is_closed().then(text)
            })
        })
    }

    /// Waits until all running members agree, and have all replicas of all partitions.
    ///
    /// # Errors
    /// If that takes too long, or the run is stopped; the text has the state of the members.
    pub(super) fn wait_until_safe(&self) -> Result<Duration, String> {
        let started = Instant::now();
        loop {
            let all: Vec<Option<Value>> =
                self.running().map(|index| self.places[index].status().ok()).collect();
            if is_safe(&all) {
                return Ok(started.elapsed());
            }
            if let Some(ended) = self.closed() {
                return Err(ended);
            }
            if started.elapsed() > SAFE_MAX {
                return Err(format!("not safe {SAFE_MAX:?} after the last fault: {}", brief(&all)));
            }
            if self.stop.is_requested() {
                return Err("stopped".to_owned());
            }
            thread::sleep(POLL);
        }
    }

    /// The views that the members logged, in the order of time: seconds since `start`, member, size
    /// of the view.
    pub(super) fn views(&self, start: Instant) -> Vec<(f64, String, usize)> {
        let mut views = self.cluster.journal().wait(Duration::ZERO, "records", |records| {
            let views = records.iter().flat_map(|record| {
                record.views.iter().map(|(at, members)| {
                    let at = at.saturating_duration_since(start).as_secs_f64();
                    (at, record.label.clone(), members.0.len())
                })
            });
            Some(views.collect::<Vec<_>>())
        });
        views.sort_by(|one, other| one.0.total_cmp(&other.0));
        views
    }

    /// All logs, one member after the other, with seconds since `start`.
    pub(super) fn logs(&self, start: Instant) -> String {
        self.cluster.journal().wait(Duration::ZERO, "records", |records| {
            let mut text = String::new();
            for record in records {
                let _ = writeln!(text, "--- {}", record.label);
                for line in record.lines() {
                    let at = line.at.saturating_duration_since(start).as_secs_f64();
                    let _ = writeln!(text, "{at:>11.6} {}", line.text);
                }
            }
            Some(text)
        })
    }

    /// Number of lines of all logs that contain one of `words`.
    pub(super) fn count_lines(&self, words: &[&str]) -> u64 {
        let holds = |text: &str| words.iter().any(|word| text.contains(word));
        self.cluster.journal().wait(Duration::ZERO, "records", |records| {
            let lines = records.iter().flat_map(|record| record.lines());
            Some(lines.filter(|line| holds(&line.text)).count() as u64)
        })
    }
}

/// Whether all have a view of exactly these members, and the same complete partition table.
fn is_safe(all: &[Option<Value>]) -> bool {
    let Some(all) = all.iter().map(Option::as_ref).collect::<Option<Vec<&Value>>>() else {
        return false;
    };
    let Some(first) = all.first() else { return false };
    let number = |value: &Value| value.as_u64().unwrap_or(u64::MAX);
    let sum = |name: &str| {
        all.iter().map(|status| status["data"][name].as_u64().unwrap_or(0)).sum::<u64>()
    };
    let (data, cluster) = (&first["data"], &first["cluster"]);
    let agrees = |status: &&Value| {
        status["data"]["safe"] == true
            && status["data"]["copies"]["wanted"] == data["copies"]["wanted"]
            && status["cluster"]["size"] == all.len()
            && status["cluster"]["coordinator"] == cluster["coordinator"]
            && status["cluster"]["epoch"] == cluster["epoch"]
            && status["cluster"]["version"] == cluster["version"]
    };
    all.iter().all(agrees)
        && sum("primary") == number(&data["partitions"])
        && sum("primary") + sum("backup") == number(&data["copies"]["wanted"])
}

/// The state of the members, in one line.
fn brief(all: &[Option<Value>]) -> String {
    let mut text = String::new();
    for status in all {
        match status {
            None => text.push_str("[no answer] "),
            Some(status) => {
                let (data, cluster) = (&status["data"], &status["cluster"]);
                let _ = write!(
                    text,
                    "[{} size {} view {}.{} safe {} copies {} primary {} backup {}] ",
                    status["member"]["name"],
                    cluster["size"],
                    cluster["epoch"],
                    cluster["version"],
                    data["safe"],
                    data["copies"],
                    data["primary"],
                    data["backup"],
                );
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn members_with_different_views_or_tables_are_not_safe() {
        let status = |size: u64, version: u64, primary: u64| {
            Some(json!({
                "cluster": { "size": size, "coordinator": "a", "epoch": 1, "version": version },
                "data": {
                    "safe": true, "partitions": 10, "primary": primary, "backup": primary,
                    "copies": { "wanted": 20 },
                },
            }))
        };
        assert!(is_safe(&[status(2, 3, 4), status(2, 3, 6)]));
        assert!(!is_safe(&[status(2, 3, 4), status(2, 3, 5)]), "a partition has no primary");
        assert!(!is_safe(&[status(2, 3, 4), status(2, 4, 6)]), "one has an older table");
        assert!(!is_safe(&[status(3, 3, 4), status(3, 3, 6)]), "one of the view is missing");
        assert!(!is_safe(&[status(2, 3, 4), None]), "one does not respond");
        assert!(!is_safe(&[]));
    }
}
