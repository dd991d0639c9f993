use std::collections::VecDeque;

use super::*;
use crate::limits::{
    DEPTH_MAX, FRAGMENTED_MAX, FRAMES_MAX, MESSAGE_BYTES_MAX, UNAUTHENTICATED_BYTES_MAX,
};
use crate::message::{Message, MessageType, Writer};

/// A frame.
fn frame(flags: Flags, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(HEADER_BYTES + content.len()).unwrap();
    [&length.to_le_bytes()[..], &flags.0.to_le_bytes(), content].concat()
}

/// A message with these frames after the initial one.
fn message(id: i64, frames: &[(Flags, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let message_type = MessageType::request(1, 1);
    let mut writer = Writer::request(&mut bytes, Flags::NONE, message_type, id, -1);
    writer.end();
    for (flags, content) in frames {
        writer.frame(*flags, content);
    }
    writer.finish();
    bytes
}

fn ping(id: i64) -> Vec<u8> {
    message(id, &[])
}

/// A message with a list of two items.
fn list(id: i64) -> Vec<u8> {
    let (begin, end) = (Flags::BEGIN_DATA_STRUCTURE, Flags::END_DATA_STRUCTURE);
    message(id, &[(begin, &[]), (Flags::NONE, b"one"), (Flags::NONE, b"two"), (end, &[])])
}

/// The fragments of a message: one for each number, with that many frames; the last one has the
/// rest.
fn fragments(id: u64, message: &[u8], frame_counts: &[usize]) -> Vec<Vec<u8>> {
    let mut frames = Frames::new(message).peekable();
    let mut fragments = Vec::new();
    for count in frame_counts.iter().copied().chain([usize::MAX]) {
        let mut flags = Flags::NONE;
        if fragments.is_empty() {
            flags = Flags::BEGIN_FRAGMENT;
        }
        if count == usize::MAX {
            flags = flags | Flags::END_FRAGMENT;
        }
        let mut fragment = frame(flags, &id.to_le_bytes());
        let mut last = None;
        for _ in 0..count {
            let Some(next) = frames.next() else { break };
            last = Some(fragment.len());
            fragment.extend(frame(next.flags.without(Flags::IS_FINAL), next.content));
        }
        fragment[last.unwrap_or(0) + 5] |= 0x20;
        fragments.push(fragment);
    }
    fragments
}

/// Everything that a splitter makes of `input`, which arrives in pieces of `piece` bytes: the
/// messages, and the error.
fn split_all(
    mut splitter: Splitter,
    input: &[u8],
    piece: usize,
) -> (Vec<Vec<u8>>, Option<FrameError>) {
    let (mut messages, mut buffer) = (Vec::new(), Vec::new());
    for piece in input.chunks(piece) {
        buffer.extend_from_slice(piece);
        loop {
            let split = match splitter.split(&buffer) {
                Ok(split) => split,
                Err(error) => return (messages, Some(error)),
            };
            match &split {
                Split::Incomplete { bytes_min } => {
                    assert!(*bytes_min > buffer.len());
                    assert!(*bytes_min <= MESSAGE_BYTES_MAX + HEADER_BYTES);
                    break;
                }
                Split::Preamble | Split::Fragment { .. } => {}
                Split::Message(message) => messages.push(message.bytes().to_vec()),
                Split::Reassembled { message, .. } => {
                    messages.push(message.message().bytes().to_vec());
                }
            }
            assert!(split.consumed() > 0);
            drop(buffer.drain(..split.consumed()));
        }
    }
    (messages, None)
}

fn error_of(input: &[u8]) -> Option<FrameError> {
    split_all(Splitter::after_preamble(), input, input.len()).1
}

#[test]
fn frames_are_read_until_one_is_not_complete() {
    let bytes = [8, 0, 0, 0, 0, 0x20, 1, 2, 6, 0, 0, 0, 0, 4, 7, 0, 0, 0, 0, 0];
    let mut frames = Frames::new(&bytes);
    assert_eq!(frames.peek(), Some(Flags::IS_FINAL));
    assert_eq!(frames.next(), Some(Frame { flags: Flags::IS_FINAL, content: &[1, 2] }));
    assert_eq!(frames.next(), Some(Frame { flags: Flags::IS_NULL, content: &[] }));
    assert_eq!(frames.next(), None);
    assert_eq!(frames.rest(), &bytes[14..]);
}

#[test]
fn a_frame_that_is_shorter_than_its_header_ends_the_frames() {
    assert_eq!(Frames::new(&[5, 0, 0, 0, 0, 0, 0]).next(), None);
}

#[test]
fn messages_are_split_wherever_reads_end() {
    let expected = vec![ping(1), list(2), ping(3)];
    let input = [&PREAMBLE[..], &expected.concat()].concat();
    for piece in 1..=input.len() {
        assert_eq!(split_all(Splitter::new(), &input, piece), (expected.clone(), None), "{piece}");
    }
}

#[test]
fn a_message_without_fragments_is_borrowed_from_the_input() {
    let input = list(1);
    let Ok(Split::Message(message)) = Splitter::after_preamble().split(&input) else { panic!() };
    assert!(std::ptr::eq(message.bytes(), input.as_slice()));
}

#[test]
fn a_connection_begins_with_the_preamble() {
    for (input, is_wrong) in [(&b"CP"[..], false), (b"CP2", false), (b"G", true), (b"CP1", true)] {
        let error = Splitter::new().split(input).err();
        assert_eq!(error, is_wrong.then_some(FrameError::Preamble), "{input:?}");
    }
}

#[test]
fn a_length_is_refused_as_soon_as_it_is_there() {
    let too_short = FrameError::FrameTooShort { bytes: 5 };
    assert_eq!(error_of(&[5, 0, 0, 0]), Some(too_short));
    let bytes_max = UNAUTHENTICATED_BYTES_MAX;
    for bytes in [bytes_max + 1, i32::MAX as usize, u32::MAX as usize] {
        let length = u32::try_from(bytes).unwrap().to_le_bytes();
        assert_eq!(error_of(&length), Some(FrameError::MessageTooLarge { bytes, bytes_max }));
    }
}

#[test]
fn the_limit_is_that_of_all_frames_together() {
    let (max, header) = (UNAUTHENTICATED_BYTES_MAX, ping(1).len() + HEADER_BYTES);
    let full = message(1, &[(Flags::NONE, &vec![0; max - header])]);
    assert_eq!(split_all(Splitter::after_preamble(), &full, max), (vec![full.clone()], None));
    let over = message(1, &[(Flags::NONE, &vec![0; max - header + 1])]);
    let error = FrameError::MessageTooLarge { bytes: max + 1, bytes_max: max };
    assert_eq!(error_of(&over), Some(error));
    assert_eq!(
        error.to_string(),
        "a message of at least 65537 bytes is too large; at most 65536 are allowed"
    );
}

#[test]
fn a_client_that_is_authenticated_may_send_more() {
    let large = message(1, &[(Flags::NONE, &vec![0; UNAUTHENTICATED_BYTES_MAX])]);
    let mut splitter = Splitter::after_preamble();
    splitter.set_authenticated();
    assert_eq!(split_all(splitter, &large, 10_000), (vec![large], None));
}

#[test]
fn an_initial_frame_has_type_and_correlation_id() {
    let short = frame(Flags::UNFRAGMENTED | Flags::IS_FINAL, &[0; 12]);
    assert_eq!(error_of(&short), Some(FrameError::InitialFrameTooShort { bytes: 12 }));
    let short = frame(Flags::BEGIN_FRAGMENT | Flags::IS_FINAL, &[0; 7]);
    assert_eq!(error_of(&short), Some(FrameError::InitialFrameTooShort { bytes: 7 }));
}

#[test]
fn data_structures_end_and_are_nested_up_to_a_limit() {
    let (begin, end) =
        ((Flags::BEGIN_DATA_STRUCTURE, &[][..]), (Flags::END_DATA_STRUCTURE, &[][..]));
    let nested = |depth| [vec![begin; depth], vec![end; depth]].concat();
    assert_eq!(error_of(&message(1, &nested(DEPTH_MAX))), None);
    assert_eq!(error_of(&message(1, &nested(DEPTH_MAX + 1))), Some(FrameError::TooDeep));
    assert_eq!(error_of(&message(1, &[begin])), Some(FrameError::Unbalanced));
    assert_eq!(error_of(&message(1, &[begin, end, end])), Some(FrameError::Unbalanced));
}

#[test]
fn the_number_of_frames_is_limited() {
    let mut message = ping(1);
    message[5] &= !0x20;
    message.extend(frame(Flags::NONE, &[]).repeat(FRAMES_MAX - 1));
    assert_eq!(Message::parse(&message), Err(FrameError::Length));
    message.extend(frame(Flags::NONE, &[]));
    assert_eq!(Message::parse(&message), Err(FrameError::TooManyFrames));
}

#[test]
fn fragments_are_reassembled_wherever_the_message_was_cut() {
    let whole = list(1);
    for counts in [&[1][..], &[2], &[3, 1], &[1, 1, 1, 1], &[0, 2], &[5]] {
        let input = fragments(7, &whole, counts).concat();
        for piece in [1, 5, input.len()] {
            let split = split_all(Splitter::after_preamble(), &input, piece);
            assert_eq!(split, (vec![whole.clone()], None), "{counts:?}");
        }
    }
}

#[test]
fn fragments_of_several_messages_may_be_interleaved() {
    let (first, second) = (list(1), list(2));
    let of_first = fragments(1, &first, &[2, 1]);
    let of_second = fragments(2, &second, &[3]);
    let input = [&of_first[0], &of_second[0], &of_first[1], &of_second[1], &ping(3), &of_first[2]];
    let split = split_all(Splitter::after_preamble(), &input.map(Vec::as_slice).concat(), 1);
    assert_eq!(split, (vec![second, ping(3), first], None));
}

#[test]
fn fragments_out_of_order_are_refused() {
    let parts = fragments(7, &list(1), &[2]);
    let out_of_order = Some(FrameError::FragmentOutOfOrder { id: 7 });
    assert_eq!(error_of(&parts[1]), out_of_order);
    assert_eq!(error_of(&[parts[0].as_slice(), &parts[0]].concat()), out_of_order);
}

#[test]
fn the_fragments_of_a_connection_are_limited() {
    let open = |id| fragments(id, &list(1), &[2]).swap_remove(0);
    let count = u64::try_from(FRAGMENTED_MAX).unwrap();
    let full: Vec<_> = (0..count).flat_map(open).collect();
    assert_eq!(error_of(&full), None);
    let over = [full, open(count)].concat();
    assert_eq!(error_of(&over), Some(FrameError::TooManyFragmented));
    let half = message(1, &[(Flags::NONE, &vec![0; UNAUTHENTICATED_BYTES_MAX / 2])]);
    let open = |id| fragments(id, &half, &[2]).swap_remove(0);
    assert!(matches!(
        error_of(&[open(1), open(2)].concat()),
        Some(FrameError::MessageTooLarge { bytes_max: UNAUTHENTICATED_BYTES_MAX, .. })
    ));
}

#[test]
fn what_fragments_make_is_checked_as_a_whole() {
    let begin = Flags::BEGIN_DATA_STRUCTURE;
    let unbalanced = message(1, &[(begin, &[]), (Flags::NONE, b"one")]);
    let input = fragments(7, &unbalanced, &[1]).concat();
    assert_eq!(error_of(&input), Some(FrameError::Unbalanced));
    let nothing = fragments(7, &[], &[0]).concat();
    assert_eq!(error_of(&nothing), Some(FrameError::Length));
}

#[test]
fn fuzz_splitter() {
    let samples = [
        [&PREAMBLE[..], &ping(1), &list(2)].concat(),
        [&PREAMBLE[..], &fragments(7, &list(1), &[2, 1]).concat(), &ping(2)].concat(),
    ];
    convoke_harness::check!(&samples, |bytes| {
        let whole = split_all(Splitter::new(), bytes, bytes.len().max(1));
        for message in &whole.0 {
            assert_eq!(Message::parse(message).map(|message| message.bytes()), Ok(&message[..]));
        }
        for piece in [1, 7] {
            assert_eq!(split_all(Splitter::new(), bytes, piece), whole);
        }
    });
}

/// Messages in fragments that are cut and interleaved as the bytes say, in reads of any length.
#[test]
fn fuzz_fragments() {
    const MESSAGES: usize = 4;
    let samples: [&[u8]; 3] = [&[1, 2, 3], &[7, 0, 1, 1, 1, 0, 2, 2], &[2; 40]];
    convoke_harness::check!(&samples, |bytes| {
        let mut choices = bytes.iter().copied().map(usize::from).chain(std::iter::repeat(0));
        let mut choose = |count: usize| choices.next().unwrap_or(0) % count;
        let messages: Vec<_> = (1..).map(list).take(1 + choose(MESSAGES)).collect();
        // The fragments of each message, in order.
        let mut open: Vec<_> = messages
            .iter()
            .zip(0..)
            .map(|(message, id)| {
                // At least two, as one with both flags would be no fragment.
                let counts: Vec<_> = (0..=choose(4)).map(|_| choose(4)).collect();
                (id, VecDeque::from(fragments(id, message, &counts)))
            })
            .collect();
        let (mut input, mut expected) = (Vec::new(), Vec::new());
        while !open.is_empty() {
            let at = choose(open.len());
            input.extend(open[at].1.pop_front().unwrap());
            if open[at].1.is_empty() {
                expected.push(messages[open.remove(at).0 as usize].clone());
            }
        }
        let piece = 1 + choose(input.len());
        assert_eq!(split_all(Splitter::after_preamble(), &input, piece), (expected, None));
    });
}
