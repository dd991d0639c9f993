//! `convoke discover`: what each mode finds, and what becomes of it.

use std::sync::Arc;
use std::time::Duration;

use convoke_discovery::{CallError, Candidate, Instance, Snapshot};
use convoke_membership::{Hello, Standing};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::member::calls::{self, Call};
use crate::member::{Onlooker, beacons, modes, probing};
use crate::output::{counted, say};
use crate::settings::Settings;

/// How long answers may come in, in milliseconds.
const LOOK_MS: u64 = 600;
/// Looks in that time, at most.
const LOOKS_MAX: usize = 64;
/// Candidates called at once.
const CALLS_MAX: usize = 256;
/// Lines of one kind, at most; the rest is counted.
const LINES_MAX: usize = 200;

/// Looks once with every mode and prints what it found.
pub(crate) async fn run(settings: &Settings) -> Result<(), String> {
    crate::limits::raise_open_files();
    let onlooker = Onlooker::new(settings).await?;
    let ciphers = beacons::ciphers(&onlooker.keys, onlooker.me.id);
    let prober = probing::prober(&onlooker.keys, &onlooker.me);
    let host = modes::host(settings, &onlooker.choice, ciphers, prober)?;
    let loaded = modes::load(&host, settings, &onlooker.choice, &onlooker.local).await?;
    say!(
        "cluster {:?}, looking from {} ({})",
        settings.cluster_name,
        onlooker.choice.primary,
        onlooker.choice.reason
    );
    let hello: Arc<[u8]> =
        Hello { member: onlooker.me.clone(), standing: Standing::Observer }.encode().into();
    for mode in &loaded {
        let mut instance = host
            .open(mode, &onlooker.local)
            .await
            .map_err(|error| format!("mode {:?}: {error}", mode.name()))?;
        match look(&mut instance).await {
            Ok(snapshot) => report(mode.name(), snapshot, &onlooker, &hello).await,
            Err(error) => say!("mode {}: {error}", mode.name()),
        }
    }
    Ok(())
}

/// One look, and further ones for as long as the mode finds them worth while: a
/// first look may end with the first answer, and others are still to come.
async fn look(instance: &mut Instance) -> Result<Snapshot, CallError> {
    let deadline = Instant::now() + Duration::from_millis(LOOK_MS);
    let mut all = instance.discover().await?;
    for _ in 1..LOOKS_MAX {
        if all.look_again.is_none_or(|wait| Instant::now() + wait >= deadline) {
            break;
        }
        // What is cut off has nothing new to say.
        let Ok(Ok(more)) = tokio::time::timeout_at(deadline, instance.discover()).await else {
            break;
        };
        for candidate in more.candidates {
            if !all.candidates.iter().any(|known| known.address == candidate.address) {
                all.candidates.push(candidate);
            }
        }
        all.look_again = more.look_again;
        all.doubt = more.doubt;
    }
    Ok(all)
}

async fn report(mode: &str, snapshot: Snapshot, onlooker: &Onlooker, hello: &Arc<[u8]>) {
    say!(
        "mode {mode}: {}, {} dropped",
        counted(snapshot.candidates.len(), "candidate"),
        snapshot.dropped_count
    );
    for dropped in snapshot.dropped.iter().take(LINES_MAX) {
        say!("  dropped {}: {}", dropped.address, dropped.reason);
    }
    let unlisted = snapshot.dropped_count.saturating_sub(LINES_MAX.min(snapshot.dropped.len()));
    if unlisted > 0 {
        say!("  dropped {unlisted} more");
    }
    let outcomes = call_all(snapshot.candidates, onlooker, hello).await;
    let (mut kept, mut silent) = (0, 0);
    for (candidate, outcome) in &outcomes {
        match outcome {
            Ok(call) => {
                kept += 1;
                say!("  kept    {}: {}", candidate.address, standing(&call.hello));
            }
            Err(error) => {
                silent += 1;
                if silent <= LINES_MAX {
                    say!("  dropped {}: {error}", candidate.address);
                }
            }
        }
    }
    if silent > LINES_MAX {
        say!("  dropped {} more that did not answer as members", silent - LINES_MAX);
    }
    match &snapshot.doubt {
        Some(doubt) => {
            say!("  in doubt, so that a member started now would found no cluster: {doubt}");
        }
        None if kept == 0 => {
            say!("  nobody to join: a member started now would found the cluster");
        }
        None => {}
    }
}

fn standing(hello: &Hello) -> String {
    let member = &hello.member;
    let who = format!(
        "{} ({}, group {}{})",
        member.id,
        member.name,
        member.group,
        if member.lite { ", lite" } else { "" }
    );
    match &hello.standing {
        Standing::In(summary) => format!(
            "{who}, in a cluster of {} led by {}",
            summary.members,
            summary.coordinator.address()
        ),
        Standing::Starting => format!("{who}, just starting"),
        Standing::Observer => format!("{who}, only looking as well"),
        Standing::Leaving => format!("{who}, about to leave"),
        Standing::Data => who,
    }
}

type Outcome = (Candidate, Result<Call, calls::CallError>);

/// Calls all, many at a time; outcomes in the order of the candidates.
async fn call_all(
    candidates: Vec<Candidate>,
    onlooker: &Onlooker,
    hello: &Arc<[u8]>,
) -> Vec<Outcome> {
    let mut calls = JoinSet::new();
    let mut outcomes = Vec::with_capacity(candidates.len());
    for (number, candidate) in candidates.into_iter().enumerate() {
        if calls.len() >= CALLS_MAX {
            outcomes.extend(calls.join_next().await.and_then(Result::ok));
        }
        let (keys, hello) = (Arc::clone(&onlooker.keys), Arc::clone(hello));
        calls.spawn(async move {
            let outcome = calls::call(candidate.address, &keys, &hello).await;
            (number, (candidate, outcome))
        });
    }
    while let Some(done) = calls.join_next().await {
        outcomes.extend(done.ok());
    }
    outcomes.sort_by_key(|(number, _)| *number);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}
