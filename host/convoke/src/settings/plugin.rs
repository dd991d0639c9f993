//! The command line of `convoke plugin`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

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
