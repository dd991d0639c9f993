//! The command line and the environment.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue};
use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use convoke_text::excerpt;

use super::distance::distance;
use super::import::ImportArgs;
use super::options::Options;
use super::plugin::PluginCommand;
use super::sources::variable;
use super::spelling;

/// Starts a member, which forms a cluster with other members that it finds.
///
/// Every option can also be set in the environment (`CONVOKE_START_PORT` for `--start-port`) and in
/// a file (`start-port = 6900`). The command line takes precedence over the environment, which
/// takes precedence over the file.
#[derive(Debug, Parser)]
#[command(name = "convoke", version, max_term_width = 100, args_override_self = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) options: Options,
}

/// What to do instead of starting a member.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Command {
    /// Shows what each mode finds, and why each candidate is kept or dropped, without joining (a
    /// dry run).
    Discover,
    /// Lists the members of the cluster, as seen by the member on this host whose HTTP port is
    /// `--port`.
    Members,
    /// Starts a domain server: a member with a fixed address that others use to join
    /// (`--cluster-mode domain:HOST`). Data grid port 4900, admin port 4848.
    Domain,
    /// Copies the keys and functions of a running Redis or Valkey into the cluster.
    ///
    /// Exit codes: 0 if all keys were copied (and are equal, with --verify); 1 if some could not be
    /// copied, or differ; 2 if it was refused, or stopped by an error; 130 if it was interrupted.
    Import(Box<ImportArgs>),
    /// Creates, inspects and tries discovery modes.
    #[command(subcommand)]
    Plugin(PluginCommand),
    /// Checks or converts configuration files.
    #[command(subcommand)]
    Config(ConfigCommand),
}

/// What to do with a configuration file.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Checks the file, the environment and the command line, loads the modes, and shows the
    /// resulting settings. Starts nothing.
    Check {
        /// Configuration file [default: the one that a start would use]
        file: Option<PathBuf>,
    },
    /// Converts a Hazelcast configuration file, XML or YAML, to the Convoke format.
    Convert {
        /// Hazelcast configuration file
        file: PathBuf,
        /// Output file [default: standard output]
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Overwrite an existing output file
        #[arg(long, requires = "output")]
        force: bool,
    },
}

/// Subcommands that start no member and do not show its options.
const OF_NO_MEMBER: [&[&str]; 6] = [
    &["import"],
    &["plugin"],
    &["plugin", "new"],
    &["plugin", "inspect"],
    &["plugin", "component"],
    &["config", "convert"],
];

fn command() -> clap::Command {
    let mut command = Cli::command();
    // Global options are only propagated to subcommands by the build.
    command.build();
    OF_NO_MEMBER.iter().fold(command, |command, path| without_options(command, path))
}

fn without_options(command: clap::Command, path: &[&str]) -> clap::Command {
    match path {
        [] => command.mut_args(|arg| match arg.is_global_set() {
            true => arg.hide(true),
            false => arg,
        }),
        [name, rest @ ..] => command.mut_subcommand(*name, |inner| without_options(inner, rest)),
    }
}

/// The variable of `--port`. In pods beside a Kubernetes service named `convoke`, Kubernetes sets
/// it to a service link, unless `enableServiceLinks` is false.
const PORT_VARIABLE: &str = "CONVOKE_PORT";

/// Whether the value is a Kubernetes service link, such as `tcp://10.96.0.7:6379`.
fn is_service_link(value: &str) -> bool {
    value.split_once("://").is_some_and(|(scheme, _)| matches!(scheme, "tcp" | "udp" | "sctp"))
}

fn without_port_variable(command: clap::Command) -> clap::Command {
    let reset = |arg: clap::Arg| match arg.get_id() == "port" {
        true => arg.env(clap::builder::Resettable::Reset),
        false => arg,
    };
    command.mut_args(reset).mut_subcommands(without_port_variable)
}

/// Environment variables that are probably misspelt variables of Convoke, with the variable that is
/// probably intended.
pub(super) fn misspelt(variables: impl Iterator<Item = String>) -> Vec<(String, String)> {
    /// Maximum edit distance of a suggestion.
    const EDITS_MAX: usize = 2;
    let command = command();
    let ours: Vec<&str> =
        command.get_arguments().filter_map(|arg| arg.get_env()?.to_str()).collect();
    let meant = |variable: &str| {
        if !variable.starts_with("CONVOKE_") || ours.contains(&variable) {
            return None;
        }
        let near = ours.iter().map(|known| (distance(variable, known), *known));
        near.filter(|(edits, _)| *edits <= EDITS_MAX).min().map(|(_, known)| known.to_owned())
    };
    variables.filter_map(|variable| meant(&variable).map(|known| (variable, known))).collect()
}

/// The long names of all options.
fn names_of(command: &clap::Command) -> Vec<String> {
    command.get_arguments().filter_map(|a| a.get_long()).map(String::from).collect()
}

#[cfg(test)]
pub(super) fn names() -> Vec<String> {
    names_of(&command())
}

/// The parsed command line.
#[derive(Debug)]
pub(crate) struct CommandLine {
    pub(crate) cli: Cli,
    pub(super) matches: ArgMatches,
}

/// Text to print instead of starting a member, with the exit code.
#[derive(Debug)]
pub(crate) struct EarlyExit {
    pub(crate) text: String,
    pub(crate) code: u8,
}

impl CommandLine {
    /// Parses arguments; the first is the program's name.
    pub(crate) fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, EarlyExit> {
        let mut command = command();
        if std::env::var(PORT_VARIABLE).is_ok_and(|value| is_service_link(&value)) {
            command = without_port_variable(command);
        }
        let arguments = spelling::canonical(arguments, &names_of(&command));
        if let Some(text) = spelling::without_counterpart(&arguments) {
            return Err(EarlyExit { text, code: 2 });
        }
        let matches = command
            .try_get_matches_from(&arguments)
            .map_err(|error| EarlyExit::of(&error).with_variable(&error, &arguments))?;
        let cli = Cli::from_arg_matches(&matches).map_err(|e| EarlyExit::of(&e))?;
        Ok(Self { cli, matches })
    }
}

/// The source of an option; `None` if it is not set, or does not exist.
fn source(matches: &ArgMatches, id: &str) -> Option<ValueSource> {
    let inner = matches.subcommand().map_or(matches, |(_, matches)| matches);
    inner.try_contains_id(id).ok().and_then(|_| inner.value_source(id))
}

/// The source of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// In the file, or nowhere.
    File,
    Environment,
    CommandLine,
}

/// The source of an option with the highest precedence.
pub(super) fn rank(matches: &ArgMatches, key: &str) -> Rank {
    match source(matches, &key.replace('-', "_")) {
        Some(ValueSource::CommandLine) => Rank::CommandLine,
        Some(ValueSource::EnvVariable) => Rank::Environment,
        _ => Rank::File,
    }
}

impl EarlyExit {
    /// Names the environment variable instead of the option if the invalid value is from there.
    fn with_variable(mut self, error: &clap::Error, arguments: &[OsString]) -> Self {
        let Some(ContextValue::String(option)) = error.get(ContextKind::InvalidArg) else {
            return self;
        };
        // As shown: `--start-port <PORT>`, `--lite[=<BOOL>]`.
        let name = option.split([' ', '[', '=']).next().unwrap_or_default();
        let is_given = arguments
            .iter()
            .filter_map(|argument| argument.to_str())
            .any(|argument| argument.split('=').next() == Some(name));
        if !is_given && let Some(key) = name.strip_prefix("--") {
            self.text = self.text.replace(&format!("'{option}'"), &variable(key));
        }
        self
    }

    /// Help and version are printed unchanged; an error is reduced to one line.
    fn of(error: &clap::Error) -> Self {
        let rendered: StyledStr = error.render();
        if !error.use_stderr() {
            return Self { text: rendered.to_string(), code: 0 };
        }
        let text = rendered.to_string();
        let message = text.split("\nUsage:").next().unwrap_or_default();
        let message = message.split("\nFor more information").next().unwrap_or_default();
        // The messages of the standard library say what is wrong, not what is expected.
        let message = message
            .replace("\n\n  tip:", "; tip:")
            .replace("invalid digit found in string", "expected a whole number")
            .replace("cannot parse integer from empty string", "expected a whole number")
            .replace("number too large to fit in target type", "the number is too large");
        let line = excerpt(&message, usize::MAX);
        Self { text: format!("{}; see convoke --help", line.trim_end_matches('.')), code: 2 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<CommandLine, EarlyExit> {
        CommandLine::read(
            std::iter::once("convoke").chain(line.split_whitespace()).map(OsString::from),
        )
    }

    fn error(line: &str) -> String {
        read(line).unwrap_err().text
    }

    #[test]
    fn a_misspelt_variable_is_reported_with_the_intended_one() {
        let given = ["CONVOKE_STRAT_PORT", "CONVOKE_START_PORT", "CONVOKE_BIN", "PATH"];
        let named = misspelt(given.map(str::to_owned).into_iter());
        let both = ("CONVOKE_STRAT_PORT".to_owned(), "CONVOKE_START_PORT".to_owned());
        assert_eq!(named, [both]);
        // Set by Kubernetes for a service named `convoke`.
        for variable in ["CONVOKE_SERVICE_HOST", "CONVOKE_PORT_6900_TCP", "CONVOKE_HZ_PORT_1"] {
            assert_eq!(misspelt([variable.to_owned()].into_iter()), [], "{variable}");
        }
        assert!(is_service_link("tcp://10.96.0.7:6379") && !is_service_link("8080"));
        let port = without_port_variable(command());
        let port = port.get_arguments().find(|arg| arg.get_id() == "port").unwrap();
        assert_eq!(port.get_env(), None);
    }

    #[test]
    fn the_definition_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn help_lists_the_options_of_a_subcommand_first() {
        for line in ["plugin", "plugin new", "plugin inspect", "config convert", "import"] {
            let help = error(&format!("{line} --help"));
            assert!(!help.contains("--mc-address"), "{help}");
        }
        let help = error("plugin try --help");
        assert!(help.find("--looks") < help.find("--mc-address"), "{help}");
        assert!(error("--help").contains("--mc-address"));
    }

    #[test]
    fn options_are_accepted_before_and_after_a_subcommand() {
        for line in ["--start-port 7000 discover", "discover --startPort 7000"] {
            let given = read(line).unwrap();
            assert!(matches!(given.cli.command, Some(Command::Discover)));
            assert_eq!(given.cli.options.start_port, Some(7000));
        }
    }

    #[test]
    fn errors_are_one_line_that_names_the_option() {
        assert_eq!(
            error("--mc-port 70000"),
            "error: invalid value '70000' for '--mc-port <PORT>': 70000 is not in 1..=65535; see convoke --help"
        );
        assert!(error("--start-prot 1").contains("'--start-prot'"));
        assert!(error("--start-prot 1").contains("'--start-port'"), "{}", error("--start-prot 1"));
        assert!(error("--name").contains("a value is required for '--name <NAME>'"));
        assert!(!error("--nonsense").contains('\n'));
    }
}
