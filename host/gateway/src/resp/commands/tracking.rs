//! Client-side caching: `CLIENT TRACKING` and what belongs to it, and the notes of what a command
//! reads.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use convoke_grid::Reply;

use super::super::answer::{Answer, CommandError};
use super::super::args::Args;
use super::super::client::{Client, ClientTracking, Queued};
use super::super::client_info::{ClientInfo, TrackingFlags};
use super::super::command::{Command, CommandTable, Group};
use super::super::command_state::{CommandResult, CommandState};
use super::super::request::Request;
use super::super::tracking::{Mode, Options, PREFIXES_MAX};
use crate::trust::Trust;

const NO_SUCH_CLIENT: CommandError =
    CommandError::new("ERR The client ID you want redirect to does not exist");

/// The options of `CLIENT TRACKING`, before they are checked.
#[derive(Default)]
struct TrackingOptions {
    redirect: Option<Arc<ClientInfo>>,
    prefixes: Vec<Bytes>,
    broadcasts: bool,
    opts_in: bool,
    opts_out: bool,
    noloop: bool,
}

impl TrackingOptions {
    fn parse(client: &Client, args: &mut Args<'_, '_>) -> Result<Self, CommandError> {
        let mut wanted = Self::default();
        while args.remaining() > 0 {
            if args.take_keyword("bcast") {
                wanted.broadcasts = true;
            } else if args.take_keyword("optin") {
                wanted.opts_in = true;
            } else if args.take_keyword("optout") {
                wanted.opts_out = true;
            } else if args.take_keyword("noloop") {
                wanted.noloop = true;
            } else if args.take_keyword("prefix") {
                if wanted.prefixes.len() >= PREFIXES_MAX {
                    return Err(too_many_prefixes());
                }
                wanted.prefixes.push(Bytes::copy_from_slice(args.next()?));
            } else if args.take_keyword("redirect") {
                if wanted.redirect.is_some() {
                    return Err(CommandError::new(
                        "ERR A client can only redirect to a single other client",
                    ));
                }
                let id = args.integer()?;
                wanted.redirect = Some(target(client, id)?);
            } else {
                return Err(CommandError::SYNTAX);
            }
        }
        Ok(wanted)
    }

    /// Checks the options together, and with what is turned on already.
    fn mode(&self, client: &Client) -> Result<Mode, CommandError> {
        if !self.broadcasts && !self.prefixes.is_empty() {
            return Err(CommandError::new("ERR PREFIX option requires BCAST mode to be enabled"));
        }
        let before = client.tracking.map(|tracking| tracking.mode);
        if before.is_some_and(|before| (before == Mode::Broadcast) != self.broadcasts) {
            return Err(CommandError::new(
                "ERR You can't switch BCAST mode on/off before disabling tracking for this client, and then re-enabling it with a different mode.",
            ));
        }
        if self.broadcasts && (self.opts_in || self.opts_out) {
            return Err(CommandError::new("ERR OPTIN and OPTOUT are not compatible with BCAST"));
        }
        if self.opts_in && self.opts_out {
            return Err(CommandError::new("ERR You can't specify both OPTIN mode and OPTOUT mode"));
        }
        let switches = (self.opts_in && before == Some(Mode::OptOut))
            || (self.opts_out && before == Some(Mode::OptIn));
        if switches {
            return Err(CommandError::new(
                "ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and then re-enabling it with a different mode.",
            ));
        }
        if self.broadcasts {
            check_prefixes(&self.prefixes, &client.server.tracking.prefixes(client.info.id))?;
        }
        Ok(if self.broadcasts {
            Mode::Broadcast
        } else if self.opts_in {
            Mode::OptIn
        } else if self.opts_out {
            Mode::OptOut
        } else {
            Mode::Read
        })
    }
}

fn too_many_prefixes() -> CommandError {
    CommandError(format!("ERR a client can have at most {PREFIXES_MAX} prefixes").into())
}

/// The client that messages are to be sent to. A user who may not affect other clients may name
/// those of the same user only.
fn target(client: &Client, id: i64) -> Result<Arc<ClientInfo>, CommandError> {
    let id = u64::try_from(id).map_err(|_| NO_SUCH_CLIENT)?;
    let info = client.server.client_info(id).ok_or(NO_SUCH_CLIENT)?;
    let user = info.names.lock().user;
    if client.trust < Trust::Full && user != client.trust.user() {
        return Err(NO_SUCH_CLIENT);
    }
    Ok(info)
}

/// Fails if a prefix begins with another one: the client would get two messages for a key.
fn check_prefixes(new: &[Bytes], known: &[Bytes]) -> Result<(), CommandError> {
    let overlap = |a: &[u8], b: &[u8]| a.starts_with(b) || b.starts_with(a);
    let text = |prefix: &[u8]| String::from_utf8_lossy(prefix).into_owned();
    let error = |one: &[u8], what: &str, other: &[u8]| {
        let (one, other) = (text(one), text(other));
        CommandError(
            format!("ERR Prefix '{one}' overlaps with {what} prefix '{other}'. Prefixes for a single client must not overlap.").into(),
        )
    };
    if new.len() + known.len() > PREFIXES_MAX {
        return Err(too_many_prefixes());
    }
    for (at, prefix) in new.iter().enumerate() {
        // A prefix that the client has already is allowed.
        let other = known.iter().find(|other| *other != prefix && overlap(prefix, other));
        if let Some(other) = other {
            return Err(error(prefix, "an existing", other));
        }
        if let Some(other) = new[at + 1..].iter().find(|other| overlap(prefix, other)) {
            return Err(error(prefix, "another provided", other));
        }
    }
    Ok(())
}

pub(crate) fn tracking(client: &mut Client, request: &Request<'_>) -> CommandResult {
    let mut args = Args::new(request, 2);
    let turns_on = args.take_keyword("on");
    if !turns_on && !args.take_keyword("off") {
        // As Redis, whose options are parsed first.
        let _ = args.next()?;
        TrackingOptions::parse(client, &mut args)?;
        return Err(CommandError::SYNTAX);
    }
    let wanted = TrackingOptions::parse(client, &mut args)?;
    if !turns_on {
        client.end_tracking();
        return Ok(Answer::DONE.into());
    }
    let mode = wanted.mode(client)?;
    let TrackingOptions { redirect, mut prefixes, noloop, .. } = wanted;
    if mode == Mode::Broadcast && prefixes.is_empty() {
        prefixes.push(Bytes::new());
    }
    let flags = TrackingFlags {
        is_broadcast: mode == Mode::Broadcast,
        redirect: redirect.as_ref().map_or(0, |other| other.id),
    };
    client.tracking = Some(ClientTracking { mode, noloop, is_chosen: false });
    *client.info.tracking.lock() = Some(flags);
    client.info.has_lost_redirection.store(false, Ordering::Relaxed);
    let options = Options { mode, noloop, redirect, prefixes };
    // Confirmed once all members report changes: the client caches what it reads from then on.
    let known = client.server.tracking.enable(&client.info, options);
    Ok(CommandState::Barrier(Box::pin(async move {
        known.await;
        Answer::DONE
    })))
}

pub(crate) fn caching(client: &mut Client, request: &Request<'_>) -> CommandResult {
    let tracking = client.tracking.as_mut().ok_or(CommandError::new(
        "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or OPTOUT mode enabled",
    ))?;
    check_choice(tracking.mode, request)?;
    tracking.is_chosen = true;
    Ok(Answer::DONE.into())
}

/// Checks the argument of `CLIENT CACHING`.
fn check_choice(mode: Mode, request: &Request<'_>) -> Result<(), CommandError> {
    let mut args = Args::new(request, 2);
    let needed = if args.take_keyword("yes") {
        (
            Mode::OptIn,
            "ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.",
        )
    } else if args.take_keyword("no") {
        (
            Mode::OptOut,
            "ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.",
        )
    } else {
        return Err(CommandError::SYNTAX);
    };
    if mode == needed.0 { Ok(()) } else { Err(CommandError::new(needed.1)) }
}

/// The number of the client that gets the messages: 0 for this one, -1 without tracking.
pub(super) fn redirection(info: &ClientInfo) -> i64 {
    let flags = *info.tracking.lock();
    flags.map_or(-1, |flags| i64::try_from(flags.redirect).unwrap_or(i64::MAX))
}

pub(crate) fn getredir(client: &mut Client, _: &Request<'_>) -> CommandResult {
    Ok(Answer::integer(redirection(&client.info)).into())
}

pub(crate) fn trackinginfo(client: &mut Client, _: &Request<'_>) -> CommandResult {
    let mut flags: Vec<&str> = Vec::new();
    match &client.tracking {
        None => flags.push("off"),
        Some(ClientTracking { mode, noloop, is_chosen }) => {
            flags.push("on");
            flags.extend(match mode {
                Mode::Read => None,
                Mode::OptIn => Some("optin"),
                Mode::OptOut => Some("optout"),
                Mode::Broadcast => Some("bcast"),
            });
            flags.extend(match mode {
                Mode::OptIn if *is_chosen => Some("caching-yes"),
                Mode::OptOut if *is_chosen => Some("caching-no"),
                _ => None,
            });
            flags.extend(noloop.then_some("noloop"));
            let is_lost = client.info.has_lost_redirection.load(Ordering::Relaxed);
            flags.extend(is_lost.then_some("broken_redirect"));
        }
    }
    let flags = flags.into_iter().map(|flag| Reply::bytes(flag.as_bytes())).collect();
    let prefixes = client.server.tracking.prefixes(client.info.id);
    Ok(Answer::Map(vec![
        (Answer::word("flags"), Answer::Reply(Reply::Set(flags))),
        (Answer::word("redirect"), Answer::integer(redirection(&client.info))),
        (
            Answer::word("prefixes"),
            Answer::List(prefixes.iter().map(|prefix| Answer::bytes(prefix)).collect()),
        ),
    ])
    .into())
}

/// Whether what the client reads now is to be noted.
pub(crate) fn notes_reads(client: &Client) -> bool {
    client.tracking.is_some_and(ClientTracking::notes_reads)
}

/// Notes the keys that a command reads. Must be called before the command is started. A script reads
/// what its commands read, and not the keys that it names; see [`Tracking::begin_reads`].
///
/// [`Tracking::begin_reads`]: super::super::tracking::Tracking::begin_reads
pub(crate) fn note_reads(client: &Client, command: &Command, request: &Request<'_>) {
    if notes_reads(client) {
        note(client, command, request);
    }
}

fn note(client: &Client, command: &Command, request: &Request<'_>) {
    if command.is(Command::READ) && command.group != Group::Scripting {
        let args: Vec<&[u8]> = request.from(0).collect();
        client.server.tracking.note_reads(client.info.id, command.keys_of(&args));
    }
}

/// As [`note_reads`], for the commands of a transaction, in which `CLIENT CACHING` applies to the
/// commands after it. Returns whether what its scripts read is to be noted: of all or none of them.
pub(crate) fn note_reads_of(client: &Client, table: &CommandTable, queued: &[Queued]) -> bool {
    let Some(mut tracking) = client.tracking else { return false };
    let mut notes_scripts = tracking.notes_reads();
    for Queued { command, request } in queued {
        let (row, request) = (&table.rows[*command], request.as_request());
        if row.name == "client|caching" {
            tracking.is_chosen |= check_choice(tracking.mode, &request).is_ok();
            notes_scripts |= tracking.notes_reads();
        } else if tracking.notes_reads() {
            note(client, row, &request);
        }
    }
    notes_scripts
}

/// `CLIENT CACHING` applies to the next command or transaction.
pub(crate) fn end_choice(client: &mut Client, command: Option<&Command>) {
    let is_of_client = command.is_some_and(|command| command.name.starts_with("client|"));
    let is_in_transaction = client.transaction.is_some();
    if let Some(tracking) = &mut client.tracking
        && !is_of_client
        && !is_in_transaction
    {
        tracking.is_chosen = false;
    }
}
