//! Scripts among the commands of a transaction: what they need is read first, since they are part of
//! one step with the other commands.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use convoke_grid::OpError;
use convoke_script::Script;
use futures_util::future::join_all;

use super::super::answer::CommandError;
use super::super::client::Client;
use super::super::command::Command;
use super::super::request::Request;
use super::super::server::Server;
use super::commands::{NO_SCRIPT, call_with, checksum, compiled, find, key_count};
use super::evaluation::Callee;
use super::functions;
use super::libraries::{self, Catalog};
use super::program::Call;

/// What the scripts of a transaction need that this member may not have yet.
#[derive(Default)]
pub(crate) struct Known {
    scripts: HashMap<String, Arc<Script>>,
    catalog: Option<Arc<Catalog>>,
}

/// The commands that call a script or a function.
const CALLS: [&str; 6] = ["eval", "eval_ro", "evalsha", "evalsha_ro", "fcall", "fcall_ro"];

/// Whether a command calls a script or a function.
pub(crate) fn is_call(command: &Command) -> bool {
    CALLS.contains(&command.name)
}

impl Known {
    /// Reads what a transaction with these commands needs. `None` if everything is known.
    pub(crate) fn read<'r>(
        &mut self,
        server: &Arc<Server>,
        commands: impl Iterator<Item = (&'static Command, Request<'r>)>,
    ) -> Option<Pin<Box<dyn Future<Output = Self> + Send>>> {
        let mut shas = Vec::new();
        let mut calls_functions = false;
        for (command, request) in commands {
            match command.name {
                // It is loaded before the scripts that follow it are looked for.
                "script|load" => {
                    let source = Bytes::copy_from_slice(request.get(2).unwrap_or_default());
                    if let Ok(script) = Script::new(source) {
                        self.scripts.insert(script.sha.to_string(), Arc::new(script));
                    }
                }
                "evalsha" | "evalsha_ro" => {
                    let sha = checksum(request.get(1).unwrap_or_default());
                    let Some(sha) = sha.filter(|sha| !self.scripts.contains_key(sha)) else {
                        continue;
                    };
                    match server.scripts.get(&server.grid, &sha) {
                        Some(script) => _ = self.scripts.insert(sha, script),
                        None => shas.push(sha),
                    }
                }
                "fcall" | "fcall_ro" => calls_functions = true,
                _ => {}
            }
        }
        self.catalog = libraries::cached(server);
        let needs_catalog = calls_functions && self.catalog.is_none();
        if shas.is_empty() && !needs_catalog {
            return None;
        }
        let (server, mut known) = (Arc::clone(server), std::mem::take(self));
        Some(Box::pin(async move {
            let found = join_all(shas.iter().map(|sha| find(&server, sha))).await;
            for (sha, script) in shas.iter().zip(found) {
                // One that cannot be read is reported as unknown.
                if let Ok(Some(script)) = script {
                    known.scripts.insert(sha.clone(), script);
                }
            }
            if needs_catalog {
                known.catalog = libraries::current(&server).await.ok();
            }
            known
        }))
    }
}

/// The call of a command for which [`is_call`] holds, in a transaction.
pub(crate) fn plan(
    client: &Client,
    command: &Command,
    request: &Request<'_>,
    known: &Known,
) -> Result<Call, CommandError> {
    let (server, reads) = (&client.server, command.name.ends_with("_ro"));
    let name = request.get(1).unwrap_or_default();
    match command.name {
        "fcall" | "fcall_ro" => {
            let catalog = known.catalog.as_deref().ok_or(OpError::Unavailable)?;
            functions::call_of(server, catalog, request, reads)
        }
        "evalsha" | "evalsha_ro" => {
            let keys = key_count(request, CommandError::INTEGER)?;
            let script = checksum(name).and_then(|sha| known.scripts.get(&sha)).ok_or(NO_SCRIPT)?;
            call_with(server, (Callee::Script(script), script.flags), (request, keys), reads)
        }
        _ => {
            let keys = key_count(request, CommandError::INTEGER)?;
            let script = compiled(client, name)?;
            call_with(server, (Callee::Script(&script), script.flags), (request, keys), reads)
        }
    }
}
