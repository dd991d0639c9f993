//! The command line of `convoke plugin`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// What to do with a plugin.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum PluginCommand {
    /// Creates a project for a new mode, which `make` builds
    New(NewArgs),
    /// Shows what a component exports and imports, and the TOML that loads it
    Inspect {
        /// Component file
        file: PathBuf,
    },
    /// Runs a component without a cluster: shows what it finds, logs and calls, and the resources
    /// that it uses
    Try(TryArgs),
    /// Makes a component from a core module with an embedded WIT world, as the tools of some
    /// languages produce it
    Component {
        /// Core module
        core: PathBuf,
        /// Output file
        output: PathBuf,
    },
}

/// See [`PluginCommand::New`].
#[derive(Clone, Debug, Args)]
pub(crate) struct NewArgs {
    /// Programming language
    #[arg(long, value_enum)]
    pub(crate) lang: Language,
    /// Name of the mode and of the directory: lower-case letters, digits and hyphens
    #[arg(value_name = "NAME")]
    pub(crate) mode_name: String,
}

/// See [`PluginCommand::Try`].
#[derive(Clone, Debug, Args)]
pub(crate) struct TryArgs {
    /// Component file
    pub(crate) file: PathBuf,
    /// What follows the colon in --cluster-mode NAME:ARGUMENT
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) argument: String,
    /// A setting; may be repeated
    #[arg(long = "setting", value_name = "KEY=VALUE")]
    pub(crate) settings: Vec<String>,
    /// A grant such as dns=*.shop.example or store=64KiB; may be repeated
    #[arg(long = "grant", value_name = "CAPABILITY=PATTERN")]
    pub(crate) grants: Vec<String>,
    /// Provide a WASI with nothing behind it, as `wasi = "inert"` does
    #[arg(long, value_name = "inert", value_parser = ["inert"])]
    pub(crate) wasi: Option<String>,
    /// Number of lookups; waits in between as the mode asks, at most 5 seconds
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) looks: u32,
    /// Also announce this member, and withdraw the announcement at the end
    #[arg(long)]
    pub(crate) announce: bool,
    /// TOML file with fake responses, used instead of the real network
    #[arg(long, value_name = "FILE")]
    pub(crate) fakes: Option<PathBuf>,
}

/// A language that `convoke plugin new` supports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs, reason = "their own names")]
pub(crate) enum Language {
    Rust,
    Python,
    Javascript,
    C,
    Go,
}
