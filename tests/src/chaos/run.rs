//! A whole run: clusters, rounds of load and faults, and their results.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use ring::digest;

use super::check::{self, Counts, Violation};
use super::client;
use super::fleet::{Fleet, Place, Shape};
use super::history::{Action, Answer, Header, History, Kind, Operation, Outcome, Profile, RUN};
use super::nemesis::{self, Abilities, Nemesis, Step};
use super::random::Random;
use super::stop::Stop;
use super::workload::{self, Keys, Workload, nanos};
use crate::binary;
use crate::resp::{Client, Value};

/// Rounds of one cluster, after which another one is started.
const ROUNDS_PER_FLEET: u64 = 6;

/// One of this many clusters has a network that splits.
const FLEETS_PER_SPLIT: u64 = 4;

/// Faults in one round.
const FAULTS_MAX: u64 = 4;

/// Time that clients run before the first fault, between two faults, and after the last one.
const GAP: Duration = Duration::from_millis(700);

/// Maximum number of deleted keys of earlier rounds that are still checked.
const DELETED_MAX: usize = 3_000;

/// Maximum number of registers of a round that are kept unchanged and checked in the next one.
const KEPT_MAX: usize = 300;

/// Requests in one pipeline when all keys are read at the end of a round.
const PIPELINE: usize = 100;

/// Time limit of the final reads; members do not refuse them once the data is safe.
const LAST_READS_MAX: Duration = Duration::from_secs(30);

/// Delay between two attempts.
const RETRY: Duration = Duration::from_millis(100);

/// Maximum number of violations of one round that are printed; all are counted.
const PRINTED_MAX: usize = 4;

/// Log lines by which members report that replicas differed.
const DIFFERS: &[&str] = &["differs from its primary"];

/// Options of a run.
#[derive(Clone, Debug)]
pub struct Options {
    /// No round is started after this time.
    pub duration: Duration,
    /// The largest number of rounds.
    pub rounds_max: Option<u64>,
    /// The seed of all choices.
    pub seed: u64,
    /// Only rounds of this profile.
    pub profile: Option<Profile>,
    /// The faults of every round, instead of random ones.
    pub steps: Option<Vec<Step>>,
    /// The backups of all maps, instead of the default. The guarantees are those of the default:
    /// without backups a run must detect losses.
    pub backups: Option<u8>,
    /// The folder for files of failed rounds.
    pub folder: PathBuf,
    /// Whether files of successful rounds are kept as well.
    pub keeps: bool,
}

/// The result of a run.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Its duration.
    pub took: Duration,
    /// Rounds that were checked.
    pub rounds: u64,
    /// Clusters that were started.
    pub clusters: u64,
    /// Faults by their name.
    pub faults: BTreeMap<String, u64>,
    /// Operations that were checked.
    pub counts: Counts,
    /// Number of keys that violated a rule, by its name.
    pub violations: BTreeMap<&'static str, usize>,
    /// Other problems.
    pub problems: Vec<String>,
    /// Keys whose check was abandoned.
    pub undecided: u64,
    /// Log lines in which members reported that replicas differed.
    pub differences: u64,
    /// Files of failed rounds.
    pub files: Vec<PathBuf>,
}

impl Summary {
    /// Whether there were no violations and no problems.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.violations.is_empty() && self.problems.is_empty()
    }

    /// Operations that were checked.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.counts.values().map(check::Outcomes::total).sum()
    }
}

/// The build under test.
#[derive(Clone, Debug)]
struct Build {
    version: String,
    sha256: String,
}

impl Build {
    fn read() -> Self {
        let path = binary::convoke();
        let bytes = fs::read(&path).unwrap_or_default();
        let digest = digest::digest(&digest::SHA256, &bytes);
        let sha256 = digest.as_ref().iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        let version = Command::new(&path).arg("--version").output().map_or_else(
            |error| error.to_string(),
            |output| String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        );
        Self { version, sha256 }
    }
}

/// Runs until the time is over, and prints the progress.
///
/// # Errors
/// If a cluster cannot be started at all.
pub fn run(options: &Options, stop: &Stop) -> Result<Summary, String> {
    let started = Instant::now();
    let build = Build::read();
    fs::create_dir_all(&options.folder)
        .map_err(|error| format!("{}: {error}", options.folder.display()))?;
    println!("chaos: seed {}, {}, binary sha256 {}", options.seed, build.version, build.sha256);
    let machine = Machine::probe();
    let mut run = Run { options, stop, build, machine, started, summary: Summary::default() };
    let mut number = 0;
    while !run.is_over() {
        run.cluster(number)?;
        number += 1;
    }
    run.summary.took = started.elapsed();
    println!("{}", run.page());
    Ok(run.summary)
}

/// The abilities of this machine.
#[derive(Clone, Copy, Debug)]
struct Machine {
    has_network: bool,
    has_clocks: bool,
}

impl Machine {
    /// Probes it, and prints what is skipped.
    fn probe() -> Self {
        let name = format!("convoke-lab-{}-probe", std::process::id());
        let namespace = |verb: &str| {
            let output = Command::new("ip").args(["netns", verb, &name]).output();
            output.is_ok_and(|output| output.status.success())
        };
        let has_network = namespace("add") && namespace("del");
        if !has_network {
            println!(
                "chaos: SKIPPED: no network namespaces (that takes root and `ip`): members are on \
                 loopback, without loss, drops, splits, rate limits and broken connections"
            );
        }
        let has_clocks = tempfile::tempdir()
            .map_err(|error| error.to_string())
            .and_then(|folder| super::clock::build(folder.path()).map(drop));
        if let Err(why) = &has_clocks {
            println!("chaos: SKIPPED: clock faults and suspends: {why}");
        }
        Self { has_network, has_clocks: has_clocks.is_ok() }
    }
}

/// State that one round passes to the next.
#[derive(Default)]
struct Legacy {
    /// Deletions of earlier rounds.
    deleted: Vec<Operation>,
    /// Values at the end of the previous round, as if written then.
    kept: Vec<Operation>,
}

struct Run<'a> {
    options: &'a Options,
    stop: &'a Stop,
    build: Build,
    machine: Machine,
    started: Instant,
    summary: Summary,
}

impl Run<'_> {
    fn is_over(&self) -> bool {
        let is_full = self.options.rounds_max.is_some_and(|max| self.summary.rounds >= max);
        is_full || self.stop.is_requested() || self.started.elapsed() >= self.options.duration
    }

    /// Starts a cluster and runs some rounds on it.
    fn cluster(&mut self, number: u64) -> Result<(), String> {
        let mut random = Random::stream(self.options.seed, number << 32);
        let members = 3 + random.index(3);
        let workers = if random.percent(50) { 1 } else { 4 };
        let is_split = number % FLEETS_PER_SPLIT == FLEETS_PER_SPLIT - 1;
        let chosen = if is_split { Profile::Split } else { Profile::Strong };
        let mut profile = self.options.profile.unwrap_or(chosen);
        let shape = Shape {
            members,
            workers,
            has_network: self.machine.has_network,
            has_clocks: self.machine.has_clocks,
            backups: self.options.backups,
        };
        let mut fleet = match Fleet::start(shape, self.stop) {
            Ok(fleet) => fleet,
            Err(_) if self.stop.is_requested() => return Ok(()),
            Err(why) => {
                // A failure of the first one means that nothing works on this machine.
                if number == 0 {
                    return Err(why);
                }
                self.problem(&format!("a cluster of {members} did not start: {why}"));
                return Ok(());
            }
        };
        if let Some(network) = fleet.network()
            && number == 0
        {
            println!("chaos: {}", network.describe());
        }
        let can_drop = fleet.network().is_some_and(super::network::Network::can_drop);
        if profile == Profile::Split && !can_drop {
            println!("chaos: SKIPPED: splits: no tool to drop packets");
            profile = Profile::Strong;
        }
        self.summary.clusters += 1;
        println!(
            "chaos: cluster {number}: {members} members, {workers} workers configured, {}",
            profile.name()
        );
        let mut legacy = Legacy::default();
        for round in number * ROUNDS_PER_FLEET..(number + 1) * ROUNDS_PER_FLEET {
            if self.is_over() {
                break;
            }
            let header = Header {
                seed: self.options.seed,
                round,
                profile,
                version: self.build.version.clone(),
                binary_sha256: self.build.sha256.clone(),
                members: u32::try_from(members).expect("few members"),
                workers,
                settled: 0,
            };
            if !self.round(&mut fleet, &mut random, header, &mut legacy) {
                break;
            }
        }
        self.summary.differences += fleet.count_lines(DIFFERS);
        Ok(())
    }

    fn problem(&mut self, text: &str) {
        println!("PROBLEM {text}");
        self.summary.problems.push(text.to_owned());
    }

    /// Runs one round. Returns false if its cluster cannot continue.
    fn round(
        &mut self,
        fleet: &mut Fleet,
        random: &mut Random,
        header: Header,
        legacy: &mut Legacy,
    ) -> bool {
        let (profile, number) = (header.profile, header.round);
        let members = fleet.len();
        // The larger side has the majority.
        let sides: Vec<u32> = (0..members).map(|at| u32::from(at >= members / 2)).collect();
        let earlier = legacy.deleted.iter().chain(&legacy.kept).map(|op| op.key.clone()).collect();
        let keys = Keys::new(number, profile, earlier);
        let mut history = History { header, ..History::default() };
        history.operations.append(&mut legacy.kept);
        history.operations.extend(legacy.deleted.iter().cloned());
        let mut problems = Vec::new();
        if let Err(why) = self.write_deleted(fleet, &keys, &mut history) {
            problems.push(why);
        } else {
            let workload = Workload::start(
                fleet.places(),
                (self.options.seed, number),
                profile,
                self.started,
                keys.clone(),
                sides.clone(),
            );
            let done = self.faults(fleet, random, &sides, &mut history);
            history.operations.append(&mut workload.stop());
            problems.extend(done.err());
        }
        fleet.right_clocks();
        problems.extend(fleet.closed().filter(|_| problems.is_empty()));
        if problems.is_empty() {
            let safe = fleet.wait_until_safe();
            let read = safe.and_then(|_| self.read_all(fleet, &keys, &mut history));
            problems.extend(read.err());
        }
        if self.stop.is_requested() {
            return false;
        }
        let is_clean = self.judge(fleet, &history, &problems);
        let goes_on = problems.is_empty();
        if goes_on {
            self.leave(fleet, &keys, &history, legacy);
        }
        if !is_clean {
            // A problem may recur in the same cluster for the same reason.
            return false;
        }
        goes_on
    }

    fn faults(
        &mut self,
        fleet: &mut Fleet,
        random: &mut Random,
        sides: &[u32],
        history: &mut History,
    ) -> Result<(), String> {
        let network = fleet.network();
        let is = |ability: fn(super::network::Network) -> bool| network.is_some_and(ability);
        let abilities = Abilities {
            can_drop: is(super::network::Network::can_drop),
            can_limit: is(super::network::Network::can_limit),
            can_delay: is(super::network::Network::can_delay),
            has_clocks: fleet.has_clocks(),
        };
        let profile = history.header.profile;
        let steps = match &self.options.steps {
            Some(steps) => steps.clone(),
            None => {
                let count = random.between(1, FAULTS_MAX);
                (0..count).map(|_| nemesis::choose(random, profile, abilities)).collect()
            }
        };
        self.stop.wait(GAP);
        for step in steps {
            let mut nemesis = Nemesis {
                fleet: &mut *fleet,
                random: &mut *random,
                start: self.started,
                stop: self.stop,
                sides,
                faults: &mut history.faults,
            };
            nemesis.inject(step)?;
            *self.summary.faults.entry(step.name().to_owned()).or_default() += 1;
            self.stop.wait(GAP);
            if self.stop.is_requested() {
                break;
            }
        }
        Ok(())
    }

    /// Writes the keys that are to be deleted.
    fn write_deleted(
        &self,
        fleet: &Fleet,
        keys: &Keys,
        history: &mut History,
    ) -> Result<(), String> {
        let mut value = workload_value(history.header.round);
        let requests: Vec<(String, Action)> = keys
            .deleted
            .iter()
            .flatten()
            .map(|key| {
                value += 1;
                (key.clone(), Action::Set { value, ttl_ms: None })
            })
            .collect();
        self.ask_all(fleet, 0, &requests, &mut history.operations)
    }

    /// Reads every key from every member.
    fn read_all(&self, fleet: &Fleet, keys: &Keys, history: &mut History) -> Result<(), String> {
        history.header.settled = nanos(self.started).max(1);
        let reads = keys.reads();
        for index in 0..fleet.len() {
            self.ask_all(fleet, index, &reads, &mut history.operations)?;
        }
        Ok(())
    }

    /// Reads all keys from one member, and retries refused reads; adds all reads to `operations`.
    fn ask_all(
        &self,
        fleet: &Fleet,
        index: usize,
        requests: &[(String, Action)],
        operations: &mut Vec<Operation>,
    ) -> Result<(), String> {
        let place = &fleet.places()[index];
        let deadline = Instant::now() + LAST_READS_MAX;
        let mut connection: Option<Client> = None;
        for some in requests.chunks(PIPELINE) {
            let mut left: Vec<&(String, Action)> = some.iter().collect();
            while !left.is_empty() {
                let member = u32::try_from(index).expect("few members");
                let asked = pipeline(place, &mut connection, &left, self.started, member);
                let mut refused = Vec::new();
                for (request, operation) in left.into_iter().zip(asked) {
                    if matches!(operation.outcome, Outcome::Refused(_) | Outcome::Unknown(_)) {
                        refused.push((request, operation.clone()));
                    }
                    operations.push(operation);
                }
                if let Some((_, operation)) = refused.first() {
                    if Instant::now() > deadline {
                        return Err(format!(
                            "m{index} does not answer although the data is safe: {operation}"
                        ));
                    }
                    thread::sleep(RETRY);
                }
                left = refused.into_iter().map(|(request, _)| request).collect();
            }
        }
        Ok(())
    }

    /// Checks a round, prints its violations and keeps its files. Returns true if there are none.
    fn judge(&mut self, fleet: &Fleet, history: &History, problems: &[String]) -> bool {
        let report = check::check(history);
        let header = &history.header;
        self.summary.rounds += 1;
        self.summary.undecided += report.undecided.len() as u64;
        check::add(&mut self.summary.counts, &report.counts);
        let operations: u64 = report.counts.values().map(check::Outcomes::total).sum();
        let steps: Vec<&str> = history.faults.iter().map(|fault| fault.kind.as_str()).collect();
        println!(
            "chaos: {:>5} s, round {}: {operations} operations, {}: {}",
            self.started.elapsed().as_secs(),
            header.round,
            steps.join(" "),
            match (report.violations.len(), problems.len()) {
                (0, 0) => "clean".to_owned(),
                (violations, problems) => format!("{violations} violations, {problems} problems"),
            }
        );
        let is_clean = report.violations.is_empty() && problems.is_empty();
        if !is_clean || self.options.keeps {
            match self.keep(fleet, history, &report.violations, problems) {
                Ok(path) => self.summary.files.push(path),
                Err(error) => println!("chaos: the history could not be written: {error}"),
            }
        }
        for text in problems {
            self.problem(&format!("seed {}, round {}: {text}", header.seed, header.round));
        }
        for violation in distinct(&report.violations) {
            println!("{}", check::describe(history, violation));
        }
        if !is_clean {
            print!("{}", timeline(fleet, history, self.started));
        }
        for (rule, count) in check::rules(&report.violations) {
            *self.summary.violations.entry(rule).or_default() += count;
        }
        is_clean
    }

    fn keep(
        &self,
        fleet: &Fleet,
        history: &History,
        violations: &[Violation],
        problems: &[String],
    ) -> std::io::Result<PathBuf> {
        let header = &history.header;
        let name = format!("seed-{}-round-{}", header.seed, header.round);
        let path = self.options.folder.join(format!("{name}.jsonl"));
        history.write(BufWriter::new(File::create(&path)?))?;
        let mut report = File::create(self.options.folder.join(format!("{name}.txt")))?;
        for problem in problems {
            writeln!(report, "PROBLEM {problem}")?;
        }
        for violation in violations {
            writeln!(report, "{}", check::describe(history, violation))?;
        }
        write!(report, "{}", timeline(fleet, history, self.started))?;
        write!(report, "{}", fleet.logs(self.started))?;
        println!("chaos: history {}, logs {name}.txt beside it", path.display());
        Ok(path)
    }

    /// Deletes keys that the next round does not need, and records those that it checks.
    fn leave(&self, fleet: &Fleet, keys: &Keys, history: &History, legacy: &mut Legacy) {
        let deleted = history.operations.iter().filter(|operation| {
            Kind::of(&operation.key) == Some(Kind::Deleted) && workload::is_deleted(operation)
        });
        let mut all: BTreeMap<String, Operation> =
            deleted.map(|operation| (operation.key.clone(), operation.clone())).collect();
        while all.len() > DELETED_MAX {
            all.pop_first();
        }
        legacy.deleted = all.into_values().collect();
        legacy.kept = kept(keys, history);
        let kept: BTreeSet<&str> = legacy.kept.iter().map(|operation| &*operation.key).collect();
        let reads = keys.reads();
        let others = reads.iter().filter(|(key, _)| {
            !kept.contains(key.as_str()) && Kind::of(key) != Some(Kind::Deleted)
        });
        let removals: Vec<(String, Action)> =
            others.map(|(key, _)| (key.clone(), Action::Delete)).collect();
        // Not part of a history: these keys are not checked any more.
        let _ = self.ask_all(fleet, 0, &removals, &mut Vec::new());
    }

    /// The summary at the end of the output.
    fn page(&self) -> String {
        let summary = &self.summary;
        let mut page = format!(
            "\nduration    {} s, {} clusters of 3 to 5 members, {} rounds\n\
             seed        {}\nbuild       {}, sha256 {}\n",
            summary.took.as_secs(),
            summary.clusters,
            summary.rounds,
            self.options.seed,
            self.build.version,
            self.build.sha256,
        );
        let faults: Vec<String> =
            summary.faults.iter().map(|(name, count)| format!("{name} {count}")).collect();
        let _ = writeln!(page, "faults      {}", faults.join(", "));
        let _ = writeln!(page, "operations  {}", summary.operations());
        for (kind, outcomes) in &summary.counts {
            let _ = writeln!(
                page,
                "  {:<9} {:>9} done, {:>7} refused, {:>6} unknown, {} unexpected",
                kind.prefix(),
                outcomes.done,
                outcomes.refused,
                outcomes.unknown,
                outcomes.unexpected,
            );
        }
        let _ = writeln!(page, "undecided   {} keys", summary.undecided);
        let _ = writeln!(page, "log         {} lines of copies that differ", summary.differences);
        let total: usize = summary.violations.values().sum();
        let _ = writeln!(page, "violations  {total}");
        for (rule, count) in &summary.violations {
            let _ = writeln!(page, "  {rule}: {count} keys");
        }
        let _ = writeln!(page, "problems    {}", summary.problems.len());
        for problem in &summary.problems {
            let _ = writeln!(page, "  {problem}");
        }
        if !summary.files.is_empty() {
            let _ = writeln!(page, "files       {}", self.options.folder.display());
        }
        page
    }
}

/// The first value that the run itself writes in a round, above those of clients.
fn workload_value(round: u64) -> u64 {
    super::history::first_value(workload::CLIENTS) + (round << 20)
}

/// Some violations of each rule.
fn distinct(violations: &[Violation]) -> Vec<&Violation> {
    let mut rules = BTreeSet::new();
    let first = violations.iter().filter(|violation| rules.insert(violation.rule));
    first.take(PRINTED_MAX).collect()
}

/// Registers with a value that cannot change any more, as if written at their last read.
fn kept(keys: &Keys, history: &History) -> Vec<Operation> {
    let mut unknown: BTreeSet<&str> = BTreeSet::new();
    let mut last: BTreeMap<&str, &Operation> = BTreeMap::new();
    for operation in &history.operations {
        if operation.is_unknown() && operation.action != Action::Get {
            unknown.insert(&operation.key);
        }
        if operation.call >= history.header.settled && operation.action == Action::Get {
            last.insert(&operation.key, operation);
        }
    }
    let registers = keys.cold.iter().filter(|key| !unknown.contains(key.as_str()));
    let registers = registers.filter_map(|key| {
        let read = last.get(key.as_str())?;
        let Some(Answer::Value(value)) = read.answer() else { return None };
        Some(Operation {
            client: RUN,
            action: Action::Set { value: *value, ttl_ms: None },
            outcome: Outcome::Done(Answer::Ok),
            ..(*read).clone()
        })
    });
    registers.take(KEPT_MAX).collect()
}

/// Sends requests to one member, in one pipeline.
fn pipeline(
    place: &Place,
    connection: &mut Option<Client>,
    requests: &[&(String, Action)],
    start: Instant,
    member: u32,
) -> Vec<Operation> {
    let encoded: Vec<Vec<Vec<u8>>> =
        requests.iter().map(|(key, action)| client::request(key, action, 16)).collect();
    if connection.is_none() {
        *connection = place.inside(|| Client::connect(place.resp)).ok();
        if let Some(connection) = connection {
            connection.set_timeout(client::ANSWER_MAX);
        }
    }
    let call = nanos(start);
    let answers = match connection {
        Some(client) => client.call_all(&encoded),
        None => Err(std::io::ErrorKind::NotConnected.into()),
    };
    let ret = nanos(start);
    if answers.is_err() {
        *connection = None;
    }
    let answers: Vec<std::io::Result<Value>> = match answers {
        Ok(answers) => answers.into_iter().map(Ok).collect(),
        Err(error) => requests.iter().map(|_| Err(error.kind().into())).collect(),
    };
    let pairs = requests.iter().zip(answers);
    pairs
        .map(|((key, action), answer)| Operation {
            key: key.clone(),
            client: RUN,
            member,
            action: action.clone(),
            call,
            ret,
            outcome: client::outcome(action, &answer),
        })
        .collect()
}

/// The faults of a round, and the views of the members meanwhile.
fn timeline(fleet: &Fleet, history: &History, start: Instant) -> String {
    let mut page = "timeline:\n".to_owned();
    for fault in &history.faults {
        let _ = writeln!(page, "  {fault}");
    }
    let from = history.faults.first().map_or(0, |fault| fault.from) as f64 / 1e9 - 1.0;
    page.push_str("views by time, member and size:\n");
    for (at, label, size) in fleet.views(start) {
        if at >= from {
            let _ = writeln!(page, "  {at:>11.6} {label} {size}");
        }
    }
    page
}

/// Checks a file again and prints its violations. Returns true if there are none.
///
/// # Errors
/// If the file cannot be read.
pub fn check_file(path: &Path) -> Result<bool, String> {
    let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let history = History::read(std::io::BufReader::new(file));
    let history = history.map_err(|error| format!("{}: {error}", path.display()))?;
    let report = check::check(&history);
    for violation in &report.violations {
        println!("{}", check::describe(&history, violation));
    }
    let operations: u64 = report.counts.values().map(check::Outcomes::total).sum();
    println!(
        "{operations} operations, {} violations, {} keys undecided",
        report.violations.len(),
        report.undecided.len()
    );
    Ok(report.violations.is_empty())
}
