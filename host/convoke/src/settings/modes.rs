//! Which modes to run, and with what.

use std::path::PathBuf;

use convoke_discovery::{Digest, Grants};

use super::SettingsError;
use super::file::{Discovery, OneOrMore};

/// Modes in this binary.
pub(crate) const BUILT_IN: &[&str] = &["multicast", "tcpip", "dns", "kubernetes", "domain"];
/// Modes that users know and this version does not have.
const NOT_YET: &[&str] = &["auto"];
/// Modes of one member, at most.
const MODES_MAX: usize = 32;

/// One mode to run.
#[derive(Clone, Debug)]
pub(crate) struct ModeSettings {
    pub(crate) name: String,
    pub(crate) argument: String,
    /// A component file; none for a built-in mode.
    pub(crate) plugin: Option<PathBuf>,
    pub(crate) digest: Option<Digest>,
    pub(crate) settings: Vec<(String, String)>,
    /// `None` when a built-in mode has no `grant` of its own: it gets what its
    /// argument needs.
    pub(crate) grants: Option<Grants>,
}

/// `--cluster-mode` wins over the file's; a mode that the file describes is
/// taken from there, with the argument of the command line.
pub(super) fn resolve(
    given: Vec<String>,
    file: Option<OneOrMore>,
    entries: &[Discovery],
) -> Result<Vec<ModeSettings>, SettingsError> {
    let described = entries.iter().map(read_entry).collect::<Result<Vec<_>, _>>()?;
    let texts =
        if given.is_empty() { file.map(OneOrMore::into_vec).unwrap_or_default() } else { given };
    let modes = if !texts.is_empty() {
        texts.iter().map(|text| read_text(text, &described)).collect::<Result<Vec<_>, _>>()?
    } else if !described.is_empty() {
        described
    } else {
        vec![read_text("multicast", &[])?]
    };
    if modes.len() > MODES_MAX {
        return Err(SettingsError(format!(
            "{} modes are configured; at most {MODES_MAX} can run",
            modes.len()
        )));
    }
    Ok(modes)
}

fn read_text(text: &str, described: &[ModeSettings]) -> Result<ModeSettings, SettingsError> {
    let (name, argument) = text.split_once(':').map_or((text, None), |(n, a)| (n, Some(a)));
    if let Some(entry) = described.iter().find(|entry| entry.name.eq_ignore_ascii_case(name)) {
        let mut mode = entry.clone();
        if let Some(argument) = argument {
            mode.argument = argument.to_owned();
        }
        return Ok(mode);
    }
    Ok(ModeSettings {
        name: known(name)?,
        argument: argument.unwrap_or_default().to_owned(),
        plugin: None,
        digest: None,
        settings: Vec::new(),
        grants: None,
    })
}

fn read_entry(entry: &Discovery) -> Result<ModeSettings, SettingsError> {
    let within = |why: String| SettingsError(format!("[[discovery]] mode {:?}: {why}", entry.mode));
    let digest = entry.digest.as_deref().map(str::parse::<Digest>).transpose();
    let name = if entry.plugin.is_some() { entry.mode.clone() } else { known(&entry.mode)? };
    let sound = !name.is_empty()
        && name.len() <= 64
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    if !sound {
        return Err(within("a mode's name has 1 to 64 letters, digits, - or _".into()));
    }
    if entry.plugin.is_none() && entry.digest.is_some() {
        return Err(within("digest pins a plugin file, and this mode is built in".into()));
    }
    let grants = entry.grant.iter().map(|(key, patterns)| (key.as_str(), patterns.as_slice()));
    let grants = Grants::parse(grants).map_err(|e| within(e.to_string()))?;
    let ungranted = entry.grant.is_empty() && entry.plugin.is_none();
    Ok(ModeSettings {
        name,
        argument: entry.argument.clone(),
        plugin: entry.plugin.clone(),
        digest: digest.map_err(|e| within(e.to_string()))?,
        settings: entry.settings.iter().map(|(k, v)| (k.clone(), v.to_string())).collect(),
        grants: (!ungranted).then_some(grants),
    })
}

fn known(name: &str) -> Result<String, SettingsError> {
    let lower = name.to_ascii_lowercase();
    if BUILT_IN.contains(&lower.as_str()) {
        return Ok(lower);
    }
    let have = BUILT_IN.join(", ");
    if NOT_YET.contains(&lower.as_str()) {
        return Err(SettingsError(format!(
            "mode {name:?} is not part of this version yet; it has: {have}"
        )));
    }
    let meant = BUILT_IN
        .iter()
        .chain(NOT_YET)
        .min_by_key(|known| distance(known, &lower))
        .filter(|known| distance(known, &lower) <= 2)
        .map(|known| format!(" (did you mean {known:?}?)"))
        .unwrap_or_default();
    Err(SettingsError(format!(
        "unknown mode {name:?}{meant}; built-in modes: {have}; another mode needs plugin = \"FILE\" in a [[discovery]] of the configuration file"
    )))
}

/// Edits from one word to another (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
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
        }
    }

    #[test]
    fn an_argument_may_hold_colons() {
        let modes = resolve(vec!["Multicast:224.2.2.4:2904".into()], None, &[]).unwrap();
        assert_eq!(names(&modes), [("multicast", "224.2.2.4:2904")]);
    }

    #[test]
    fn the_command_line_picks_from_what_the_file_describes() {
        let file = [entry("consul", Some("consul.wasm")), entry("tcpip", None)];
        assert_eq!(
            names(&resolve(vec![], None, &file).unwrap()),
            [("consul", "from-file"), ("tcpip", "from-file")]
        );
        let picked = resolve(vec!["consul:shop".into()], None, &file).unwrap();
        assert_eq!(names(&picked), [("consul", "shop")]);
        assert!(picked[0].plugin.is_some());
    }

    #[test]
    fn an_unknown_mode_is_refused_with_the_known_ones() {
        let refusal = resolve(vec!["multcast".into()], None, &[]).unwrap_err().to_string();
        assert!(refusal.starts_with(
            "unknown mode \"multcast\" (did you mean \"multicast\"?); built-in modes: multicast, tcpip, dns, kubernetes, domain;"
        ));
        let refusal = resolve(vec!["auto".into()], None, &[]).unwrap_err().to_string();
        assert!(refusal.contains("not part of this version yet"), "{refusal}");
    }
}
