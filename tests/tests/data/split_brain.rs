//! Networks split and heal: both sides continue, and the writes of both are merged.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use convoke_tests::cluster::TIMEOUT;
use convoke_tests::resp::Value;
use convoke_tests::{Cluster, Lab, Member};

use crate::keys::{expect_all, expect_none, missing_keys, pairs, put_all, remove_all};
use crate::load::Load;
use crate::safe::wait_until_safe;

/// A member on each host, one after the other.
#[track_caller]
fn start(cluster: &Cluster, lab: &Lab, settings: &str) -> Vec<Member> {
    let file = cluster.write("settings.toml", settings).display().to_string();
    let mut members: Vec<Member> = Vec::new();
    for host in lab.hosts() {
        members.push(cluster.launch().on(host).option("--config", &file).start());
        cluster.agree(&members);
    }
    wait_until_safe(cluster, &members);
    members
}

/// Splits `count` members at index `at`; both sides write, and all writes are present after the
/// merge.
#[track_caller]
fn both_sides_write(count: usize, at: usize) {
    let cluster = Cluster::new();
    let Some(lab) = Lab::of(count) else { return };
    let members = start(&cluster, &lab, "");
    let before = pairs("before", 2_000);
    put_all(&mut members[0].client(), &before);
    lab.split();
    let (left, right) = members.split_at(at);
    for (name, side) in [("left", left), ("right", right)] {
        wait_until_safe(&cluster, side);
        put_all(&mut side[0].client(), &pairs(name, 2_000));
        for member in side {
            expect_all(&mut member.client(), &pairs(name, 2_000));
        }
    }
    lab.heal();
    wait_until_safe(&cluster, &members);
    for member in &members {
        let mut client = member.client();
        for name in ["before", "left", "right"] {
            expect_all(&mut client, &pairs(name, 2_000));
        }
        put_all(&mut client, &pairs("after", 500));
    }
}

#[test]
fn writes_of_both_halves_are_merged() {
    both_sides_write(4, 2);
}

#[test]
fn writes_of_an_isolated_member_are_merged() {
    both_sides_write(3, 2);
}

/// Including writes between the split and its detection.
#[test]
fn continuous_writes_on_both_sides_are_merged() {
    const BETWEEN: u64 = 2_000;
    let cluster = Cluster::exclusive();
    let Some(lab) = Lab::of(4) else { return };
    let members = start(&cluster, &lab, "");
    let load = Load::of_puts_on(&members, 8);
    for _ in 0..2 {
        load.wait_for(BETWEEN);
        lab.split();
        wait_until_safe(&cluster, &members[..2]);
        wait_until_safe(&cluster, &members[2..]);
        load.wait_for(BETWEEN);
        lab.heal();
        wait_until_safe(&cluster, &members);
    }
    load.wait_for(BETWEEN);
    load.stop().check(&members);
}

/// The members of the surviving cluster hold their keys throughout: no key may be missing while
/// the data of the joining side is merged.
#[track_caller]
fn assert_no_key_is_missing_during_the_merge(count: usize, at: usize) {
    const KEYS: usize = 20_000;
    let cluster = Cluster::exclusive();
    let Some(lab) = Lab::of(count) else { return };
    let members = start(&cluster, &lab, "");
    lab.split();
    let (left, right) = members.split_at(at);
    wait_until_safe(&cluster, left);
    wait_until_safe(&cluster, right);
    let held = pairs("held", KEYS);
    put_all(&mut left[0].client(), &held);
    put_all(&mut right[0].client(), &pairs("brought", KEYS));
    let is_over = AtomicBool::new(false);
    let (missing, rounds) = thread::scope(|scope| {
        let readers: Vec<_> = left
            .iter()
            .map(|member| {
                let (mut client, held, is_over) = (member.client(), &held, &is_over);
                scope.spawn(move || {
                    let (mut missing, mut rounds) = (Vec::new(), 0);
                    while !is_over.load(Ordering::Relaxed) {
                        missing.extend(missing_keys(&mut client, held));
                        rounds += 1;
                    }
                    (missing, rounds)
                })
            })
            .collect();
        lab.heal();
        wait_until_safe(&cluster, &members);
        is_over.store(true, Ordering::Relaxed);
        let read = readers.into_iter().map(|reader| reader.join().expect("it reads"));
        read.fold((Vec::new(), 0), |(mut missing, rounds), (more, further)| {
            missing.extend(more);
            (missing, rounds + further)
        })
    });
    for member in &members {
        expect_all(&mut member.client(), &held);
        expect_all(&mut member.client(), &pairs("brought", KEYS));
    }
    let some = &missing[..missing.len().min(5)];
    let found = missing.len();
    assert!(found == 0, "in {rounds} rounds keys were missing {found} times, such as {some:?}");
}

#[test]
fn no_key_is_missing_on_the_surviving_half_during_a_merge() {
    assert_no_key_is_missing_during_the_merge(4, 2);
}

#[test]
fn no_key_is_missing_on_the_larger_side_during_a_merge() {
    assert_no_key_is_missing_during_the_merge(3, 2);
}

/// A counter that restarts from zero would win the merge as the later write.
#[test]
fn counters_of_the_surviving_side_do_not_restart_during_a_merge() {
    const COUNTERS: usize = 5_000;
    const BEFORE: usize = 1_000_000;
    let cluster = Cluster::new();
    let Some(lab) = Lab::of(2) else { return };
    let members = start(&cluster, &lab, "");
    lab.split();
    wait_until_safe(&cluster, &members[..1]);
    wait_until_safe(&cluster, &members[1..]);
    let mut client = members[0].client();
    let held: Vec<_> = (0..COUNTERS).map(|n| (format!("count:{n}"), BEFORE.to_string())).collect();
    put_all(&mut client, &held);
    let is_over = AtomicBool::new(false);
    let low = thread::scope(|scope| {
        let counting = scope.spawn(|| {
            let mut low = Vec::new();
            while !is_over.load(Ordering::Relaxed) {
                for some in held.chunks(100) {
                    let requests: Vec<_> = some.iter().map(|(key, _)| vec!["INCR", key]).collect();
                    let answers = client.call_all(&requests).expect("the member answers");
                    for ((key, _), answer) in some.iter().zip(answers) {
                        if answer.integer().is_some_and(|count| count <= BEFORE as i64) {
                            low.push((key, answer));
                        }
                    }
                }
            }
            low
        });
        lab.heal();
        wait_until_safe(&cluster, &members);
        is_over.store(true, Ordering::Relaxed);
        counting.join().expect("it counts")
    });
    let (times, some) = (low.len(), &low[..low.len().min(5)]);
    assert!(low.is_empty(), "{times} times a counter restarted from zero, such as {some:?}");
}

/// The clocks of the two sides of a split follow the same machine's, each at its own pace: of
/// two writes that are closer together, either may count as the later one.
const CLOCKS_DIFFER_MAX: Duration = Duration::from_millis(200);

/// Each side has the later write once.
#[test]
fn the_later_write_wins_for_a_key_that_both_sides_wrote() {
    let cluster = Cluster::new();
    let Some(lab) = Lab::of(4) else { return };
    let members = start(&cluster, &lab, "");
    lab.split();
    let (left, right) = members.split_at(2);
    for side in [left, right] {
        wait_until_safe(&cluster, side);
    }
    let with = |word: &str, value: &str| -> Vec<(String, String)> {
        (0..500).map(|n| (format!("{word}:{n}"), format!("{value} {n}"))).collect()
    };
    for (first, then) in [(left, right), (right, left)] {
        let word = if first[0].index() == left[0].index() { "to-right" } else { "to-left" };
        put_all(&mut first[0].client(), &with(word, "first"));
        thread::sleep(CLOCKS_DIFFER_MAX);
        put_all(&mut then[0].client(), &with(word, "then"));
        // Set on one side, and deleted on the other one after it.
        let word = format!("{word}-gone");
        put_all(&mut then[0].client(), &with(&word, "overwritten"));
        put_all(&mut first[0].client(), &with(&word, "first"));
        thread::sleep(CLOCKS_DIFFER_MAX);
        remove_all(&mut then[0].client(), &with(&word, ""));
    }
    lab.heal();
    wait_until_safe(&cluster, &members);
    for member in &members {
        let mut client = member.client();
        for word in ["to-right", "to-left"] {
            expect_all(&mut client, &with(word, "then"));
            expect_none(&mut client, &with(&format!("{word}-gone"), ""));
        }
    }
}

#[test]
fn below_min_members_writes_are_refused_and_reads_are_served() {
    let cluster = Cluster::new();
    let Some(lab) = Lab::of(3) else { return };
    // Each member has all data.
    let members = start(&cluster, &lab, "min-members = 2\n[maps.\"*\"]\nbackups = 2\n");
    let before = pairs("before", 1_000);
    put_all(&mut members[0].client(), &before);
    lab.split();
    let (left, right) = members.split_at(2);
    cluster.agree(left);
    cluster.agree(right);
    let mut isolated = right[0].client();
    let deadline = Instant::now() + TIMEOUT;
    // The limit takes effect shortly after the view is logged.
    let refusal = loop {
        if let Value::Error(text) = isolated.command("SET isolated 1").unwrap() {
            break text;
        }
        assert!(Instant::now() < deadline, "writes are still accepted");
    };
    for line in
        ["INCR isolated:count", "DEL before:0", "RPUSH isolated:list 1", "EXPIRE before:0 1"]
    {
        let answer = isolated.command(line).unwrap();
        assert_eq!(answer.error(), Some(refusal.as_str()), "{line}");
    }
    expect_all(&mut isolated, &before);
    let together = pairs("together", 1_000);
    put_all(&mut left[1].client(), &together);
    lab.heal();
    wait_until_safe(&cluster, &members);
    put_all(&mut isolated, &pairs("after", 500));
    for member in &members {
        expect_all(&mut member.client(), &before);
        expect_all(&mut member.client(), &together);
    }
    assert!(refusal.starts_with("NOREPLICAS"), "{refusal}");
    assert!(refusal.contains("--min-members"), "the error names the option: {refusal}");
}
