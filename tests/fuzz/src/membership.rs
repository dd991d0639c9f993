//! Membership messages: decoded, and handled by a member of a cluster.

use std::time::Duration;

use convoke_harness::{mutate, noise};
use convoke_membership::membership::Output;
use convoke_membership::terms::{Rule, Scope, Term};
use convoke_membership::{
    Config, Hello, Member, MemberId, MemberStatus, Membership, Message, Reach, Terms, View,
};
use rand::RngExt as _;

use crate::Run;
use crate::report::{caught, shown};
use crate::server::member;

/// Cases of one pair of members before the next one.
const CASES: usize = 2_000;

/// Outputs that are polled after each case.
const OUTPUTS_MAX: usize = 10_000;

fn id(number: u8) -> MemberId {
    MemberId::from_bytes([number; 16])
}

fn terms() -> Terms {
    let term =
        Term { name: "partitions".into(), value: "271".into(), is_set: false, rule: Rule::Same };
    Terms::new(vec![Scope { name: Terms::GENERAL.into(), terms: vec![term] }])
}

/// Two members of a cluster, and the packets and messages between them.
struct Pair {
    one: Membership,
    other: Membership,
    now: Duration,
    packets: Vec<Vec<u8>>,
    messages: Vec<Vec<u8>>,
}

impl Pair {
    fn new(seed: u64) -> Self {
        let new = |number: u8, seed| {
            Membership::new(member(id(number), 0), terms(), Config::default(), seed)
        };
        let mut pair = Self {
            one: new(1, seed),
            other: new(2, seed + 1),
            now: Duration::from_millis(1),
            packets: Vec::new(),
            messages: Vec::new(),
        };
        pair.one.handle_discovery_done(pair.now);
        pair.work(20);
        let hello = pair.one.hello();
        pair.other.handle_connected(pair.now, hello, true);
        let hello = pair.other.hello();
        pair.one.handle_connected(pair.now, hello, true);
        pair.other.handle_discovery_done(pair.now);
        pair.work(100);
        pair
    }

    /// Advances the time, and delivers packets and messages.
    fn work(&mut self, steps: usize) {
        for _ in 0..steps {
            self.now += Duration::from_millis(20);
            self.one.handle_timeout(self.now);
            self.other.handle_timeout(self.now);
            for is_one in [true, false] {
                for _ in 0..OUTPUTS_MAX {
                    let from = if is_one { &mut self.one } else { &mut self.other };
                    let Some(output) = from.poll_output() else { break };
                    let sender: Member = from.me().clone();
                    let to = if is_one { &mut self.other } else { &mut self.one };
                    match output {
                        Output::Packet { bytes, .. } => {
                            let _ = to.handle_packet(self.now, sender.id, &bytes);
                            self.packets.push(bytes);
                        }
                        Output::Message { message, .. } => {
                            self.messages.push(message.encode());
                            to.handle_message(self.now, &sender, message);
                        }
                        Output::Call { .. } => {
                            let called = to.me().id;
                            let from = if is_one { &mut self.one } else { &mut self.other };
                            from.handle_reach(self.now, called, Reach::Answered);
                        }
                        _ => {}
                    }
                }
            }
        }
    }
}

pub(crate) fn messages(run: &mut Run) {
    let view = View::founded_by(member(id(1), 1));
    let mut corpus = vec![
        Message::Join { member: member(id(3), 3), lineage: Some(id(1)), terms: terms() }.encode(),
        Message::Redirect { coordinator: member(id(1), 1) }.encode(),
        Message::Pull { have: None }.encode(),
        Message::View { view: view.clone(), terms: terms() }.encode(),
        Message::Merge { view, terms: terms() }.encode(),
        Message::Leave.encode(),
    ];
    let hello = Hello { member: member(id(4), 4), standing: MemberStatus::Starting }.encode();
    while run.has_time() {
        let Some(mut pair) = caught(|| Pair::new(run.random.random())) else {
            run.report.take_panics(|| "two members that join".to_owned());
            continue;
        };
        corpus.append(&mut pair.messages);
        corpus.truncate(400);
        let packets = std::mem::take(&mut pair.packets);
        for _ in 0..CASES {
            if !run.has_time() {
                return;
            }
            run.report.count();
            let kind = run.random.random_range(0..10);
            let pick = run.random.random_range(0..usize::MAX);
            let mut bytes = match kind {
                0..4 => corpus[pick % corpus.len()].clone(),
                4 => hello.clone(),
                5..9 if !packets.is_empty() => packets[pick % packets.len()].clone(),
                _ => noise(&mut run.random, 300),
            };
            let other = corpus[run.random.random_range(0..corpus.len())].clone();
            mutate(&mut run.random, &mut bytes, &other);
            let from = member(id(run.random.random_range(0..5)), run.random.random_range(0..9));
            let passed = Duration::from_millis(run.random.random_range(0..300));
            let is_whole = caught(|| {
                pair.now += passed;
                if let Ok(message) = Message::decode(&bytes) {
                    pair.one.handle_message(pair.now, &from, message);
                }
                if let Ok(hello) = Hello::decode(&bytes) {
                    pair.one.handle_connected(pair.now, hello, true);
                }
                let _ = pair.one.handle_packet(pair.now, from.id, &bytes);
                pair.one.handle_timeout(pair.now);
                let mut outputs = 0;
                while pair.one.poll_output().is_some() {
                    outputs += 1;
                    assert!(outputs < OUTPUTS_MAX, "outputs do not end");
                }
            });
            let input = || format!("kind {kind}, from {} {}, {}", from.id, from.age, shown(&bytes));
            if run.report.take_panics(input) || is_whole.is_none() {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mutated_messages_are_those_of_members_of_one_cluster() {
        let pair = Pair::new(1);
        assert_eq!(pair.one.view().map(View::len), Some(2));
        assert_eq!(pair.other.view().map(View::len), Some(2));
        assert!(!pair.packets.is_empty() && !pair.messages.is_empty());
    }
}
