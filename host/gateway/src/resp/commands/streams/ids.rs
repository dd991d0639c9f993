//! IDs of entries, as clients write them.

use convoke_grid::StreamId;

use crate::resp::answer::CommandError;
use crate::resp::args::Args;

const INVALID: CommandError =
    CommandError::new("ERR Invalid stream ID specified as stream command argument");
/// Maximum length of an ID, in bytes, as in Redis.
const ID_BYTES_MAX: usize = 127;

fn number(text: &str) -> Option<u64> {
    // `parse` would allow a sign.
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// The two parts of an ID, if it has both.
fn parts(text: &[u8]) -> Option<(u64, Option<&str>)> {
    let text = str::from_utf8(text).ok().filter(|text| text.len() <= ID_BYTES_MAX)?;
    match text.split_once('-') {
        Some((ms, seq)) => Some((number(ms)?, Some(seq))),
        None => Some((number(text)?, None)),
    }
}

/// Parses `ms-seq` or `ms`.
pub(super) fn id(text: &[u8], missing_seq: u64) -> Result<StreamId, CommandError> {
    let (ms, seq) = parts(text).ok_or(INVALID)?;
    let seq = match seq {
        Some(seq) => number(seq).ok_or(INVALID)?,
        None => missing_seq,
    };
    Ok(StreamId::new(ms, seq))
}

/// As [`id`], or the milliseconds of `ms-*`.
pub(super) fn id_or_ms(text: &[u8]) -> Result<Result<StreamId, u64>, CommandError> {
    match parts(text) {
        Some((ms, Some("*"))) => Ok(Err(ms)),
        _ => id(text, 0).map(Ok),
    }
}

/// As [`id`], or `-` and `+` for the smallest and the greatest ID.
pub(super) fn id_or_end(text: &[u8], missing_seq: u64) -> Result<StreamId, CommandError> {
    match text {
        b"-" => Ok(StreamId::MIN),
        b"+" => Ok(StreamId::MAX),
        _ => id(text, missing_seq),
    }
}

/// Parses the start of a range; `(` excludes the ID itself.
pub(super) fn start(text: &[u8]) -> Result<StreamId, CommandError> {
    match text.strip_prefix(b"(").filter(|rest| !rest.is_empty()) {
        Some(rest) => {
            id(rest, 0)?.next().ok_or(CommandError::new("ERR invalid start ID for the interval"))
        }
        None => id_or_end(text, 0),
    }
}

/// Parses the end of a range; `(` excludes the ID itself.
pub(super) fn end(text: &[u8]) -> Result<StreamId, CommandError> {
    match text.strip_prefix(b"(").filter(|rest| !rest.is_empty()) {
        Some(rest) => id(rest, u64::MAX)?
            .previous()
            .ok_or(CommandError::new("ERR invalid end ID for the interval")),
        None => id_or_end(text, u64::MAX),
    }
}

/// Consumes all remaining arguments as IDs.
pub(super) fn rest(args: &mut Args<'_, '_>) -> Result<Vec<StreamId>, CommandError> {
    args.rest().into_iter().map(|text| id(text, 0)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids_are_parsed_as_in_redis() {
        let at = StreamId::new;
        assert_eq!(id(b"5-3", 9), Ok(at(5, 3)));
        assert_eq!(id(b"5", 9), Ok(at(5, 9)));
        assert_eq!(id(b"18446744073709551615-18446744073709551615", 0), Ok(StreamId::MAX));
        for wrong in
            ["", "-", "+", "5-", "-5", "5-x", "+5", "5-+3", "18446744073709551616", "5-3-1"]
        {
            assert_eq!(id(wrong.as_bytes(), 0), Err(INVALID), "{wrong}");
        }
        assert_eq!(id_or_ms(b"5-*"), Ok(Err(5)));
        assert_eq!(id_or_ms(b"5-3"), Ok(Ok(at(5, 3))));
        assert_eq!((start(b"-"), end(b"+")), (Ok(StreamId::MIN), Ok(StreamId::MAX)));
        assert_eq!((start(b"(5-3"), end(b"(5-3")), (Ok(at(5, 4)), Ok(at(5, 2))));
        assert_eq!((start(b"5"), end(b"5")), (Ok(at(5, 0)), Ok(at(5, u64::MAX))));
        let wrong =
            |end: &str| Err(CommandError(format!("ERR invalid {end} ID for the interval").into()));
        assert_eq!(start(b"(18446744073709551615-18446744073709551615"), wrong("start"));
        assert_eq!(end(b"(0-0"), wrong("end"));
        assert_eq!((start(b"("), end(b"(+")), (Err(INVALID), Err(INVALID)));
    }

    proptest! {
        #[test]
        fn any_text_is_an_id_or_an_error(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(id) = id(&text, 0) {
                prop_assert_eq!(super::id(id.to_string().as_bytes(), 0), Ok(id));
            }
            let _ = (id_or_ms(&text), start(&text), end(&text));
        }
    }
}
