//! `cargo xtask chaos`: real members under faults, by the program of the tests crate.

use std::env;
use std::process::Command;

use crate::modes::build_binary;
use crate::process::run as run_command;
use crate::workspace::Workspace;
use crate::{Result, modes};

/// The variable that names a binary to test in place of the one that is built.
const BINARY: &str = "CONVOKE_BIN";

/// Builds what is tested, unless a binary is given or only a file is checked, and the
/// program that tests it; `words` go to that as they are.
pub(crate) fn run(workspace: &Workspace, words: &[String]) -> Result<()> {
    let is_check = words.first().is_some_and(|word| word == "--check");
    if !is_check && env::var_os(BINARY).is_none() {
        modes::build_host(workspace)?;
    }
    build_binary(workspace, "chaos")?;
    run_command(Command::new(workspace.target.join("release/chaos")).args(words))
}
