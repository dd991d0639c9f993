//! The command line and the environment.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::StyledStr;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use super::plugin::PluginCommand;
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

/// Each option is `None` unless it was given.
#[derive(Debug, Default, Args)]
#[command(next_line_help = false, next_help_heading = "Options of a member")]
pub(crate) struct Options {
    /// How to find members: multicast[:GROUP:PORT], tcpip:LIST, dns:NAMES,
    /// kubernetes[:NAMESPACE,SERVICE], domain:HOST[:PORT] or auto. May be repeated [default:
    /// multicast]
    #[arg(
        long,
        global = true,
        value_name = "MODE[:ARG]",
        env = "CONVOKE_CLUSTER_MODE",
        value_delimiter = '\n'
    )]
    pub(crate) cluster_mode: Vec<String>,
    /// Multicast group [default: 224.2.2.4, or ff15::2904 on an IPv6 interface]
    #[arg(long, global = true, value_name = "GROUP", env = "CONVOKE_MC_ADDRESS")]
    pub(crate) mc_address: Option<String>,
    /// Multicast port [default: 2904]
    #[arg(long, global = true, value_name = "PORT", env = "CONVOKE_MC_PORT", value_parser = port())]
    pub(crate) mc_port: Option<u16>,
    /// Multicast TTL: 1 for the local network, 0 for this host only [default: 32]
    #[arg(long, global = true, value_name = "HOPS", env = "CONVOKE_MC_TTL")]
    pub(crate) mc_ttl: Option<u8>,
    /// First member port to try; if it is in use, the next ports are tried [default: 6900]
    #[arg(long, global = true, value_name = "PORT", env = "CONVOKE_START_PORT", value_parser = port())]
    pub(crate) start_port: Option<u16>,
    /// Number of member ports to try, counting the first [default: 100]
    #[arg(long, global = true, value_name = "COUNT", env = "CONVOKE_START_PORT_RANGE", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) start_port_range: Option<u16>,
    /// Cluster name; only members with the same name form a cluster [default: development]
    #[arg(long, global = true, value_name = "NAME", env = "CONVOKE_CLUSTER_NAME")]
    pub(crate) cluster_name: Option<String>,
    /// Cluster password; only members with the same password form a cluster. Other users of this
    /// host can read it in the process list: prefer the file or the environment variable
    #[arg(
        long,
        global = true,
        value_name = "PASSWORD",
        env = "CONVOKE_CLUSTER_PASSWORD",
        hide_env_values = true
    )]
    pub(crate) cluster_password: Option<String>,
    /// File that contains the cluster password; a trailing line break is ignored
    #[arg(long, global = true, value_name = "FILE", env = "CONVOKE_CLUSTER_PASSWORD_FILE")]
    pub(crate) cluster_password_file: Option<PathBuf>,
    /// Join the cluster and route requests, but store no data
    #[arg(long, global = true, env = "CONVOKE_LITE", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub(crate) lite: Option<bool>,
    /// Name of this member in lists [default: generated]
    #[arg(long, global = true, value_name = "NAME", env = "CONVOKE_NAME")]
    pub(crate) name: Option<String>,
    /// Group of this member in lists [default: convoke]
    #[arg(long, global = true, value_name = "GROUP", env = "CONVOKE_GROUP")]
    pub(crate) group: Option<String>,
    /// Addresses to bind and advertise, separated by commas: addresses, patterns such as 10.0.*.*,
    /// CIDR, fe80::5%eth1, interface names [default: chosen automatically; the log says why]
    #[arg(long, global = true, value_name = "LIST", env = "CONVOKE_INTERFACES")]
    pub(crate) interfaces: Option<String>,
    /// Address that other members connect to, when it differs from the bound one (NAT, containers)
    #[arg(long, global = true, value_name = "HOST[:PORT]", env = "CONVOKE_PUBLIC_ADDRESS")]
    pub(crate) public_address: Option<String>,
    /// HTTP port: health, metrics, status [default: 8080]
    #[arg(long, global = true, value_name = "PORT", env = "CONVOKE_PORT", value_parser = port())]
    pub(crate) port: Option<u16>,
    /// If the HTTP port is in use, use the next free one
    #[arg(long, global = true, env = "CONVOKE_AUTO_BIND_HTTP", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub(crate) auto_bind_http: Option<bool>,
    /// Number of further ports that --auto-bind-http tries [default: 5]
    #[arg(long, global = true, value_name = "COUNT", env = "CONVOKE_AUTO_BIND_RANGE")]
    pub(crate) auto_bind_range: Option<u16>,
    /// RESP port, for Redis clients; if it is in use, the next 100 ports are tried. Loopback only,
    /// unless a client password is set. 0 turns RESP off [default: 6379]
    #[arg(long, global = true, value_name = "PORT", env = "CONVOKE_RESP_PORT")]
    pub(crate) resp_port: Option<u16>,
    /// Address that RESP clients connect to, when it differs from the member's address and RESP
    /// port (NAT, containers); reported to Redis Cluster clients. An omitted part keeps its value
    #[arg(long, global = true, value_name = "[HOST][:PORT]", env = "CONVOKE_RESP_PUBLIC_ADDRESS")]
    pub(crate) resp_public_address: Option<String>,
    /// Address that HTTP clients connect to, when it differs from the member's address and HTTP
    /// port; shown in lists and on the pages of a domain server. An omitted part keeps its value
    #[arg(long, global = true, value_name = "[HOST][:PORT]", env = "CONVOKE_HTTP_PUBLIC_ADDRESS")]
    pub(crate) http_public_address: Option<String>,
    /// Password that RESP and HTTP clients need to use the data. Other users of this host can read
    /// it in the process list: prefer the file or the environment variable
    #[arg(
        long,
        global = true,
        value_name = "PASSWORD",
        env = "CONVOKE_CLIENT_PASSWORD",
        hide_env_values = true
    )]
    pub(crate) client_password: Option<String>,
    /// File that contains the client password
    #[arg(long, global = true, value_name = "FILE", env = "CONVOKE_CLIENT_PASSWORD_FILE")]
    pub(crate) client_password_file: Option<PathBuf>,
    /// Keyspace notifications to publish, until changed with CONFIG SET: letters as in Redis, such
    /// as Ex [default: none]
    #[arg(long, global = true, value_name = "LETTERS", env = "CONVOKE_NOTIFY_KEYSPACE_EVENTS")]
    pub(crate) notify_keyspace_events: Option<String>,
    /// Maximum number of RESP clients [default: 10000]
    #[arg(long, global = true, value_name = "COUNT", env = "CONVOKE_MAX_CLIENTS")]
    pub(crate) max_clients: Option<u32>,
    /// Seconds after which an idle RESP client is disconnected; 0 means never [default: 0]
    #[arg(long, global = true, value_name = "SECONDS", env = "CONVOKE_CLIENT_IDLE_S")]
    pub(crate) client_idle_s: Option<u32>,
    /// Act as a node of a Redis Cluster: cluster-aware clients are redirected to the member that
    /// holds a key
    #[arg(long, global = true, env = "CONVOKE_REDIS_CLUSTER", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub(crate) redis_cluster: Option<bool>,
    /// Refuse writes while the cluster has fewer members than this [default: 1]
    #[arg(long, global = true, value_name = "COUNT", env = "CONVOKE_MIN_MEMBERS")]
    pub(crate) min_members: Option<u32>,
    /// Number of partitions; must be the same on all members [default: 271]
    #[arg(long, global = true, value_name = "COUNT", env = "CONVOKE_PARTITIONS")]
    pub(crate) partitions: Option<u16>,
    /// Join although [maps] differ from the cluster's settings; they take effect once this member
    /// is the oldest. To change map settings, restart the members one at a time with this option
    #[arg(long, global = true, env = "CONVOKE_CHANGE_MAPS", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub(crate) change_maps: Option<bool>,
    /// Threads that serve clients and other members [default: the number of cores minus one]
    #[arg(long, global = true, value_name = "COUNT", env = "CONVOKE_WORKERS")]
    pub(crate) workers: Option<u16>,
    /// Directory for modes with the grant `store`; each gets a subdirectory [default: convoke in
    /// $XDG_STATE_HOME or ~/.local/state]
    #[arg(long, global = true, value_name = "FOLDER", env = "CONVOKE_STATE_DIRECTORY")]
    pub(crate) state_directory: Option<PathBuf>,
    /// Configuration file [default: convoke.toml, if it exists]
    #[arg(long, global = true, value_name = "FILE", env = "CONVOKE_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Run a single member without discovery and member port
    #[arg(long, global = true, env = "CONVOKE_NO_CLUSTER", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub(crate) no_cluster: Option<bool>,
}

/// Subcommands that start no member and do not show its options.
const OF_NO_MEMBER: [&[&str]; 5] = [
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

/// Environment variables that look like a misspelt variable of ours, with the one that is probably
/// meant.
pub(super) fn misspelt(variables: impl Iterator<Item = String>) -> Vec<(String, String)> {
    /// Edits from one to the other, at most.
    const EDITS_MAX: usize = 2;
    let command = command();
    let ours: Vec<&str> =
        command.get_arguments().filter_map(|arg| arg.get_env()?.to_str()).collect();
    let meant = |variable: &str| {
        if !variable.starts_with("CONVOKE_") || ours.contains(&variable) {
            return None;
        }
        let near = ours.iter().map(|known| (super::modes::distance(variable, known), *known));
        near.filter(|(edits, _)| *edits <= EDITS_MAX).min().map(|(_, known)| known.to_owned())
    };
    variables.filter_map(|variable| meant(&variable).map(|known| (variable, known))).collect()
}

fn port() -> clap::builder::RangedI64ValueParser<u16> {
    clap::value_parser!(u16).range(1..)
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

/// Text to print instead of starting, with the exit code.
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
        let matches = command.try_get_matches_from(arguments).map_err(|e| EarlyExit::of(&e))?;
        let cli = Cli::from_arg_matches(&matches).map_err(|e| EarlyExit::of(&e))?;
        Ok(Self { cli, matches })
    }

    /// Whether an option was set by the environment, and not on the command line.
    pub(crate) fn is_from_environment(&self, id: &str) -> bool {
        source(&self.matches, id) == Some(ValueSource::EnvVariable)
    }

    /// The name of the option or variable by which a setting was given.
    pub(crate) fn origin(&self, id: &str) -> String {
        let option = id.replace('_', "-");
        match source(&self.matches, id) {
            Some(ValueSource::EnvVariable) => format!("CONVOKE_{}", id.to_uppercase()),
            _ => format!("--{option}"),
        }
    }
}

/// Where an option was set; `None` if it was not set, or does not exist.
fn source(matches: &ArgMatches, id: &str) -> Option<ValueSource> {
    let inner = matches.subcommand().map_or(matches, |(_, matches)| matches);
    inner.try_contains_id(id).ok().and_then(|_| inner.value_source(id))
}

/// The precedence of the source of an option; higher wins. 0 is the file, or no source.
pub(super) fn rank(matches: &ArgMatches, id: &str) -> u8 {
    match source(matches, id) {
        Some(ValueSource::CommandLine) => 2,
        Some(ValueSource::EnvVariable) => 1,
        _ => 0,
    }
}

/// Those keys of a file that the command line or the environment sets as well.
pub(super) fn overriding(matches: &ArgMatches, keys: &[String]) -> Vec<String> {
    let is_given = |key: &&String| {
        let id = key.replace('-', "_");
        // Discovery and secrets have two keys each.
        let other = match id.as_str() {
            "discovery" => "cluster_mode".to_owned(),
            "cluster_password" | "client_password" => format!("{id}_file"),
            _ => id.trim_end_matches("_file").to_owned(),
        };
        rank(matches, &id) > 0 || rank(matches, &other) > 0
    };
    keys.iter().filter(is_given).cloned().collect()
}

impl EarlyExit {
    /// Help and version are printed unchanged; an error is reduced to one line.
    fn of(error: &clap::Error) -> Self {
        let rendered: StyledStr = error.render();
        if !error.use_stderr() {
            return Self { text: rendered.to_string(), code: 0 };
        }
        let text = rendered.to_string();
        let message = text.split("\nUsage:").next().unwrap_or_default();
        let message = message.split("\nFor more information").next().unwrap_or_default();
        let line: Vec<&str> = message.split_whitespace().collect();
        let line = line.join(" ");
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
        for line in ["plugin", "plugin new", "plugin inspect", "config convert"] {
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

    #[test]
    fn an_origin_is_named_as_the_user_wrote_it() {
        assert_eq!(read("--mc-address x").unwrap().origin("mc_address"), "--mc-address");
    }
}
