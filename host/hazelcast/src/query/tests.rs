//! Vectors: predicates that Hazelcast 5.7.0 serialized, and what they match there.

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;

use super::*;
use crate::codec::structures::{AnchorDataListHolder, PagingPredicateHolder};
use crate::codec::{List, Packed};
use crate::schema::{FieldDescriptor, Schema};

/// Lines:
///
/// ```text
/// schema ID TYPE FIELD:KIND...
/// entry NAME KEY VALUE
/// predicate BLOB RESULTS # TEXT     the result for each entry: t, f, or e for an exception
/// invalid BLOB # TEXT               a predicate that cannot be deserialized
/// page ITERATION PAGE | ANCHORS | RESULTS | ANCHORS
/// subsets ENTRIES...                the numbers of entries, separated by commas, or `-`
/// aggregate BLOB RESULTS... # TEXT  the result for each subset: a blob, null, or e for an exception
/// project BLOB ENTRY:RESULT... # TEXT
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

/// Whether the difference from Hazelcast is one that is documented.
fn is_expected(result: &Result<bool, Error>) -> bool {
    match result {
        Err(Error::Unsupported(_)) => true,
        // Hazelcast calls methods of Java's classes, such as `String.getBytes()`.
        Err(Error::Attribute { reason, .. }) => {
            reason.ends_with("has no attributes") || reason.contains("index is negative")
        }
        // Hazelcast compiles it when it evaluates it on a text.
        Err(Error::Invalid(reason)) => reason.ends_with("is not a valid regular expression"),
        _ => false,
    }
}

#[test]
fn predicates_match_what_they_match_in_hazelcast() {
    let (layouts, entries) = (layouts(), entries());
    let find = |id| layouts.get(&id).cloned();
    let (mut same, mut failures) = (0, Vec::new());
    let mut differences = BTreeMap::<String, usize>::new();
    for line in lines("predicate") {
        let (vector, text) = line.split_once(" # ").unwrap();
        if text == "partition" {
            // Its target is evaluated; Hazelcast takes it apart before.
            continue;
        }
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
            } else if is_expected(&result) {
                let error = result.unwrap_err();
                *differences.entry(error.to_string()).or_default() += 1;
            } else {
                failures.push(format!("{text} on {name}: {expected} expected, {result:?}"));
            }
        }
    }
    assert!(
        failures.is_empty(),
        "{} failures: {:#?}",
        failures.len(),
        &failures[..failures.len().min(20)]
    );
    assert!(same > 60_000, "{same} results are the same, {differences:#?}");
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

/// `PAGE:KEY:VALUE` of each anchor.
fn anchors(text: &str) -> Vec<(i32, i32, String)> {
    let anchors = text.split_whitespace().map(|anchor| {
        let [page, key, value] = anchor.split(':').collect::<Vec<_>>()[..] else { panic!() };
        (page.parse().unwrap(), key.parse().unwrap(), value.to_owned())
    });
    anchors.collect()
}

fn text(data: Data<'_>) -> String {
    match Value::decode(data) {
        Some(Value::Int(number)) => number.to_string(),
        Some(Value::Text(text)) => text.to_owned(),
        other => panic!("{other:?}"),
    }
}

fn find_entry(blobs: &[(Vec<u8>, Vec<u8>)], key: i32) -> (Data<'_>, Data<'_>) {
    let key = Value::Int(key).encode();
    let (key, value) = blobs.iter().find(|entry| entry.0 == key).unwrap();
    (Data::new(key).unwrap(), Data::new(value).unwrap())
}

#[test]
fn pages_and_anchors_are_those_of_hazelcast() {
    let blobs = (0..11).map(|i| {
        let text = format!("v{}", i % 4);
        (Value::Int(i * 7 % 11).encode(), Value::Text(&text).encode())
    });
    let blobs = blobs.collect::<Vec<_>>();
    for line in lines("page") {
        let [request, before, results, after] = line.split('|').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        let (iteration, page) = request.trim().split_once(' ').unwrap();
        let before = anchors(before);
        let pages = before.iter().map(|(page, ..)| *page).collect::<Vec<_>>();
        let known = before.iter().map(|(_, key, _)| find_entry(&blobs, *key)).collect::<Vec<_>>();
        let holder = PagingPredicateHolder {
            page_size: 3,
            page: page.parse().unwrap(),
            iteration_type_id: ["KEY", "VALUE", "ENTRY"]
                .iter()
                .position(|k| *k == iteration)
                .unwrap() as u8,
            anchor_data_list_holder: AnchorDataListHolder {
                anchor_page_list: Packed::from(&pages[..]),
                anchor_data_list: List::from(&known[..]),
            },
            predicate_data: None,
            comparator_data: None,
            partition_key_data: None,
            partition_keys_data: None,
        };
        let request = PageRequest::decode(&holder).unwrap();
        let page = request.page((0..11).map(|key| find_entry(&blobs, key))).unwrap();
        let found = page.entries.iter().map(|(key, value)| match request.iteration {
            Iteration::Keys => text(*key),
            Iteration::Values => text(*value),
            Iteration::Entries => format!("{}={}", text(*key), text(*value)),
        });
        assert_eq!(
            found.collect::<Vec<_>>(),
            results.split_whitespace().collect::<Vec<_>>(),
            "{line}"
        );
        let found = page
            .anchors
            .iter()
            .map(|(page, (key, value))| (*page, text(*key).parse().unwrap(), text(*value)));
        assert_eq!(found.collect::<Vec<_>>(), anchors(after), "{line}");
    }
}

#[test]
fn a_comparator_of_a_client_is_refused() {
    let comparator = Value::Text("comparator").encode();
    let holder = PagingPredicateHolder {
        page_size: 3,
        page: 0,
        iteration_type_id: 0,
        anchor_data_list_holder: AnchorDataListHolder {
            anchor_page_list: Packed::default(),
            anchor_data_list: List::from(&[][..]),
        },
        predicate_data: None,
        comparator_data: Data::new(&comparator),
        partition_key_data: None,
        partition_keys_data: None,
    };
    let error = PageRequest::decode(&holder).unwrap_err();
    assert_eq!(error.code(), ErrorCode::UnsupportedOperation);
}

#[test]
fn a_partition_predicate_has_the_key_of_its_partition() {
    let line = lines("predicate").find(|line| line.ends_with("# partition")).unwrap();
    let blob = unhex(line.split(' ').next().unwrap());
    let query = Query::decode(Data::new(&blob).unwrap()).unwrap();
    assert_eq!(query.partition_keys, [Value::Text("key").encode()]);
}

#[test]
fn nesting_is_limited() {
    let not = "fffffffe01ffffffec0000000a";
    let nested = |depth: usize| {
        let blob = unhex(&format!("00000000{}fffffffe01ffffffec0000000e", not.repeat(depth)));
        Query::decode(Data::new(&blob).unwrap()).map(|_| ())
    };
    assert_eq!(nested(PREDICATE_DEPTH_MAX), Ok(()));
    assert!(matches!(nested(PREDICATE_DEPTH_MAX + 1), Err(Error::Limit { .. })));
    assert!(matches!(nested(10_000), Err(Error::Limit { .. })));
}

#[test]
fn fuzz_query_predicate() {
    let samples: Vec<_> =
        lines("predicate").step_by(40).map(|line| unhex(line.split(' ').next().unwrap())).collect();
    let (entries, layouts) = (entries(), layouts());
    let find = |id| layouts.get(&id).cloned();
    convoke_harness::check!(&samples, |bytes| {
        let Some(data) = Data::new(bytes) else { return };
        let Ok(query) = Query::decode(data) else { return };
        for (_, key, value) in entries.iter().step_by(4) {
            let entry = Entry {
                key: Data::new(key).unwrap(),
                value: Data::new(value).unwrap(),
                layouts: &find,
            };
            let _ = query.predicate.matches(&entry);
        }
    });
}

/// Portable objects, compact records and other values.
#[test]
fn fuzz_query_value() {
    let samples: Vec<_> = entries().into_iter().map(|(_, _, value)| value).collect();
    let layouts = layouts();
    let find = |id| layouts.get(&id).cloned();
    let paths = [
        "name",
        "items[any].tags[any]",
        "items[1].n",
        "tags[2]",
        "address.city",
        "bools[any]",
        "dec",
        "decs[any]",
        "tz",
        "nints[any]",
        "this",
        "__key",
    ];
    let paths = paths.map(|path| Path::new(path).unwrap());
    convoke_harness::check!(&samples, |bytes| {
        let Some(data) = Data::new(bytes) else { return };
        let entry = Entry { key: data, value: data, layouts: &find };
        for path in &paths {
            let mut count = 0;
            let _ = entry.read(path, &mut |_| count += 1);
            assert!(count <= bytes.len() * 8);
        }
    });
}

/// A record whose items all refer to the same place.
#[test]
fn references_to_the_same_place_are_counted() {
    // Portable: no fields but an array of records, each of which is the object itself.
    const ITEMS: u32 = 20_000;
    let mut blob = vec![0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff];
    let mut push = |number: u32| blob.extend_from_slice(&number.to_be_bytes());
    // Factory, class, version, end, number of fields, position of the field.
    for number in [1, 1, 0, 0, 1, 32] {
        push(number);
    }
    blob.extend_from_slice(&[0, 1, b'a', 10]);
    let mut push = |number: u32| blob.extend_from_slice(&number.to_be_bytes());
    push(ITEMS);
    push(1);
    push(1);
    for _ in 0..ITEMS {
        push(16);
    }
    let entry = Entry {
        key: Data::new(&blob).unwrap(),
        value: Data::new(&blob).unwrap(),
        layouts: &|_| None,
    };
    let path = Path::new(&vec!["a[any]"; 20].join(".")).unwrap();
    assert_eq!(entry.read(&path, &mut |_| {}), Err(MALFORMED));
}

/// The objects of a set are in no order.
fn sorted_if_set(blob: &[u8]) -> Vec<Vec<u8>> {
    let Some(Value::Identified(set)) = Data::new(blob).and_then(Value::decode) else {
        return vec![blob.to_vec()];
    };
    let mut input = crate::data::Input::new(set.fields);
    let count = input.i32().unwrap();
    let objects = (0..count).map(|_| {
        let start = input.rest();
        input.object().unwrap();
        start[..start.len() - input.rest().len()].to_vec()
    });
    let mut objects = objects.collect::<Vec<_>>();
    objects.sort();
    objects
}

fn assert_result(result: Result<Vec<u8>, Error>, expected: &str, what: &str) -> bool {
    // Java's serialization of a class of Hazelcast that a client cannot read.
    let is_java = expected.contains("ffffff9caced0005");
    match (result, expected) {
        (Err(Error::Unsupported(_)), _) => return false,
        _ if is_java => return false,
        (Err(_), "e") => {}
        // Null as a blob has no bytes in Hazelcast.
        (Ok(found), "null") => assert_eq!(found, Value::Null.encode(), "{what}"),
        (found, "e") => panic!("{what}: {found:?}"),
        (found, expected) => {
            let found = found.unwrap_or_else(|error| panic!("{what}: {error}, {expected}"));
            assert_eq!(sorted_if_set(&found), sorted_if_set(&unhex(expected)), "{what}");
        }
    }
    true
}

#[test]
fn aggregations_have_the_results_of_hazelcast() {
    let (layouts, entries) = (layouts(), entries());
    let find = |id| layouts.get(&id).cloned();
    let subsets = lines("subsets").next().unwrap().split(' ').collect::<Vec<_>>();
    let mut same = 0;
    for line in lines("aggregate") {
        let (vector, text) = line.split_once(" # ").unwrap();
        let (blob, results) = vector.split_once(' ').unwrap();
        let blob = unhex(blob);
        for (subset, expected) in subsets.iter().zip(results.split(' ')) {
            let aggregate = || {
                let mut aggregation = Aggregation::decode(Data::new(&blob).unwrap())?;
                for number in subset.split(',').filter(|number| *number != "-") {
                    let (_, key, value) = &entries[number.parse::<usize>().unwrap()];
                    let (key, value) = (Data::new(key).unwrap(), Data::new(value).unwrap());
                    aggregation.add(&Entry { key, value, layouts: &find })?;
                }
                Ok(aggregation.finish())
            };
            let is_same = assert_result(aggregate(), expected, &format!("{text} of {subset}"));
            same += usize::from(is_same);
        }
    }
    assert!(same > 1900, "{same}");
}

#[test]
fn projections_have_the_results_of_hazelcast() {
    let (layouts, entries) = (layouts(), entries());
    let find = |id| layouts.get(&id).cloned();
    let mut same = 0;
    for line in lines("project") {
        let (vector, text) = line.split_once(" # ").unwrap();
        let (blob, results) = vector.split_once(' ').unwrap();
        let blob = unhex(blob);
        let projection = Projection::decode(Data::new(&blob).unwrap()).unwrap();
        for result in results.split(' ') {
            let (number, expected) = result.split_once(':').unwrap();
            let (name, key, value) = &entries[number.parse::<usize>().unwrap()];
            let (key, value) = (Data::new(key).unwrap(), Data::new(value).unwrap());
            let result = projection.apply(&Entry { key, value, layouts: &find });
            if expected == "e" && result == Ok(Value::Null.encode()) {
                // An attribute of an object that is null.
                continue;
            }
            same += usize::from(assert_result(result, expected, &format!("{text} of {name}")));
        }
    }
    assert!(same > 50, "{same}");
}

#[test]
fn fuzz_query_aggregate() {
    let samples: Vec<_> = lines("aggregate")
        .step_by(7)
        .chain(lines("project"))
        .map(|line| unhex(line.split(' ').next().unwrap()))
        .collect();
    let (entries, layouts) = (entries(), layouts());
    let find = |id| layouts.get(&id).cloned();
    convoke_harness::check!(&samples, |bytes| {
        let Some(data) = Data::new(bytes) else { return };
        let (mut aggregation, projection) = (Aggregation::decode(data), Projection::decode(data));
        for (_, key, value) in entries.iter().step_by(4) {
            let (key, value) = (Data::new(key).unwrap(), Data::new(value).unwrap());
            let entry = Entry { key, value, layouts: &find };
            if let Ok(aggregation) = &mut aggregation {
                let _ = aggregation.add(&entry);
            }
            if let Ok(projection) = &projection {
                let _ = projection.apply(&entry);
            }
        }
        assert!(aggregation.is_err() || Data::new(&aggregation.unwrap().finish()).is_some());
    });
}

/// Written by a client in Java: `this < 3 or this = 40`.
const BUILT: &str = "00000000fffffffe000000002d636f6d2e68617a656c636173742e71756572792e696d706c2e507265646963 \
         6174654275696c646572496d706c000000047468697300000001fffffffe01ffffffec0000000b00000002ff \
         fffffe01ffffffec000000040000000474686973fffffff9000000030001fffffffe01ffffffec0000000300 \
         00000474686973fffffff900000028";
/// A builder that has built nothing.
const NOT_BUILT: &str = "00000000fffffffe000000002d636f6d2e68617a656c636173742e71756572792e696d706c2e507265646963 \
         6174654275696c646572496d706cffffffff00000000";

#[test]
fn a_predicate_builder_is_what_it_has_built() {
    let decode = |text: &str| Query::decode(Data::new(&unhex(&text.replace(' ', ""))).unwrap());
    let query = decode(BUILT).unwrap();
    for (number, is_match) in [(2, true), (3, false), (40, true)] {
        let (key, value) = (Value::Int(0).encode(), Value::Int(number).encode());
        let (key, value) = (Data::new(&key).unwrap(), Data::new(&value).unwrap());
        let entry = Entry { key, value, layouts: &|_| None };
        assert_eq!(query.predicate.matches(&entry), Ok(is_match), "{number}");
    }
    assert!(matches!(decode(NOT_BUILT), Err(Error::Invalid(_))));
}

#[test]
fn the_entries_that_a_page_needs_make_the_same_page() {
    let entries: Vec<(Vec<u8>, Vec<u8>)> = (0..100)
        .map(|number| (Value::Int(number).encode(), Value::Int(number * 37 % 101).encode()))
        .collect();
    let blobs: Vec<_> = entries
        .iter()
        .map(|(key, value)| (Data::new(key).unwrap(), Data::new(value).unwrap()))
        .collect();
    for iteration_type_id in [0, 1] {
        let mut anchors: Vec<(i32, Vec<u8>, Vec<u8>)> = Vec::new();
        for page in [0, 1, 4, 2] {
            let pages: Vec<i32> = anchors.iter().map(|(page, ..)| *page).collect();
            let seen = anchors.clone();
            let data: Vec<_> = seen
                .iter()
                .map(|(_, key, value)| (Data::new(key).unwrap(), Data::new(value).unwrap()))
                .collect();
            let holder = PagingPredicateHolder {
                page_size: 7,
                page,
                iteration_type_id,
                anchor_data_list_holder: AnchorDataListHolder {
                    anchor_page_list: Packed::from(&pages[..]),
                    anchor_data_list: List::from(&data[..]),
                },
                predicate_data: None,
                comparator_data: None,
                partition_key_data: None,
                partition_keys_data: None,
            };
            let request = PageRequest::decode(&holder).unwrap();
            let expected = request.page(blobs.iter().copied()).unwrap();
            let needed = request.needed(blobs.iter().copied()).unwrap();
            assert!(needed.len() <= 35);
            let needed: Vec<_> = needed.into_iter().map(|at| blobs[at]).collect();
            assert_eq!(request.page(needed).unwrap(), expected);
            let owned = |(page, (key, value)): &(i32, (Data<'_>, Data<'_>))| {
                (*page, key.bytes().to_vec(), value.bytes().to_vec())
            };
            anchors = expected.anchors.iter().map(owned).collect();
        }
    }
}
