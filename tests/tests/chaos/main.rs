//! A short chaos run: clients of real members that are killed, paused, partitioned and restarted.
//! `cargo xtask chaos` runs longer ones.

use std::fs;
use std::time::Duration;

use convoke_tests::chaos::history::Profile;
use convoke_tests::chaos::{Options, Step, Stop, Summary, run};
use tempfile::TempDir;

/// How long a cluster may take to start; a round that has started is completed.
const DURATION_MAX: Duration = Duration::from_secs(120);

/// One round with these faults. Network faults are skipped where they cannot be injected.
#[track_caller]
fn round(seed: u64, profile: Profile, steps: Vec<Step>, backups: Option<u8>) -> Summary {
    let folder = TempDir::new().expect("a temporary folder").keep();
    let options = Options {
        duration: DURATION_MAX,
        rounds_max: Some(1),
        seed,
        profile: Some(profile),
        steps: Some(steps),
        backups,
        folder: folder.clone(),
        keeps: false,
    };
    let summary = run(&options, &Stop::default()).expect("members start");
    assert_eq!(summary.rounds, 1, "{summary:#?}");
    if summary.is_clean() {
        let _ = fs::remove_dir_all(folder);
    }
    summary
}

#[test]
fn no_acknowledged_write_is_lost_when_members_are_killed_paused_and_restarted() {
    let steps = vec![Step::Kill(300), Step::Pause(3_500), Step::Terminate(200), Step::Kill(0)];
    let summary = round(1, Profile::Strong, steps, None);
    assert!(summary.is_clean(), "{summary:#?}");
}

#[test]
fn no_acknowledged_write_is_lost_when_the_network_splits() {
    let summary = round(2, Profile::Split, vec![Step::Split(4_000)], None);
    assert!(summary.is_clean(), "{summary:#?}");
}

/// The checks detect lost writes.
#[test]
fn a_loss_without_backups_is_detected() {
    let summary = round(3, Profile::Strong, vec![Step::Kill(300)], Some(0));
    for rule in ["acknowledged write lost", "acknowledged element lost"] {
        assert!(summary.violations.contains_key(rule), "{rule}: {summary:#?}");
    }
    if let Some(folder) = summary.files.first().and_then(|file| file.parent()) {
        let _ = fs::remove_dir_all(folder);
    }
}
