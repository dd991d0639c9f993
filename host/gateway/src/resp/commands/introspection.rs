//! Commands that report on the server: `CONFIG`, `TIME`, `WAIT`.

use std::time::{SystemTime, UNIX_EPOCH};

use convoke_grid::glob::Glob;
use convoke_grid::op::integer;

use super::super::answer::{Answer, CommandError};
use super::super::args::Args;
use super::super::client::Client;
use super::super::command_state::{CommandResult, CommandState};
use super::super::request::{ARGUMENT_BYTES_MAX, Request};
use super::super::server::Server;
use super::super::slow_log::SLOW_COMMANDS_MAX;
use super::super::tracking::TRACKED_KEYS_MAX;
use super::info;
use crate::databases::DATABASES;
use crate::notifications::{EventMask, SETTING};

pub(crate) fn time(_: &mut Client, _: &Request<'_>) -> CommandResult {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let parts = [since.as_secs().to_string(), since.subsec_micros().to_string()];
    Ok(Answer::List(parts.into_iter().map(Answer::text).collect()).into())
}

/// `WAIT` returns the number of backups at once: writes are acknowledged only once the backups have
/// them.
pub(crate) fn wait(client: &mut Client, request: &Request<'_>) -> CommandResult {
    check_wait(request)?;
    Ok(Answer::count(backups(client)).into())
}

/// Checks the arguments of `WAIT`.
pub(crate) fn check_wait(request: &Request<'_>) -> Result<(), CommandError> {
    let mut args = Args::new(request, 1);
    args.integer()?;
    if args
        .integer()
        .map_err(|_| CommandError::new("ERR timeout is not an integer or out of range"))?
        < 0
    {
        return Err(CommandError::new("ERR timeout is negative"));
    }
    Ok(())
}

/// `WAITAOF` returns the number of backups, as [`wait`] does; there are no files to wait for.
pub(crate) fn waitaof(client: &mut Client, request: &Request<'_>) -> CommandResult {
    check_waitaof(request)?;
    Ok(Answer::List(vec![Answer::integer(0), Answer::count(backups(client))]).into())
}

/// Checks the arguments of `WAITAOF`.
pub(crate) fn check_waitaof(request: &Request<'_>) -> Result<(), CommandError> {
    let mut args = Args::new(request, 1);
    let here = args.integer()?;
    if !(0..=1).contains(&here) {
        return Err(CommandError::new("ERR value is out of range, value must between 0 and 1"));
    }
    args.count()?;
    let timeout = args
        .integer()
        .map_err(|_| CommandError::new("ERR timeout is not an integer or out of range"))?;
    if timeout < 0 {
        return Err(CommandError::new("ERR timeout is negative"));
    }
    if here > 0 {
        return Err(CommandError::new(
            "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.",
        ));
    }
    Ok(())
}

/// The number of backups that have the writes of a client.
fn backups(client: &Client) -> usize {
    let nodes = client.server.cluster.nodes();
    let others = nodes.iter().filter(|node| node.stores).count().saturating_sub(1);
    others.min(client.map.settings().backups.into())
}

pub(crate) fn whoami(client: &mut Client, _: &Request<'_>) -> CommandResult {
    Ok(Answer::text(client.info.names.lock().user).into())
}

/// Threshold of `SLOWLOG`, in microseconds.
const SLOW: &str = "slowlog-log-slower-than";
/// Number of commands that `SLOWLOG` keeps.
const SLOW_COMMANDS: &str = "slowlog-max-len";
/// Threshold of `LATENCY`, in milliseconds.
const LATENCY: &str = "latency-monitor-threshold";

/// The settings of `CONFIG GET`, with their values.
fn settings(server: &Server) -> Vec<(&'static str, String)> {
    let text = |text: &str| text.to_owned();
    let idle = server.settings.idle.map_or(0, |idle| idle.as_secs());
    let notified = server.grid.setting(SETTING).unwrap_or_default();
    vec![
        ("save", text("")),
        ("appendonly", text("no")),
        ("databases", DATABASES.to_string()),
        ("maxmemory", text("0")),
        ("maxmemory-policy", text("noeviction")),
        ("maxclients", server.settings.clients_max.to_string()),
        ("timeout", idle.to_string()),
        ("port", server.port.to_string()),
        ("proto-max-bulk-len", ARGUMENT_BYTES_MAX.to_string()),
        (SLOW, server.stats.slow_log.slow_us().to_string()),
        (SLOW_COMMANDS, server.stats.slow_log.commands_max().to_string()),
        (LATENCY, server.stats.slow_log.latency_ms().to_string()),
        ("tracking-table-max-keys", TRACKED_KEYS_MAX.to_string()),
        (SETTING, EventMask::parse(&notified).unwrap_or_default().text()),
        ("cluster-enabled", text(if server.settings.redis_cluster { "yes" } else { "no" })),
    ]
}

pub(crate) fn config_get(client: &mut Client, request: &Request<'_>) -> CommandResult {
    let lower = |word: &[u8]| word.to_ascii_lowercase();
    let globs: Vec<Glob> = request.from(2).map(|word| Glob::new(&lower(word))).collect();
    let fits = |name: &str| globs.iter().any(|glob| glob.matches(name.as_bytes()));
    let found = settings(&client.server).into_iter().filter(|(name, _)| fits(name));
    let mut found: Vec<(&str, String)> = found.collect();
    found.sort_unstable();
    let pair = |(name, value): (&str, String)| (Answer::text(name), Answer::text(value));
    Ok(Answer::Map(found.into_iter().map(pair).collect()).into())
}

pub(crate) fn config_set(client: &mut Client, request: &Request<'_>) -> CommandResult {
    let server = &client.server;
    let pairs = Args::new(request, 2).pairs("config|set")?;
    // All are checked before any is applied.
    for (at, (name, value)) in pairs.iter().enumerate() {
        if pairs[..at].iter().any(|(other, _)| other.eq_ignore_ascii_case(name)) {
            let name = String::from_utf8_lossy(name);
            let message = format!(
                "ERR CONFIG SET failed (possibly related to argument '{name}') - duplicate parameter"
            );
            return Err(CommandError(message.into()));
        }
        set(server, name, value, false)?;
    }
    for (name, value) in &pairs {
        set(server, name, value, true)?;
    }
    // The setting is in effect on all members before the reply.
    let announced = server.grid.announcements_received();
    Ok(CommandState::Pending(Box::pin(async move {
        announced.await;
        Answer::DONE
    })))
}

pub(crate) fn config_resetstat(client: &mut Client, _: &Request<'_>) -> CommandResult {
    info::reset(&client.server);
    Ok(Answer::DONE.into())
}

/// Checks a new value of a setting, and applies it if `applies`.
fn set(server: &Server, name: &[u8], value: &[u8], applies: bool) -> Result<(), CommandError> {
    let name = String::from_utf8_lossy(name).to_ascii_lowercase();
    let failed = |why: &str| {
        let message =
            format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {why}");
        CommandError(message.into())
    };
    if name == SETTING {
        let text = str::from_utf8(value)
            .ok()
            .and_then(EventMask::parse)
            .ok_or_else(|| failed(EventMask::EXPECTED))?;
        if applies {
            server.grid.set_setting(SETTING, &text.text());
        }
        return Ok(());
    }
    // These apply to this member only.
    if name == SLOW || name == LATENCY || name == SLOW_COMMANDS {
        let number = integer(value);
        let number = number.ok_or_else(|| failed("argument couldn't be parsed into an integer"))?;
        let min = if name == SLOW { -1 } else { 0 };
        let max = if name == SLOW_COMMANDS { SLOW_COMMANDS_MAX as i64 } else { i64::MAX };
        if !(min..=max).contains(&number) {
            let why = format!("argument must be between {min} and {max} inclusive");
            return Err(failed(&why));
        }
        if applies && name == SLOW {
            server.stats.slow_log.set_slow_us(number);
        } else if applies && name == SLOW_COMMANDS {
            let count = usize::try_from(number).unwrap_or(SLOW_COMMANDS_MAX);
            server.stats.slow_log.set_commands_max(count);
        } else if applies {
            server.stats.slow_log.set_latency_ms(number.unsigned_abs());
        }
        return Ok(());
    }
    let known = settings(server).into_iter().find(|(known, _)| *known == name);
    match known {
        // Setting the current value again is allowed.
        Some((_, now)) if now.as_bytes() == value => Ok(()),
        Some(_) => Err(failed("can't set immutable config")),
        None => Err(CommandError(
            format!("ERR Unknown option or number of arguments for CONFIG SET - '{name}'").into(),
        )),
    }
}
