//! Tests of the notes of client-side caching.

use convoke_grid::Origin;

use super::*;
use crate::testing::single_member_grid;

fn tracking() -> Arc<Tracking> {
    Tracking::new(single_member_grid())
}

fn client(id: u64) -> Arc<ClientInfo> {
    crate::testing::info(id)
}

fn options(mode: Mode) -> Options {
    Options { mode, noloop: false, redirect: None, prefixes: Vec::new() }
}

fn change(key: &'static str, origin: Option<Origin>) -> Change {
    Change { map: "resp:0".into(), key: Some(key.into()), origin }
}

/// The next message: a key, `*` for all of them, or `-` if there is none.
fn notified(info: &ClientInfo) -> String {
    match info.output_buffer.next().expect("it keeps up") {
        None => "-".into(),
        Some(message) => match message.kind {
            MessageKind::InvalidationOfAll { .. } => "*".into(),
            MessageKind::RedirectionLost(id) => format!("lost {id}"),
            MessageKind::Invalidations { count, .. } => {
                let text = String::from_utf8_lossy(&message.payload).into_owned();
                let keys: Vec<&str> = text.split("\r\n").skip(1).step_by(2).collect();
                assert_eq!(keys.len(), count);
                keys.join(" ")
            }
            _ => String::from_utf8_lossy(&message.payload).into_owned(),
        },
    }
}

#[tokio::test]
async fn a_reader_is_notified_once_of_a_change() {
    let (tracking, one, two) = (tracking(), client(1), client(2));
    tracking.enable(&one, options(Mode::Read)).await;
    tracking.enable(&two, options(Mode::Read)).await;
    tracking.note_reads(1, [&b"k"[..], b"l"]);
    tracking.note_reads(1, [&b"k"[..]]);
    tracking.note_reads(2, [&b"k"[..]]);
    tracking.note_reads(3, [&b"k"[..]]);
    let figures = TrackingFigures { clients: 2, keys: 2, items: 3, prefixes: 0 };
    assert_eq!(tracking.figures(), figures);
    tracking.handle_changes(&[change("k", None), change("k", None), change("x", None)]);
    assert_eq!(
        [notified(&one), notified(&one), notified(&two), notified(&two)],
        ["k", "-", "k", "-"]
    );
    tracking.disable(1);
    tracking.disable(2);
    assert_eq!(tracking.figures(), TrackingFigures::default());
    assert_eq!(tracking.state.lock().bytes, 0);
}

#[tokio::test]
async fn a_client_in_broadcast_mode_is_notified_of_its_prefixes() {
    let (tracking, one) = (tracking(), client(1));
    let prefixes = vec!["a:".into(), "b:".into()];
    tracking.enable(&one, Options { prefixes, ..options(Mode::Broadcast) }).await;
    tracking.handle_changes(&[change("a:1", None), change("c", None), change("b:1", None)]);
    assert_eq!([notified(&one), notified(&one), notified(&one)], ["a:1", "b:1", "-"]);
}

#[tokio::test]
async fn changes_of_one_step_are_broadcast_in_one_message_for_each_prefix() {
    let (tracking, one, two, own) = (tracking(), client(1), client(2), client(3));
    let prefixes = || vec!["a:".into(), "b:".into()];
    let broadcast = || options(Mode::Broadcast);
    tracking.enable(&one, Options { prefixes: prefixes(), ..broadcast() }).await;
    tracking.enable(&two, Options { prefixes: vec![Bytes::new()], ..broadcast() }).await;
    let noloop = Options { noloop: true, prefixes: prefixes(), ..broadcast() };
    tracking.enable(&own, noloop).await;
    let origin = Some(Origin { member: tracking.grid.me(), client: 3 });
    let keys = [("b:1", None), ("a:2", origin), ("a:1", None), ("a:2", None), ("c", None)];
    tracking.handle_changes(&keys.map(|(key, origin)| change(key, origin)));
    let shown = |info: &ClientInfo| [notified(info), notified(info), notified(info)];
    assert_eq!(shown(&one), ["a:1 a:2", "b:1", "-"]);
    assert_eq!(shown(&two), ["a:1 a:2 b:1 c", "-", "-"]);
    assert_eq!(shown(&own), ["a:1 a:2", "b:1", "-"], "another client changed a:2 too");
    tracking.handle_changes(&[change("a:2", origin), change("b:2", None)]);
    assert_eq!(shown(&one), ["a:2", "b:2", "-"]);
    assert_eq!(shown(&own), ["b:2", "-", "-"]);
}

#[tokio::test]
async fn what_changes_while_a_script_reads_it_is_reported() {
    let (tracking, one) = (tracking(), client(1));
    tracking.enable(&one, options(Mode::Read)).await;
    let read = |keys: &[&'static [u8]]| {
        let mut read = ReadKeys::default();
        keys.iter().for_each(|key| read.add(key));
        read
    };
    let window = tracking.begin_reads(1);
    tracking.handle_changes(&[change("k", None), change("x", None)]);
    window.end(read(&[b"k", b"l"]));
    assert_eq!([notified(&one), notified(&one)], ["k", "-"]);
    tracking.handle_changes(&[change("k", None), change("l", None)]);
    assert_eq!([notified(&one), notified(&one)], ["l", "-"]);
    // Changes may be missed, or are too many to be recorded.
    let window = tracking.begin_reads(1);
    tracking.handle_uncertain();
    window.end(read(&[b"k"]));
    assert_eq!([notified(&one), notified(&one)], ["k", "-"]);
    let window = tracking.begin_reads(1);
    for n in 0..=WINDOW_BYTES_MAX / NOTE_BYTES {
        let key = Some(Bytes::copy_from_slice(&n.to_be_bytes()));
        tracking.handle_changes(&[Change { map: "resp:0".into(), key, origin: None }]);
    }
    window.end(read(&[b"k"]));
    assert_eq!([notified(&one), notified(&one)], ["k", "-"]);
    drop(tracking.begin_reads(1));
    assert!(tracking.state.lock().windows.is_empty());
}

#[tokio::test]
async fn with_noloop_a_client_is_not_notified_of_its_own_changes() {
    let (tracking, one) = (tracking(), client(1));
    tracking.enable(&one, Options { noloop: true, ..options(Mode::Read) }).await;
    let own = Origin { member: tracking.grid.me(), client: 1 };
    let other = Origin { member: convoke_membership::MemberId::new_now(), client: 1 };
    tracking.note_reads(1, [&b"k"[..]]);
    tracking.handle_changes(&[change("k", Some(own))]);
    tracking.note_reads(1, [&b"l"[..]]);
    tracking.handle_changes(&[change("l", Some(other))]);
    assert_eq!([notified(&one), notified(&one)], ["l", "-"]);
}

#[tokio::test]
async fn messages_go_to_another_client_until_it_disconnects() {
    let (tracking, one, two) = (tracking(), client(1), client(2));
    let redirect = Some(Arc::clone(&two));
    tracking.enable(&one, Options { redirect, ..options(Mode::Read) }).await;
    tracking.note_reads(1, [&b"k"[..]]);
    tracking.handle_changes(&[change("k", None)]);
    assert_eq!([notified(&one), notified(&two)], ["-", "k"]);
    two.set_gone();
    for _ in 0..2 {
        tracking.note_reads(1, [&b"k"[..]]);
        tracking.handle_changes(&[change("k", None)]);
    }
    assert_eq!([notified(&one), notified(&one)], ["lost 2", "-"]);
}

#[tokio::test]
async fn when_changes_may_be_missed_all_clients_are_notified() {
    let (tracking, one, two) = (tracking(), client(1), client(2));
    tracking.enable(&one, options(Mode::Read)).await;
    tracking.enable(&two, options(Mode::OptIn)).await;
    tracking.handle_uncertain();
    assert_eq!(notified(&one), "-", "nothing was read");
    tracking.note_reads(1, [&b"k"[..]]);
    tracking.handle_uncertain();
    assert_eq!([notified(&one), notified(&two)], ["*", "*"]);
    assert_eq!(tracking.figures().keys, 0);
    // The partitions report the removal of all keys one by one.
    let cleared = Change { map: "resp:0".into(), key: None, origin: None };
    tracking.handle_changes(std::slice::from_ref(&cleared));
    tracking.handle_changes(&[cleared]);
    while tracking.is_flushing.load(Ordering::Acquire) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!([notified(&one), notified(&one)], ["*", "-"]);
}

#[tokio::test]
async fn keys_beyond_the_limit_are_reported_as_changed() {
    let (tracking, one) = (tracking(), client(1));
    tracking.enable(&one, options(Mode::Read)).await;
    let key = |n: u32| [&n.to_be_bytes()[..], &[0; convoke_grid::KEY_BYTES_MAX - 4]].concat();
    let count = (TRACKED_BYTES_MAX / key(0).len()) as u32;
    for n in 0..=count {
        tracking.note_reads(1, [&key(n)[..]]);
    }
    let state = tracking.state.lock();
    assert!(state.bytes <= TRACKED_BYTES_MAX && state.keys.len() + 1 >= count as usize - 2_000);
    drop(state);
    assert!(notified(&one).starts_with("\0\0\0\0"), "the first is forgotten first");
}
