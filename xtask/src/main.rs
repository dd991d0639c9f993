//! Set-up, build, run, test and bench: the project's own commands.
//!
//! Everything a fresh machine needs to build Convoke is brought by these, and
//! nothing is done twice: each command may be repeated at will.

mod binaries;
mod chaos;
mod clients;
mod debian;
mod examples;
mod failover;
mod fuzz;
mod harnesses;
mod modes;
mod nameservers;
mod peers;
mod process;
mod run;
mod suites;
mod toolchain;
#[cfg(test)]
mod wording;
mod workspace;

use std::process::ExitCode;

use workspace::Workspace;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  run [-- OPTIONS]   build, then start a member on this machine only; in a second
                     terminal, the same command starts one that joins it
  test [FILTER …]    build, fetch the clients, suites and DNS servers that tests use, then
                     every test of host and modes
  test --examples    build, then the example modes in each language, with the tools
                     they take, and what the tests do with them
  build              modes and host; the binary is target/release/convoke
  modes              the built-in modes only: components in target/modes
  bench NAME         build, then one bench
  bindings           after a change of wit/: what projects in C and Go carry of it
  soak [TIMES]       every simulation with TIMES (10) times the seeds of a test, starting
                     at an arbitrary one
  chaos [MINUTES] [SEED] [OPTIONS]
                     build, then clients on real members under faults for 10 minutes;
                     every answer is checked against what the data promises
  chaos --check FILE checks a history that such a run has written
  fuzz [SECONDS] [TARGET …]
                     build with every overflow and assertion a panic, then the harness of
                     each decoder with inputs that libFuzzer finds, mutated input and random
                     commands for members, and property tests, 600 s each; all, or those that
                     are named, as in fuzz 60 wire-datagram
  fuzz TARGET --input FILE
                     build, then the harness of a decoder with one input, such as a finding
  clients [NAME …]   build, fetch the clients and frameworks of tests/clients/table.toml, all or
                     those that are named, and let each do its main job on three members
                     while they are killed one after the other; writes
                     tests/clients/README.md
  peers hazelcast    build, then the configuration files of tests/peers/hazelcast as
                     Hazelcast itself reads them, against what Convoke makes of them
  help               this page

environment:
  CARGO_TARGET_DIR            where to build instead of target
  CONVOKE_BIN                 of chaos, clients and fuzz: test this binary instead of building one
  CONVOKE_WASM_TOOLCHAIN      `installed`, `rustup` or `debian`: this compiler for the
                              modes, no other
  XDG_CACHE_HOME              where the Debian compiler and the clients are kept (default
                              ~/.cache)";

const COMMANDS: &str =
    "run, test, build, modes, bench, bindings, soak, chaos, fuzz, clients, peers, help";

/// The error is a message for the user of the command.
type Result<T> = std::result::Result<T, String>;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (command, rest) = match args.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("help", &[][..]),
    };
    let workspace = Workspace::here();
    let done = match command {
        "run" => modes::build_host(&workspace).and_then(|()| run::run(&workspace, rest)),
        "test" if rest == ["--examples"] => {
            modes::build_host(&workspace).and_then(|()| examples::test(&workspace))
        }
        "bindings" => examples::write_bindings(&workspace),
        "test" => modes::build_host(&workspace).and_then(|()| suites::test(&workspace, rest)),
        "build" => modes::build_host(&workspace),
        "modes" => modes::build(&workspace),
        "bench" => match rest {
            [name] => modes::build_host(&workspace)
                .and_then(|()| match name.as_str() {
                    "plugins" => examples::build(&workspace),
                    _ => Ok(()),
                })
                .and_then(|()| suites::bench(&workspace, name)),
            _ => return usage_error("bench takes one NAME: cargo xtask bench NAME"),
        },
        "soak" => match rest.first().map_or(Ok(suites::SOAK_TIMES), |times| times.parse()) {
            Ok(times) if rest.len() <= 1 => suites::soak(&workspace, times),
            _ => return usage_error("soak takes one whole number: cargo xtask soak 10"),
        },
        "chaos" => chaos::run(&workspace, rest),
        "fuzz" => fuzz::run(&workspace, rest),
        "clients" => failover::run(&workspace, rest),
        "peers" => match rest {
            [name] => peers::run(&workspace, name),
            _ => return usage_error("peers takes one NAME: cargo xtask peers hazelcast"),
        },
        "help" | "--help" | "-h" => {
            println!("{USAGE}");
            Ok(())
        }
        unknown => {
            return usage_error(&format!("no command {unknown:?}; there are {COMMANDS}"));
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

fn usage_error(text: &str) -> ExitCode {
    eprintln!("xtask: {text}");
    ExitCode::from(2)
}
