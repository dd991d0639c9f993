//! Which modes to run, and with what.

use std::fmt;
use std::path::{Path, PathBuf};

use convoke_discovery::{Digest, Grants, Reference, ReferenceError, Source};

use super::SettingsError;
use super::file::{Discovery, OneOrMore};

/// Modes in this binary.
pub(crate) const BUILT_IN: &[&str] = &["multicast", "tcpip", "dns", "kubernetes", "domain"];
/// Stands for the mode that fits the place.
const AUTO: &str = "auto";
/// Where Kubernetes mounts the token of a pod's account.
const POD_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";
/// Modes of one member, at most.
const MODES_MAX: usize = 32;

/// One mode to run.
#[derive(Clone, Debug)]
pub(crate) struct ModeSettings {
    pub(crate) name: String,
    pub(crate) argument: String,
    /// Where its component is; none for a built-in mode.
    pub(crate) plugin: Option<Plugin>,
    pub(crate) digest: Option<Digest>,
    pub(crate) settings: Vec<(String, String)>,
    /// Why this one, when the operator left the choice open.
    pub(crate) chosen: Option<&'static str>,
    /// `None` when a built-in mode has no `grant` of its own: it gets what its
    /// argument needs.
    pub(crate) grants: Option<Grants>,
}

/// Where the component of a mode is that is not built in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Plugin {
    File(PathBuf),
    Remote(Reference),
}

impl Plugin {
    /// A file, or a reference such as `oci://registry.example/modes/shelf:1`.
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

/// What `auto` depends on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    in_pod: bool,
}

impl Place {
    /// A pod has both the environment and the token of its account.
    pub(super) fn here() -> Self {
        let told = std::env::var_os("KUBERNETES_SERVICE_HOST").is_some_and(|host| !host.is_empty());
        Self { in_pod: told && Path::new(POD_TOKEN).is_file() }
    }

    /// The mode that `auto` stands for, and why; any other as it is.
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
                "mode {AUTO:?} takes no argument, and was given {argument:?}; name the mode that it is for"
            )));
        }
        let (name, why) = match self.in_pod {
            true => ("kubernetes", "this is a pod: it has KUBERNETES_SERVICE_HOST and an account"),
            false => {
                ("multicast", "this is no pod: it lacks KUBERNETES_SERVICE_HOST or an account")
            }
        };
        Ok((name.to_owned(), Some(why)))
    }
}

/// `--cluster-mode` wins over the file's; a mode that the file describes is
/// taken from there, with the argument of the command line.
pub(super) fn resolve(
    given: Vec<String>,
    file: Option<OneOrMore>,
    entries: &[Discovery],
    place: Place,
) -> Result<Vec<ModeSettings>, SettingsError> {
    let read = |entry| read_entry(entry, place);
    let described = entries.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let texts =
        if given.is_empty() { file.map(OneOrMore::into_vec).unwrap_or_default() } else { given };
    let modes = if !texts.is_empty() {
        texts
            .iter()
            .map(|text| read_text(text, &described, place))
            .collect::<Result<Vec<_>, _>>()?
    } else if !described.is_empty() {
        described
    } else {
        vec![read_text("multicast", &[], place)?]
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
    place: Place,
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
    let (name, chosen) = place.choose(known(name)?, &argument)?;
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

fn read_entry(entry: &Discovery, place: Place) -> Result<ModeSettings, SettingsError> {
    let within = |why: String| SettingsError(format!("[[discovery]] mode {:?}: {why}", entry.mode));
    let digest = entry.digest.as_deref().map(str::parse::<Digest>).transpose();
    let (name, chosen) = match entry.plugin {
        Some(_) => (entry.mode.clone(), None),
        None => place.choose(known(&entry.mode)?, &entry.argument)?,
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
        return Err(within("a plugin from elsewhere needs a digest = \"sha256:…\" beside it, since a server may hand out another one tomorrow; `convoke plugin inspect` prints that of a file".into()));
    }
    let grants = entry.grant.iter().map(|(key, patterns)| (key.as_str(), patterns.as_slice()));
    let mut grants = Grants::parse(grants).map_err(|e| within(e.to_string()))?;
    grants.inert_wasi = match entry.wasi.as_deref() {
        None => false,
        Some("inert") => true,
        Some(other) => {
            return Err(within(format!(
                "wasi = {other:?} is not known; expected \"inert\", or no such line"
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

/// Edits from one word to another (Levenshtein).
pub(super) fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let substitute = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = substitute.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Place = Place { in_pod: false };

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
    fn an_argument_may_hold_colons() {
        let modes = resolve(vec!["Multicast:224.2.2.4:2904".into()], None, &[], HERE).unwrap();
        assert_eq!(names(&modes), [("multicast", "224.2.2.4:2904")]);
    }

    #[test]
    fn the_command_line_picks_from_what_the_file_describes() {
        let file = [entry("consul", Some("consul.wasm")), entry("tcpip", None)];
        assert_eq!(
            names(&resolve(vec![], None, &file, HERE).unwrap()),
            [("consul", "from-file"), ("tcpip", "from-file")]
        );
        let picked = resolve(vec!["consul:shop".into()], None, &file, HERE).unwrap();
        assert_eq!(names(&picked), [("consul", "shop")]);
        assert!(picked[0].plugin.is_some());
    }

    #[test]
    fn an_unknown_mode_is_refused_with_the_known_ones() {
        let refusal = resolve(vec!["multcast".into()], None, &[], HERE).unwrap_err().to_string();
        assert!(refusal.starts_with(
            "unknown mode \"multcast\" (did you mean \"multicast\"?); built-in modes: multicast, tcpip, dns, kubernetes, domain, and auto;"
        ));
    }

    #[test]
    fn auto_stands_for_the_mode_that_fits_the_place() {
        let auto = |place| resolve(vec!["Auto".into()], None, &[], place).unwrap();
        let (pod, elsewhere) = (auto(Place { in_pod: true }), auto(HERE));
        assert_eq!(names(&pod), [("kubernetes", "")]);
        assert!(pod[0].chosen.unwrap().starts_with("this is a pod"));
        assert_eq!(names(&elsewhere), [("multicast", "")]);
        let refusal = resolve(vec!["auto:shop".into()], None, &[], HERE).unwrap_err().to_string();
        assert!(refusal.starts_with("mode \"auto\" takes no argument, and was given \"shop\""));
    }
}
