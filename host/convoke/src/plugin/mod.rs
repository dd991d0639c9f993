//! `convoke plugin`: for those who write modes, and those who are handed one.

mod component;
mod inspect;
mod project;
mod trial;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use convoke_discovery::Grants;

use crate::settings::Settings;

/// What to do with a plugin.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum PluginCommand {
    /// Makes a project for a mode of your own, which `make` builds
    New(NewArgs),
    /// Says what a component is and asks for, and the TOML that would load it
    Inspect {
        /// A component file
        file: PathBuf,
    },
    /// Runs a component without a cluster: what it finds, logs and calls, and what it
    /// takes
    Try(TryArgs),
    /// Makes a component of a core module that has the type of a mode embedded, as the
    /// tools of some languages leave it
    Component {
        /// The core module
        core: PathBuf,
        /// Where the component goes
        output: PathBuf,
    },
}

/// See [`PluginCommand::New`].
#[derive(Clone, Debug, Args)]
pub(crate) struct NewArgs {
    /// In which language
    #[arg(long, value_enum)]
    pub(crate) lang: Language,
    /// The mode's name, and the folder's: letters, digits and hyphens
    #[arg(value_name = "NAME")]
    pub(crate) mode_name: String,
}

/// See [`PluginCommand::Try`].
#[derive(Clone, Debug, Args)]
pub(crate) struct TryArgs {
    /// A component file
    pub(crate) file: PathBuf,
    /// What follows the colon in --cluster-mode NAME:ARGUMENT
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) argument: String,
    /// A setting, may be given several times
    #[arg(long = "setting", value_name = "KEY=VALUE")]
    pub(crate) settings: Vec<String>,
    /// A grant such as dns=*.shop.example or store=64KiB, may be given several times
    #[arg(long = "grant", value_name = "CAPABILITY=PATTERN")]
    pub(crate) grants: Vec<String>,
    /// Give it a WASI with nothing behind it, as `wasi = "inert"` does
    #[arg(long, value_name = "inert", value_parser = ["inert"])]
    pub(crate) wasi: Option<String>,
    /// How often it looks; it waits in between as it asks, at most 5 seconds
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) looks: u32,
    /// Let it announce this member, too, and take that back at the end
    #[arg(long)]
    pub(crate) announce: bool,
    /// A TOML file with a world made up, in place of the real one
    #[arg(long, value_name = "FILE")]
    pub(crate) fakes: Option<PathBuf>,
}

/// A language that `convoke plugin new` has a project for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs, reason = "their own names")]
pub(crate) enum Language {
    Rust,
    Python,
    Javascript,
    C,
    Go,
}

/// Runs what needs neither settings nor a runtime; `None` for what does.
pub(crate) fn run_alone(command: &PluginCommand) -> Option<Result<(), String>> {
    match command {
        PluginCommand::New(args) => Some(project::create(args)),
        PluginCommand::Component { core, output } => Some(component::make(core, output)),
        PluginCommand::Inspect { .. } | PluginCommand::Try(_) => None,
    }
}

/// Runs the rest.
pub(crate) async fn run(command: &PluginCommand, settings: &Settings) -> Result<(), String> {
    match command {
        PluginCommand::Inspect { file } => inspect::run(file, settings).await,
        PluginCommand::Try(args) => trial::run(args, settings).await,
        PluginCommand::New(_) | PluginCommand::Component { .. } => Ok(()),
    }
}

/// A file's name without its ending, as the name of a mode.
fn mode_name(file: &Path) -> String {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    let sound = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
    let name: String = stem.chars().map(sound).take(64).collect();
    if name.is_empty() { "mode".to_owned() } else { name }
}

/// `KEY=VALUE`, each.
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
