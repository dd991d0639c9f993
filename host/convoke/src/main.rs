//! The Convoke member: start it on several hosts, and the members find each other, form a cluster
//! and share data.
//!
//! This crate contains the command line, the configuration and the connection to the operating
//! system. The functions of a member are in the library crates: `wire`, `membership`, `grid`,
//! `discovery`, `gateway`.

mod address_list;
mod address_pattern;
mod config;
mod describe;
mod discover;
mod folders;
mod import;
mod interfaces;
mod limits;
mod local_address;
mod log;
mod member;
mod members;
mod metrics;
mod output;
mod plugin;
mod settings;
mod status;

use std::io::Write as _;
use std::process::ExitCode;

use settings::{Command, CommandLine, ConfigCommand, EarlyExit, Settings};
use tracing_subscriber::filter::LevelFilter;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Exit code for a command line or configuration that is refused.
const REFUSED: u8 = 2;

fn main() -> ExitCode {
    let given = match CommandLine::read(std::env::args_os()) {
        Ok(given) => given,
        Err(EarlyExit { text, code: 0 }) => {
            let _ = write!(std::io::stdout(), "{text}");
            return ExitCode::SUCCESS;
        }
        Err(EarlyExit { text, code }) => {
            let _ = writeln!(std::io::stderr(), "{text}");
            return ExitCode::from(code);
        }
    };
    match start(given) {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error}");
            ExitCode::from(REFUSED)
        }
    }
}

fn start(mut given: CommandLine) -> Result<ExitCode, String> {
    let command = given.cli.command.clone();
    if let Some(Command::Config(ConfigCommand::Convert { file, output, force })) = &command {
        return config::convert(file, output.as_deref(), *force).map(|()| ExitCode::SUCCESS);
    }
    if let Some(Command::Config(ConfigCommand::Check { file: Some(file) })) = &command {
        given.cli.options.config = Some(file.clone());
    }
    if let Some(Command::Plugin(command)) = &command
        && let Some(done) = plugin::run_alone(command)
    {
        return done.map(|()| ExitCode::SUCCESS);
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
        let done = match command {
            Some(Command::Import(args)) => return import::run(&args, &settings).await,
            None | Some(Command::Domain) => member::run(settings, member::Signals::catch()?).await,
            Some(Command::Discover) => discover::run(&settings).await,
            Some(Command::Members) => members::run(&settings).await,
            Some(Command::Plugin(command)) => plugin::run(&command, &settings).await,
            Some(Command::Config(_)) => config::check(&settings).await,
        };
        done.map(|()| ExitCode::SUCCESS)
    });
    // Remaining tasks are not needed any more.
    runtime.shutdown_background();
    done
}
