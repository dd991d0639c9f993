//! `convoke discover`: a dry run that shows what each mode finds, and what happens to each
//! candidate.

use std::sync::Arc;
use std::time::Duration;

use convoke_discovery::{CallError, Candidate, Instance, Snapshot};
use convoke_membership::{Hello, MemberStatus};
use convoke_text::counted;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::member::calls::{self, Call};
use crate::member::{DryRun, beacons, modes, probing};
use crate::output::say;
use crate::settings::Settings;

/// Time for which lookups are repeated, in milliseconds.
const LOOK_MS: u64 = 600;
/// Maximum number of lookups of one mode in that time.
const LOOKS_MAX: usize = 64;
/// Maximum number of candidates that are called concurrently.
const CALLS_MAX: usize = 256;
/// Maximum number of lines of one kind; the rest are counted.
const LINES_MAX: usize = 200;

/// Runs one lookup of every mode and prints what it found.
pub(crate) async fn run(settings: &Settings) -> Result<(), String> {
    crate::limits::raise_open_files();
    let dry_run = DryRun::new(settings).await?;
    let ciphers = beacons::ciphers(&dry_run.keys, dry_run.me.id);
    let prober = probing::prober(&dry_run.keys, &dry_run.me);
    let host = modes::host(settings, &dry_run.choice, ciphers, prober)?;
    let loaded = modes::load(&host, settings, &dry_run.choice, &dry_run.local).await?;
    say!(
        "cluster {:?}, looking from {} ({})",
        settings.cluster_name,
        dry_run.choice.primary,
        dry_run.choice.reason
    );
    let hello: Arc<[u8]> =
        Hello { member: dry_run.me.clone(), standing: MemberStatus::Observer }.encode().into();
    for mode in &loaded {
        let mut instance = host
            .open(mode, &dry_run.local)
            .await
            .map_err(|error| format!("mode {:?}: {error}", mode.name()))?;
        match look(&mut instance).await {
            Ok(snapshot) => report(mode.name(), snapshot, &dry_run, &hello).await,
            Err(error) => say!("mode {}: {error}", mode.name()),
        }
    }
    Ok(())
}

/// Looks up once, and again while the mode asks for it: the first lookup may return after the first
/// reply, while others are still in transit.
async fn look(instance: &mut Instance) -> Result<Snapshot, CallError> {
    let deadline = Instant::now() + Duration::from_millis(LOOK_MS);
    let mut all = instance.discover().await?;
    for _ in 1..LOOKS_MAX {
        if all.look_again.is_none_or(|wait| Instant::now() + wait >= deadline) {
            break;
        }
        // A lookup that is interrupted by the deadline adds nothing.
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

async fn report(mode: &str, snapshot: Snapshot, dry_run: &DryRun, hello: &Arc<[u8]>) {
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
    let results = call_all(snapshot.candidates, dry_run, hello).await;
    let (mut kept, mut silent) = (0, 0);
    for (candidate, result) in &results {
        match result {
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
        say!("  dropped {} more that are not members of this cluster", silent - LINES_MAX);
    }
    match &snapshot.doubt {
        Some(doubt) => {
            say!("  incomplete, so a member started now would not found a cluster: {doubt}");
        }
        None if kept == 0 => {
            say!("  no member found: a member started now would found the cluster");
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
        MemberStatus::In(summary) => format!(
            "{who}, in a cluster of {}, coordinator {}",
            summary.members,
            summary.coordinator.address()
        ),
        MemberStatus::Starting => format!("{who}, starting"),
        MemberStatus::Observer => format!("{who}, a dry run"),
        MemberStatus::Leaving => format!("{who}, leaving"),
        MemberStatus::Data => who,
    }
}

type CallResult = (Candidate, Result<Call, calls::CallError>);

/// Calls all candidates, up to [`CALLS_MAX`] concurrently. Returns the results in the order of the
/// candidates.
async fn call_all(
    candidates: Vec<Candidate>,
    dry_run: &DryRun,
    hello: &Arc<[u8]>,
) -> Vec<CallResult> {
    let mut calls = JoinSet::new();
    let mut results = Vec::with_capacity(candidates.len());
    for (number, candidate) in candidates.into_iter().enumerate() {
        if calls.len() >= CALLS_MAX {
            results.extend(calls.join_next().await.and_then(Result::ok));
        }
        let (keys, hello) = (Arc::clone(&dry_run.keys), Arc::clone(hello));
        calls.spawn(async move {
            let result = calls::call(candidate.address, &keys, &hello).await;
            (number, (candidate, result))
        });
    }
    while let Some(done) = calls.join_next().await {
        results.extend(done.ok());
    }
    results.sort_by_key(|(number, _)| *number);
    results.into_iter().map(|(_, result)| result).collect()
}
