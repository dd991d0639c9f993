//! `convoke plugin`: commands for authors of modes, and for operators who received one.

mod component;
mod inspect;
mod project;
mod trial;

use std::collections::BTreeMap;
use std::path::Path;

use convoke_discovery::Grants;

use crate::settings::{PluginCommand, Settings};

/// Runs a command that needs neither settings nor a runtime; `None` for any other command.
pub(crate) fn run_alone(command: &PluginCommand) -> Option<Result<(), String>> {
    match command {
        PluginCommand::New(args) => Some(project::create(args)),
        PluginCommand::Component { core, output } => Some(component::make(core, output)),
        PluginCommand::Inspect { .. } | PluginCommand::Try(_) => None,
    }
}

/// Runs a command that needs settings and a runtime.
pub(crate) async fn run(command: &PluginCommand, settings: &Settings) -> Result<(), String> {
    match command {
        PluginCommand::Inspect { file } => inspect::run(file, settings).await,
        PluginCommand::Try(args) => trial::run(args, settings).await,
        PluginCommand::New(_) | PluginCommand::Component { .. } => Ok(()),
    }
}

/// The file name without its extension, as the name of a mode.
fn mode_name(file: &Path) -> String {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let sound = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
    let name: String = stem.chars().map(sound).take(64).collect();
    if name.is_empty() { "mode".to_owned() } else { name }
}

/// Parses each text as `KEY=VALUE`.
fn pairs(texts: &[String], option: &str) -> Result<Vec<(String, String)>, String> {
    texts
        .iter()
        .map(|text| {
            let (key, value) = text
                .split_once('=')
                .filter(|(key, _)| !key.is_empty())
                .ok_or_else(|| format!("--{option} {text:?}: expected KEY=VALUE"))?;
            Ok((key.to_owned(), value.to_owned()))
        })
        .collect()
}

fn grants(texts: &[String], inert_wasi: bool) -> Result<Grants, String> {
    let mut by_capability: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (capability, pattern) in pairs(texts, "grant")? {
        by_capability.entry(capability).or_default().push(pattern);
    }
    let entries = by_capability.iter().map(|(key, patterns)| (key.as_str(), patterns.as_slice()));
    let granted = Grants::parse(entries).map_err(|error| error.to_string())?;
    Ok(Grants { inert_wasi, ..granted })
}
