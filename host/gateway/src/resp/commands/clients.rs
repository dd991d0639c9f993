//! Connection commands: authentication, protocol version and `CLIENT`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::super::answer::{Answer, CommandError};
use super::super::args::{Args, expect};
use super::super::client::{Client, ReplyMode};
use super::super::client_info::ClientInfo;
use super::super::command::CommandTable;
use super::super::command_state::{CommandResult, CommandState};
use super::super::encode::Protocol;
use super::super::maintenance::{EndpointType, Subscribed};
use super::super::request::Request;
use super::super::server::REDIS_VERSION;
use super::client_filter::{ClientFilter, Purpose};
use super::tracking::redirection;
use crate::databases::DATABASES;
use crate::trust::Trust;
use convoke_grid::Reply;

/// Maximum length of a name that a client reports, in bytes.
const CLIENT_TEXT_BYTES_MAX: usize = 256;

const WRONG_PASSWORD: CommandError =
    CommandError::new("WRONGPASS invalid username-password pair or user is disabled.");

pub(crate) fn ping(client: &mut Client, request: &Request<'_>) -> CommandResult {
    expect(request, "ping", 1..=2)?;
    let word = request.get(1);
    if client.protocol == Protocol::Resp2 && client.subscriptions() > 0 {
        let word = Answer::bytes(word.unwrap_or_default());
        return Ok(Answer::List(vec![Answer::bytes(b"pong"), word]).into());
    }
    Ok(match word {
        Some(word) => Answer::bytes(word).into(),
        None => Reply::Word("PONG".into()).into(),
    })
}

pub(crate) fn echo(_: &mut Client, request: &Request<'_>) -> CommandResult {
    Ok(Answer::bytes(request.get(1).unwrap_or_default()).into())
}

pub(crate) fn quit(_: &mut Client, _: &Request<'_>) -> CommandResult {
    Ok(CommandState::Close(Answer::DONE))
}

pub(crate) fn reset(client: &mut Client, _: &Request<'_>) -> CommandResult {
    client.reset();
    Ok(Reply::Word("RESET".into()).into())
}

pub(crate) fn select(client: &mut Client, request: &Request<'_>) -> CommandResult {
    let number = Args::new(request, 1).integer()?;
    let database = usize::try_from(number).ok().filter(|number| *number < DATABASES);
    let database = database.ok_or(CommandError::new("ERR DB index is out of range"))?;
    if client.server.settings.redis_cluster && database > 0 {
        return Err(CommandError::new("ERR SELECT is not allowed in cluster mode"));
    }
    client.select(database)?;
    Ok(Answer::DONE.into())
}

fn authenticate(
    client: &mut Client,
    user: Option<&[u8]>,
    password: &[u8],
) -> Result<(), CommandError> {
    let trust = client.server.trust_of(user, password).ok_or_else(|| {
        client.server.refusals.add(client.info.peer, "wrong user name or password");
        WRONG_PASSWORD
    })?;
    client.set_trust(trust);
    Ok(())
}

pub(crate) fn auth(client: &mut Client, request: &Request<'_>) -> CommandResult {
    if request.len() > 3 {
        return Err(CommandError::SYNTAX);
    }
    let mut args = Args::new(request, 1);
    let first = args.next()?;
    let (user, password) = match args.next() {
        Ok(password) => (Some(first), password),
        Err(_) => (None, first),
    };
    if user.is_none() && client.server.settings.passwords.are_empty() {
        return Err(CommandError::new(
            "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?",
        ));
    }
    authenticate(client, user, password)?;
    Ok(Answer::DONE.into())
}

pub(crate) fn hello(client: &mut Client, request: &Request<'_>) -> CommandResult {
    let mut args = Args::new(request, 1);
    let mut protocol = client.protocol;
    if args.remaining() > 0 {
        let version = args.integer().map_err(|_| {
            CommandError::new("ERR Protocol version is not an integer or out of range")
        })?;
        protocol = match version {
            2 => Protocol::Resp2,
            3 => Protocol::Resp3,
            _ => return Err(CommandError::new("NOPROTO unsupported protocol version")),
        };
    }
    let mut name = None;
    while args.remaining() > 0 {
        let option = String::from_utf8_lossy(args.peek().unwrap_or_default()).into_owned();
        let wrong = || CommandError(format!("ERR Syntax error in HELLO option '{option}'").into());
        if args.take_keyword("auth") {
            let user = args.next().map_err(|_| wrong())?;
            let password = args.next().map_err(|_| wrong())?;
            authenticate(client, Some(user), password)?;
        } else if args.take_keyword("setname") {
            name = Some(printable(args.next().map_err(|_| wrong())?, "Client names")?);
        } else {
            return Err(wrong());
        }
    }
    if client.trust == Trust::Unauthenticated {
        return Err(CommandError::new(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time",
        ));
    }
    if let Some(name) = name {
        client.info.names.lock().name = name;
    }
    client.set_protocol(protocol);
    let mode = if client.server.settings.redis_cluster { "cluster" } else { "standalone" };
    Ok(Answer::Map(vec![
        (Answer::word("server"), Answer::word("redis")),
        (Answer::word("version"), Answer::word(REDIS_VERSION)),
        (Answer::word("proto"), Answer::integer(if protocol == Protocol::Resp3 { 3 } else { 2 })),
        (Answer::word("id"), Answer::integer(client.info.id as i64)),
        (Answer::word("mode"), Answer::word(mode)),
        (Answer::word("role"), Answer::word("master")),
        (Answer::word("modules"), Answer::List(Vec::new())),
    ])
    .into())
}

/// Checks that the bytes are printable ASCII without spaces. `what` names them in the error.
fn printable(bytes: &[u8], what: &str) -> Result<String, CommandError> {
    if bytes.len() > CLIENT_TEXT_BYTES_MAX {
        return Err(CommandError(
            format!("ERR {what} cannot be longer than {CLIENT_TEXT_BYTES_MAX} bytes.").into(),
        ));
    }
    let is_plain = bytes.iter().all(|byte| (b'!'..=b'~').contains(byte));
    match String::from_utf8(bytes.to_vec()) {
        Ok(text) if is_plain => Ok(text),
        _ => Err(CommandError(
            format!("ERR {what} cannot contain spaces, newlines or special characters.").into(),
        )),
    }
}

pub(crate) fn id(client: &mut Client, _: &Request<'_>) -> CommandResult {
    Ok(Answer::integer(client.info.id as i64).into())
}

pub(crate) fn getname(client: &mut Client, _: &Request<'_>) -> CommandResult {
    let name = client.info.names.lock().name.clone();
    Ok(if name.is_empty() { Answer::NIL.into() } else { Answer::text(name).into() })
}

pub(crate) fn setname(client: &mut Client, request: &Request<'_>) -> CommandResult {
    let name = printable(Args::new(request, 2).next()?, "Client names")?;
    client.info.names.lock().name = name;
    Ok(Answer::DONE.into())
}

pub(crate) fn setinfo(client: &mut Client, request: &Request<'_>) -> CommandResult {
    let mut args = Args::new(request, 2);
    let (name, value) = (args.next()?.to_ascii_lowercase(), args.next()?);
    let info = &client.info;
    match &name[..] {
        b"lib-name" => info.names.lock().library = printable(value, "lib-name")?,
        b"lib-ver" => info.names.lock().library_version = printable(value, "lib-ver")?,
        _ => {
            let name = String::from_utf8_lossy(&name).into_owned();
            return Err(CommandError(format!("ERR Unrecognized option '{name}'").into()));
        }
    }
    Ok(Answer::DONE.into())
}

pub(crate) fn info(client: &mut Client, table: &CommandTable, _: &Request<'_>) -> CommandResult {
    Ok(Answer::verbatim(line(table, &client.info, client.server.elapsed_ms()) + "\n").into())
}

pub(crate) fn reply(client: &mut Client, request: &Request<'_>) -> CommandResult {
    let mut args = Args::new(request, 2);
    Ok(if args.take_keyword("on") {
        client.reply_mode = ReplyMode::On;
        Answer::DONE.into()
    } else if args.take_keyword("off") {
        client.reply_mode = ReplyMode::Off;
        Answer::Nothing.into()
    } else if args.take_keyword("skip") {
        if client.reply_mode == ReplyMode::On {
            client.reply_mode = ReplyMode::SkipNext;
        }
        Answer::Nothing.into()
    } else {
        return Err(CommandError::SYNTAX);
    })
}

/// `CLIENT MAINT_NOTIFICATIONS <ON [MOVING-ENDPOINT-TYPE type] | OFF>`, as client libraries send it
/// when they connect.
pub(crate) fn maint_notifications(client: &mut Client, request: &Request<'_>) -> CommandResult {
    let mut args = Args::new(request, 2);
    let turns_on = args.take_keyword("on");
    if !turns_on && !args.take_keyword("off") {
        return Err(CommandError::SYNTAX);
    }
    let mut endpoint_type = EndpointType::InternalIp;
    if turns_on && args.take_keyword("moving-endpoint-type") {
        endpoint_type = EndpointType::parse(args.next()?).ok_or(CommandError::SYNTAX)?;
    }
    args.expect_end()?;
    if !turns_on {
        *client.info.maintenance.lock() = None;
        return Ok(Answer::DONE.into());
    }
    if client.protocol != Protocol::Resp3 {
        return Err(CommandError::new("ERR CLIENT MAINT_NOTIFICATIONS requires RESP3"));
    }
    *client.info.maintenance.lock() = Some(Subscribed { endpoint_type, is_announced: false });
    client.info.receives_messages();
    // It is sent on at once if this member is leaving already.
    client.server.announce_to(&client.info);
    Ok(Answer::DONE.into())
}

pub(crate) fn on_or_off(_: &mut Client, request: &Request<'_>) -> CommandResult {
    let mut args = Args::new(request, 2);
    if args.take_keyword("on") || args.take_keyword("off") {
        Ok(Answer::DONE.into())
    } else {
        Err(CommandError::SYNTAX)
    }
}

/// `CLIENT NO-TOUCH`.
pub(crate) fn no_touch(client: &mut Client, request: &Request<'_>) -> CommandResult {
    let mut args = Args::new(request, 2);
    let is_on = args.take_keyword("on");
    if !is_on && !args.take_keyword("off") {
        return Err(CommandError::SYNTAX);
    }
    client.set_no_touch(is_on);
    Ok(Answer::DONE.into())
}

pub(crate) fn pause(client: &mut Client, request: &Request<'_>) -> CommandResult {
    let mut args = Args::new(request, 2);
    let ms = args
        .integer()
        .map_err(|_| CommandError::new("ERR timeout is not an integer or out of range"))?;
    let ms = u64::try_from(ms).map_err(|_| CommandError::new("ERR timeout is negative"))?;
    let only_writes = args.take_keyword("write");
    if !only_writes && args.remaining() > 0 && !args.take_keyword("all") {
        return Err(CommandError::new("ERR CLIENT PAUSE mode must be WRITE or ALL"));
    }
    args.expect_end()?;
    let server = &client.server;
    let now_ms = server.elapsed_ms();
    let until_ms = now_ms
        .checked_add(ms)
        .ok_or(CommandError::new("ERR timeout is not an integer or out of range"))?;
    server.pause.begin(now_ms, until_ms, only_writes);
    Ok(Answer::DONE.into())
}

/// `CLIENT UNPAUSE`. As in Redis, the commands that were held back have started when it returns.
pub(crate) fn unpause(client: &mut Client, _: &Request<'_>) -> CommandResult {
    client.server.pause.end();
    if client.server.pause.waiting() == 0 {
        return Ok(Answer::DONE.into());
    }
    let server = Arc::clone(&client.server);
    Ok(CommandState::Pending(Box::pin(async move {
        server.held_back_have_started().await;
        Answer::DONE
    })))
}

pub(crate) fn unblock(client: &mut Client, request: &Request<'_>) -> CommandResult {
    let mut args = Args::new(request, 2);
    let id = args.integer()?;
    let with_error = args.take_keyword("error");
    if !with_error && args.remaining() > 0 && !args.take_keyword("timeout") {
        return Err(CommandError::new("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR"));
    }
    args.expect_end()?;
    let info = u64::try_from(id).ok().and_then(|id| client.server.client_info(id));
    let is_unblocked = info.is_some_and(|info| info.unblock(with_error));
    Ok(Answer::integer(i64::from(is_unblocked)).into())
}

/// The flags of a client, as `CLIENT LIST` shows them.
fn flags(info: &ClientInfo) -> String {
    let is = |flag: &AtomicBool| flag.load(Ordering::Relaxed);
    let tracking = *info.tracking.lock();
    let flags: String = [
        (is(&info.is_monitor), 'O'),
        (info.is_subscribed(), 'P'),
        (info.queued.load(Ordering::Relaxed) >= 0, 'x'),
        (is(&info.is_blocked), 'b'),
        (tracking.is_some(), 't'),
        (info.no_touch.load(Ordering::Relaxed), 'T'),
        (is(&info.has_lost_redirection), 'R'),
        (tracking.is_some_and(|tracking| tracking.is_broadcast), 'B'),
    ]
    .into_iter()
    .filter_map(|(holds, flag)| holds.then_some(flag))
    .collect();
    if flags.is_empty() { "N".into() } else { flags }
}

/// Formats a client as a line of `CLIENT LIST`, as of `now` in `Server::elapsed_ms`.
fn line(table: &CommandTable, info: &ClientInfo, now: u64) -> String {
    let names = info.names.lock().clone();
    let load = |number: &AtomicUsize| number.load(Ordering::Relaxed);
    let command = table.rows.get(load(&info.command)).map_or("NULL", |command| command.name);
    format!(
        "id={} addr={} laddr={} fd=0 name={} age={} idle={} flags={} db={} sub={} psub={} ssub={} multi={} watch={} qbuf={} qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl=0 oll=0 omem=0 tot-mem=0 events=r cmd={command} user={} redir={} resp={} lib-name={} lib-ver={} tot-cmds={}",
        info.id,
        info.peer,
        info.local,
        names.name,
        now.saturating_sub(info.since_ms) / 1_000,
        now.saturating_sub(info.active_ms.load(Ordering::Relaxed)) / 1_000,
        flags(info),
        load(&info.database),
        load(&info.topics),
        load(&info.patterns),
        load(&info.shard_topics),
        info.queued.load(Ordering::Relaxed),
        load(&info.watched),
        load(&info.input_bytes),
        names.user,
        redirection(info),
        load(&info.protocol),
        names.library,
        names.library_version,
        info.commands.load(Ordering::Relaxed),
    )
}

pub(crate) fn list(
    client: &mut Client,
    table: &CommandTable,
    request: &Request<'_>,
) -> CommandResult {
    let now = client.server.elapsed_ms();
    let filter = ClientFilter::parse(&mut Args::new(request, 2), Purpose::List)?;
    let infos = client.server.client_infos();
    let chosen = infos.iter().filter(|info| filter.fits(info, client.info.id, now));
    let text: String = chosen.map(|info| line(table, info, now) + "\n").collect();
    Ok(Answer::verbatim(text).into())
}

pub(crate) fn kill(client: &mut Client, request: &Request<'_>) -> CommandResult {
    let mut args = Args::new(request, 2);
    let client_infos = client.server.client_infos();
    // The old form, `CLIENT KILL addr:port`.
    if request.len() == 3 {
        let address = String::from_utf8_lossy(args.next()?).into_owned();
        let info = client_infos.iter().find(|info| info.peer.to_string() == address);
        return match info {
            Some(info) => Ok(kill_clients(client, &[Arc::clone(info)], Answer::DONE)),
            None => Err(CommandError::new("ERR No such client")),
        };
    }
    let now = client.server.elapsed_ms();
    let filter = ClientFilter::parse(&mut args, Purpose::Kill)?;
    let fits = |info: &Arc<ClientInfo>| filter.fits(info, client.info.id, now);
    let chosen: Vec<_> = client_infos.into_iter().filter(fits).collect();
    let count = Answer::count(chosen.len());
    Ok(kill_clients(client, &chosen, count))
}

/// Disconnects clients; the calling client gets its reply first.
fn kill_clients(client: &Client, client_infos: &[Arc<ClientInfo>], answer: Answer) -> CommandState {
    let mut kills_itself = false;
    for info in client_infos {
        if info.id == client.info.id {
            kills_itself = true;
        } else {
            info.kill();
        }
    }
    if kills_itself { CommandState::Close(answer) } else { answer.into() }
}
