//! Networks split and heal: both sides go on, and what both took is there after.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use convoke_tests::cluster::SOON;
use convoke_tests::resp::Value;
use convoke_tests::{Cluster, Lab, Member};

use crate::keys::{expect_all, expect_none, not_there, pairs, put_all, remove_all};
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

/// Splits `members` in those before and those from `at`; both sides write, and
/// all of it is there when they are together again.
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
fn what_two_halves_wrote_is_all_there_when_they_are_one_again() {
    both_sides_write(4, 2);
}

#[test]
fn what_one_member_wrote_alone_is_there_when_it_is_back_with_the_others() {
    both_sides_write(3, 2);
}

/// Between the split and the moment when all know of it, too.
#[test]
fn what_clients_write_all_the_time_on_both_sides_is_there_when_they_are_one_again() {
    const BETWEEN: u64 = 2_000;
    let cluster = Cluster::alone();
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

/// The members that the others join have all of it, and go on having it: nobody
/// may find a key missing while what the others bring is merged.
#[track_caller]
fn the_joined_side_misses_nothing(count: usize, at: usize) {
    const KEYS: usize = 20_000;
    let cluster = Cluster::alone();
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
                        missing.extend(not_there(&mut client, held));
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
fn the_half_that_the_other_joins_misses_nothing_meanwhile() {
    the_joined_side_misses_nothing(4, 2);
}

#[test]
fn the_larger_side_that_the_smaller_joins_misses_nothing_meanwhile() {
    the_joined_side_misses_nothing(3, 2);
}

/// A change that begins from nothing, though there was something, would stay as
/// the later one.
#[test]
fn counters_of_the_side_that_is_joined_go_on_from_what_they_were() {
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
    assert!(low.is_empty(), "{times} times a counter began anew, such as {some:?}");
}

/// The clocks of the two sides of a split follow the same machine's, each at its own pace: of
/// two writes that are closer together, either may count as the later one.
const CLOCKS_DIFFER_MAX: Duration = Duration::from_millis(200);

/// The later writer is once on this side and once on that one.
#[test]
fn of_a_key_that_both_sides_wrote_the_later_value_stays() {
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
        // Written on this side, and removed on that one after it.
        let word = format!("{word}-gone");
        put_all(&mut then[0].client(), &with(&word, "of no avail"));
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
fn with_fewer_members_than_there_must_be_writes_are_refused_and_reads_go_on() {
    let cluster = Cluster::new();
    let Some(lab) = Lab::of(3) else { return };
    // Each member has everything.
    let members = start(&cluster, &lab, "min-members = 2\n[maps.\"*\"]\nbackups = 2\n");
    let before = pairs("before", 1_000);
    put_all(&mut members[0].client(), &before);
    lab.split();
    let (left, right) = members.split_at(2);
    cluster.agree(left);
    cluster.agree(right);
    let mut lone = right[0].client();
    let deadline = Instant::now() + SOON;
    // It knows that it is alone a moment after it has said so.
    let refusal = loop {
        if let Value::Error(text) = lone.ask("SET lone 1").unwrap() {
            break text;
        }
        assert!(Instant::now() < deadline, "it still writes");
    };
    for line in ["INCR lone:count", "DEL before:0", "RPUSH lone:list 1", "EXPIRE before:0 1"] {
        let answer = lone.ask(line).unwrap();
        assert_eq!(answer.error(), Some(refusal.as_str()), "{line}");
    }
    expect_all(&mut lone, &before);
    let together = pairs("together", 1_000);
    put_all(&mut left[1].client(), &together);
    lab.heal();
    wait_until_safe(&cluster, &members);
    put_all(&mut lone, &pairs("after", 500));
    for member in &members {
        expect_all(&mut member.client(), &before);
        expect_all(&mut member.client(), &together);
    }
    assert!(refusal.starts_with("NOREPLICAS"), "{refusal}");
    assert!(refusal.contains("--min-members"), "an operator would want to know why: {refusal}");
}
