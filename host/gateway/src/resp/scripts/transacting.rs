//! Executes a program as a transaction over any partitions, which locks each key that is used.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use convoke_grid::op::{Op, WatchedKey};
use convoke_grid::{AbortReason, Map, OpError, OpenTransaction, Reply, TransactionAge};
use convoke_script::{Failure, Interrupt, Limits};
use tokio::runtime;

use super::super::answer::Answer;
use super::super::command::{CommandTable, Handle};
use super::super::command_state::CommandState;
use super::super::request::{OwnedRequest, Request};
use super::super::script_cache::RunningScript;
use super::super::server::Server;
use super::caller::{Caller, Context, Data, publish};
use super::program::{Ended, Program, Stop};
use super::{SCRIPT_MS_MAX, limits};

/// Attempts of one program that need something else first, at most: a map, or the reply of a command
/// on a whole database.
const RESTARTS_MAX: usize = 64;

/// How long before its deadline a program counts as timed out if an operation did not end in time.
const TIME_OUT_SLACK: Duration = Duration::from_millis(250);

/// Data of any partitions, each key of which is locked when it is used.
struct TransactionData<'a> {
    runtime: &'a runtime::Handle,
    transaction: OpenTransaction,
    maps: &'a [Arc<Map>],
    /// Replies of commands on whole databases.
    replies: &'a HashMap<DatabaseCommand, Answer>,
    uses_keys: bool,
    ending: Option<Ending>,
}

/// A command on a whole database: the database, and the command with its arguments.
type DatabaseCommand = (usize, OwnedRequest);

/// Why an attempt ends before the program does.
enum Ending {
    Abort(AbortReason),
    /// It uses another map.
    Needs(Arc<Map>),
    /// It needs the reply of a command that cannot be executed while it holds locks.
    Calls(Handle, DatabaseCommand),
}

impl TransactionData<'_> {
    fn abort(&mut self, stop: AbortReason) -> Interrupt {
        self.ending = Some(Ending::Abort(stop));
        Interrupt
    }
}

impl Data for TransactionData<'_> {
    fn execute(
        &mut self,
        map: &Arc<Map>,
        other: Option<&Arc<Map>>,
        op: &Op<'_>,
    ) -> Result<Result<Reply, OpError>, Interrupt> {
        let is_new = |map: &&Arc<Map>| !self.maps.iter().any(|known| Arc::ptr_eq(known, map));
        if let Some(map) = [map].into_iter().chain(other).find(is_new) {
            self.ending = Some(Ending::Needs(Arc::clone(map)));
            return Err(Interrupt);
        }
        self.uses_keys = true;
        let done = self.runtime.block_on(self.transaction.execute(&map.name, op));
        done.map(Ok).map_err(|stop| self.abort(stop))
    }

    fn is_unchanged(&mut self, watched: &[WatchedKey<'_>]) -> Result<bool, Interrupt> {
        self.uses_keys = true;
        let done = self.runtime.block_on(self.transaction.is_unchanged(watched));
        done.map_err(|stop| self.abort(stop))
    }

    fn run(
        &mut self,
        handle: Handle,
        context: &Context,
        request: &Request<'_>,
    ) -> Result<Answer, Interrupt> {
        let name = request.get(0).unwrap_or_default().to_ascii_lowercase();
        if !matches!(
            &name[..],
            b"dbsize" | b"flushall" | b"flushdb" | b"keys" | b"randomkey" | b"scan"
        ) {
            return Ok(call(self.runtime, context, context.database, handle, request));
        }
        // It waits for all locks, also for those of this transaction.
        let command = (context.database, OwnedRequest::from(request));
        match self.replies.get(&command) {
            Some(answer) => Ok(answer.clone()),
            None if !self.uses_keys => {
                Ok(call(self.runtime, context, context.database, handle, request))
            }
            None => {
                self.ending = Some(Ending::Calls(handle, command));
                Err(Interrupt)
            }
        }
    }
}

/// Calls a command of the gateway, and waits for its reply.
fn call(
    runtime: &runtime::Handle,
    context: &Context,
    database: usize,
    handle: Handle,
    request: &Request<'_>,
) -> Answer {
    let Some(mut client) = context.client() else {
        return Err(OpError::Unavailable).into();
    };
    if let Err(error) = client.select(database) {
        return Err(error).into();
    }
    match handle(&mut client, request) {
        Ok(CommandState::Ready(answer) | CommandState::Close(answer)) => answer,
        Ok(
            CommandState::Pending(later)
            | CommandState::Barrier(later)
            | CommandState::Blocking(later),
        ) => runtime.block_on(later),
        Ok(CommandState::Continue(_) | CommandState::WhenIdle(_)) => Err(OpError::Malformed).into(),
        Err(error) => error.into(),
    }
}

/// The end of a program in which a script was stopped.
pub(super) fn stopped(failure: Failure) -> Ended {
    let text = match failure {
        Failure::Error(text) => return Ended::Failed(text),
        Failure::Stopped => {
            "ERR Error running script: Script killed by user with SCRIPT KILL.".to_owned()
        }
        Failure::TimedOut => {
            format!(
                "ERR the script was stopped after {SCRIPT_MS_MAX} ms; its changes were rolled back"
            )
        }
        Failure::Interrupted => "ERR the script was interrupted".to_owned(),
    };
    Ended::Failed(Bytes::from(text))
}

/// Executes a program as a transaction. `None` if this member is not the primary of the home
/// partition.
pub(super) fn transact(
    server: &Arc<Server>,
    table: &'static CommandTable,
    runtime: &runtime::Handle,
    program: &Program,
    home: u16,
) -> Option<Ended> {
    let codes = match program.codes() {
        Ok(codes) => codes,
        Err(error) => return Some(Ended::Failed(Bytes::from(format!("ERR {error}")))),
    };
    let grid = &server.grid;
    let age: TransactionAge = grid.age();
    // Of all attempts and all scripts together: others wait for the keys meanwhile.
    let limits = limits(SCRIPT_MS_MAX);
    let mut running: BTreeMap<usize, RunningScript> = BTreeMap::new();
    let maps = program.databases().into_iter().map(|database| server.database(database));
    let mut maps: Vec<Arc<Map>> = match maps.collect() {
        Ok(maps) => maps,
        Err(error) => return Some(Ended::failed(&error)),
    };
    let mut replies = HashMap::new();
    let mut restarts = 0;
    loop {
        let opened = grid.open_transaction(home, age, maps.clone());
        let (transaction, context) = match (opened, program.context(server, table)) {
            (Ok(transaction), Ok(context)) => (transaction, context),
            (Err(error), _) | (_, Err(error)) => return Some(Ended::failed(&error)),
        };
        let data = TransactionData {
            runtime,
            transaction,
            maps: &maps,
            replies: &replies,
            uses_keys: false,
            ending: None,
        };
        let mut caller = Caller { context, data };
        let result = caller.execute_all(program, &codes, limits.deadline, |place| {
            let Some((evaluation, source)) = program.script(place) else { return limits.clone() };
            let one = running.entry(place);
            let one = one.or_insert_with(|| server.scripts.started(evaluation.shown(source)));
            Limits { stop: Some(Arc::clone(&one.stop)), ..limits.clone() }
        });
        let Caller { context, data: TransactionData { mut transaction, uses_keys, ending, .. } } =
            caller;
        let stop = match (result, ending) {
            (Err(Stop::Failed(error)), _) => return Some(Ended::failed(&error)),
            (Err(Stop::Changed), _) => return Some(Ended::Changed),
            (Err(Stop::Failure(Failure::Interrupted)), Some(Ending::Abort(stop))) => stop,
            (Err(Stop::Failure(Failure::Interrupted)), Some(ending)) => {
                drop(transaction);
                restarts += 1;
                if restarts > RESTARTS_MAX {
                    return Some(Ended::Failed(Bytes::from_static(
                        b"ERR the script calls commands on whole databases (such as KEYS or SCAN) too often after using keys",
                    )));
                }
                match ending {
                    Ending::Needs(map) => maps.push(map),
                    Ending::Calls(handle, command) => {
                        let (database, request) = (command.0, command.1.as_request());
                        let answer = call(runtime, &context, database, handle, &request);
                        replies.insert(command, answer);
                    }
                    Ending::Abort(_) => {}
                }
                continue;
            }
            (Err(Stop::Failure(failure)), _) => return Some(stopped(failure)),
            (Ok(all), _) => {
                let committed =
                    if uses_keys { runtime.block_on(transaction.commit()) } else { Ok(Ok(())) };
                match committed {
                    Ok(Ok(())) => {
                        let (notes, published) = context.done();
                        publish(server, published);
                        return Some(Ended::Done(all, notes));
                    }
                    Ok(Err(error)) => return Some(Ended::failed(&error)),
                    Err(stop) => stop,
                }
            }
        };
        match stop {
            AbortReason::NotPrimary => return None,
            // An operation has the same time from the start of the program as the program itself.
            AbortReason::Failed(OpError::Unavailable)
                if Instant::now() + TIME_OUT_SLACK >= limits.deadline =>
            {
                return Some(stopped(Failure::TimedOut));
            }
            AbortReason::Failed(error) => return Some(Ended::failed(&error)),
            AbortReason::Retry => {
                if let Err(error) = runtime.block_on(transaction.give_up()) {
                    return Some(Ended::failed(&error));
                }
            }
        }
    }
}
