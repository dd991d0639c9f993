//! The forms in which Redis stores values, by their content: those of its default settings. It
//! stores some values in another form because of what they were before; that is not known here.

use super::plain::integer;
use crate::entry::{Entry, Structured};
use crate::value::Structure;

/// The longest string that Redis stores together with its object, in bytes.
const EMBEDDED_BYTES_MAX: usize = 44;
/// Most fields of a hash in one listpack.
const HASH_LISTPACK_MAX: usize = 512;
/// Most members of a set, or of a sorted set, in one listpack.
const LISTPACK_MAX: usize = 128;
/// Most integers in one intset.
const INTSET_MAX: usize = 512;
/// The longest element in a listpack of a hash, a set or a sorted set, in bytes.
const LISTPACK_ELEMENT_BYTES_MAX: usize = 64;
/// Most bytes of a list in one listpack.
const LIST_LISTPACK_BYTES_MAX: usize = 8_192;
/// Approximate overhead of a listpack, and of each element in it, in bytes.
const LISTPACK_BYTES: usize = 7;
const LISTPACK_ELEMENT_BYTES: usize = 2;

/// The name of the form, as in `OBJECT ENCODING`.
pub(super) fn name(entry: &Entry<'_>) -> &'static str {
    match entry {
        Entry::Plain(entry) => {
            let value = entry.value();
            if integer(value).is_some() {
                "int"
            } else if value.len() <= EMBEDDED_BYTES_MAX {
                "embstr"
            } else {
                "raw"
            }
        }
        Entry::Structured(entry) => of_structure(entry),
    }
}

fn are_short<'e>(mut elements: impl Iterator<Item = &'e [u8]>) -> bool {
    elements.all(|element| element.len() <= LISTPACK_ELEMENT_BYTES_MAX)
}

fn of_structure(entry: &Structured) -> &'static str {
    let count = entry.value.len();
    match &entry.value {
        Structure::List(list) => {
            let mut room = LIST_LISTPACK_BYTES_MAX - LISTPACK_BYTES;
            let is_short = list.iter().all(|element| {
                let bytes = element.len() + LISTPACK_ELEMENT_BYTES;
                room.checked_sub(bytes).is_some_and(|left| {
                    room = left;
                    true
                })
            });
            if is_short { "listpack" } else { "quicklist" }
        }
        Structure::Hash(hash) => {
            let is_short = count <= HASH_LISTPACK_MAX
                && hash.iter().all(|(name, value)| are_short([name, value].into_iter()));
            match (is_short, hash.first_deadline_ms()) {
                (true, None) => "listpack",
                (true, Some(_)) => "listpackex",
                (false, _) => "hashtable",
            }
        }
        Structure::Set(set) => {
            if count <= INTSET_MAX && set.iter().all(|member| integer(member).is_some()) {
                "intset"
            } else if count <= LISTPACK_MAX && are_short(set.iter()) {
                "listpack"
            } else {
                "hashtable"
            }
        }
        Structure::SortedSet(set) => {
            if count <= LISTPACK_MAX && are_short(set.iter().map(|(_, name)| name)) {
                "listpack"
            } else {
                "skiplist"
            }
        }
    }
}
