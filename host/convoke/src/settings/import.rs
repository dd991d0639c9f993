//! The command line of `convoke import`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// See [`Command::Import`](super::Command::Import).
#[derive(Clone, Debug, Args)]
pub(crate) struct ImportArgs {
    /// Server to copy from: redis://HOST, or rediss:// for TLS. USER:PASSWORD@ may precede the host,
    /// and :PORT and /DATABASE may follow it. Other users of this host can read it in the process
    /// list: prefer a file for the password. If it is a node of a Redis Cluster, all primaries are
    /// copied
    #[arg(value_name = "URL")]
    pub(crate) url: String,
    /// Members to copy to, separated by commas: their RESP ports. Others are used if the first is
    /// unreachable. The password is that of clients: --client-password-file [default: the RESP port
    /// on this host]
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',')]
    pub(crate) to: Vec<String>,
    /// Password of the source. Other users of this host can read it in the process list: prefer the
    /// file or the environment variable
    #[arg(
        long,
        value_name = "PASSWORD",
        env = "CONVOKE_SOURCE_PASSWORD",
        hide_env_values = true,
        conflicts_with = "source_password_file"
    )]
    pub(crate) source_password: Option<String>,
    /// File that contains the password of the source; a trailing line break is ignored
    #[arg(long, value_name = "FILE", env = "CONVOKE_SOURCE_PASSWORD_FILE")]
    pub(crate) source_password_file: Option<PathBuf>,
    /// Certificate authorities of a source with TLS, in PEM format [default: those of the system]
    #[arg(long, value_name = "FILE")]
    pub(crate) source_ca: Option<PathBuf>,
    /// Databases to copy, separated by commas [default: all that have keys]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub(crate) databases: Option<Vec<u16>>,
    /// Copy only keys that match a pattern, as in SCAN
    #[arg(long = "match", value_name = "PATTERN")]
    pub(crate) pattern: Option<String>,
    /// What to do with keys that exist in the cluster: keep them, replace them, or copy nothing if
    /// a database that would be written has any
    #[arg(long, value_enum, default_value = "fail")]
    pub(crate) existing: ExistingArg,
    /// File that notes the progress: the same command with the same file continues an interrupted
    /// import
    #[arg(long, value_name = "FILE")]
    pub(crate) state: Option<PathBuf>,
    /// Compare all keys afterwards: types, values and times to live
    #[arg(long)]
    pub(crate) verify: bool,
    /// Compare without copying
    #[arg(long, conflicts_with = "verify")]
    pub(crate) verify_only: bool,
    /// Count the keys that would be copied, and copy nothing
    #[arg(long, conflicts_with_all = ["verify", "verify_only"])]
    pub(crate) dry_run: bool,
}

/// What happens to keys that exist already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs, reason = "their own names")]
pub(crate) enum ExistingArg {
    Fail,
    Skip,
    Replace,
}
