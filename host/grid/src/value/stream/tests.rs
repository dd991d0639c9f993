//! Random changes of streams, each of which is undone and rebuilt.

use proptest::prelude::*;

use super::*;

/// An entry: its ID, its names and values.
type Shown = (StreamId, Vec<Vec<u8>>);

/// The contents of a stream.
fn shown(stream: &Stream) -> (Vec<Shown>, Counters, String, usize) {
    let fields = |entry: EntryRef<'_>| entry.fields().map(<[u8]>::to_vec).collect();
    let entries = stream.range(StreamId::MIN, StreamId::MAX);
    (
        entries.map(|entry| (entry.id, fields(entry))).collect(),
        stream.counters,
        format!("{:?}", stream.groups),
        stream.bytes(),
    )
}

/// The size of all entries and groups, computed from scratch.
fn weighed(stream: &Stream) -> usize {
    let entries = stream.range(StreamId::MIN, StreamId::MAX).map(|entry| entry.bytes());
    let groups = stream.groups.iter().map(|(name, group)| name.len() + group.bytes());
    entries.sum::<usize>() + groups.sum::<usize>()
}

/// The encoded edit of a step, if it fits the stream.
fn edit_of(stream: &Stream, (what, n, more): (u8, u16, u8)) -> Option<Vec<u8>> {
    let ids: Vec<StreamId> =
        stream.range(StreamId::MIN, StreamId::MAX).map(|entry| entry.id).collect();
    let some = |every: usize| -> Vec<StreamId> {
        ids.iter().copied().skip(usize::from(n) % 3).step_by(every.max(1)).collect()
    };
    let value = vec![more; usize::from(n) % 700];
    let fields = vec![&b"name"[..], &value, b"", b"x"];
    let (group, consumer) = ([b'g', more % 2], [b'c', more % 3]);
    let held = stream.group(&group);
    let has_consumer = held.is_some_and(|group| group.consumers.contains_key(&consumer[..]));
    let delivery = Delivery { time_ms: n.into(), count: more.into() };
    let last = stream.counters.last;
    let edit = match what % 14 {
        0..=3 => {
            let ms = last.ms + u64::from(more % 3);
            let seq = if ms == last.ms { last.seq + 1 } else { u64::from(more) };
            StreamEdit::Add(NewEntry { id: StreamId::new(ms, seq), fields })
        }
        4 => {
            // An ID between existing entries, possibly of a removed one.
            let id = StreamId::new(u64::from(n) % (last.ms + 1), 1_000 + u64::from(more));
            if stream.get(id).is_some() {
                return None;
            }
            StreamEdit::Insert(vec![NewEntry { id, fields }])
        }
        5 => StreamEdit::Delete(some(usize::from(more) + 1)),
        6 => StreamEdit::Remove(some(usize::from(more % 9) + 3)),
        7 => StreamEdit::Trim(*ids.get(usize::from(n) % (ids.len() + 1))?),
        8 => {
            let (last, added) = (last.next().unwrap_or(last), n.into());
            StreamEdit::Count(Counters { last, added, deleted: StreamId::new(more.into(), 0) })
        }
        9 => {
            let read = (more % 2 == 0).then_some(n.into());
            let position = Position { last: StreamId::new(n.into(), 0), read };
            StreamEdit::Group { name: &group, position }
        }
        10 if more > 200 => {
            held?;
            StreamEdit::RemoveGroup(&group)
        }
        10 | 11 if held.is_some() && (more < 240 || !has_consumer) => {
            let active_ms = (more % 2 == 0).then_some(7);
            let activity = Activity { seen_ms: n.into(), active_ms };
            StreamEdit::Consumer { group: &group, name: &consumer, activity }
        }
        11 if has_consumer => StreamEdit::RemoveConsumer { group: &group, name: &consumer },
        12 if has_consumer => {
            let entries = some(usize::from(more % 4) + 1).into_iter().map(|id| (id, delivery));
            let entries = entries.collect();
            StreamEdit::Pend { group: &group, consumer: &consumer, entries }
        }
        13 => {
            let pending = held?.pending.keys().copied();
            let ids = pending.step_by(usize::from(more % 4) + 1).collect();
            StreamEdit::Unpend { group: &group, ids }
        }
        _ => return None,
    };
    Some(postcard::to_allocvec(&edit).unwrap())
}

proptest! {
    #[test]
    fn each_change_can_be_undone_and_all_can_be_rebuilt(
        steps in proptest::collection::vec(any::<(u8, u16, u8)>(), 0..120),
        from in any::<(u8, u8)>(),
    ) {
        let mut stream = Stream::default();
        for step in steps {
            let Some(edit) = edit_of(&stream, step) else { continue };
            let edit: StreamEdit<'_> = postcard::from_bytes(&edit).unwrap();
            let before = shown(&stream);
            let mut inverse = Vec::new();
            stream.inverse(&edit, &mut |edit| inverse.push(postcard::to_allocvec(&edit).unwrap()));
            prop_assert_eq!(stream.apply(&edit), Ok(()), "{:?}", edit);
            prop_assert_eq!(stream.bytes(), weighed(&stream), "{:?}", edit);
            let mut undone = stream.clone();
            for edit in &inverse {
                let edit: StreamEdit<'_> = postcard::from_bytes(edit).unwrap();
                prop_assert_eq!(undone.apply(&edit), Ok(()), "{:?}", edit);
            }
            prop_assert_eq!(shown(&undone), before, "{:?}", edit);
        }
        let mut copy = Stream::default();
        stream.rebuild(&mut |edit| {
            let bytes = postcard::to_allocvec(&edit).unwrap();
            assert!(bytes.len() < 80 * 1024);
            copy.apply(&postcard::from_bytes(&bytes).unwrap()).unwrap();
        });
        prop_assert_eq!(shown(&copy), shown(&stream));
        // Ranges, in both directions.
        let (all, ..) = shown(&stream);
        let (low, high) = (StreamId::new(from.0.into(), 0), StreamId::new(from.1.into(), 9));
        let within = all.iter().map(|(id, _)| *id).filter(|id| (low..=high).contains(id));
        let within: Vec<StreamId> = within.collect();
        let found: Vec<StreamId> = stream.range(low, high).map(|entry| entry.id).collect();
        prop_assert_eq!(&found, &within);
        let found = stream.range_reversed(low, high).map(|entry| entry.id);
        prop_assert!(found.eq(within.into_iter().rev()));
        prop_assert!(all.iter().all(|(id, _)| stream.get(*id).is_some()));
    }

    #[test]
    fn an_edit_of_arbitrary_bytes_is_applied_or_refused(
        bytes in proptest::collection::vec(any::<u8>(), 0..60),
    ) {
        let mut stream = Stream::default();
        if let Ok(edit) = postcard::from_bytes::<StreamEdit<'_>>(&bytes) {
            stream.inverse(&edit, &mut |_| {});
            let _ = stream.apply(&edit);
        }
    }
}

#[test]
fn many_entries_can_be_added_trimmed_and_deleted() {
    let mut stream = Stream::default();
    for n in 1..=10_000 {
        let entry = NewEntry { id: StreamId::new(n, 0), fields: vec![b"field", b"value"] };
        stream.apply(&StreamEdit::Add(entry)).unwrap();
    }
    assert_eq!((stream.len(), stream.chunk_count()), (10_000, 100));
    stream.apply(&StreamEdit::Trim(StreamId::new(4_950, 0))).unwrap();
    assert_eq!((stream.len(), stream.first_id()), (5_050, StreamId::new(4_951, 0)));
    let ids = (4_951..=10_000).filter(|n| n % 2 == 0).map(|n| StreamId::new(n, 0)).collect();
    stream.apply(&StreamEdit::Delete(ids)).unwrap();
    assert_eq!((stream.len(), stream.last_entry()), (2_525, Some(StreamId::new(9_999, 0))));
    assert_eq!(stream.counters().deleted, StreamId::new(10_000, 0));
    stream.apply(&StreamEdit::Trim(StreamId::MAX)).unwrap();
    assert_eq!((stream.len(), stream.bytes(), stream.chunk_count()), (0, 0, 0));
    assert_eq!(stream.counters().last, StreamId::new(10_000, 0));
}
