//! What an import is asked to do.

use std::fmt;
use std::path::PathBuf;

use zeroize::Zeroizing;

use crate::address::{Address, SourceUrl};

/// What happens to keys that exist in the cluster already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Existing {
    /// Nothing is copied if a database that would be written has keys.
    #[default]
    Fail,
    /// They are kept.
    Skip,
    /// They are replaced.
    Replace,
}

impl fmt::Display for Existing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fail => "fail",
            Self::Skip => "skip",
            Self::Replace => "replace",
        })
    }
}

/// What is done with the keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// They are copied.
    #[default]
    Copy,
    /// They are copied, and compared afterwards.
    CopyAndVerify,
    /// They are compared.
    Verify,
    /// They are counted.
    DryRun,
}

/// All options of an import.
#[derive(Clone, Debug)]
pub struct Options {
    /// The server to copy from.
    pub source: SourceUrl,
    /// Its password, if the URL does not contain it; empty if there is none.
    pub source_password: Zeroizing<Vec<u8>>,
    /// File with the certificate authorities of the source, in PEM format. Without it, those that
    /// the system trusts.
    pub source_ca: Option<PathBuf>,
    /// RESP addresses of members; at least one. Others are used if the first is not reachable.
    pub to: Vec<Address>,
    /// The client password of the cluster; empty if there is none.
    pub to_password: Zeroizing<Vec<u8>>,
    /// The databases to copy; all that have keys if not set.
    pub databases: Option<Vec<u16>>,
    /// Pattern of the keys to copy, as in `SCAN`.
    pub pattern: Option<String>,
    /// What happens to keys that exist already.
    pub existing: Existing,
    /// File with which an interrupted import continues.
    pub state: Option<PathBuf>,
    /// What is done.
    pub mode: Mode,
    /// Whether standard error is a terminal.
    pub is_terminal: bool,
}
