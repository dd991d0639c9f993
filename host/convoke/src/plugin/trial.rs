//! `convoke plugin try`: runs a component without a cluster.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use convoke_discovery::{
    Backend, CallError, DiscoveryHost, Fakes, ImportProblem, Instance, LoadError, LocalMember,
    ModeSpec, Snapshot, Source, limits,
};
use convoke_text::counted;

use super::{grants, mode_name, pairs};
use crate::member::{DryRun, beacons, modes, probing};
use crate::output::say;
use crate::settings::{Settings, TryArgs, toml_error};

/// Largest file of fakes, in bytes.
const FAKES_BYTES_MAX: u64 = 4 << 20;
/// Maximum wait between two lookups; short, since an operator is waiting.
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Maximum number of candidates, and of dropped candidates, that are printed for one lookup.
const LINES_MAX: usize = 200;

pub(super) async fn run(args: &TryArgs, settings: &Settings) -> Result<(), String> {
    let spec = ModeSpec {
        name: mode_name(&args.file),
        source: Source::File(args.file.clone()),
        digest: None,
        argument: args.argument.clone(),
        settings: pairs(&args.settings, "setting")?,
        grants: grants(&args.grants, args.wasi.is_some())?,
    };
    let (host, local) = host(args.fakes.as_deref(), args.announce, settings).await?;
    let started = Instant::now();
    let loaded = host.load(&spec).await.map_err(|error| refusal(&error))?;
    say!("loaded in {}", time(started.elapsed()));
    let name = loaded.name().to_owned();
    let describe = |what: &str, error: CallError| match error {
        CallError::Problem(problem) => {
            let kind = problem.kind();
            format!("mode {name:?}: {what}: {kind}: {problem}")
        }
        error => format!("mode {name:?}: {what}: it {error}"),
    };
    let started = Instant::now();
    let mut instance =
        host.open(&loaded, &local).await.map_err(|error| describe("configure", error))?;
    say!("configured in {}, {}", time(started.elapsed()), memory(&instance));
    if args.announce && !loaded.announces() {
        return Err(format!("mode {name:?} does not announce members; omit --announce"));
    }
    let mut failed = None;
    for number in 1..=args.looks {
        if args.announce {
            announce(&mut instance).await.map_err(|error| describe("announce", error))?;
        }
        let started = Instant::now();
        let again = match instance.discover().await {
            Ok(snapshot) => {
                failed = None;
                report(number, &snapshot, started.elapsed(), &instance);
                snapshot.look_again
            }
            Err(error @ CallError::Problem(_)) => {
                let text = describe("discover", error);
                say!("lookup {number}: {text}");
                failed = Some(text);
                None
            }
            Err(error) => return Err(describe("discover", error)),
        };
        if number < args.looks {
            tokio::time::sleep(asked(again).min(PAUSE_MAX)).await;
        }
    }
    if args.announce {
        instance.withdraw().await.map_err(|error| describe("withdraw", error))?;
        say!("withdrawn");
    }
    failed.map_or(Ok(()), Err)
}

/// The reason why the component cannot be loaded, with the options that would allow it.
fn refusal(error: &LoadError) -> String {
    let LoadError::Unlinkable(unlinkable) = error else { return error.to_string() };
    let options = unlinkable.problems.iter().filter_map(|problem| match problem {
        ImportProblem::NotGranted { capability, example, .. } => {
            Some(format!("--grant '{capability}={example}'"))
        }
        ImportProblem::Wasi { .. } => Some("--wasi inert".to_owned()),
        _ => None,
    });
    let options: Vec<String> = options.collect();
    match options.is_empty() {
        true => error.to_string(),
        false => format!("{error}; here: {}", options.join(" ")),
    }
}

/// The wait between lookups that the host would use, without jitter.
fn asked(again: Option<Duration>) -> Duration {
    again.unwrap_or(Duration::from_millis(limits::LOOK_AGAIN_MS_DEFAULT)).clamp(
        Duration::from_millis(limits::LOOK_AGAIN_MS_MIN),
        Duration::from_millis(limits::LOOK_AGAIN_MS_MAX),
    )
}

/// A host on the real network, as a member with these settings would see it, or on fakes.
async fn host(
    fakes: Option<&Path>,
    announces: bool,
    settings: &Settings,
) -> Result<(DiscoveryHost, LocalMember), String> {
    let dry_run = DryRun::new(settings).await?;
    let ciphers = beacons::ciphers(&dry_run.keys, dry_run.me.id);
    let real = probing::prober(&dry_run.keys, &dry_run.me);
    let (world, prober) = match fakes {
        None => (Backend::Real, real),
        Some(path) => {
            let fakes = Arc::new(read_fakes(path)?);
            let prober = fakes.prober();
            (Backend::Fake(fakes), prober)
        }
    };
    let host = modes::host_in(settings, &dry_run.choice, ciphers, prober, world)?;
    // A member that announces itself needs an address that can be dialled.
    let port = if announces { settings.start_port } else { dry_run.local.port };
    Ok((host, LocalMember { port, ..dry_run.local }))
}

fn read_fakes(path: &Path) -> Result<Fakes, String> {
    let bytes = crate::settings::read_bounded(path, FAKES_BYTES_MAX as usize)
        .map_err(|error| format!("{}: {error}", path.display()))?;
    let text = String::from_utf8(bytes).map_err(|_| format!("{}: not UTF-8", path.display()))?;
    toml::from_str(&text).map_err(|error| {
        let (line, message) = toml_error(&text, &error);
        format!("{}:{}: {message}", path.display(), line.unwrap_or(1))
    })
}

async fn announce(instance: &mut Instance) -> Result<(), CallError> {
    let started = Instant::now();
    let again = instance.announce().await?;
    let next = again.map_or("no further announcement requested".to_owned(), |wait| {
        format!("again in {}", time(wait))
    });
    say!("announced in {}; {next}", time(started.elapsed()));
    Ok(())
}

fn report(number: u32, snapshot: &Snapshot, took: Duration, instance: &Instance) {
    say!(
        "lookup {number}: {}, {} dropped, in {}, {}",
        counted(snapshot.candidates.len(), "candidate"),
        snapshot.dropped_count,
        time(took),
        memory(instance)
    );
    for candidate in snapshot.candidates.iter().take(LINES_MAX) {
        let attributes: String =
            candidate.attributes.iter().map(|(key, value)| format!(" {key}={value:?}")).collect();
        say!("  {}{attributes}", candidate.address);
    }
    if snapshot.candidates.len() > LINES_MAX {
        say!("  and {} more", snapshot.candidates.len() - LINES_MAX);
    }
    for dropped in snapshot.dropped.iter().take(LINES_MAX) {
        say!("  dropped {}: {}", dropped.address, dropped.reason);
    }
    if let Some(doubt) = &snapshot.doubt {
        say!("  incomplete, so a member would not found a cluster on this lookup: {doubt}");
    }
    if snapshot.complete {
        say!("  complete: members that are not listed have left");
    }
    match snapshot.look_again {
        Some(wait) => say!("  next lookup in {}", time(asked(Some(wait)))),
        None => say!("  next lookup in {}, the default", time(asked(None))),
    }
}

fn time(time: Duration) -> String {
    match time.as_micros() {
        micros @ 0..10_000 => format!("{:.1} ms", micros as f64 / 1000.0),
        _ => format!("{} ms", time.as_millis()),
    }
}

fn memory(instance: &Instance) -> String {
    format!("{:.1} MiB of memory", instance.memory_bytes() as f64 / f64::from(1 << 20))
}
