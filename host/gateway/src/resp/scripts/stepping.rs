//! Executes a program as a step of one partition, which is locked meanwhile.

use std::sync::Arc;

use convoke_grid::op::{GenericOp, KeyOp, Op, WatchedKey};
use convoke_grid::{Map, OpError, Reply, Step, StepResult, Version};
use convoke_script::Interrupt;

use super::super::answer::Answer;
use super::super::client::Client;
use super::super::command::{CommandTable, Handle};
use super::super::command_state::CommandState;
use super::super::read_keys::ReadKeys;
use super::super::request::Request;
use super::super::server::Server;
use super::caller::{Caller, Context, Data, Message, publish};
use super::calls::Recorder;
use super::evaluation::{Callee, Code};
use super::program::{Ended, Notes, PartReply, Program, Stop};
use super::{STEP_MS_MAX, limits, with_engine};
use crate::trust::Trust;

/// Data of one partition, which is locked meanwhile.
struct StepData<'a, 'b> {
    step: &'a mut Step<'b>,
    map: &'a Arc<Map>,
}

impl Data for StepData<'_, '_> {
    fn execute(
        &mut self,
        map: &Arc<Map>,
        other: Option<&Arc<Map>>,
        op: &Op<'_>,
    ) -> Result<Result<Reply, OpError>, Interrupt> {
        if !Arc::ptr_eq(map, self.map) || other.is_some() {
            return Err(Interrupt);
        }
        self.step.execute(op).ok_or(Interrupt)
    }

    fn is_unchanged(&mut self, watched: &[WatchedKey<'_>]) -> Result<bool, Interrupt> {
        for WatchedKey { map, key, version } in watched {
            if *map != &*self.map.name {
                return Err(Interrupt);
            }
            let op = Op::Key(key, KeyOp::Generic(GenericOp::Version));
            match self.step.execute(&op).ok_or(Interrupt)? {
                Ok(Reply::Integer(number)) if Version(number.cast_unsigned()) == *version => {}
                Ok(Reply::Integer(_)) => return Ok(false),
                _ => return Err(Interrupt),
            }
        }
        Ok(true)
    }

    fn run(
        &mut self,
        handle: Handle,
        context: &Context,
        request: &Request<'_>,
    ) -> Result<Answer, Interrupt> {
        // Those that wait for nothing: others would wait for this very step.
        const IMMEDIATE: [&[u8]; 3] = [b"echo", b"ping", b"time"];
        let name = request.get(0).unwrap_or_default().to_ascii_lowercase();
        if !IMMEDIATE.contains(&&name[..]) {
            return Err(Interrupt);
        }
        let mut client = context.client().ok_or(Interrupt)?;
        match handle(&mut client, request) {
            Ok(CommandState::Ready(answer)) => Ok(answer),
            Ok(_) => Err(Interrupt),
            Err(error) => Ok(error.into()),
        }
    }
}

/// Runs one script of a client as a step of this partition, if that is possible: like a program of
/// this script alone, without a copy of its keys and arguments. `reads` is set if it may call no
/// command that writes; the keys that it reads are noted if `notes_reads` is.
pub(super) fn step_call<'w>(
    client: &Client,
    table: &'static CommandTable,
    callee: Callee<'_>,
    (keys, args): (
        impl ExactSizeIterator<Item = &'w [u8]> + Clone,
        impl ExactSizeIterator<Item = &'w [u8]> + Clone,
    ),
    partition: u16,
    (reads, notes_reads): (bool, bool),
) -> StepResult<(PartReply, Notes)> {
    let (server, map) = (&client.server, &client.map);
    let stepped = server.grid.step(map, partition, |step| {
        let context = Context {
            server: Arc::clone(server),
            table,
            database: client.database,
            map: Arc::clone(map),
            trust: if client.trust == Trust::Full { Trust::Full } else { Trust::ReadOnly },
            reads,
            traits: client.traits(),
            published: Vec::new(),
            read_keys: notes_reads.then(ReadKeys::default),
            recorder: Recorder::new(Some(client.lane), server.monitors.is_any()),
        };
        let mut caller = Caller { context, data: StepData { step, map } };
        let limits = limits(STEP_MS_MAX);
        let ran = with_engine(|engine| callee.run(engine, keys, args, &limits, &mut caller));
        let reply = match ran {
            Ok(Ok(reply)) => reply,
            Err(value) => PartReply::Script(value),
            // Another attempt has more time and more keys.
            Ok(Err(_)) => return None,
        };
        let (notes, published) = caller.context.done();
        Some(((reply, notes), published))
    });
    with_published(server, stepped)
}

/// Executes a program as a step of this partition, if that is possible.
pub(crate) fn step(
    server: &Arc<Server>,
    table: &'static CommandTable,
    program: &Program,
    codes: &[Code],
    partition: u16,
) -> StepResult<Ended> {
    let Ok(context) = program.context(server, table) else { return StepResult::NotExecuted };
    let map = Arc::clone(&context.map);
    let stepped = server.grid.step(&map, partition, |step| {
        let data = StepData { step, map: &map };
        let mut caller = Caller { context, data };
        let limits = limits(STEP_MS_MAX);
        let done = caller.execute_all(program, codes, limits.deadline, |_| limits.clone());
        match done {
            Ok(replies) => {
                let (notes, published) = caller.context.done();
                Some((Ended::Done(replies, notes), published))
            }
            Err(Stop::Changed) => Some((Ended::Changed, Vec::new())),
            // Another attempt has more time and more keys.
            Err(Stop::Failure(_) | Stop::Failed(_)) => None,
        }
    });
    with_published(server, stepped)
}

/// The result of a step, whose messages are published if it was executed.
fn with_published<R>(
    server: &Arc<Server>,
    stepped: StepResult<(R, Vec<Message>)>,
) -> StepResult<R> {
    match stepped {
        StepResult::Done { result: (result, published), replicated } => {
            publish(server, published);
            StepResult::Done { result, replicated }
        }
        StepResult::NotExecuted => StepResult::NotExecuted,
    }
}
