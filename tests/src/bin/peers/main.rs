//! `peers hazelcast`: compares the values recorded from Hazelcast with those that Convoke reads
//! from the same files, and writes the page. Exits with 1 if a difference has no documented reason.

use std::fs;
use std::process::ExitCode;

use convoke_tests::peers::hazelcast;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args != ["hazelcast"] {
        eprintln!("usage: peers hazelcast");
        return ExitCode::from(2);
    }
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(why) => {
            eprintln!("peers: {why}");
            ExitCode::from(2)
        }
    }
}

/// Returns whether every difference has a reason.
fn run() -> Result<bool, String> {
    let folder = hazelcast::folder();
    let comparison = hazelcast::compare(&folder)?;
    for line in &comparison.unexplained {
        eprintln!("peers: {line}");
    }
    let page = folder.join("README.md");
    fs::write(&page, comparison.page()).map_err(|error| format!("{}: {error}", page.display()))?;
    println!(
        "peers: wrote {}; {} differences without a reason",
        page.display(),
        comparison.unexplained.len()
    );
    Ok(comparison.unexplained.is_empty())
}
