//! The test suites of Redis and redis-py, on three members. Excluded tests are listed with the
//! reason in `tests/suites`.

use std::fs;
use std::path::Path;
use std::process::Command;

use convoke_tests::Cluster;

use crate::installed::Clients;
use crate::safe::wait_until_safe;

/// The scripts that run the suites and report the results.
const RUNNERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/suites");

/// One run of a suite, on its own three members, since the suites flush all databases.
struct Run {
    suite: &'static str,
    units: Units,
}

enum Units {
    All,
    These(&'static [&'static str]),
    AllBut(&'static [&'static str]),
}

/// These units of Redis' tests take as long as all others together.
const LONG: &[&str] = &["unit/type/list", "unit/type/list-3", "unit/type/zset"];

#[test]
fn three_members_pass_the_redis_test_suite() {
    pass(&Run { suite: "tcl", units: Units::AllBut(LONG) });
}

#[test]
fn three_members_pass_the_redis_test_suite_for_lists_and_sorted_sets() {
    pass(&Run { suite: "tcl", units: Units::These(LONG) });
}

#[test]
fn three_members_pass_the_redis_py_test_suite() {
    pass(&Run { suite: "redis-py", units: Units::All });
}

#[track_caller]
fn pass(run: &Run) {
    let Some(clients) = Clients::find() else { return };
    let cluster = Cluster::new();
    let outcome = cluster.folder().join("outcome.json");
    run_suite(&cluster, &clients, run, &outcome);
    let output = python(&clients, "report.py").arg(&outcome).output().expect("Python runs");
    let stdout = String::from_utf8_lossy(&output.stdout);
    // Not through `print!`, which the test harness captures.
    let _ = std::io::Write::write_all(&mut std::io::stderr(), stdout.as_bytes());
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stdout}{stderr}");
}

#[track_caller]
fn run_suite(cluster: &Cluster, clients: &Clients, run: &Run, outcome: &Path) {
    let start = || cluster.launch().start();
    let members = [start(), start(), start()];
    wait_until_safe(cluster, &members);
    let ports: Vec<String> =
        members.iter().map(|member| member.resp().port().to_string()).collect();
    let logs = outcome.with_extension("logs");
    fs::create_dir_all(&logs).expect("the folder is writable");
    let mut command = python(clients, "run.py");
    command.args(["--target", "convoke", "--suite", run.suite, "--port", &ports.join(",")]);
    command.arg("--folder").arg(clients.suites());
    command.arg("--python").arg(clients.python());
    command.arg("--logs").arg(&logs).arg("--json").arg(outcome);
    let (option, units) = match run.units {
        Units::All => ("--unit", [].as_slice()),
        Units::These(units) => ("--unit", units),
        Units::AllBut(units) => ("--but", units),
    };
    command.args(units.iter().flat_map(|unit| [option, unit]));
    let output = command.output().expect("Python runs");
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{} did not run:\n{stdout}{stderr}", run.suite);
}

fn python(clients: &Clients, script: &str) -> Command {
    let mut command = Command::new(clients.python());
    command.arg(Path::new(RUNNERS).join(script)).env("PYTHONDONTWRITEBYTECODE", "1");
    command
}
