//! `chaos [MINUTES] [SEED]`: runs clients of real members under faults for `MINUTES` minutes, and
//! checks the guarantees of `host/grid/README.md`. Exits with 1 if one was violated.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use convoke_tests::chaos::history::Profile;
use convoke_tests::chaos::run::check_file;
use convoke_tests::chaos::{Options, Stop, run};

const USAGE: &str = "\
usage: chaos [MINUTES] [SEED] [OPTIONS]
       chaos --check FILE

  MINUTES            how long, as a number such as 0.5 (default 10)
  SEED               what chooses clusters, requests and faults (default: the time)
  --profile NAME     `strong` (one member lost at a time) or `split`; default: both
  --backups N        of all maps (default 1, which the promises are checked for); with 0
                     a run has to find losses
  --folder DIR       where histories of failed rounds go (default target/chaos)
  --keep             the histories of all rounds go there
  --check FILE       checks such a file again";

/// Minutes, unless a number is given.
const MINUTES: f64 = 10.0;

/// The longest run, in minutes: a week.
const MINUTES_MAX: f64 = 7.0 * 24.0 * 60.0;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [option, file] = &args[..]
        && option == "--check"
    {
        return end(check_file(file.as_ref()));
    }
    let options = match read(&args) {
        Ok(options) => options,
        Err(why) => {
            eprintln!("chaos: {why}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let stop = Stop::default();
    end_on_signals(&stop);
    end(run(&options, &stop).map(|summary| summary.is_clean()))
}

fn end(result: Result<bool, String>) -> ExitCode {
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("chaos: {why}");
            ExitCode::from(2)
        }
    }
}

fn read(args: &[String]) -> Result<Options, String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut options = Options {
        duration: Duration::from_secs_f64(MINUTES * 60.0),
        rounds_max: None,
        seed: now.as_secs(),
        profile: None,
        steps: None,
        backups: None,
        folder: folder(),
        keeps: false,
    };
    let mut places = 0;
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let mut value = || args.next().ok_or(format!("{arg} needs a value"));
        match arg.as_str() {
            "--keep" => options.keeps = true,
            "--backups" => {
                let backups = value()?;
                let backups = backups.parse().map_err(|_| format!("no number: {backups:?}"))?;
                options.backups = Some(backups);
            }
            "--folder" => options.folder = value()?.into(),
            "--profile" => {
                options.profile = Some(match value()?.as_str() {
                    "strong" => Profile::Strong,
                    "split" => Profile::Split,
                    other => return Err(format!("unknown profile {other:?}")),
                });
            }
            number if places == 0 => {
                let minutes: f64 = number.parse().map_err(|_| format!("no number: {number:?}"))?;
                if !(0.0..=MINUTES_MAX).contains(&minutes) {
                    return Err(format!("{minutes} minutes; expected 0 to {MINUTES_MAX}"));
                }
                options.duration = Duration::from_secs_f64(minutes * 60.0);
                places = 1;
            }
            number if places == 1 => {
                options.seed = number.parse().map_err(|_| format!("no seed: {number:?}"))?;
                places = 2;
            }
            other => return Err(format!("unexpected argument {other:?}")),
        }
    }
    Ok(options)
}

/// The folder `chaos` in the target folder that contains this program.
fn folder() -> PathBuf {
    let this = std::env::current_exe().unwrap_or_default();
    let target = this.ancestors().nth(2).map(PathBuf::from);
    target.unwrap_or_default().join("chaos")
}

/// Ctrl-C and SIGTERM stop the run gracefully; the second one ends it immediately.
fn end_on_signals(stop: &Stop) {
    let stop = stop.clone();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let mut terminate = signal(SignalKind::terminate()).expect("signals can be awaited");
            for count in 0.. {
                tokio::select! {
                    _ = tokio::signal::ctrl_c() => {}
                    _ = terminate.recv() => {}
                }
                if count > 0 {
                    std::process::exit(130);
                }
                eprintln!("chaos: stopping; repeat the signal to exit immediately");
                stop.request();
            }
        });
    });
}
