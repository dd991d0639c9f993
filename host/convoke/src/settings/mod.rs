//! Resolves the settings: command line over environment over file over default. All of them are
//! checked before anything starts.

pub(crate) mod agreed;
mod cli;
mod contradictions;
mod data;
mod file;
mod hazelcast;
mod modes;
mod plugin;
mod spelling;

use std::io::Read as _;
use std::net::IpAddr;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use convoke_discovery::is_dns_name;
use convoke_membership::Service;
use convoke_membership::member::NAME_BYTES_MAX;
use convoke_wire::PASSWORD_BYTES_MAX;
use zeroize::Zeroizing;

pub(crate) use cli::{Command, CommandLine, ConfigCommand, EarlyExit};
pub(crate) use data::{ClientSettings, DataSettings};
pub(crate) use file::describe_toml_error as toml_error;
#[cfg(test)]
pub(crate) use modes::BUILT_IN;
pub(crate) use modes::ModeSettings;
pub(crate) use plugin::{Language, NewArgs, PluginCommand, TryArgs};

use crate::folders;
use crate::interfaces::Pattern;
use contradictions::{Resolved, Sources};
use file::File;

/// Read if it exists and no other file is given.
const DEFAULT_FILE: &str = "convoke.toml";

/// The defaults that differ between a member and a domain server.
struct Defaults {
    start_port: u16,
    port: u16,
    name: Option<&'static str>,
    group: &'static str,
}

const INSTANCE: Defaults = Defaults { start_port: 6900, port: 8080, name: None, group: "convoke" };
const DOMAIN_SERVER: Defaults =
    Defaults { start_port: 4900, port: 4848, name: Some("server"), group: "server-config" };

/// An error in the configuration: what is wrong, where, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct SettingsError(pub(crate) String);

/// All settings, resolved.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) cluster_name: String,
    pub(crate) password: Zeroizing<Vec<u8>>,
    pub(crate) modes: Vec<ModeSettings>,
    pub(crate) mc_address: Option<IpAddr>,
    pub(crate) mc_port: u16,
    pub(crate) mc_ttl: u8,
    pub(crate) start_port: u16,
    /// Number of member ports that are tried.
    pub(crate) start_port_range: u16,
    pub(crate) lite: bool,
    pub(crate) name: Option<String>,
    pub(crate) group: String,
    pub(crate) interfaces: Vec<Pattern>,
    pub(crate) public_address: Option<PublicAddress>,
    /// The address that RESP clients connect to.
    pub(crate) resp_public_address: Option<ClientAddress>,
    /// The address that HTTP clients connect to.
    pub(crate) http_public_address: Option<ClientAddress>,
    pub(crate) port: u16,
    pub(crate) auto_bind_http: bool,
    pub(crate) auto_bind_range: u16,
    pub(crate) no_cluster: bool,
    /// Threads that serve clients and other members.
    pub(crate) workers: u16,
    /// Directory of what modes store.
    pub(crate) state_directory: Option<PathBuf>,
    /// Whether this member is a domain server, which listens on its start port only.
    pub(crate) domain_server: bool,
    pub(crate) data: DataSettings,
    pub(crate) clients: ClientSettings,
    /// The file that was read, for the log.
    pub(crate) file: Option<PathBuf>,
    /// Its keys that the command line or the environment overrides.
    pub(crate) overridden: Vec<String>,
    /// A warning about the file.
    pub(crate) warning: Option<String>,
    /// Contradictions between sources, and which one wins; one line each.
    pub(crate) notes: Vec<String>,
}

/// Default number of member ports that are tried.
const START_PORT_RANGE: u16 = 100;

/// The UTF-8 byte order mark (Unicode 15, section 23.8), which some Windows editors write.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// Largest password file, in bytes: a password, and a trailing line break.
const PASSWORD_FILE_BYTES_MAX: usize = BYTE_ORDER_MARK.len() + PASSWORD_BYTES_MAX + 2;
/// How long to wait for the writer of a pipe, in seconds.
const PIPE_WAIT_S: u64 = 10;

/// Worker threads, at most.
const WORKERS_MAX: u16 = 256;
/// Worker threads by default, at most.
const DEFAULT_WORKERS_MAX: usize = 16;

/// The default is the number of cores minus one: the kernel's network processing takes about one
/// core, and threads that compete for it cost more than they add. Modes have a thread of their own.
fn workers(given: Option<u16>) -> Result<u16, SettingsError> {
    match given {
        None => {
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            let defaults = cores.saturating_sub(1).clamp(1, DEFAULT_WORKERS_MAX);
            Ok(u16::try_from(defaults).unwrap_or(1))
        }
        Some(count) if (1..=WORKERS_MAX).contains(&count) => Ok(count),
        Some(count) => {
            Err(SettingsError(format!("workers is {count}; expected 1 to {WORKERS_MAX}")))
        }
    }
}

/// The address that other members connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PublicAddress {
    pub(crate) host: String,
    pub(crate) port: Option<u16>,
}

/// The address that clients connect to for a service, where it differs from the member's address
/// and the port of the listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClientAddress {
    host: Option<String>,
    port: Option<u16>,
}

impl ClientAddress {
    /// The service of the listener on this port.
    pub(crate) fn service(public: Option<&Self>, port: u16) -> Service {
        match public {
            Some(Self { host, port: own }) => {
                Service { host: host.clone(), port: own.unwrap_or(port) }
            }
            None => Service::at(port),
        }
    }
}

/// Converts a Hazelcast file to the Convoke format.
pub(crate) fn convert(path: &Path) -> Result<String, SettingsError> {
    let refused = |why: String| SettingsError(format!("{}: {why}", path.display()));
    let text = file::read_text(path)?;
    let translated = hazelcast::translate(&text, &file::surroundings(path)).map_err(refused)?;
    translated.to_toml(&path.display().to_string()).map_err(refused)
}

impl Settings {
    /// Combines all sources.
    pub(crate) fn resolve(given: CommandLine) -> Result<Self, SettingsError> {
        let mc_address_from = given.origin("mc_address");
        let interfaces_from = given.origin("interfaces");
        let public_from = given.origin("public_address");
        let clients_from =
            ["resp_public_address", "http_public_address"].map(|id| given.origin(id));
        let secrets = ["cluster_password", "client_password"].map(|option| {
            [option.to_owned(), format!("{option}_file")]
                .map(|option| given.is_from_environment(&option))
        });
        let domain_server = matches!(given.cli.command, Some(Command::Domain));
        let defaults = if domain_server { &DOMAIN_SERVER } else { &INSTANCE };
        let mut options = given.cli.options;
        let mut notes = Vec::new();
        let variables = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        for (variable, meant) in cli::misspelt(variables) {
            notes.push(format!("{variable} has no effect: did you mean {meant}?"));
        }
        let own = pick_source(
            "cluster-password",
            secrets[0],
            (options.cluster_password.take(), options.cluster_password_file.take()),
            &mut notes,
        );
        let own_for_clients = pick_source(
            "client-password",
            secrets[1],
            (options.client_password.take(), options.client_password_file.take()),
            &mut notes,
        );
        let path = options.config.clone().or_else(|| {
            let defaults = Path::new(DEFAULT_FILE);
            defaults.is_file().then(|| defaults.to_owned())
        });
        let (file, warning) = path.as_deref().map(File::read).transpose()?.unwrap_or_default();
        let keys = file.keys();
        let mut overridden = cli::overriding(&given.matches, &keys);
        let sources = Sources { matches: &given.matches, path: path.as_deref(), keys: &keys };
        let from_file = |key: &str| match &path {
            Some(path) => format!("{}: {key}", path.display()),
            None => key.to_owned(),
        };

        let data = DataSettings::resolve(&options, &file)?;
        let clients = ClientSettings::resolve(&options, &file, own_for_clients)?;
        let mut modes = modes::resolve(
            options.cluster_mode.clone(),
            file.cluster_mode.clone(),
            &file.discovery,
            modes::Environment::here(),
        )?;
        contradictions::group(&sources, &options, &file, &mut modes, &mut notes)?;
        contradictions::unused(&sources, &options, &file, &modes, &mut notes);
        let is_set = options.no_cluster.or(file.no_cluster).unwrap_or(false);
        let no_cluster = contradictions::no_cluster(&sources, is_set, &mut notes);
        if file.no_cluster == Some(true)
            && !no_cluster
            && !overridden.iter().any(|key| key == "no-cluster")
        {
            overridden.push("no-cluster".to_owned());
        }
        let resolved = Resolved {
            clients: &clients,
            no_cluster,
            lite: options.lite.or(file.lite).unwrap_or(false),
            min_members: data.min_members,
            auto_bind_http: options.auto_bind_http.or(file.auto_bind_http).unwrap_or(false),
        };
        contradictions::check(&sources, &resolved, &mut notes)?;
        let given = |option: Option<String>, from: String, file: Option<String>, key: &str| {
            let of_file = || file.map(|text| (text, from_file(key)));
            option.map(|text| (text, from)).or_else(of_file)
        };
        let mc_address = given(options.mc_address, mc_address_from, file.mc_address, "mc-address")
            .map(|(text, from)| multicast_group(&text, &from))
            .transpose()?;

        let (texts, from) = match options.interfaces {
            Some(text) => (vec![text], interfaces_from),
            None => (
                file.interfaces.map(file::OneOrMore::into_vec).unwrap_or_default(),
                from_file("interfaces"),
            ),
        };
        let interfaces = texts
            .iter()
            .flat_map(|text| text.split([',', ';']).map(str::trim))
            .filter(|text| !text.is_empty() || texts.len() == 1)
            .map(|text| text.parse().map_err(|e| SettingsError(format!("{from}: {e}"))))
            .collect::<Result<Vec<_>, _>>()?;

        let public_address =
            given(options.public_address, public_from, file.public_address, "public-address")
                .map(|(text, from)| public_address(&text, &from))
                .transpose()?;
        let [resp_from, http_from] = clients_from;
        let for_clients = |given: Option<(String, String)>| {
            given.map(|(text, from)| client_address(&text, &from)).transpose()
        };
        let resp_public_address = for_clients(given(
            options.resp_public_address,
            resp_from,
            file.resp_public_address,
            "resp-public-address",
        ))?;
        let http_public_address = for_clients(given(
            options.http_public_address,
            http_from,
            file.http_public_address,
            "http-public-address",
        ))?;
        if resp_public_address.is_some() && clients.resp_port.is_none() {
            return Err(SettingsError(
                "resp-public-address is set, but RESP is off: resp-port is 0; remove one of them"
                    .into(),
            ));
        }

        let cluster_name =
            options.cluster_name.or(file.cluster_name).unwrap_or_else(|| "development".to_owned());
        if cluster_name.chars().any(char::is_control) {
            return Err(SettingsError(format!(
                "cluster-name {cluster_name:?} has control characters; remove them"
            )));
        }
        if cluster_name.trim().is_empty() {
            return Err(SettingsError(
                "--cluster-name is empty; set a name, or omit it for \"development\"".into(),
            ));
        }
        let from_file_too = (file.cluster_password, file.cluster_password_file);
        let password =
            password("cluster-password", if own == (None, None) { from_file_too } else { own })?;
        if no_cluster && domain_server {
            return Err(SettingsError(
                "no-cluster is set, but a domain server exists for others to join; remove it"
                    .into(),
            ));
        }

        Ok(Self {
            cluster_name,
            password,
            modes,
            mc_address,
            mc_port: in_range("mc-port", options.mc_port.or(file.mc_port).unwrap_or(2904))?,
            mc_ttl: options.mc_ttl.or(file.mc_ttl).unwrap_or(32),
            start_port: in_range(
                "start-port",
                options.start_port.or(file.start_port).unwrap_or(defaults.start_port),
            )?,
            start_port_range: match options.start_port_range.or(file.start_port_range) {
                Some(0) => {
                    return Err(SettingsError(
                        "start-port-range is 0; expected 1 or more ports".into(),
                    ));
                }
                range => range.unwrap_or(START_PORT_RANGE),
            },
            lite: options.lite.or(file.lite).unwrap_or(false),
            name: options
                .name
                .or(file.name)
                .or(defaults.name.map(Into::into))
                .map(|name| checked_name("name", name))
                .transpose()?,
            group: checked_name(
                "group",
                options.group.or(file.group).unwrap_or_else(|| defaults.group.into()),
            )?,
            interfaces,
            public_address,
            resp_public_address,
            http_public_address,
            port: in_range("port", options.port.or(file.port).unwrap_or(defaults.port))?,
            auto_bind_http: options.auto_bind_http.or(file.auto_bind_http).unwrap_or(false),
            auto_bind_range: options.auto_bind_range.or(file.auto_bind_range).unwrap_or(5),
            no_cluster,
            workers: workers(options.workers.or(file.workers))?,
            state_directory: options
                .state_directory
                .or(file.state_directory)
                .or_else(folders::state),
            domain_server,
            data,
            clients,
            file: path,
            overridden,
            warning,
            notes,
        })
    }
}

fn in_range(key: &str, port: u16) -> Result<u16, SettingsError> {
    if port == 0 {
        return Err(SettingsError(format!("{key} is 0; expected 1 to 65535")));
    }
    Ok(port)
}

/// Whether the text is valid as the name of a member or group.
fn is_valid_name(text: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&text.len()) && !text.chars().any(char::is_control)
}

fn checked_name(key: &str, text: String) -> Result<String, SettingsError> {
    if is_valid_name(&text) {
        return Ok(text);
    }
    Err(SettingsError(format!(
        "{key} {text:?} must have 1 to {NAME_BYTES_MAX} bytes and no control characters"
    )))
}

fn multicast_group(text: &str, from: &str) -> Result<IpAddr, SettingsError> {
    let literal = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    match literal.parse::<IpAddr>() {
        Ok(group) if group.is_multicast() => Ok(group),
        _ => Err(SettingsError(format!(
            "{from}: {text:?} is not a multicast address; expected 224.0.0.0 to 239.255.255.255, or ff00::/8"
        ))),
    }
}

fn public_address(text: &str, from: &str) -> Result<PublicAddress, SettingsError> {
    let malformed = || {
        SettingsError(format!(
            "{from}: {text:?} is not an address that other members can connect to; expected host, host:port or [ipv6]:port"
        ))
    };
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or_else(malformed)?;
        host.parse::<std::net::Ipv6Addr>().map_err(|_| malformed())?;
        (host, rest.strip_prefix(':').or(if rest.is_empty() { None } else { Some("") }))
    } else if text.parse::<std::net::Ipv6Addr>().is_ok() {
        (text, None)
    } else {
        match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        }
    };
    let port = port.map(|p| p.parse::<u16>().ok().filter(|p| *p > 0).ok_or_else(malformed));
    // A name that cannot exist is refused, since a name is waited for until it resolves.
    let is_number = host.chars().all(|c| c.is_ascii_digit() || c == '.');
    let is_name = is_dns_name(host.strip_suffix('.').unwrap_or(host)) && !is_number;
    if !is_name && host.parse::<IpAddr>().is_err() {
        return Err(malformed());
    }
    Ok(PublicAddress { host: host.to_owned(), port: port.transpose()? })
}

fn client_address(text: &str, from: &str) -> Result<ClientAddress, SettingsError> {
    let malformed = || {
        SettingsError(format!(
            "{from}: {text:?} is not an address that clients can connect to; expected host, host:port, [ipv6]:port or :port"
        ))
    };
    let port = text.strip_prefix(':').and_then(|port| port.parse::<u16>().ok());
    if let Some(port) = port.filter(|port| *port > 0) {
        return Ok(ClientAddress { host: None, port: Some(port) });
    }
    let PublicAddress { host, port } = public_address(text, from).map_err(|_| malformed())?;
    let is_nowhere = |ip: IpAddr| ip.is_unspecified() || ip.is_multicast();
    if !Service::is_host(&host) || host.parse().is_ok_and(is_nowhere) {
        return Err(malformed());
    }
    Ok(ClientAddress { host: Some(host), port })
}

/// Of a secret and a file that contains it, keeps the one from the command line when the other is
/// from the environment.
fn pick_source(
    key: &str,
    environment: [bool; 2],
    (text, file): (Option<String>, Option<PathBuf>),
    notes: &mut Vec<String>,
) -> (Option<String>, Option<PathBuf>) {
    let variable = format!("CONVOKE_{}", key.replace('-', "_").to_uppercase());
    match environment {
        [true, false] if text.is_some() && file.is_some() => {
            notes.push(format!("--{key}-file overrides {variable}"));
            (None, file)
        }
        [false, true] if text.is_some() && file.is_some() => {
            notes.push(format!("--{key} overrides {variable}_FILE"));
            (text, None)
        }
        _ => (text, file),
    }
}

fn password(
    what: &str,
    (text, file): (Option<String>, Option<PathBuf>),
) -> Result<Zeroizing<Vec<u8>>, SettingsError> {
    match (text, file) {
        (Some(_), Some(_)) => {
            Err(SettingsError(format!("both {what} and {what}-file are set; keep one of them")))
        }
        (Some(text), None) => Ok(Zeroizing::new(text.into_bytes())),
        (None, Some(path)) => {
            let mut bytes =
                Zeroizing::new(read_bounded(&path, PASSWORD_FILE_BYTES_MAX).map_err(|e| {
                    SettingsError(format!(
                        "the password file {} cannot be read: {e}",
                        path.display()
                    ))
                })?);
            while matches!(bytes.last(), Some(b'\n' | b'\r')) {
                bytes.pop();
            }
            if bytes.starts_with(BYTE_ORDER_MARK) {
                bytes.drain(..BYTE_ORDER_MARK.len());
            }
            if bytes.contains(&0) {
                return Err(SettingsError(format!(
                    "the password file {} contains NUL bytes; save it as UTF-8 text",
                    path.display()
                )));
            }
            if bytes.len() > PASSWORD_BYTES_MAX {
                return Err(SettingsError(format!(
                    "the password file {} has more than {PASSWORD_BYTES_MAX} bytes",
                    path.display()
                )));
            }
            if bytes.is_empty() {
                let path = path.display();
                return Err(SettingsError(format!("the password file {path} is empty")));
            }
            Ok(bytes)
        }
        (None, None) => Ok(Zeroizing::default()),
    }
}

/// Reads a whole file of at most `bytes_max`, regardless of the size that the system reports. Waits
/// for the writer of a pipe, such as a shell's `<(command)`, for at most [`PIPE_WAIT_S`].
pub(crate) fn read_bounded(path: &Path, bytes_max: usize) -> std::io::Result<Vec<u8>> {
    let is_pipe = std::fs::metadata(path)?.file_type().is_fifo();
    let path = path.to_owned();
    let read = move || {
        let mut bytes = Vec::new();
        std::fs::File::open(path)?.take(bytes_max as u64 + 1).read_to_end(&mut bytes)?;
        if bytes.len() > bytes_max {
            return Err(std::io::Error::other(format!("it has more than {bytes_max} bytes")));
        }
        Ok(bytes)
    };
    if !is_pipe {
        return read();
    }
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || sender.send(read()));
    let wait = Duration::from_secs(PIPE_WAIT_S);
    receiver.recv_timeout(wait).unwrap_or_else(|_| {
        Err(std::io::Error::other(format!(
            "it is a pipe, and its writer did not finish within {PIPE_WAIT_S} s"
        )))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(arguments: &[&str]) -> Result<Settings, SettingsError> {
        let arguments = std::iter::once(&"convoke").chain(arguments).map(|a| (*a).into());
        Settings::resolve(CommandLine::read(arguments).expect("a well-formed command line"))
    }

    fn refusal(arguments: &[&str]) -> String {
        resolve(arguments).unwrap_err().to_string()
    }

    #[test]
    fn a_pipe_is_read_as_a_file_is() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        std::io::Write::write_all(&mut writer, b"secret").unwrap();
        drop(writer);
        let path = format!("/dev/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&reader));
        assert_eq!(read_bounded(Path::new(&path), 6).unwrap(), b"secret");
    }

    #[test]
    fn defaults_match_the_readme() {
        let settings = resolve(&[]).unwrap();
        assert_eq!(settings.cluster_name, "development");
        assert_eq!((settings.start_port, settings.mc_port, settings.port), (6900, 2904, 8080));
        assert_eq!(settings.modes.len(), 1);
        assert_eq!(settings.modes[0].name, "multicast");
        assert!(settings.password.is_empty() && !settings.lite);
    }

    #[test]
    fn a_group_that_is_not_multicast_is_refused() {
        assert_eq!(
            refusal(&["--mcAddress", "10.0.0.1"]),
            "--mc-address: \"10.0.0.1\" is not a multicast address; expected 224.0.0.0 to 239.255.255.255, or ff00::/8"
        );
        assert!(resolve(&["--mc-address", "[ff02::1]"]).is_ok());
    }

    #[test]
    fn public_addresses_are_hosts_with_or_without_a_port() {
        let read = |text| public_address(text, "--public-address").map(|p| (p.host, p.port));
        assert_eq!(read("a.example:7000").unwrap(), ("a.example".into(), Some(7000)));
        assert_eq!(read("[2001:db8::1]:7000").unwrap(), ("2001:db8::1".into(), Some(7000)));
        assert_eq!(read("2001:db8::1").unwrap(), ("2001:db8::1".into(), None));
        assert_eq!(read("m_0.example.").unwrap(), ("m_0.example.".into(), None));
        for wrong in [
            "",
            ":7000",
            "a:0",
            "a:70000",
            "[::1",
            "[::1]x",
            "a b",
            "a:b:c",
            "a..b",
            "-a",
            "10.0.0.300",
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn client_addresses_are_a_host_a_port_or_both() {
        let read = |text: &str| {
            let settings = resolve(&["--resp-public-address", text])?;
            Ok(ClientAddress::service(settings.resp_public_address.as_ref(), 6379)
                .address("10.0.0.1".parse().unwrap()))
        };
        for (text, dialled) in [
            ("cache.example", "cache.example:6379"),
            ("cache.example:7000", "cache.example:7000"),
            (":7000", "10.0.0.1:7000"),
            ("2001:db8::1", "[2001:db8::1]:6379"),
            ("[2001:db8::1]:7000", "[2001:db8::1]:7000"),
            ("192.0.2.1:7000", "192.0.2.1:7000"),
        ] {
            assert_eq!(read(text).map_err(|e: SettingsError| e.to_string()), Ok(dialled.into()));
        }
        for wrong in ["", ":0", ":x", "7000", "0.0.0.0", "224.0.0.1", "a b", "a:0", "::"] {
            let error = read(wrong).unwrap_err().to_string();
            assert!(
                error.contains("--resp-public-address") && error.contains("or :port"),
                "{error}"
            );
        }
        let off = refusal(&["--resp-port", "0", "--resp-public-address", "a"]);
        assert!(off.contains("resp-port is 0"), "{off}");
    }

    #[test]
    fn settings_that_the_command_line_overrides_are_reported() {
        let file = std::env::temp_dir().join(format!("convoke-wins-{}.xml", std::process::id()));
        std::fs::write(&file, "<hazelcast><cluster-name>a</cluster-name></hazelcast>").unwrap();
        let path = file.display().to_string();
        let outcome = |more: &[&str]| {
            let settings = resolve(&[&["--hzConfigFile", &path], more].concat()).unwrap();
            (settings.cluster_name, settings.overridden)
        };
        assert_eq!(outcome(&[]), ("a".to_owned(), Vec::new()));
        let (name, overridden) =
            outcome(&["--clusterName", "b", "--clusterMode", "tcpip:10.0.0.1"]);
        assert_eq!((name.as_str(), overridden.join(" ").as_str()), ("b", "cluster-name discovery"));
        std::fs::remove_file(&file).unwrap();
        let file = file.with_extension("toml");
        let path = file.display().to_string();
        std::fs::write(&file, "no-cluster = true\n").unwrap();
        let settings = |more: &[&str]| resolve(&[&["--config", &path], more].concat()).unwrap();
        assert!(settings(&[]).no_cluster);
        let found = settings(&["--cluster-mode", "tcpip:10.0.0.1"]);
        assert_eq!((found.no_cluster, found.overridden.join(" ").as_str()), (false, "no-cluster"));
        let both = settings(&["--cluster-mode", "tcpip:10.0.0.1", "--no-cluster"]);
        assert!(both.no_cluster);
        std::fs::remove_file(file).unwrap();
    }

    /// Resolves settings with this file and these options.
    fn with_file(name: &str, text: &str, more: &[&str]) -> Result<Settings, String> {
        let file = std::env::temp_dir().join(format!("convoke-{}-{name}", std::process::id()));
        std::fs::write(&file, text).unwrap();
        let path = file.display().to_string();
        let resolved = resolve(&[&["--config", &path], more].concat());
        std::fs::remove_file(&file).unwrap();
        resolved.map_err(|error| error.to_string().replace(&path, "FILE"))
    }

    #[test]
    fn the_source_with_higher_precedence_wins_and_is_reported() {
        let notes = |text: &str, more: &[&str]| {
            let settings = with_file("notes.toml", text, more).unwrap();
            let file = settings.file.as_ref().unwrap().display().to_string();
            let notes = settings.notes.join("; ").replace(&file, "FILE");
            (settings, notes)
        };
        let (settings, said) = notes("no-cluster = true", &["--cluster-mode", "tcpip:10.0.0.1"]);
        assert!(!settings.no_cluster);
        assert_eq!(
            said,
            "--cluster-mode overrides no-cluster in FILE: this member looks for a cluster"
        );
        let (settings, said) = notes("[[discovery]]\nmode = \"multicast\"", &["--no-cluster"]);
        assert!(settings.no_cluster);
        assert_eq!(
            said,
            "--no-cluster overrides discovery in FILE: this member runs without a cluster"
        );
        let both = ["--no-cluster", "--cluster-mode", "tcpip:10.0.0.1"];
        let (settings, said) = notes("", &both);
        assert!(settings.no_cluster && said.starts_with("--no-cluster overrides --cluster-mode"));
        let (_, said) = notes("lite = true\nmin-members = 3", &[]);
        assert!(said.starts_with("lite is set, so min-members in FILE has no effect"), "{said}");
        let (_, said) = notes("min-members = 3", &["--no-cluster"]);
        assert!(said.contains("every write is refused"), "{said}");
        let (_, said) = notes("resp-port = 0\nredis-cluster = true", &[]);
        assert_eq!(said, "resp-port in FILE is 0: redis-cluster in FILE has no effect");
        let (_, said) = notes("cluster-mode = \"tcpip:10.0.0.1\"", &["--mc-port", "3000"]);
        assert_eq!(said, "--mc-port has no effect: no configured mode uses multicast");
        let (_, said) = notes("", &["--auto-bind-range", "9"]);
        assert_eq!(said, "--auto-bind-range has no effect without auto-bind-http");
        assert_eq!(notes("min-members = 3\nauto-bind-range = 9", &["--resp-port", "0"]).1, "");
    }

    #[test]
    fn the_multicast_group_of_the_source_with_higher_precedence_wins() {
        let group = |text: &str, more: &[&str]| {
            let settings = with_file("group.toml", text, more).unwrap();
            (settings.modes[0].argument.clone(), settings.notes.len())
        };
        let file = "cluster-mode = \"multicast:224.2.2.9:3000\"";
        assert_eq!(group(file, &[]), ("224.2.2.9:3000".to_owned(), 0));
        assert_eq!(group(file, &["--mc-port", "3000"]).1, 0, "the same");
        assert_eq!(group(file, &["--mcPort", "3001"]), ("224.2.2.9:3001".to_owned(), 1));
        assert_eq!(
            group(file, &["--mc-address", "[ff02::1]", "--mc-port", "3001"]),
            ("[ff02::1]:3001".to_owned(), 2)
        );
        assert_eq!(
            group("mc-port = 4000", &["--cluster-mode", "multicast:224.2.2.9:3000"]),
            ("224.2.2.9:3000".to_owned(), 1)
        );
        let refusal = |text: &str, more: &[&str]| with_file("groups.toml", text, more).unwrap_err();
        assert_eq!(
            refusal(&format!("{file}\nmc-port = 3001"), &[]),
            "cluster-mode in FILE sets 3000 for multicast, and mc-port in FILE sets 3001; keep one of them"
        );
        let both = ["--cluster-mode", "multicast:224.2.2.9:3000", "--mc-address", "224.2.2.8"];
        assert!(refusal("", &both).contains("--mc-address sets 224.2.2.8; keep one of them"));
    }

    #[test]
    fn the_command_line_overrides_the_group_of_a_hazelcast_file() {
        let text =
            "<hazelcast><network><join><multicast enabled='true'/></join></network></hazelcast>";
        let settings = with_file("group.xml", text, &["--mcPort", "3001"]).unwrap();
        assert_eq!(settings.modes[0].argument, "224.2.2.3:3001");
        assert!(settings.notes[0].starts_with("--mc-port overrides discovery in "));
    }

    #[test]
    fn the_command_line_overrides_the_settings_of_a_table() {
        let table = "[[discovery]]\nmode = \"multicast\"\nsettings = { port = \"77\", group = \"239.1.1.9\" }\n";
        let settings = with_file("table.toml", table, &["--mc-port", "78"]).unwrap();
        assert_eq!(settings.modes[0].settings, [("group".to_owned(), "239.1.1.9".to_owned())]);
        assert!(settings.notes[0].contains("multicast uses 78, not 77"), "{:?}", settings.notes);
        let same = with_file("table.toml", table, &["--mc-port", "77"]).unwrap();
        assert!(same.notes.is_empty(), "{:?}", same.notes);
        let both = format!("mc-port = 78\n{table}");
        let refusal = with_file("table.toml", &both, &[]).unwrap_err();
        assert!(refusal.contains("sets 77 for multicast"), "{refusal}");
        let unused =
            "cluster-mode = \"tcpip:10.0.0.1\"\n[[discovery]]\nmode = \"dns\"\nargument = \"h\"\n";
        let settings = with_file("table.toml", unused, &[]).unwrap();
        assert!(settings.notes[0].contains("has no effect"), "{:?}", settings.notes);
    }

    #[test]
    fn byte_order_marks_and_line_breaks_are_not_part_of_a_password() {
        let secret = std::env::temp_dir().join(format!("convoke-marked-{}", std::process::id()));
        let read = |bytes: &[u8]| {
            std::fs::write(&secret, bytes).unwrap();
            let file = secret.display().to_string();
            resolve(&["--cluster-password-file", &file]).map(|settings| settings.password.to_vec())
        };
        assert_eq!(read(b"\xef\xbb\xbfabc\r\n").unwrap(), b"abc");
        let error = read(b"\xff\xfea\0b\0").unwrap_err().to_string();
        assert!(error.contains("UTF-8"), "{error}");
        std::fs::remove_file(secret).unwrap();
        assert!(refusal(&["--cluster-name", "a\nb"]).contains("control characters"));
    }

    #[test]
    fn contradictory_settings_are_refused() {
        let refusal = |text: &str, more: &[&str]| with_file("both.toml", text, more).unwrap_err();
        assert_eq!(
            refusal("lite = true", &["--no-cluster"]),
            "--no-cluster and lite in FILE contradict each other: a single member that stores no data refuses every write; remove one of them"
        );
        assert_eq!(
            refusal("resp-port = 0", &["--redis-cluster"]),
            "--redis-cluster is set, but RESP is off: resp-port in FILE is 0; set --resp-port as well, or remove it"
        );
    }

    #[test]
    fn a_password_file_with_higher_precedence_is_reported_as_overriding() {
        let secret = std::env::temp_dir().join(format!("convoke-secret-{}", std::process::id()));
        // A password of the largest size, and a line break.
        std::fs::write(&secret, format!("{}\r\n", "s".repeat(PASSWORD_BYTES_MAX))).unwrap();
        let option = secret.display().to_string();
        let settings = with_file(
            "secret.toml",
            "cluster-password = \"other\"\nclient-password = \"own\"",
            &["--cluster-password-file", &option],
        );
        let settings = settings.unwrap();
        assert_eq!(settings.password.len(), PASSWORD_BYTES_MAX);
        assert_eq!(settings.overridden, ["cluster-password"]);
        std::fs::write(&secret, "s".repeat(PASSWORD_BYTES_MAX + 1)).unwrap();
        assert!(refusal(&["--cluster-password-file", &option]).contains("has more than"));
        std::fs::remove_file(secret).unwrap();
    }

    #[test]
    fn notifications_accept_the_letters_and_report_the_errors_of_redis() {
        let settings = resolve(&["--notify-keyspace-events", "Ex"]).unwrap();
        assert_eq!(settings.clients.notifications.text(), "xE");
        assert_eq!(
            refusal(&["--notify-keyspace-events", "KQ"]),
            "notify-keyspace-events is \"KQ\": Invalid event class character. Use 'Ag$lshzxeKEtmdn'."
        );
        let file = "notify-keyspace-events = \"KEA\"";
        let of_file = with_file("notify.toml", file, &[]).unwrap();
        assert_eq!(of_file.clients.notifications.text(), "AKE");
        let above = with_file("notify.toml", file, &["--notify-keyspace-events", ""]).unwrap();
        assert_eq!(above.clients.notifications.text(), "");
    }

    #[test]
    fn data_options_are_checked() {
        let settings = resolve(&["--resp-port", "0", "--min-members", "2"]).unwrap();
        assert_eq!((settings.clients.resp_port, settings.data.min_members), (None, 2));
        assert!(refusal(&["--partitions", "0"]).contains("expected 1 to 16384"));
        assert!(refusal(&["--max-clients", "0"]).contains("set resp-port to 0"));
        let both = ["--client-password", "a", "--client-password-file", "b"];
        assert!(refusal(&both).contains("both client-password and client-password-file"));
    }
}
