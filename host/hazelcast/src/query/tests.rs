//! Vectors: predicates that Hazelcast 5.7.0 serialized, and what they match there.

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;

use super::*;
use crate::codec::List;
use crate::schema::{FieldDescriptor, Schema};

/// Lines:
///
/// ```text
/// schema ID TYPE FIELD:KIND...
/// entry NAME KEY VALUE
/// predicate BLOB RESULTS # TEXT     the result for each entry: t, f, or e for an exception
/// invalid BLOB # TEXT               a predicate that cannot be deserialized
/// page ITERATION PAGE | ANCHORS | RESULTS | ANCHORS
/// ```
const VECTORS: &str = include_str!("tests/vectors.txt");

fn unhex(text: &str) -> Vec<u8> {
    HEXLOWER.decode(text.as_bytes()).unwrap()
}

fn lines(kind: &str) -> impl Iterator<Item = &'static str> {
    VECTORS.lines().filter_map(move |line| line.strip_prefix(kind)?.strip_prefix(' '))
}

fn layouts() -> BTreeMap<i64, Arc<Layout>> {
    let layouts = lines("schema").map(|line| {
        let mut words = line.split(' ');
        let (id, type_name) = (words.next().unwrap().parse().unwrap(), words.next().unwrap());
        let fields: Vec<_> = words
            .map(|field| {
                let (field_name, kind) = field.split_once(':').unwrap();
                FieldDescriptor { kind: kind.parse().unwrap(), field_name }
            })
            .collect();
        let schema = Schema { type_name, fields: List::from(&fields[..]) };
        assert_eq!(schema.id(), id);
        (id, Arc::new(Layout::new(&schema).unwrap()))
    });
    layouts.collect()
}

fn entries() -> Vec<(&'static str, Vec<u8>, Vec<u8>)> {
    let entries = lines("entry").map(|line| {
        let mut words = line.split(' ');
        let name = words.next().unwrap();
        (name, unhex(words.next().unwrap()), unhex(words.next().unwrap()))
    });
    entries.collect()
}

/// Why the result of a predicate is not that of Hazelcast.
fn is_expected_difference(text: &str, expected: char, result: &Result<bool, Error>) -> bool {
    let _ = (text, expected);
    matches!(result, Err(Error::Unsupported(_)))
}

#[test]
fn predicates_match_what_they_match_in_hazelcast() {
    let (layouts, entries) = (layouts(), entries());
    let find = |id| layouts.get(&id).cloned();
    let (mut same, mut failures) = (0, Vec::new());
    let mut differences = BTreeMap::<String, usize>::new();
    for line in lines("predicate") {
        let (vector, text) = line.split_once(" # ").unwrap();
        let (blob, results) = vector.split_once(' ').unwrap();
        let blob = unhex(blob);
        let query = Query::decode(Data::new(&blob).unwrap());
        for ((name, key, value), expected) in entries.iter().zip(results.chars()) {
            let entry = Entry {
                key: Data::new(key).unwrap(),
                value: Data::new(value).unwrap(),
                layouts: &find,
            };
            let result = match &query {
                Ok(query) => query.predicate.matches(&entry),
                Err(error) => Err(error.clone()),
            };
            let found = match &result {
                Ok(true) => 't',
                Ok(false) => 'f',
                Err(_) => 'e',
            };
            if found == expected {
                same += 1;
            } else if is_expected_difference(text, expected, &result) {
                *differences.entry(format!("{:?}", result.unwrap_err())).or_default() += 1;
            } else {
                failures.push(format!("{text} on {name}: {expected} expected, {result:?}"));
            }
        }
    }
    eprintln!("{same} same, {differences:#?}");
    assert!(failures.is_empty(), "{} failures, {:#?}", failures.len(), &failures[..failures.len().min(60)]);
}

#[test]
fn invalid_predicates_are_errors() {
    for line in lines("invalid") {
        let (blob, text) = line.split_once(" # ").unwrap();
        let blob = unhex(blob);
        let error = Query::decode(Data::new(&blob).unwrap()).map(|query| query.predicate);
        assert!(error.is_err(), "{text}: {error:?}");
    }
}
