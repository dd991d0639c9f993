//! The modes to run, with their arguments and settings.

use std::fmt;
use std::path::{Path, PathBuf};

use convoke_discovery::{Digest, Grants, Reference, ReferenceError, Source};

use super::distance::distance;
use super::error::SettingsError;
use super::tables::Discovery;

/// The modes in this binary.
pub(crate) const BUILT_IN: &[&str] = &["multicast", "tcpip", "dns", "kubernetes", "domain"];
/// The name that selects a mode by the environment.
const AUTO: &str = "auto";
/// The path where Kubernetes mounts the token of a pod's service account.
const POD_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";
/// Maximum number of modes of one member.
const MODES_MAX: usize = 32;

/// One mode to run.
#[derive(Clone, Debug)]
pub(crate) struct ModeSettings {
    pub(crate) name: String,
    pub(crate) argument: String,
    /// The source of its component; `None` for a built-in mode.
    pub(crate) plugin: Option<Plugin>,
    pub(crate) digest: Option<Digest>,
    pub(crate) settings: Vec<(String, String)>,
    /// The reason why `auto` chose this mode.
    pub(crate) chosen: Option<&'static str>,
    /// `None` when a built-in mode has no `grant` of its own: it then gets what its argument needs.
    pub(crate) grants: Option<Grants>,
}

/// The source of a component that is not built in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Plugin {
    File(PathBuf),
    Remote(Reference),
}

impl Plugin {
    /// Parses a file path, or a reference such as `oci://registry.example/modes/shelf:1`.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        if Reference::is_one(text) {
            return text
                .parse()
                .map(Self::Remote)
                .map_err(|error: ReferenceError| error.to_string());
        }
        Ok(Self::File(text.into()))
    }
}

impl From<Plugin> for Source {
    fn from(plugin: Plugin) -> Self {
        match plugin {
            Plugin::File(path) => Self::File(path),
            Plugin::Remote(reference) => Self::Remote(reference),
        }
    }
}

impl fmt::Display for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Remote(reference) => reference.fmt(f),
        }
    }
}

/// The input of the choice of `auto`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Environment {
    in_pod: bool,
}

impl Environment {
    /// A pod has both the environment variable and the token of its service account.
    pub(super) fn here() -> Self {
        let has_variable =
            std::env::var_os("KUBERNETES_SERVICE_HOST").is_some_and(|host| !host.is_empty());
        Self { in_pod: has_variable && Path::new(POD_TOKEN).is_file() }
    }

    /// Replaces `auto` by the chosen mode, with the reason; other modes are returned unchanged.
    fn choose(
        self,
        name: String,
        argument: &str,
    ) -> Result<(String, Option<&'static str>), SettingsError> {
        if name != AUTO {
            return Ok((name, None));
        }
        if !argument.is_empty() {
            return Err(SettingsError(format!(
                "mode {AUTO:?} takes no argument, but was given {argument:?}; name the mode that it is for"
            )));
        }
        let (name, why) = match self.in_pod {
            true => (
                "kubernetes",
                "running in a pod: KUBERNETES_SERVICE_HOST and a service account exist",
            ),
            false => (
                "multicast",
                "not running in a pod: KUBERNETES_SERVICE_HOST or the service account is missing",
            ),
        };
        Ok((name.to_owned(), Some(why)))
    }
}

/// The modes that `cluster-mode` names. If the file configures a mode of that name, that
/// configuration is used, with the argument from `cluster-mode`.
pub(super) fn resolve(
    texts: &[String],
    entries: &[Discovery],
    environment: Environment,
) -> Result<Vec<ModeSettings>, SettingsError> {
    let read = |entry| read_entry(entry, environment);
    let described = entries.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let modes = if !texts.is_empty() {
        texts
            .iter()
            .map(|text| read_text(text, &described, environment))
            .collect::<Result<Vec<_>, _>>()?
    } else if !described.is_empty() {
        described
    } else {
        vec![read_text("multicast", &[], environment)?]
    };
    if modes.len() > MODES_MAX {
        return Err(SettingsError(format!(
            "{} modes are configured; at most {MODES_MAX} can run",
            modes.len()
        )));
    }
    Ok(modes)
}

fn read_text(
    text: &str,
    described: &[ModeSettings],
    environment: Environment,
) -> Result<ModeSettings, SettingsError> {
    let (name, argument) = text.split_once(':').map_or((text, None), |(n, a)| (n, Some(a)));
    if let Some(entry) = described.iter().find(|entry| entry.name.eq_ignore_ascii_case(name)) {
        let mut mode = entry.clone();
        if let Some(argument) = argument {
            mode.argument = argument.to_owned();
        }
        return Ok(mode);
    }
    let argument = argument.unwrap_or_default().to_owned();
    let (name, chosen) = environment.choose(known(name)?, &argument)?;
    Ok(ModeSettings {
        name,
        argument,
        chosen,
        plugin: None,
        digest: None,
        settings: Vec::new(),
        grants: None,
    })
}

fn read_entry(entry: &Discovery, environment: Environment) -> Result<ModeSettings, SettingsError> {
    let within = |why: String| SettingsError(format!("[[discovery]] mode {:?}: {why}", entry.mode));
    let digest = entry.digest.as_deref().map(str::parse::<Digest>).transpose();
    let (name, chosen) = match entry.plugin {
        Some(_) => (entry.mode.clone(), None),
        None => environment.choose(known(&entry.mode)?, &entry.argument)?,
    };
    let sound = !name.is_empty()
        && name.len() <= 64
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    if !sound {
        return Err(within("a mode's name has 1 to 64 letters, digits, - or _".into()));
    }
    if entry.plugin.is_none() && entry.digest.is_some() {
        return Err(within("digest pins a plugin file, and this mode is built in".into()));
    }
    let plugin = entry.plugin.as_deref().map(Plugin::read).transpose().map_err(within)?;
    if matches!(plugin, Some(Plugin::Remote(_))) && entry.digest.is_none() {
        return Err(within("a remote plugin needs a digest = \"sha256:…\", since a server may deliver another file later; `convoke plugin inspect` prints the digest of a file".into()));
    }
    let grants = entry.grant.iter().map(|(key, patterns)| (key.as_str(), patterns.as_slice()));
    let mut grants = Grants::parse(grants).map_err(|e| within(e.to_string()))?;
    grants.inert_wasi = match entry.wasi.as_deref() {
        None => false,
        Some("inert") => true,
        Some(other) => {
            return Err(within(format!(
                "wasi = {other:?} is unknown; expected \"inert\"; omit the key for no WASI"
            )));
        }
    };
    let ungranted = entry.grant.is_empty() && entry.wasi.is_none() && entry.plugin.is_none();
    Ok(ModeSettings {
        name,
        argument: entry.argument.clone(),
        chosen,
        plugin,
        digest: digest.map_err(|e| within(e.to_string()))?,
        settings: entry.settings.iter().map(|(k, v)| (k.clone(), v.to_string())).collect(),
        grants: (!ungranted).then_some(grants),
    })
}

fn known(name: &str) -> Result<String, SettingsError> {
    let lower = name.to_ascii_lowercase();
    if lower == AUTO || BUILT_IN.contains(&lower.as_str()) {
        return Ok(lower);
    }
    let have = BUILT_IN.join(", ");
    let meant = BUILT_IN
        .iter()
        .chain(&[AUTO])
        .min_by_key(|known| distance(known, &lower))
        .filter(|known| distance(known, &lower) <= 2)
        .map(|known| format!(" (did you mean {known:?}?)"))
        .unwrap_or_default();
    Err(SettingsError(format!(
        "unknown mode {name:?}{meant}; built-in modes: {have}, and {AUTO}; another mode needs plugin = \"FILE\" in a [[discovery]] of the configuration file"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Environment = Environment { in_pod: false };

    fn names(modes: &[ModeSettings]) -> Vec<(&str, &str)> {
        modes.iter().map(|m| (m.name.as_str(), m.argument.as_str())).collect()
    }

    fn entry(mode: &str, plugin: Option<&str>) -> Discovery {
        Discovery {
            mode: mode.into(),
            argument: "from-file".into(),
            plugin: plugin.map(Into::into),
            digest: None,
            settings: Default::default(),
            grant: Default::default(),
            wasi: None,
        }
    }

    #[test]
    fn an_argument_may_contain_colons() {
        let modes = resolve(&["Multicast:224.2.2.4:2904".into()], &[], HERE).unwrap();
        assert_eq!(names(&modes), [("multicast", "224.2.2.4:2904")]);
    }

    #[test]
    fn the_command_line_selects_modes_that_the_file_describes() {
        let file = [entry("consul", Some("consul.wasm")), entry("tcpip", None)];
        assert_eq!(
            names(&resolve(&[], &file, HERE).unwrap()),
            [("consul", "from-file"), ("tcpip", "from-file")]
        );
        let picked = resolve(&["consul:shop".into()], &file, HERE).unwrap();
        assert_eq!(names(&picked), [("consul", "shop")]);
        assert!(picked[0].plugin.is_some());
    }

    #[test]
    fn an_unknown_mode_is_refused_with_the_list_of_known_ones() {
        let refusal = resolve(&["multcast".into()], &[], HERE).unwrap_err().to_string();
        assert!(refusal.starts_with(
            "unknown mode \"multcast\" (did you mean \"multicast\"?); built-in modes: multicast, tcpip, dns, kubernetes, domain, and auto;"
        ));
    }

    #[test]
    fn auto_selects_the_mode_that_fits_the_environment() {
        let auto = |environment| resolve(&["Auto".into()], &[], environment).unwrap();
        let (pod, elsewhere) = (auto(Environment { in_pod: true }), auto(HERE));
        assert_eq!(names(&pod), [("kubernetes", "")]);
        assert!(pod[0].chosen.unwrap().starts_with("running in a pod"));
        assert_eq!(names(&elsewhere), [("multicast", "")]);
        let refusal = resolve(&["auto:shop".into()], &[], HERE).unwrap_err().to_string();
        assert!(refusal.starts_with("mode \"auto\" takes no argument, but was given \"shop\""));
    }
}
