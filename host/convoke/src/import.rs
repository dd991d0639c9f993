//! `convoke import`: copies the keys of a running Redis or Valkey into a cluster.

use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use convoke_import::{Address, Existing, Mode, Options, Outcome, SourceUrl, Stop};
use tokio::sync::watch;

use crate::member::Signals;
use crate::output::say;
use crate::settings::{ExistingArg, ImportArgs, Settings, read_password};

/// Exit code if some keys could not be copied, or differ.
const INCOMPLETE: u8 = 1;
/// Exit code if the import was stopped by an error.
const STOPPED: u8 = 2;
/// Exit code after a signal, as shells report Ctrl-C.
const INTERRUPTED: u8 = 130;

/// Copies, and prints the summary.
pub(crate) async fn run(args: &ImportArgs, settings: &Settings) -> Result<ExitCode, String> {
    let options = options(args, settings)?;
    let mut signals = Signals::catch()?;
    let (sender, receiver) = watch::channel(false);
    let import = convoke_import::run(options, Stop::new(receiver));
    tokio::pin!(import);
    let report = tokio::select! {
        report = &mut import => report?,
        () = signals.next() => {
            // What is in progress is completed and noted in the state file; a second signal ends it.
            let _ = sender.send(true);
            tokio::select! {
                report = &mut import => report?,
                () = signals.next() => return Err("interrupted twice".to_owned()),
            }
        }
    };
    for line in report.lines {
        say!("{line}");
    }
    if let Some(error) = report.error {
        let _ = writeln!(io::stderr(), "error: {error}");
    }
    Ok(match report.outcome {
        Outcome::Complete => ExitCode::SUCCESS,
        Outcome::Incomplete => INCOMPLETE.into(),
        Outcome::Stopped => STOPPED.into(),
        Outcome::Interrupted => INTERRUPTED.into(),
    })
}

fn options(args: &ImportArgs, settings: &Settings) -> Result<Options, String> {
    let source = SourceUrl::parse(&args.url)?;
    let (text, file) = (args.source_password.clone(), args.source_password_file.clone());
    let source_password = read_password("source-password", "--source-password", text, file)
        .map_err(|error| error.to_string())?;
    let given = args.to.iter().map(|text| Address::parse(text.trim()));
    let mut to = given.collect::<Result<Vec<_>, _>>().map_err(|error| format!("--to: {error}"))?;
    if to.is_empty() {
        let port = settings.clients.resp_port.ok_or("resp-port is 0; --to names a member")?;
        to.push(Address { host: "localhost".to_owned(), port });
    }
    let mode = match (args.dry_run, args.verify_only, args.verify) {
        (true, ..) => Mode::DryRun,
        (_, true, _) => Mode::Verify,
        (.., true) => Mode::CopyAndVerify,
        _ => Mode::Copy,
    };
    Ok(Options {
        source,
        source_password,
        source_ca: args.source_ca.clone(),
        to,
        to_password: settings.clients.password.clone(),
        databases: args.databases.clone(),
        pattern: args.pattern.clone(),
        existing: match args.existing {
            ExistingArg::Fail => Existing::Fail,
            ExistingArg::Skip => Existing::Skip,
            ExistingArg::Replace => Existing::Replace,
        },
        state: args.state.clone(),
        mode,
        is_terminal: io::stderr().is_terminal(),
    })
}
