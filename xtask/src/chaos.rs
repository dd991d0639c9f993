//! `cargo xtask chaos`: real members under faults, run by the binary `chaos` of the tests crate.

use std::env;
use std::process::Command;

use crate::modes::build_binary;
use crate::process::run as run_command;
use crate::workspace::Workspace;
use crate::{Result, modes};

/// Environment variable with the path of a member's binary to test instead of building one.
const BINARY: &str = "CONVOKE_BIN";

/// Builds the member's binary, unless one is given or only a history is checked, and the test
/// program, to which `args` are passed unchanged.
pub(crate) fn run(workspace: &Workspace, args: &[String]) -> Result<()> {
    let is_check = args.first().is_some_and(|arg| arg == "--check");
    if !is_check && env::var_os(BINARY).is_none() {
        modes::build_host(workspace)?;
    }
    build_binary(workspace, "chaos")?;
    run_command(Command::new(workspace.target.join("release/chaos")).args(args))
}
