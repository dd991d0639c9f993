//! `cargo xtask suites`: the test suites of Redis 8 and Valkey on three members, next to the results of
//! these servers. Outside of CI, since they take longer than all other tests of clients together.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failover::members::{Members, empty_folder};
use crate::failover::table::{Mode, Protocol};
use crate::process::run as run_command;
use crate::workspace::Workspace;
use crate::{Result, modes};

/// The suites, by the names that `tests/suites/run.py` has for them.
const SUITES: [&str; 2] = ["redis8", "valkey"];

/// Of the binary under test.
const BINARY_VARIABLE: &str = "CONVOKE_BIN";

/// Runs the suites and reports the results; an error if there are problems. `records` runs them on the
/// original servers too, and records the results in the repository.
pub(crate) fn run(workspace: &Workspace, records: bool) -> Result<()> {
    let scripts = workspace.root.join("tests/suites");
    let binary = match env::var_os(BINARY_VARIABLE) {
        Some(binary) => PathBuf::from(binary),
        None => {
            modes::build_host(workspace)?;
            workspace.binary()
        }
    };
    let folder = workspace.target.join("suites");
    let fetch = scripts.join("fetch.sh");
    run_command(Command::new("bash").arg(fetch).arg("--newer").arg(&folder))?;
    let logs = folder.join("newer-logs");
    empty_folder(&logs)?;
    let suite = |name: &str, target: &str, port: Option<&str>| {
        let outcome = logs.join(format!("{name}-{target}.json"));
        let mut command = python(&scripts, "run.py");
        command.args(["--suite", name, "--target", target]).arg("--folder").arg(&folder);
        command.args(port.iter().flat_map(|port| ["--port", port]));
        command.arg("--logs").arg(logs.join(name)).arg("--json").arg(&outcome);
        run_command(&mut command).map(|()| outcome)
    };
    let mut outcomes = Vec::new();
    for name in SUITES {
        if records {
            outcomes.push(suite(name, "redis", None)?);
        }
        // Suites flush all databases, and leave clients behind that wait.
        let members = logs.join(format!("{name}-members"));
        empty_folder(&members)?;
        let members = Members::start(&binary, &members, Mode::List)?;
        let ports: Vec<String> = members.ports(Protocol::Resp).iter().map(u16::to_string).collect();
        outcomes.push(suite(name, "convoke", Some(&ports.join(",")))?);
    }
    let mut report = python(&scripts, "report.py");
    if records {
        report.arg("--record").arg("--page").arg(scripts.join("RESULTS.md"));
    }
    run_command(report.args(outcomes))
}

fn python(scripts: &Path, script: &str) -> Command {
    let mut command = Command::new("python3");
    command.arg(scripts.join(script)).env("PYTHONDONTWRITEBYTECODE", "1");
    command
}
