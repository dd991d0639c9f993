//! A short chaos run: clients on real members while these are killed, paused, cut off
//! and restarted. `cargo xtask chaos` has long ones.

use std::time::Duration;

use convoke_tests::chaos::history::Profile;
use convoke_tests::chaos::{Options, Step, Stop, run};
use tempfile::TempDir;

/// One round with the faults that every change has to survive. What takes a network is
/// skipped where there is none.
#[track_caller]
fn round(seed: u64, profile: Profile, steps: Vec<Step>) {
    let folder = TempDir::new().expect("a folder for temporary files").keep();
    let options = Options {
        // A round that has begun goes to its end.
        duration: Duration::from_millis(1),
        seed,
        profile: Some(profile),
        steps: Some(steps),
        folder: folder.clone(),
        keeps: false,
    };
    let summary = run(&options, &Stop::default()).expect("members start");
    assert_eq!(summary.rounds, 1, "{summary:#?}");
    assert!(summary.is_clean(), "{summary:#?}\nhistory and logs: {}", folder.display());
    // Nothing to look at.
    let _ = std::fs::remove_dir_all(folder);
}

#[test]
fn what_is_acknowledged_is_kept_when_members_are_lost_paused_and_restarted() {
    round(
        1,
        Profile::Strong,
        vec![Step::Kill(300), Step::Pause(3_500), Step::Terminate(200), Step::Kill(0)],
    );
}

#[test]
fn what_is_acknowledged_is_kept_when_the_network_splits() {
    round(2, Profile::Split, vec![Step::Split(4_000)]);
}
