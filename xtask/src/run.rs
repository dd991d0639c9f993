//! `cargo xtask run`: starts a member that only members on this machine can join.

use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::Result;
use crate::workspace::Workspace;

/// The subcommands of the binary, and the default options that are added for each.
const SUBCOMMANDS: [(&str, &[&[&str]]); 5] = [
    ("discover", &[LOOPBACK]),
    ("domain", &[LOOPBACK]),
    ("members", &[]),
    ("plugin", &[]),
    ("config", &[]),
];

/// Restricts members to this machine.
const LOOPBACK: &[&str] = &["--interfaces", "127.0.0.1"];

/// Lets a second member on this machine choose a port if 8080 is in use.
const ANY_HTTP_PORT: &[&str] = &["--auto-bind-http"];

/// Options of the binary without a value, as normalized by [`name`]. The argument after any other
/// option is its value.
const FLAGS: [&str; 4] = ["lite", "autobindhttp", "nocluster", "help"];

/// Replaces this process with the binary, which thus receives signals and the terminal directly.
/// Returns only on failure.
pub(crate) fn run(workspace: &Workspace, args: &[String]) -> Result<()> {
    let binary = workspace.binary();
    let error = Command::new(&binary).args(with_defaults(args)).exec();
    Err(format!("{} cannot be started: {error}", binary.display()))
}

/// The given arguments, with the default options that they lack.
fn with_defaults(args: &[String]) -> Vec<String> {
    let args = args.strip_prefix(&["--".to_owned()]).unwrap_or(args);
    let (at, defaults) = match subcommand(args) {
        Some((at, defaults)) => (at + 1, defaults),
        None => (0, &[LOOPBACK, ANY_HTTP_PORT][..]),
    };
    let missing = defaults.iter().filter(|option| !is_given(option[0], args));
    let added = missing.copied().flatten().map(|&arg| arg.to_owned());
    let (before, after) = args.split_at(at);
    before.iter().cloned().chain(added).chain(after.iter().cloned()).collect()
}

/// The index of the subcommand, and its default options.
fn subcommand(args: &[String]) -> Option<(usize, &'static [&'static [&'static str]])> {
    args.iter().enumerate().find_map(|(at, arg)| {
        let is_value = at.checked_sub(1).is_some_and(|before| takes_value(&args[before]));
        let (_, options) = SUBCOMMANDS.iter().find(|(name, _)| name == arg)?;
        (!is_value).then_some((at, *options))
    })
}

fn takes_value(arg: &str) -> bool {
    name(arg).is_some_and(|name| !FLAGS.contains(&name.as_str())) && !arg.contains('=')
}

fn is_given(option: &str, args: &[String]) -> bool {
    args.iter().any(|arg| name(arg).is_some() && name(arg) == name(option))
}

/// The normalized name of an option: `--auto-bind-http`, `--autoBindHttp` and `--autobindhttp=true`
/// have the same.
fn name(arg: &str) -> Option<String> {
    let (name, _value) = arg.split_once('=').unwrap_or((arg, ""));
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
    fn a_member_uses_loopback_only() {
        becomes("", "--interfaces 127.0.0.1 --auto-bind-http");
        becomes("--", "--interfaces 127.0.0.1 --auto-bind-http");
        becomes("-- --lite", "--interfaces 127.0.0.1 --auto-bind-http --lite");
        becomes("--lite", "--interfaces 127.0.0.1 --auto-bind-http --lite");
    }

    #[test]
    fn given_options_are_kept_in_any_spelling() {
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
    fn a_subcommand_gets_only_its_own_options() {
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
    fn a_subcommand_is_found_after_options_and_values_are_skipped() {
        becomes("--config a.toml members", "--config a.toml members");
        becomes("--lite members", "--lite members");
        becomes("--name=a members", "--name=a members");
        becomes("--name members", "--interfaces 127.0.0.1 --auto-bind-http --name members");
    }
}
