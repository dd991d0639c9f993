//! Schemas of compact records.
//!
//! A client sends the schema of a record before the record, which has only the schema's id: the
//! fingerprint of the type name and of the fields in the order of their names.

use std::cmp::Ordering;

use crate::codec::List;
use crate::codec::field::{self, Problem, Variable};
use crate::frame::{Flags, Frames};
use crate::message::Writer;

/// Fingerprint of nothing, and the polynomial: CRC-64-AVRO.
const EMPTY: u64 = 0xc15d_213a_a4d7_a795;

/// Fingerprints of each byte.
const TABLE: [u64; 256] = table();

const fn table() -> [u64; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < table.len() {
        let mut fingerprint = byte as u64;
        let mut bit = 0;
        while bit < 8 {
            let is_odd = fingerprint & 1 == 1;
            fingerprint = fingerprint >> 1 ^ if is_odd { EMPTY } else { 0 };
            bit += 1;
        }
        table[byte] = fingerprint;
        byte += 1;
    }
    table
}

structures! {
    /// A schema. The fields may be in any order.
    Schema<'a> (; type_name: &'a str, fields: List<'a, FieldDescriptor<'a>>);

    /// A field of a schema. The kind is the number of its type, such as 1 for boolean.
    FieldDescriptor<'a> (kind: i32; field_name: &'a str);
}

impl Schema<'_> {
    /// Its id: a CRC-64-AVRO of the type name, the number of fields, and name and kind of each
    /// field in the order of the names. Texts follow their length; numbers are in little-endian
    /// order.
    ///
    /// Names are sorted as in Java. Clients in Python sort code points, and have another id if
    /// names contain characters beyond the basic plane.
    #[must_use]
    pub fn id(&self) -> i64 {
        let mut fields: Vec<_> = self.fields.iter().collect();
        fields.sort_by(|a, b| java_order(a.field_name, b.field_name));
        let mut fingerprint = text(EMPTY, self.type_name);
        fingerprint = length(fingerprint, fields.len());
        for field in fields {
            fingerprint = text(fingerprint, field.field_name);
            fingerprint = bytes(fingerprint, &field.kind.to_le_bytes());
        }
        fingerprint.cast_signed()
    }
}

/// Order of texts in Java: that of UTF-16, in which characters beyond the basic plane come before
/// some of it.
pub(crate) fn java_order(a: &str, b: &str) -> Ordering {
    a.encode_utf16().cmp(b.encode_utf16())
}

fn text(fingerprint: u64, text: &str) -> u64 {
    bytes(length(fingerprint, text.len()), text.as_bytes())
}

fn length(fingerprint: u64, length: usize) -> u64 {
    bytes(fingerprint, &i32::try_from(length).unwrap_or(i32::MAX).to_le_bytes())
}

fn bytes(fingerprint: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(fingerprint, |fingerprint, byte| {
        let [low, ..] = fingerprint.to_le_bytes();
        fingerprint >> 8 ^ TABLE[usize::from(low ^ byte)]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(type_name: &str, fields: &[(i32, &str)]) -> i64 {
        let fields: Vec<_> = fields
            .iter()
            .map(|(kind, field_name)| FieldDescriptor { kind: *kind, field_name })
            .collect();
        Schema { type_name, fields: List::from(&fields[..]) }.id()
    }

    /// As computed by clients in Java and Python.
    #[test]
    fn the_id_is_the_one_that_clients_compute() {
        assert_eq!(id("type", &[(9, "b"), (17, "a"),]), 3_851_273_140_163_626_946);
        assert_eq!(id("empty", &[]), 7_118_292_658_705_342_496);
        assert_eq!(
            id(
                "com.example.Employee",
                &[(17, "name"), (11, "id"), (1, "active"), (30, "manages"), (45, "größe"),]
            ),
            1_983_913_985_452_071_964
        );
        assert_eq!(id("t", &[(3, "𝄞"), (7, "ﬀ"),]), -3_809_289_091_967_985_515);
    }

    #[test]
    fn the_order_of_the_fields_does_not_count() {
        assert_eq!(id("type", &[(7, "b"), (14, "a")]), id("type", &[(14, "a"), (7, "b")]));
    }

    #[test]
    fn fuzz_schema() {
        let fields =
            [(9, "b"), (17, "a")].map(|(kind, field_name)| FieldDescriptor { kind, field_name });
        let mut sample = Vec::new();
        let schema = Schema { type_name: "type", fields: List::from(&fields) };
        crate::codec::client::FetchSchema::respond(&mut sample, 7, 0, Some(schema));
        let frames = crate::message::Message::parse(&sample).unwrap().frames();
        convoke_harness::check!(&[frames.rest()], |bytes| {
            let Some(encoded) = crate::codec::Encoded::from_bytes(bytes) else { return };
            let Ok(schema) = encoded.decode::<Schema<'_>>() else { return };
            let mut fields: Vec<_> = schema.fields.iter().collect();
            fields.sort_by_key(|field| (field.field_name, field.kind));
            let is_distinct = fields.is_sorted_by(|a, b| a.field_name < b.field_name);
            let sorted = Schema { fields: List::from(&fields[..]), ..schema };
            assert!(!is_distinct || sorted.id() == schema.id());
        });
    }

    #[test]
    fn fields_are_sorted_as_java_sorts_texts() {
        assert_eq!(java_order("\u{1d11e}", "\u{fb00}"), Ordering::Less);
        assert_eq!(java_order("b", "aa"), Ordering::Greater);
    }
}
