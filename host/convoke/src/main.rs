//! The Convoke member: start it on any machine and the instances find one
//! another, agree on one ordered list of members, and stay together.
//!
//! Here is the command line, the configuration and the wiring; what a member
//! does is in the crates below: `wire`, `membership`, `discovery`, `gateway`.

mod config;
mod describe;
mod discover;
mod folders;
mod interfaces;
mod limits;
mod log;
mod member;
mod members;
mod output;
mod places;
mod plugin;
mod settings;
mod status;

use std::io::Write as _;
use std::process::ExitCode;

use settings::{Command, ConfigCommand, Given, Instead, Settings};
use tracing_subscriber::filter::LevelFilter;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Something was wrong with what the operator asked for.
const REFUSED: u8 = 2;

fn main() -> ExitCode {
    let given = match Given::read(std::env::args_os()) {
        Ok(given) => given,
        Err(Instead { text, code: 0 }) => {
            let _ = write!(std::io::stdout(), "{text}");
            return ExitCode::SUCCESS;
        }
        Err(Instead { text, code }) => {
            let _ = writeln!(std::io::stderr(), "{text}");
            return ExitCode::from(code);
        }
    };
    match start(given) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::from(REFUSED)
        }
    }
}

fn start(mut given: Given) -> Result<(), String> {
    let command = given.cli.command.clone();
    if let Some(Command::Config(ConfigCommand::Convert { file, output, force })) = &command {
        return config::convert(file, output.as_deref(), *force);
    }
    if let Some(Command::Config(ConfigCommand::Check { file: Some(file) })) = &command {
        given.cli.options.config = Some(file.clone());
    }
    if let Some(Command::Plugin(command)) = &command
        && let Some(done) = plugin::run_alone(command)
    {
        return done;
    }
    let settings = Settings::resolve(given).map_err(|error| error.to_string())?;
    match command {
        None | Some(Command::Domain) => log::start(false, LevelFilter::INFO)?,
        Some(Command::Plugin(_)) => log::start_with_calls()?,
        Some(_) => log::start(true, LevelFilter::WARN)?,
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(usize::from(settings.workers))
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start: {error}"))?;
    let done = runtime.block_on(async {
        match command {
            None | Some(Command::Domain) => member::run(settings, member::Signals::catch()?).await,
            Some(Command::Discover) => discover::run(&settings).await,
            Some(Command::Members) => members::run(&settings).await,
            Some(Command::Plugin(command)) => plugin::run(&command, &settings).await,
            Some(Command::Config(_)) => config::check(&settings).await,
        }
    });
    // What still runs is of no use to anybody any more.
    runtime.shutdown_background();
    done
}
