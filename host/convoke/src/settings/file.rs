//! The configuration file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use convoke_discovery::Reference;
use serde::{Deserialize, Serialize};

use super::data::MapEntry;
use super::{SettingsError, hazelcast};

/// Largest configuration file, in bytes.
const FILE_BYTES_MAX: usize = 1 << 20;

/// A whole file. Every key is optional; an unknown key is an error.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct File {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cluster_mode: Option<OneOrMore>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mc_address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mc_port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mc_ttl: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) start_port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) start_port_range: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cluster_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cluster_password: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cluster_password_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lite: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) group: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) interfaces: Option<OneOrMore>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) public_address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) auto_bind_http: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) auto_bind_range: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) no_cluster: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) resp_port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) resp_public_address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) http_public_address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client_password: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client_password_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client_read_only_password: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client_read_only_password_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) notify_keyspace_events: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_clients: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client_idle_s: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) redis_cluster: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) min_members: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) partitions: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) change_maps: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) workers: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) state_directory: Option<PathBuf>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) discovery: Vec<Discovery>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) maps: BTreeMap<String, MapEntry>,
}

/// A `[[discovery]]` table.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Discovery {
    pub(crate) mode: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) argument: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) plugin: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) digest: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) settings: BTreeMap<String, Plain>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) grant: BTreeMap<String, OneOrMore>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) wasi: Option<String>,
}

/// A value that is passed to a mode as text.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(untagged, expecting = "expected a string, a number or a boolean")]
pub(crate) enum Plain {
    Text(String),
    Number(i64),
    Boolean(bool),
}

impl std::fmt::Display for Plain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => number.fmt(f),
            Self::Boolean(boolean) => boolean.fmt(f),
        }
    }
}

/// One string, or a list of strings.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(untagged, expecting = "expected a string or a list of strings")]
pub(crate) enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl OneOrMore {
    pub(crate) fn as_slice(&self) -> &[String] {
        match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::More(texts) => texts,
        }
    }

    pub(crate) fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(text) => vec![text],
            Self::More(texts) => texts,
        }
    }
}

impl File {
    /// Reads a Convoke or Hazelcast file, with a warning about it if there is one. Relative paths
    /// in it are resolved against its directory.
    pub(crate) fn read(path: &Path) -> Result<(Self, Option<String>), SettingsError> {
        let shown = path.display();
        let text = read_text(path)?;
        if hazelcast::is_meant(path, &text) {
            let translated = hazelcast::translate(&text, &surroundings(path))
                .map_err(|why| SettingsError(format!("{shown}: {why}")))?;
            let warning = translated.warning().map(|warning| format!("{shown}: {warning}"));
            return Ok((translated.file, warning));
        }
        let mut file = Self::parse(&text).map_err(|(line, why)| {
            SettingsError(match line {
                Some(line) => format!("{shown}:{line}: {why}"),
                None => format!("{shown}: {why}"),
            })
        })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        for entry in &mut file.discovery {
            let file = entry.plugin.as_mut().filter(|plugin| !Reference::is_one(plugin));
            if let Some(plugin) = file {
                // Both are UTF-8, unless the directory's name is not; then the file is not found.
                *plugin = folder.join(&*plugin).to_string_lossy().into_owned();
            }
        }
        for path in [
            &mut file.cluster_password_file,
            &mut file.client_password_file,
            &mut file.client_read_only_password_file,
            &mut file.state_directory,
        ] {
            *path = path.take().map(|path| folder.join(path));
        }
        Ok((file, None))
    }

    /// The keys at the top level.
    pub(crate) fn keys(&self) -> Vec<String> {
        let table = toml::Table::try_from(self).unwrap_or_default();
        table.into_iter().map(|(key, _)| key).collect()
    }

    /// Parses a file; an error has its line number.
    fn parse(text: &str) -> Result<Self, (Option<usize>, String)> {
        toml::from_str(text).map_err(|error| describe_toml_error(text, &error))
    }
}

/// The line and the one-line message of a TOML error.
pub(crate) fn describe_toml_error(text: &str, error: &toml::de::Error) -> (Option<usize>, String) {
    let line = error.span().map(|span| 1 + text[..span.start].matches('\n').count());
    let words: Vec<&str> = error.message().split_whitespace().collect();
    (line, words.join(" "))
}

/// Reads a whole configuration file.
pub(super) fn read_text(path: &Path) -> Result<String, SettingsError> {
    let unreadable = |why: String| SettingsError(format!("{}: {why}", path.display()));
    let bytes = super::read_bounded(path, FILE_BYTES_MAX)
        .map_err(|e| unreadable(format!("the configuration file cannot be read: {e}")))?;
    hazelcast::decode(bytes).ok_or_else(|| {
        unreadable(
            "the configuration file is neither UTF-8 nor in the encoding that it declares".into(),
        )
    })
}

/// What a Hazelcast file depends on besides its text.
pub(super) fn surroundings(path: &Path) -> hazelcast::Surroundings {
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    hazelcast::Surroundings {
        folder: path.parent().unwrap_or(Path::new("")).to_owned(),
        environment: environment.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_design_is_read() {
        let file = File::parse(
            r#"
            cluster-name = "shop"
            [[discovery]]
            mode = "tcpip"
            argument = "10.0.0.1-20,10.0.1.0/28:6900-6902"
            [[discovery]]
            mode = "consul"
            plugin = "modes/consul.wasm"
            settings = { service = "shop", retries = 3 }
            grant = { multicast = ["224.2.2.4:2904"] }
            "#,
        )
        .unwrap();
        assert_eq!(file.discovery.len(), 2);
        assert_eq!(file.discovery[1].settings["retries"].to_string(), "3");
    }

    #[test]
    fn errors_have_line_numbers() {
        let (line, why) = File::parse("cluster-name = \"a\"\nstart-prot = 7\n").unwrap_err();
        assert_eq!(line, Some(2));
        assert!(why.contains("unknown field `start-prot`"), "{why}");
        let (line, _) = File::parse("a = \"x\n").unwrap_err();
        assert_eq!(line, Some(1));
        let (line, why) = File::parse("\n\nmc-port = 70000").unwrap_err();
        assert_eq!(line, Some(3), "{why}");
    }

    /// The annotated example, with every key and table uncommented.
    fn example() -> String {
        let annotated = include_str!("../../convoke.example.toml");
        let bare = annotated.lines().map(|line| {
            let line = line.strip_prefix("# ").unwrap_or(line);
            let key = line.split(" = ").next().unwrap_or_default();
            let is_key =
                line.contains(" = ") && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
            if is_key || line.starts_with('[') { line } else { "" }
        });
        bare.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_annotated_example_is_valid_and_complete() {
        let example = example();
        let file = File::parse(&example).unwrap();
        let written = toml::to_string(&file).unwrap();
        let keys = |text: &str| -> std::collections::BTreeSet<String> {
            let keys = text.lines().filter_map(|line| line.split_once(" = "));
            keys.map(|(key, _)| key.to_owned()).filter(|key| !key.is_empty()).collect()
        };
        // All keys: the options that can be set in a file.
        use clap::CommandFactory as _;
        let options = crate::settings::cli::Cli::command();
        let options = options.get_arguments().filter_map(|option| option.get_long());
        let elsewhere = ["config", "help", "version"];
        for option in options.filter(|option| !elsewhere.contains(option)) {
            assert!(keys(&example).contains(option), "{option} is not in the example");
            assert!(keys(&written).contains(option), "{option} has no key in the file");
        }
        let of_modes = ["mode", "argument", "plugin", "digest", "settings", "grant", "wasi"];
        let of_maps = [
            "backups",
            "async-backups",
            "ttl-s",
            "max-idle-s",
            "memory-mib",
            "eviction",
            "merge",
            "statistics",
        ];
        for key in of_modes.into_iter().chain(of_maps) {
            assert!(keys(&example).contains(key), "{key} is not in the example");
        }
    }

    #[test]
    fn the_example_shows_the_actual_defaults() {
        let shown = File::parse(&example()).unwrap();
        let given = crate::settings::CommandLine::read(["convoke".into()]).unwrap();
        let defaults = crate::settings::Settings::resolve(given).unwrap();
        assert_eq!(shown.cluster_name.as_deref(), Some(defaults.cluster_name.as_str()));
        assert_eq!(
            shown.cluster_mode.map(OneOrMore::into_vec),
            Some(vec![defaults.modes[0].name.clone()])
        );
        assert_eq!(
            (shown.mc_port, shown.start_port),
            (Some(defaults.mc_port), Some(defaults.start_port))
        );
        assert_eq!(shown.mc_ttl, Some(defaults.mc_ttl));
        assert_eq!(
            (shown.lite, shown.no_cluster),
            (Some(defaults.lite), Some(defaults.no_cluster))
        );
        assert_eq!(shown.group, Some(defaults.group));
        assert_eq!(
            (shown.port, shown.auto_bind_http),
            (Some(defaults.port), Some(defaults.auto_bind_http))
        );
        assert_eq!(shown.auto_bind_range, Some(defaults.auto_bind_range));
        assert_eq!(shown.resp_port, defaults.clients.resp_port);
        assert_eq!(
            shown.notify_keyspace_events.as_deref(),
            Some(defaults.clients.notifications.text().as_str())
        );
        assert_eq!(shown.max_clients, Some(defaults.clients.clients_max));
        assert_eq!(shown.redis_cluster, Some(defaults.clients.redis_cluster));
        assert_eq!((shown.client_idle_s, defaults.clients.idle), (Some(0), None));
        assert_eq!(shown.min_members, Some(defaults.data.min_members));
        assert_eq!(shown.partitions, Some(defaults.data.partitions));
        assert_eq!(shown.change_maps, Some(false));
    }
}
