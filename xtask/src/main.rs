//! The project's commands: build, run, test, fuzz and bench.
//!
//! They download the tools that a build or a test needs, and skip work that was done before, so
//! each can be repeated at any time.

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
mod upstream;
#[cfg(test)]
mod wording;
mod workspace;

use std::process::ExitCode;

use workspace::Workspace;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  run [-- OPTIONS]   builds, and starts a member that listens on this machine only; run it
                     again in a second terminal for a second member, which joins the first
  test [FILTER …]    builds, downloads the client libraries, test suites and DNS servers that
                     tests use, and runs all tests of host and modes
  test --examples    builds, then builds and tests the example modes in each language, and runs
                     the host's tests that use them; downloads tools that are missing
  build              builds modes and host; the binary is target/release/convoke
  modes              builds the built-in modes only: components in target/modes
  bench NAME         builds, and runs one bench
  bindings           regenerates the bindings of the templates in C and Go after a change in wit/
  soak [TIMES]       runs every simulation with TIMES (default 10) times as many seeds as a test,
                     starting at an arbitrary seed
  chaos [MINUTES] [SEED] [OPTIONS]
                     builds, and runs clients against real members under faults for 10 minutes;
                     all answers are checked against the guarantees of the data
  chaos --check FILE checks a history that such a run has written
  fuzz [SECONDS] [TARGET …]
                     builds with panics on overflow and failed assertions, and runs targets for
                     SECONDS (default 600) each: the harness of each decoder with libFuzzer,
                     malformed input and random commands for members, and property tests; all
                     targets by default, or those named, as in fuzz 60 wire-datagram
  fuzz TARGET --input FILE
                     builds, and runs the harness of a decoder with one input, such as a finding
  clients [NAME …]   builds, downloads the clients and frameworks of tests/clients/table.toml, all
                     or those named, and lets each do its main job on three members that are
                     killed one after the other; writes tests/clients/README.md
  suites [--record]  builds, downloads the test suites of Redis 8 and Valkey, and runs them on three
                     members, which takes some 15 minutes; --record also runs them on these servers,
                     and writes the counts and tests/suites/RESULTS.md
  peers hazelcast    builds, and compares how Hazelcast and Convoke read the configuration
                     files of tests/peers/hazelcast
  peers hazelcast-clients [LANGUAGE [CASE …]]
                     builds, downloads the clients of Hazelcast in Java, Python, Node.js and Go, and
                     runs the cases of tests/peers/hazelcast-clients on members of Hazelcast and of
                     Convoke; all differences have to be listed in its differences.toml
  help               prints this help

environment:
  CARGO_TARGET_DIR            build folder in place of target
  CONVOKE_BIN                 for chaos, clients, fuzz, suites and peers hazelcast-clients: binary to
                              test instead of building one
  CONVOKE_WASM_TOOLCHAIN      compiler for the modes: `installed`, `rustup` or `debian`
                              (default: the first that is available)
  XDG_CACHE_HOME              parent of the folder with Debian's compiler and the clients
                              (default ~/.cache)";

const COMMANDS: &str =
    "run, test, build, modes, bench, bindings, soak, chaos, fuzz, clients, suites, peers, help";

/// The error is a message for the user.
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
            _ => return usage_error("bench needs one NAME: cargo xtask bench NAME"),
        },
        "soak" => match rest.first().map_or(Ok(suites::SOAK_TIMES), |times| times.parse()) {
            Ok(times) if rest.len() <= 1 => suites::soak(&workspace, times),
            _ => return usage_error("soak accepts one integer: cargo xtask soak 10"),
        },
        "chaos" => chaos::run(&workspace, rest),
        "fuzz" => fuzz::run(&workspace, rest),
        "clients" => failover::run(&workspace, rest),
        "suites" => match rest {
            [] => upstream::run(&workspace, false),
            [option] if option == "--record" => upstream::run(&workspace, true),
            _ => return usage_error("suites accepts --record only"),
        },
        "peers" => match rest {
            [name, options @ ..] => peers::run(&workspace, name, options),
            [] => return usage_error("peers needs one NAME: cargo xtask peers hazelcast"),
        },
        "help" | "--help" | "-h" => {
            println!("{USAGE}");
            Ok(())
        }
        unknown => {
            return usage_error(&format!(
                "unknown command {unknown:?}; expected one of {COMMANDS}"
            ));
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
