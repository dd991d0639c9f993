//! `cargo xtask run`: a member on this machine, to try things out.

use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::Result;
use crate::workspace::Workspace;

/// The subcommands of the binary, and the options of a try-out that each takes.
const SUBCOMMANDS: [(&str, &[&[&str]]); 5] = [
    ("discover", &[LOOPBACK]),
    ("domain", &[LOOPBACK]),
    ("members", &[]),
    ("plugin", &[]),
    ("config", &[]),
];

/// Members that are tried out meet on this machine and nowhere else.
const LOOPBACK: &[&str] = &["--interfaces", "127.0.0.1"];

/// A second member on this machine finds port 8080 taken.
const ANY_HTTP_PORT: &[&str] = &["--auto-bind-http"];

/// Options of the binary that stand alone, as [`name`] writes them. The word
/// after any other option is its value.
const FLAGS: [&str; 4] = ["lite", "autobindhttp", "nocluster", "help"];

/// Becomes the binary, so that signals and the terminal are its own. Returns
/// only when that fails.
pub(crate) fn run(workspace: &Workspace, args: &[String]) -> Result<()> {
    let binary = workspace.binary();
    let error = Command::new(&binary).args(with_defaults(args)).exec();
    Err(format!("{} cannot be started: {error}", binary.display()))
}

/// The options as typed, and those of a try-out that were not given.
fn with_defaults(args: &[String]) -> Vec<String> {
    let args = args.strip_prefix(&["--".to_owned()]).unwrap_or(args);
    let (at, defaults) = match subcommand(args) {
        Some((at, defaults)) => (at + 1, defaults),
        None => (0, &[LOOPBACK, ANY_HTTP_PORT][..]),
    };
    let missing = defaults.iter().filter(|option| !is_given(option[0], args));
    let added = missing.copied().flatten().map(|&word| word.to_owned());
    let (before, after) = args.split_at(at);
    before.iter().cloned().chain(added).chain(after.iter().cloned()).collect()
}

/// Where the subcommand stands, and the options it takes.
fn subcommand(args: &[String]) -> Option<(usize, &'static [&'static [&'static str]])> {
    args.iter().enumerate().find_map(|(at, word)| {
        let is_value = at.checked_sub(1).is_some_and(|before| takes_value(&args[before]));
        let (_, options) = SUBCOMMANDS.iter().find(|(name, _)| name == word)?;
        (!is_value).then_some((at, *options))
    })
}

fn takes_value(word: &str) -> bool {
    name(word).is_some_and(|name| !FLAGS.contains(&name.as_str())) && !word.contains('=')
}

fn is_given(option: &str, args: &[String]) -> bool {
    args.iter().any(|word| name(word).is_some() && name(word) == name(option))
}

/// An option's name without its spelling: `--auto-bind-http`, `--autoBindHttp`
/// and `--autobindhttp=true` are one.
fn name(word: &str) -> Option<String> {
    let (name, _value) = word.split_once('=').unwrap_or((word, ""));
    Some(name.strip_prefix("--")?.replace('-', "").to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn becomes(typed: &str, expected: &str) {
        let args: Vec<String> = typed.split_whitespace().map(str::to_owned).collect();
        assert_eq!(with_defaults(&args).join(" "), expected);
    }

    #[test]
    fn a_member_meets_others_on_this_machine_only() {
        becomes("", "--interfaces 127.0.0.1 --auto-bind-http");
        becomes("--", "--interfaces 127.0.0.1 --auto-bind-http");
        becomes("-- --lite", "--interfaces 127.0.0.1 --auto-bind-http --lite");
        becomes("--lite", "--interfaces 127.0.0.1 --auto-bind-http --lite");
    }

    #[test]
    fn what_was_given_in_any_spelling_is_left_alone() {
        becomes("-- --interfaces 10.0.*.*", "--auto-bind-http --interfaces 10.0.*.*");
        becomes("-- --interfaces=eth0", "--auto-bind-http --interfaces=eth0");
        becomes("-- --Interfaces eth0", "--auto-bind-http --Interfaces eth0");
        for spelling in ["--auto-bind-http", "--autoBindHttp", "--autobindhttp=true"] {
            becomes(spelling, &format!("--interfaces 127.0.0.1 {spelling}"));
        }
        becomes("--autobindhttp --interfaces lo", "--autobindhttp --interfaces lo");
        becomes(
            "--auto-bind-range 9",
            "--interfaces 127.0.0.1 --auto-bind-http --auto-bind-range 9",
        );
    }

    #[test]
    fn a_subcommand_gets_only_what_it_takes() {
        becomes("-- discover", "discover --interfaces 127.0.0.1");
        becomes(
            "discover --cluster-mode tcpip:::1",
            "discover --interfaces 127.0.0.1 --cluster-mode tcpip:::1",
        );
        becomes("discover --interfaces=lo", "discover --interfaces=lo");
        becomes("domain", "domain --interfaces 127.0.0.1");
        becomes("members --json", "members --json");
        becomes("plugin inspect x.wasm", "plugin inspect x.wasm");
        becomes("config check", "config check");
    }

    #[test]
    fn a_subcommand_is_found_behind_options_and_not_mistaken_for_a_value() {
        becomes("--config a.toml members", "--config a.toml members");
        becomes("--lite members", "--lite members");
        becomes("--name=a members", "--name=a members");
        becomes("--name members", "--interfaces 127.0.0.1 --auto-bind-http --name members");
    }
}
