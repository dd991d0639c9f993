//! Resolves the settings: the command line takes precedence over the environment, the file and the
//! defaults. All settings are checked before anything starts.
//!
//! [`options::Options`] declares every setting; [`Settings::resolve`] checks them and applies
//! defaults.

mod addresses;
pub(crate) mod agreed;
mod checks;
mod cli;
mod contradictions;
mod data;
mod distance;
mod error;
mod file;
mod hazelcast;
mod import;
mod maps;
mod modes;
mod options;
mod plugin;
mod read;
mod secrets;
mod sources;
mod spelling;
mod tables;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

pub(crate) use addresses::{ClientAddress, PublicAddress};
pub(crate) use cli::{Command, CommandLine, ConfigCommand, EarlyExit};
pub(crate) use data::{ClientSettings, DataSettings};
pub(crate) use error::SettingsError;
pub(crate) use file::{convert, describe_toml_error as toml_error};
pub(crate) use hazelcast::UNHONOURED;
pub(crate) use import::{ExistingArg, ImportArgs};
#[cfg(test)]
pub(crate) use modes::BUILT_IN;
pub(crate) use modes::ModeSettings;
pub(crate) use plugin::{Language, NewArgs, PluginCommand, TryArgs};
pub(crate) use read::read_bounded;
pub(crate) use secrets::password as read_password;

use crate::address_pattern::Pattern;
use crate::folders;
use contradictions::Resolved;
use sources::Sources;
use tables::OneOrMore;

/// The file that is read if it exists and no other file is given.
const DEFAULT_FILE: &str = "convoke.toml";

const MC_PORT: u16 = 2904;
const MC_TTL: u8 = 32;
const AUTO_BIND_RANGE: u16 = 5;

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
    /// The address that clients of Hazelcast connect to.
    pub(crate) hazelcast_public_address: Option<ClientAddress>,
    /// The address that HTTP clients connect to.
    pub(crate) http_public_address: Option<ClientAddress>,
    pub(crate) port: u16,
    pub(crate) auto_bind_http: bool,
    pub(crate) auto_bind_range: u16,
    pub(crate) no_cluster: bool,
    /// Threads that serve clients and other members.
    pub(crate) workers: u16,
    /// Directory of the modes' stores.
    pub(crate) state_directory: Option<PathBuf>,
    /// Whether this member is a domain server, which listens on its start port only.
    pub(crate) domain_server: bool,
    pub(crate) data: DataSettings,
    pub(crate) clients: ClientSettings,
    /// The file that was read, for the log.
    pub(crate) file: Option<PathBuf>,
    /// Keys of the file that the command line or the environment overrides.
    pub(crate) overridden: Vec<String>,
    /// A warning about the file.
    pub(crate) warning: Option<String>,
    /// Contradictions between sources, and which one wins; one line each.
    pub(crate) notes: Vec<String>,
}

impl Settings {
    /// Combines all sources.
    pub(crate) fn resolve(given: CommandLine) -> Result<Self, SettingsError> {
        let CommandLine { cli, matches } = given;
        let domain_server = matches!(cli.command, Some(Command::Domain));
        let defaults = if domain_server { &DOMAIN_SERVER } else { &INSTANCE };
        let mut options = cli.options;
        let mut notes = Vec::new();
        let variables = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        for (variable, meant) in cli::misspelt(variables) {
            notes.push(format!("{variable} has no effect: did you mean {meant}?"));
        }
        let path = options.config.take().or_else(|| {
            let defaults = Path::new(DEFAULT_FILE);
            defaults.is_file().then(|| defaults.to_owned())
        });
        let (file, warning) = path.as_deref().map(file::read).transpose()?.unwrap_or_default();
        let keys = file.keys();
        let sources = Sources { matches: &matches, path: path.as_deref(), keys: &keys };
        for (key, text, file) in [
            ("cluster-password", &mut options.cluster_password, &mut options.cluster_password_file),
            ("client-password", &mut options.client_password, &mut options.client_password_file),
            (
                "client-read-only-password",
                &mut options.client_read_only_password,
                &mut options.client_read_only_password_file,
            ),
        ] {
            secrets::pick_source(&sources, key, text, file, &mut notes);
        }
        let mut overridden = sources.overridden();
        let options = options.over(&file);

        let place = |key: &str| sources.place(key);
        let data = DataSettings::resolve(&options, place)?;
        let clients = ClientSettings::resolve(&options, place)?;
        let named = options.cluster_mode.as_deref().unwrap_or_default();
        let mut modes = modes::resolve(named, &options.discovery, modes::Environment::here())?;
        contradictions::group(&sources, &options, &file, &mut modes, &mut notes)?;
        contradictions::unused(&sources, &file, &modes, &mut notes);
        let is_set = options.no_cluster.unwrap_or(false);
        let no_cluster = contradictions::no_cluster(&sources, is_set, &mut notes);
        if file.no_cluster == Some(true)
            && !no_cluster
            && !overridden.iter().any(|key| key == "no-cluster")
        {
            overridden.push("no-cluster".to_owned());
        }
        let lite = options.lite.unwrap_or(false);
        let auto_bind_http = options.auto_bind_http.unwrap_or(false);
        let resolved = Resolved {
            clients: &clients,
            no_cluster,
            lite,
            min_members: data.min_members,
            auto_bind_http,
        };
        contradictions::check(&sources, &resolved, &mut notes)?;
        let mc_address = options
            .mc_address
            .map(|text| addresses::multicast_group(&text, &sources.place("mc-address")))
            .transpose()?;
        let interfaces = interfaces(options.interfaces, &sources.place("interfaces"))?;
        let public_address = options
            .public_address
            .map(|text| addresses::public_address(&text, &sources.place("public-address")))
            .transpose()?;
        let for_clients = |text: Option<String>, key: &str| {
            text.map(|text| addresses::client_address(&text, &sources.place(key))).transpose()
        };
        let resp_public_address = for_clients(options.resp_public_address, "resp-public-address")?;
        let http_public_address = for_clients(options.http_public_address, "http-public-address")?;
        let hazelcast_public_address =
            for_clients(options.hazelcast_public_address, "hazelcast-public-address")?;
        if resp_public_address.is_some() && clients.resp_port.is_none() {
            return Err(SettingsError(
                "resp-public-address is set, but RESP is off: resp-port is 0; remove one of them"
                    .into(),
            ));
        }
        if hazelcast_public_address.is_some() && clients.hazelcast_port.is_none() {
            return Err(SettingsError(
                "hazelcast-public-address is set, but hazelcast-port is 0; remove one of them"
                    .into(),
            ));
        }
        let cluster_name = options.cluster_name.unwrap_or_else(|| "development".to_owned());
        let cluster_name = checks::cluster_name(&place("cluster-name"), cluster_name)?;
        let password = secrets::password(
            "cluster-password",
            &place("cluster-password"),
            options.cluster_password,
            options.cluster_password_file,
        )?;
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
            mc_port: checks::in_range(&place("mc-port"), options.mc_port.unwrap_or(MC_PORT))?,
            mc_ttl: options.mc_ttl.unwrap_or(MC_TTL),
            start_port: checks::in_range(
                &place("start-port"),
                options.start_port.unwrap_or(defaults.start_port),
            )?,
            start_port_range: checks::start_port_range(
                &place("start-port-range"),
                options.start_port_range,
            )?,
            lite,
            name: options
                .name
                .or(defaults.name.map(Into::into))
                .map(|name| checks::checked_name(&place("name"), name))
                .transpose()?,
            group: checks::checked_name(
                &place("group"),
                options.group.unwrap_or_else(|| defaults.group.into()),
            )?,
            interfaces,
            public_address,
            resp_public_address,
            hazelcast_public_address,
            http_public_address,
            port: checks::in_range(&place("port"), options.port.unwrap_or(defaults.port))?,
            auto_bind_http,
            auto_bind_range: options.auto_bind_range.unwrap_or(AUTO_BIND_RANGE),
            no_cluster,
            workers: checks::workers(&place("workers"), options.workers)?,
            state_directory: options.state_directory.or_else(folders::state),
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

/// The elements of `interfaces`, which is a list, or texts with lists.
fn interfaces(given: Option<OneOrMore>, from: &str) -> Result<Vec<Pattern>, SettingsError> {
    let texts = given.map(OneOrMore::into_vec).unwrap_or_default();
    texts
        .iter()
        .flat_map(|text| text.split([',', ';']).map(str::trim))
        .filter(|text| !text.is_empty() || texts.len() == 1)
        .map(|text| text.parse().map_err(|e| SettingsError(format!("{from}: {e}"))))
        .collect()
}
