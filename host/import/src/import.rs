//! The steps of an import: checks before anything is written, copying, comparing, the summary.

use std::collections::BTreeSet;
use std::mem;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc;
use zeroize::Zeroizing;

use crate::address::Address;
use crate::client::{Endpoint, Requests, text_of};
use crate::copy::{Batch, Refusals, channel, read};
use crate::counts::Counts;
use crate::functions::{Functions, FunctionsComparison};
use crate::info::Info;
use crate::meter::Meter;
use crate::options::{Existing, Mode, Options};
use crate::retry::{Stop, repeat};
use crate::source::Source;
use crate::state::{State, StateFile, Task};
use crate::target::{DATABASES, Target, slot_ranges};
use crate::tls;
use crate::trouble::Trouble;
use crate::value::Store as _;
use crate::verify::{Comparison, Verifier, find_surplus};
use crate::write::Writer;

/// Time after which the state file is written so that it survives a crash of the machine, in
/// milliseconds. That is too slow for each batch.
const SYNC_MS: u64 = 1_000;
/// Nodes of a source that is a Redis Cluster, at most: as many as Redis supports.
const NODES_MAX: usize = 1_000;
/// Keys that are counted at a time, and memory for what is known of them, in bytes.
const COUNTED_KEYS: usize = 1_000;
const COUNTED_BYTES_MAX: usize = 1024 * 1024;

/// How an import has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All keys were copied, and are equal if they were compared.
    Complete,
    /// Some keys could not be copied or compared, or differ.
    Incomplete,
    /// The user has interrupted it.
    Interrupted,
    /// It has stopped because of an error.
    Stopped,
}

/// The result of an import.
#[derive(Clone, Debug)]
pub struct Report {
    /// The summary.
    pub lines: Vec<String>,
    /// How it has ended.
    pub outcome: Outcome,
    /// Why it has stopped, and how it continues.
    pub error: Option<String>,
}

/// A database of a server, with the number of its keys.
#[derive(Clone, Copy, Debug)]
struct Unit {
    server: usize,
    database: u16,
    keys: u64,
}

/// What has been found out before anything is written.
struct Plan {
    sources: Vec<Source>,
    units: Vec<Unit>,
    target: Target,
}

/// Runs an import until it is complete, interrupted or stopped by an error.
///
/// # Errors
/// One line, if it is refused before anything is written.
pub async fn run(options: Options, stop: Stop) -> Result<Report, String> {
    let file = options.state.clone().map(StateFile::new);
    let task = task(&options);
    let is_copy = matches!(options.mode, Mode::Copy | Mode::CopyAndVerify);
    let found = match &file {
        Some(file) if is_copy => file.read()?,
        _ => None,
    };
    let mut plan = plan(&options).await?;
    let mut meter = Meter::new(options.is_terminal);
    let is_resumed = found.is_some();
    let state = match found {
        Some(state) if state.task != task => {
            return Err(format!(
                "the state file belongs to an import {}; repeat its options, or name another file",
                state.task
            ));
        }
        Some(state) => state,
        None => State::new(task),
    };
    if is_copy && !is_resumed && options.existing == Existing::Fail {
        refuse_existing(&mut plan).await?;
    }
    let mut import = Import { options, plan, state, file, stop, synced: Instant::now() };
    if is_resumed && is_copy {
        import.note_resumed(&mut meter);
    }
    let mut lines = Vec::new();
    let result = import.run(&mut meter, &mut lines).await;
    meter.clear();
    Ok(import.report(result, lines))
}

fn task(options: &Options) -> Task {
    Task {
        source: options.source.address.to_string(),
        databases: options.databases.clone().or(options.source.database.map(|one| vec![one])),
        pattern: options.pattern.clone(),
        existing: options.existing.to_string(),
    }
}

/// Connects to all servers, and decides what to copy.
async fn plan(options: &Options) -> Result<Plan, String> {
    let url = &options.source;
    if url.database.is_some() && options.databases.is_some() {
        return Err("the URL names a database, and --databases others; keep one of them".into());
    }
    let named = options.databases.iter().flatten().chain(&url.database);
    if let Some(database) = named.copied().find(|database| *database >= DATABASES) {
        return Err(format!(
            "database {database} is named, and a cluster has the databases 0 to {}",
            DATABASES - 1
        ));
    }
    if url.password.is_some() && !options.source_password.is_empty() {
        return Err("the URL contains a password, and another one is given; keep one".into());
    }
    let endpoint = Endpoint {
        address: url.address.clone(),
        tls: url.tls.then(|| tls::config(options.source_ca.as_deref())).transpose()?,
        user: url.user.clone(),
        password: url.password.clone().unwrap_or_else(|| options.source_password.clone()),
        password_hint: "give it with --source-password-file",
    };
    if options.source_ca.is_some() && !url.tls {
        return Err("--source-ca is for TLS, and the URL does not begin with rediss://".into());
    }
    let opened = Source::open(endpoint.clone()).await;
    let (mut source, info) = opened.map_err(|trouble| format!("source: {}", trouble.at_start()))?;
    let member = |address: &Address| Endpoint {
        address: address.clone(),
        tls: None,
        user: None,
        password: Zeroizing::clone(&options.to_password),
        password_hint: "give it with --client-password-file",
    };
    let opened = Target::open(options.to.iter().map(member).collect()).await;
    let (target, target_info) =
        opened.map_err(|trouble| format!("cluster: {}", trouble.at_start()))?;
    if info.run_id().is_some() && info.run_id() == target_info.run_id() {
        return Err("the source and the cluster are the same server".into());
    }
    let mut sources = Vec::new();
    let mut units = Vec::new();
    if info.is_cluster() {
        for address in primaries(&mut source).await? {
            let opened = Source::open(Endpoint { address, ..endpoint.clone() }).await;
            let (source, info) =
                opened.map_err(|trouble| format!("source: {}", trouble.at_start()))?;
            units.extend(units_of(&info, sources.len(), options));
            sources.push(source);
        }
    } else {
        if info.is_stale_replica() {
            return Err(format!(
                "source: {} is a replica without a connection to its primary; its data may be \
                 incomplete",
                url.address
            ));
        }
        units.extend(units_of(&info, 0, options));
        sources.push(source);
    }
    for unit in &units {
        let (database, keys) = (unit.database, unit.keys);
        if database >= DATABASES {
            return Err(format!(
                "database {database} of the source has {keys} keys, and a cluster has the databases \
                 0 to {}; --databases selects others",
                DATABASES - 1
            ));
        }
        if database > 0 && target.is_cluster() {
            return Err(format!(
                "database {database} of the source has {keys} keys, and members with \
                 --redis-cluster have database 0 only; --databases 0 leaves the others out"
            ));
        }
    }
    Ok(Plan { sources, units, target })
}

/// The databases of a server that are to be copied and have keys.
fn units_of(info: &Info, server: usize, options: &Options) -> Vec<Unit> {
    let is_wanted = |database: u16| match (&options.databases, options.source.database) {
        (Some(databases), _) => databases.contains(&database),
        (None, Some(one)) => database == one,
        (None, None) => true,
    };
    let all = info.databases().into_iter().filter(|(database, _)| is_wanted(*database));
    all.map(|(database, keys)| Unit { server, database, keys }).collect()
}

/// The addresses of the primaries of a Redis Cluster.
async fn primaries(source: &mut Source) -> Result<Vec<Address>, String> {
    let asked = source.address().clone();
    let reply = source.call(b"", ["CLUSTER", "SLOTS"], COUNTED_BYTES_MAX).await;
    let reply = reply.map_err(|trouble| format!("source: {}", trouble.at_start()))?;
    let failed = || format!("source: {asked} does not list its nodes: {}", text_of(&reply));
    let ranges = slot_ranges(reply.clone(), &asked).ok_or_else(failed)?;
    let mut all: Vec<Address> = ranges.into_iter().map(|(_, address)| address).collect();
    all.sort_unstable();
    all.dedup();
    if all.len() > NODES_MAX {
        return Err(format!("source: the cluster has more than {NODES_MAX} primaries"));
    }
    Ok(all)
}

/// Fails if a database that is to be written has keys.
async fn refuse_existing(plan: &mut Plan) -> Result<(), String> {
    let mut databases: Vec<u16> = plan.units.iter().map(|unit| unit.database).collect();
    databases.sort_unstable();
    databases.dedup();
    for database in databases {
        plan.target.select(database);
        let keys = plan.target.count_keys().await.map_err(|trouble| trouble.to_string())?;
        if keys > 0 {
            return Err(format!(
                "database {database} of the cluster has {keys} keys already, and nothing was \
                 written; --existing skip keeps those that exist, and --existing replace replaces \
                 them"
            ));
        }
    }
    Ok(())
}

/// An import that has been planned.
struct Import {
    options: Options,
    plan: Plan,
    state: State,
    file: Option<StateFile>,
    stop: Stop,
    /// When the state file was last written to the disk.
    synced: Instant,
}

impl Import {
    fn note_resumed(&self, meter: &mut Meter) {
        let state = &self.state;
        if state.is_complete {
            meter.note("note: the state file says that this import is complete");
            return;
        }
        let done = state.progress.iter().filter(|one| one.is_done).count();
        let copied = state.counts.copied();
        meter.note(&format!("note: continues an import: {copied} keys in {done} complete databases and a part of another"));
    }

    async fn run(&mut self, meter: &mut Meter, lines: &mut Vec<String>) -> Result<bool, Trouble> {
        match self.options.mode {
            Mode::DryRun => return self.count(meter, lines).await,
            Mode::Verify => {}
            Mode::Copy | Mode::CopyAndVerify => {
                if !self.state.is_complete {
                    let started = Instant::now();
                    let before = self.state.counts.elapsed_ms;
                    let result = self.copy(meter, started, before).await;
                    self.state.counts.elapsed_ms = before + millis(started.elapsed());
                    self.state.is_complete = result.is_ok();
                    let saved = self.save(true);
                    lines.extend(self.state.counts.lines("copied"));
                    result?;
                    saved?;
                } else {
                    lines.extend(self.state.counts.lines("copied"));
                }
            }
        }
        let mut is_equal = true;
        if matches!(self.options.mode, Mode::Verify | Mode::CopyAndVerify) {
            meter.clear();
            let (started, mut comparison) = (Instant::now(), Comparison::default());
            let result = self.verify(meter, &mut comparison).await;
            lines.extend(comparison.lines(started.elapsed().as_secs_f64()));
            is_equal = comparison.is_equal();
            result?;
        }
        let counts = &self.state.counts;
        Ok(is_equal && counts.failed.count == 0 && counts.functions.failed.count == 0)
    }

    /// The total number of keys, if it is known.
    fn total(&self) -> Option<u64> {
        let total = self.plan.units.iter().map(|unit| unit.keys).sum();
        self.options.pattern.is_none().then_some(total)
    }

    async fn copy(
        &mut self,
        meter: &mut Meter,
        started: Instant,
        before_ms: u64,
    ) -> Result<(), Trouble> {
        meter.begin("copied", self.total(), self.state.counts.scanned);
        let refusals = Refusals::default();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let word = format!("{}-{}", std::process::id(), now.as_millis());
        let pattern = self.options.pattern.clone().map(String::into_bytes);
        for unit in self.plan.units.clone() {
            let source = &mut self.plan.sources[unit.server];
            let (server, database) = (source.address().to_string(), unit.database);
            let (at, begins_again) = self.state.position(&server, source.run_id(), database);
            if self.state.progress[at].is_done {
                continue;
            }
            if begins_again {
                meter.note(&restarted(&server, database));
            }
            let writer = Writer {
                source: source.another(),
                target: &mut self.plan.target,
                existing: self.options.existing,
                refusals: refusals.clone(),
                stop: self.stop.clone(),
                word: word.clone(),
            };
            let (sender, receiver) = channel();
            let cursor = self.state.progress[at].cursor;
            let stop = &self.stop;
            let reading =
                read(source, database, cursor, pattern.as_deref(), &refusals, stop, sender);
            let (file, synced) = (self.file.as_ref(), &mut self.synced);
            let progress = Progress { at, file, synced, started, before_ms };
            let writing = self.state.write_all(receiver, writer, progress, meter);
            // When one of them fails, the other one ends: the channel is closed.
            let (read, written) = tokio::join!(reading, writing);
            written?;
            read?;
            self.state.progress[at].is_done = true;
            self.save(true)?;
        }
        if self.has_functions() {
            let existing = self.options.existing;
            let Plan { sources, target, .. } = &mut self.plan;
            let copy = async || Functions::copy(&mut sources[0], target, existing).await;
            self.state.counts.functions = repeat(&self.stop, copy).await?;
        }
        Ok(())
    }

    /// Whether libraries of functions are copied: unless keys are selected, to which they do not
    /// belong. Each node of a Redis Cluster has the same.
    fn has_functions(&self) -> bool {
        let task = &self.state.task;
        task.databases.is_none() && task.pattern.is_none()
    }

    fn save(&mut self, is_last: bool) -> Result<(), Trouble> {
        save(self.file.as_ref(), &self.state, &mut self.synced, is_last)
    }

    async fn verify(
        &mut self,
        meter: &mut Meter,
        comparison: &mut Comparison,
    ) -> Result<(), Trouble> {
        meter.begin("verified", self.total(), 0);
        for unit in self.plan.units.clone() {
            let mut verifier = Verifier {
                source: &mut self.plan.sources[unit.server],
                target: &mut self.plan.target,
                database: unit.database,
                pattern: self.options.pattern.as_deref().map(str::as_bytes),
                stop: &self.stop,
            };
            verifier.run(comparison, meter).await?;
        }
        let databases: BTreeSet<u16> = self.plan.units.iter().map(|unit| unit.database).collect();
        for database in databases {
            let pattern = self.options.pattern.as_deref().map(str::as_bytes);
            let Plan { sources, target, .. } = &mut self.plan;
            let surplus = &mut comparison.surplus;
            find_surplus(sources, target, (database, pattern), &self.stop, surplus).await?;
        }
        if self.has_functions() {
            let Plan { sources, target, .. } = &mut self.plan;
            let compare = async || FunctionsComparison::of(&mut sources[0], target).await;
            comparison.functions = repeat(&self.stop, compare).await?;
        }
        Ok(())
    }

    /// Counts the keys that would be copied.
    async fn count(&mut self, meter: &mut Meter, lines: &mut Vec<String>) -> Result<bool, Trouble> {
        meter.begin("counted", self.total(), 0);
        let (started, mut counts, mut bytes) = (Instant::now(), Counts::default(), 0);
        let pattern = self.options.pattern.as_deref().map(str::as_bytes);
        let plan = &mut self.plan;
        for unit in &plan.units {
            let (source, mut cursor) = (&mut plan.sources[unit.server], 0);
            source.select(unit.database).await?;
            plan.target.select(unit.database);
            loop {
                self.stop.check()?;
                let (keys, next) = source.scan(cursor, pattern, COUNTED_KEYS).await?;
                for (key, facts) in keys.iter().zip(source.facts(&keys).await?) {
                    counts.scanned += 1;
                    match facts.kind {
                        None => counts.gone += 1,
                        Some(kind) if matches!(kind, crate::value::Kind::Other(_)) => {
                            counts.add_failed(unit.database, key, &format!("{kind}"));
                        }
                        Some(kind) => counts.add_copied(&kind, facts.deadline.is_some()),
                    }
                    bytes += facts.bytes;
                }
                let exists = |key: &'_ Vec<u8>| Requests::from([&b"EXISTS"[..], key]);
                let requests: Vec<(&[u8], Requests)> =
                    keys.iter().map(|key| (&**key, exists(key))).collect();
                let replies = plan.target.call_each(&requests, COUNTED_BYTES_MAX).await?;
                let existing = replies.iter().flatten().filter_map(|reply| reply.integer());
                counts.kept += existing.map(|count| u64::from(count > 0)).sum::<u64>();
                meter.show(counts.scanned);
                cursor = next;
                if cursor == 0 {
                    break;
                }
            }
        }
        if self.has_functions() {
            counts.functions = Functions::count(&mut self.plan.sources[0]).await?;
        }
        counts.elapsed_ms = millis(started.elapsed());
        let existing = mem::take(&mut counts.kept);
        lines.extend(counts.lines_of("would be copied", "counted"));
        if bytes > 0 {
            lines.push(format!("about {} MiB in the source", bytes.div_ceil(1024 * 1024)));
        }
        lines.push(format!("{existing} of them exist in the cluster"));
        Ok(true)
    }

    fn report(&self, result: Result<bool, Trouble>, lines: Vec<String>) -> Report {
        let is_copy = matches!(self.options.mode, Mode::Copy | Mode::CopyAndVerify);
        let hint = match &self.file {
            _ if !is_copy || self.state.is_complete => String::new(),
            Some(file) => {
                format!("; the same command continues with {}", file.path().display())
            }
            None => "; without --state it cannot continue: start again with --existing skip or \
                     --existing replace"
                .to_owned(),
        };
        let (outcome, error) = match result {
            Ok(true) => (Outcome::Complete, None),
            Ok(false) => (Outcome::Incomplete, None),
            Err(Trouble::Interrupted) => (Outcome::Interrupted, Some(format!("interrupted{hint}"))),
            Err(Trouble::Lost(why) | Trouble::Final(why)) => {
                (Outcome::Stopped, Some(format!("{why}{hint}")))
            }
        };
        Report { lines, outcome, error }
    }
}

/// That a database is copied from its beginning, since its cursors are not valid any more.
fn restarted(server: &str, database: u16) -> String {
    format!(
        "note: {server} has restarted, which invalidates its cursors: database {database} is \
         copied from its beginning"
    )
}

/// Where the progress of a database is noted.
struct Progress<'a> {
    /// Its position in the state.
    at: usize,
    file: Option<&'a StateFile>,
    synced: &'a mut Instant,
    started: Instant,
    /// Time of the runs before this one, in milliseconds.
    before_ms: u64,
}

impl State {
    /// Writes all batches, and notes after each how far the import is.
    async fn write_all(
        &mut self,
        mut batches: mpsc::Receiver<Batch>,
        mut writer: Writer<'_>,
        noted: Progress<'_>,
        meter: &mut Meter,
    ) -> Result<(), Trouble> {
        while let Some(mut batch) = batches.recv().await {
            let progress = &mut self.progress[noted.at];
            if batch.begins_again {
                progress.cursor = 0;
                meter.note(&restarted(&progress.server, progress.database));
            }
            let (scanned, behind) = (batch.scanned, batch.behind.take());
            writer.write(progress.database, batch, &mut self.counts).await?;
            self.counts.scanned += scanned;
            if let Some((cursor, run_id)) = behind {
                (progress.cursor, progress.run_id) = (cursor, run_id);
            }
            self.counts.elapsed_ms = noted.before_ms + millis(noted.started.elapsed());
            save(noted.file, self, noted.synced, false)?;
            meter.show(self.counts.scanned);
        }
        Ok(())
    }
}

/// Writes the state file.
fn save(
    file: Option<&StateFile>,
    state: &State,
    synced: &mut Instant,
    is_last: bool,
) -> Result<(), Trouble> {
    let Some(file) = file else { return Ok(()) };
    let sync = is_last || synced.elapsed() >= Duration::from_millis(SYNC_MS);
    if sync {
        *synced = Instant::now();
    }
    file.write(state, sync).map_err(Trouble::Final)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
