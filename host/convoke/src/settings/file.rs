//! The configuration file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::SettingsError;

/// Largest configuration file, in bytes.
const FILE_BYTES_MAX: usize = 1 << 20;

/// A whole file. Every key is optional; one that nobody knows is an error.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct File {
    pub(crate) cluster_mode: Option<OneOrMore>,
    pub(crate) mc_address: Option<String>,
    pub(crate) mc_port: Option<u16>,
    pub(crate) mc_ttl: Option<u8>,
    pub(crate) start_port: Option<u16>,
    pub(crate) cluster_name: Option<String>,
    pub(crate) cluster_password: Option<String>,
    pub(crate) cluster_password_file: Option<PathBuf>,
    pub(crate) lite: Option<bool>,
    pub(crate) name: Option<String>,
    pub(crate) group: Option<String>,
    pub(crate) interfaces: Option<OneOrMore>,
    pub(crate) public_address: Option<String>,
    pub(crate) port: Option<u16>,
    pub(crate) auto_bind_http: Option<bool>,
    pub(crate) auto_bind_range: Option<u16>,
    pub(crate) no_cluster: Option<bool>,
    #[serde(default)]
    pub(crate) discovery: Vec<Discovery>,
}

/// One `[[discovery]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Discovery {
    pub(crate) mode: String,
    #[serde(default)]
    pub(crate) argument: String,
    pub(crate) plugin: Option<PathBuf>,
    pub(crate) digest: Option<String>,
    #[serde(default)]
    pub(crate) settings: BTreeMap<String, Plain>,
    #[serde(default)]
    pub(crate) grant: BTreeMap<String, Vec<String>>,
}

/// A value that a mode gets as text.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "expected a text, a number or a boolean")]
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

/// A text, or a list of them.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "expected a text or a list of texts")]
pub(crate) enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl OneOrMore {
    pub(crate) fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(text) => vec![text],
            Self::More(texts) => texts,
        }
    }
}

impl File {
    /// Reads `path`. Paths inside are taken relative to the file.
    pub(crate) fn read(path: &Path) -> Result<Self, SettingsError> {
        let shown = path.display();
        let unreadable = |why: String| SettingsError(format!("{shown}: {why}"));
        let bytes = super::read_bounded(path, FILE_BYTES_MAX)
            .map_err(|e| unreadable(format!("the configuration file cannot be read: {e}")))?;
        let text = String::from_utf8(bytes)
            .map_err(|_| unreadable("the configuration file is not UTF-8 text".into()))?;
        let mut file = Self::parse(&text).map_err(|(line, why)| {
            SettingsError(match line {
                Some(line) => format!("{shown}:{line}: {why}"),
                None => format!("{shown}: {why}"),
            })
        })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        for entry in &mut file.discovery {
            entry.plugin = entry.plugin.take().map(|plugin| folder.join(plugin));
        }
        file.cluster_password_file = file.cluster_password_file.map(|path| folder.join(path));
        Ok(file)
    }

    /// From text; an error comes with its line.
    fn parse(text: &str) -> Result<Self, (Option<usize>, String)> {
        toml::from_str(text).map_err(|error| {
            let line = error.span().map(|span| text[..span.start].lines().count().max(1));
            let at_start_of_line =
                error.span().is_some_and(|span| text[..span.start].ends_with('\n'));
            let words: Vec<&str> = error.message().split_whitespace().collect();
            (line.map(|line| line + usize::from(at_start_of_line)), words.join(" "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_designs_example_is_read() {
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
    fn mistakes_come_with_their_line() {
        let (line, why) = File::parse("cluster-name = \"a\"\nstart-prot = 7\n").unwrap_err();
        assert_eq!(line, Some(2));
        assert!(why.contains("unknown field `start-prot`"), "{why}");
        let (line, _) = File::parse("a = \"x\n").unwrap_err();
        assert_eq!(line, Some(1));
        let (line, why) = File::parse("\n\nmc-port = 70000").unwrap_err();
        assert_eq!(line, Some(3), "{why}");
    }
}
