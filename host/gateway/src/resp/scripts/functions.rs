//! The commands of libraries: `FUNCTION`, `FCALL` and `FCALL_RO`.

#![expect(clippy::unnecessary_wraps, reason = "all commands have the signatures of the table")]

use std::sync::Arc;

use bytes::Bytes;
use convoke_grid::glob::Glob;
use convoke_grid::{OpError, Reply};
use convoke_script::{Flags, Library, Limits, ScriptError};

use super::super::answer::{Answer, CommandError};
use super::super::args::Args;
use super::super::client::Client;
use super::super::command::CommandTable;
use super::super::command_state::{CommandResult, CommandState, Continuation};
use super::super::commands::tracking::notes_reads;
use super::super::rdb::{self, Unreadable};
use super::super::request::{OwnedRequest, Request};
use super::super::script_cache::RunningInfo;
use super::super::server::Server;
use super::commands::{begin, call_with, key_count, stop_running};
use super::evaluation::Callee;
use super::libraries::{self, Catalog, Loaded};
use super::program::Call;
use super::run::running;
use super::{limits, with_engine};

/// How long the source of a library may run when it is loaded, in milliseconds.
const LOAD_MS_MAX: u64 = 500;

const NOT_FOUND: CommandError = CommandError::new("ERR Function not found");

pub(crate) fn fcall(
    client: &mut Client,
    table: &'static CommandTable,
    request: &Request<'_>,
) -> CommandResult {
    call(client, table, request, false)
}

pub(crate) fn fcall_ro(
    client: &mut Client,
    table: &'static CommandTable,
    request: &Request<'_>,
) -> CommandResult {
    call(client, table, request, true)
}

fn call(
    client: &mut Client,
    table: &'static CommandTable,
    request: &Request<'_>,
    reads: bool,
) -> CommandResult {
    let (server, notes_reads) = (Arc::clone(&client.server), notes_reads(client));
    if let Some(catalog) = libraries::cached(&server) {
        let (callee, flags, keys) = callee_of(&catalog, request)?;
        return begin(client, table, (callee, flags), (request, keys), (reads, notes_reads));
    }
    let request = OwnedRequest::from(request);
    Ok(CommandState::Continue(Box::pin(async move {
        let catalog = libraries::current(&server).await;
        let next: Continuation = Box::new(move |client| {
            let request = request.as_request();
            catalog
                .map_err(CommandError::from)
                .and_then(|catalog| {
                    let (callee, flags, keys) = callee_of(&catalog, &request)?;
                    let rights = (reads, notes_reads);
                    begin(client, table, (callee, flags), (&request, keys), rights)
                })
                .unwrap_or_else(CommandState::from)
        });
        next
    })))
}

/// The call of a function.
pub(super) fn call_of(
    server: &Server,
    catalog: &Catalog,
    request: &Request<'_>,
    reads: bool,
) -> Result<Call, CommandError> {
    let (callee, flags, keys) = callee_of(catalog, request)?;
    call_with(server, (callee, flags), (request, keys), reads)
}

/// The function that a request calls, with its flags and the number of keys.
fn callee_of<'c>(
    catalog: &'c Catalog,
    request: &Request<'_>,
) -> Result<(Callee<'c>, Option<Flags>, usize), CommandError> {
    let name = request.get(1).unwrap_or_default();
    let (loaded, function) = catalog.function(name).ok_or(NOT_FOUND)?;
    let keys = key_count(request, CommandError::new("ERR Bad number of keys provided"))?;
    Ok((Callee::Function(&loaded.library, &function.name), Some(function.flags), keys))
}

/// Runs the source of a library, which registers its functions.
pub(super) async fn load_source(source: Bytes) -> Result<Loaded, CommandError> {
    let error = |text: String| CommandError(format!("ERR {text}").into());
    let library = Library::new(source).map_err(|found: ScriptError| error(found.to_string()))?;
    let loaded = tokio::task::spawn_blocking(move || {
        let limits: Limits = limits(LOAD_MS_MAX);
        let functions = with_engine(|engine| engine.load(&library, &limits))
            .unwrap_or_else(|_| Err("not enough memory for the script engine".into()))?;
        Ok(Loaded { library: Arc::new(library), functions })
    });
    loaded.await.unwrap_or_else(|_| Err("the library could not be loaded".into())).map_err(error)
}

pub(crate) fn load(client: &mut Client, request: &Request<'_>) -> CommandResult {
    let mut args = Args::new(request, 2);
    let mut replaces = false;
    while args.remaining() > 1 {
        if !args.take_keyword("replace") {
            let option = String::from_utf8_lossy(args.next()?).into_owned();
            let option = convoke_text::escaped(&option, 128);
            return Err(CommandError(format!("ERR Unknown option given: {option}").into()));
        }
        replaces = true;
    }
    let source = Bytes::copy_from_slice(args.next()?);
    let server = Arc::clone(&client.server);
    Ok(CommandState::Barrier(Box::pin(async move {
        let loaded = match load_source(source).await {
            Ok(loaded) => Arc::new(loaded),
            Err(error) => return error.into(),
        };
        let changed = libraries::change(&server, |catalog| catalog.add(&loaded, replaces)).await;
        match changed {
            Ok(()) => Answer::text(loaded.library.name.clone()),
            Err(error) => error.into(),
        }
    })))
}

pub(crate) fn delete(client: &mut Client, request: &Request<'_>) -> CommandResult {
    let name = String::from_utf8_lossy(request.get(2).unwrap_or_default()).into_owned();
    Ok(change(client, move |catalog| {
        if catalog.remove(&name) { Ok(()) } else { Err(CommandError::new("ERR Library not found")) }
    }))
}

pub(crate) fn flush(client: &mut Client, request: &Request<'_>) -> CommandResult {
    let mut args = Args::new(request, 2);
    if args.remaining() > 1 {
        return Err(wrong_arguments("flush"));
    }
    if args.remaining() == 1 && !args.take_keyword("sync") && !args.take_keyword("async") {
        return Err(CommandError::new("ERR FUNCTION FLUSH only supports SYNC|ASYNC option"));
    }
    Ok(change(client, |catalog| {
        catalog.clear();
        Ok(())
    }))
}

fn wrong_arguments(name: &str) -> CommandError {
    let text = format!(
        "ERR unknown subcommand or wrong number of arguments for '{name}'. Try FUNCTION HELP."
    );
    CommandError(text.into())
}

/// Changes the libraries; the reply is `OK`.
fn change(
    client: &Client,
    edit: impl FnMut(&mut Catalog) -> Result<(), CommandError> + Send + 'static,
) -> CommandState {
    let server = Arc::clone(&client.server);
    CommandState::Barrier(Box::pin(async move {
        match libraries::change(&server, edit).await {
            Ok(()) => Answer::DONE,
            Err(error) => error.into(),
        }
    }))
}

/// A reply that needs the libraries.
fn with_libraries(
    client: &Client,
    answer: impl FnOnce(&Catalog) -> Answer + Send + 'static,
) -> CommandState {
    let server = Arc::clone(&client.server);
    CommandState::Pending(Box::pin(async move {
        match libraries::current(&server).await {
            Ok(catalog) => answer(&catalog),
            Err(error) => Err(error).into(),
        }
    }))
}

pub(crate) fn list(client: &mut Client, request: &Request<'_>) -> CommandResult {
    let mut args = Args::new(request, 2);
    let (mut pattern, mut with_code) = (None, false);
    while args.remaining() > 0 {
        if !with_code && args.take_keyword("withcode") {
            with_code = true;
        } else if pattern.is_none() && args.take_keyword("libraryname") {
            let name = args
                .next()
                .map_err(|_| CommandError::new("ERR library name argument was not given"))?;
            pattern = Some(Glob::new(name));
        } else {
            let argument = String::from_utf8_lossy(args.next()?).into_owned();
            let argument = convoke_text::escaped(&argument, 128);
            return Err(CommandError(format!("ERR Unknown argument {argument}").into()));
        }
    }
    Ok(with_libraries(client, move |catalog| {
        let fits = |loaded: &&Arc<Loaded>| {
            let name = loaded.library.name.as_bytes();
            pattern.as_ref().is_none_or(|pattern| pattern.matches(name))
        };
        let libraries = catalog.libraries().filter(fits);
        Answer::List(libraries.map(|loaded| described(loaded, with_code)).collect())
    }))
}

fn described(loaded: &Loaded, with_code: bool) -> Answer {
    let functions = loaded.functions.iter().map(|function| {
        let description = match &function.description {
            Some(text) => Answer::word(text),
            None => Answer::NIL,
        };
        let flags = function.flags.names().into_iter().map(|flag| Reply::Word(flag.into()));
        Answer::Map(vec![
            (Answer::word("name"), Answer::word(&function.name)),
            (Answer::word("description"), description),
            (Answer::word("flags"), Answer::Reply(Reply::Set(flags.collect()))),
        ])
    });
    let mut pairs = vec![
        (Answer::word("library_name"), Answer::word(&loaded.library.name)),
        (Answer::word("engine"), Answer::word("LUA")),
        (Answer::word("functions"), Answer::List(functions.collect())),
    ];
    if with_code {
        pairs.push((Answer::word("library_code"), Answer::bytes(&loaded.library.source)));
    }
    Answer::Map(pairs)
}

pub(crate) fn dump(client: &mut Client, _: &Request<'_>) -> CommandResult {
    Ok(with_libraries(client, |catalog| {
        let sources = catalog.libraries().map(|loaded| &loaded.library.source[..]);
        Answer::Reply(Reply::Bytes(rdb::libraries_payload(sources).into()))
    }))
}

/// What happens to libraries that exist when others are restored.
#[derive(Clone, Copy, PartialEq)]
enum Policy {
    Append,
    Flush,
    Replace,
}

pub(crate) fn restore(client: &mut Client, request: &Request<'_>) -> CommandResult {
    let mut args = Args::new(request, 2);
    let payload = args.next()?;
    let policy = match args.remaining() {
        0 => Policy::Append,
        1 if args.take_keyword("append") => Policy::Append,
        1 if args.take_keyword("flush") => Policy::Flush,
        1 if args.take_keyword("replace") => Policy::Replace,
        1 => {
            return Err(CommandError::new(
                "ERR Wrong restore policy given, value should be either FLUSH, APPEND or REPLACE.",
            ));
        }
        _ => return Err(wrong_arguments("restore")),
    };
    let sources = rdb::parse_libraries(payload).map_err(|error| match error {
        Unreadable::Footer => CommandError::new("ERR DUMP payload version or checksum are wrong"),
        Unreadable::Data => CommandError::new("ERR failed loading functions"),
    })?;
    let sources: Vec<Bytes> = sources.iter().map(|source| Bytes::copy_from_slice(source)).collect();
    let server = Arc::clone(&client.server);
    Ok(CommandState::Barrier(Box::pin(async move {
        let mut all = Vec::new();
        for source in sources {
            match load_source(source).await {
                Ok(loaded) => all.push(Arc::new(loaded)),
                Err(error) => return error.into(),
            }
        }
        let changed = libraries::change(&server, |catalog| {
            if policy == Policy::Flush {
                catalog.clear();
            }
            for loaded in &all {
                let name = &loaded.library.name;
                if policy == Policy::Append && catalog.library(name).is_some() {
                    return Err(CommandError(format!("ERR Library {name} already exists").into()));
                }
                catalog.add(loaded, policy == Policy::Replace)?;
            }
            Ok(())
        });
        match changed.await {
            Ok(()) => Answer::DONE,
            Err(error) => error.into(),
        }
    })))
}

pub(crate) fn kill(client: &mut Client, _: &Request<'_>) -> CommandResult {
    Ok(stop_running(client, true))
}

pub(crate) fn stats(client: &mut Client, _: &Request<'_>) -> CommandResult {
    let server = Arc::clone(&client.server);
    Ok(CommandState::Pending(Box::pin(async move {
        let found: Result<_, OpError> =
            async { Ok((libraries::current(&server).await?, running(&server).await?)) }.await;
        let (catalog, running) = match found {
            Ok(found) => found,
            Err(error) => return Err(error).into(),
        };
        let longest = running.iter().max_by_key(|info| info.ms);
        let counts = Answer::Map(vec![
            (Answer::word("libraries_count"), Answer::count(catalog.libraries().count())),
            (Answer::word("functions_count"), Answer::count(catalog.functions())),
        ]);
        Answer::Map(vec![
            (Answer::word("running_script"), longest.map_or(Answer::NIL, shown)),
            (Answer::word("engines"), Answer::Map(vec![(Answer::word("LUA"), counts)])),
        ])
    })))
}

fn shown(info: &RunningInfo) -> Answer {
    let command = info.command.iter().map(|word| Answer::bytes(word)).collect();
    Answer::Map(vec![
        (Answer::word("name"), Answer::word(&info.name)),
        (Answer::word("command"), Answer::List(command)),
        (Answer::word("duration_ms"), Answer::integer(info.ms.cast_signed())),
    ])
}
