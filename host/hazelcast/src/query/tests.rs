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
        input.object()?;
        Some(start[..start.len() - input.rest().len()].to_vec())
    });
    let Some(mut objects) = objects.collect::<Option<Vec<_>>>() else {
        // The length of a compact record depends on its schema.
        let mut bytes = blob.to_vec();
        bytes.sort_unstable();
        return vec![bytes];
    };
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

/// The blob of the predicate that an attribute has this text, or another one.
fn equal(attribute: &str, operand: &Value<'_>, is_equal: bool) -> Vec<u8> {
    let class: i32 = if is_equal { 3 } else { 9 };
    let mut blob = unhex("00000000fffffffe01ffffffec");
    blob.extend_from_slice(&class.to_be_bytes());
    blob.extend_from_slice(&i32::try_from(attribute.len()).unwrap().to_be_bytes());
    blob.extend_from_slice(attribute.as_bytes());
    operand.encode_object(&mut blob);
    blob
}

/// Which of the keys match a predicate, as a query over all of them.
fn matching(predicate: &[u8], keys: &[Value<'_>]) -> Result<Vec<usize>, Error> {
    let query = Query::decode(Data::new(predicate).unwrap())?;
    let (mut types, mut found) = (Types::default(), Vec::new());
    let blobs: Vec<_> = keys.iter().map(Value::encode).collect();
    for (at, key) in blobs.iter().enumerate() {
        let key = Data::new(key).unwrap();
        let entry = Entry { key, value: key, layouts: &|_| None };
        if query.predicate.matches_among(&entry, &mut types)? {
            found.push(at);
        }
    }
    types.check()?;
    Ok(found)
}

#[test]
fn keys_of_several_types_can_be_queried() {
    let id = Value::Uuid(uuid::Uuid::from_u64_pair(1, 2));
    let keys = [id, Value::Text("1"), Value::Bool(true), Value::Int(1), Value::Text("x")];
    for (operand, found, others) in [
        (Value::Text("1"), vec![1, 3], vec![0, 2, 4]),
        (Value::Text("x"), vec![4], vec![0, 1, 2, 3]),
        (Value::Int(1), vec![1, 2, 3], vec![0, 4]),
        (id, vec![0], vec![1, 2, 3, 4]),
    ] {
        // In any order.
        for turn in 0..keys.len() {
            let mut turned = keys.to_vec();
            turned.rotate_left(turn);
            let restored = |found: Vec<usize>| {
                let mut all: Vec<_> = found.iter().map(|at| (at + turn) % keys.len()).collect();
                all.sort_unstable();
                all
            };
            let matches = matching(&equal("__key", &operand, true), &turned);
            assert_eq!(matches.map(restored), Ok(found.clone()), "{operand:?}");
            let matches = matching(&equal("__key", &operand, false), &turned);
            assert_eq!(matches.map(restored), Ok(others.clone()), "{operand:?}");
        }
    }
}

#[test]
fn an_operand_that_has_the_type_of_no_attribute_is_an_error() {
    let ids = [Value::Uuid(uuid::Uuid::nil()), Value::Null, Value::Uuid(uuid::Uuid::max())];
    for is_equal in [true, false] {
        let error = matching(&equal("__key", &Value::Text("x"), is_equal), &ids).unwrap_err();
        assert_eq!(error.code(), ErrorCode::IllegalArgument);
    }
    assert_eq!(matching(&equal("__key", &Value::Text("x"), true), &[]), Ok(Vec::new()));
}

/// The keys of a page of values, all of which are on it.
fn page_of(values: &[Value<'_>]) -> Result<Vec<i32>, Error> {
    let entries = (0..).zip(values).map(|(n, v)| (Value::Int(n).encode(), v.encode()));
    let entries: Vec<(Vec<u8>, Vec<u8>)> = entries.collect();
    let holder = PagingPredicateHolder {
        page_size: 10,
        page: 0,
        iteration_type_id: 1,
        anchor_data_list_holder: AnchorDataListHolder {
            anchor_page_list: Packed::default(),
            anchor_data_list: List::from(&[][..]),
        },
        predicate_data: None,
        comparator_data: None,
        partition_key_data: None,
        partition_keys_data: None,
    };
    let request = PageRequest::decode(&holder)?;
    let blobs = entries.iter().map(|(k, v)| (Data::new(k).unwrap(), Data::new(v).unwrap()));
    let page = request.page(blobs)?;
    Ok(page.entries.iter().map(|(key, _)| text(*key).parse().unwrap()).collect())
}

#[test]
fn documents_are_in_the_order_of_their_texts() {
    let documents = [r#"{"a":2}"#, r#"{"a":10}"#, "[1]", "7", "oops"].map(Value::Json);
    assert_eq!(page_of(&documents), Ok(vec![3, 2, 4, 1, 0]));
}

#[test]
fn values_without_a_common_order_have_no_pages() {
    let array = Value::Bytes(b"a");
    assert_eq!(page_of(&[array]), Ok(vec![0]), "one value needs no order");
    let error = page_of(&[array, array]).unwrap_err();
    assert_eq!(error.code(), ErrorCode::IllegalArgument);
    for mixed in [
        [Value::Int(1), Value::Text("1")],
        [Value::Json("1"), Value::Text("1")],
        [Value::Int(1), Value::Long(1)],
    ] {
        assert_eq!(page_of(&mixed).unwrap_err().code(), ErrorCode::ClassCast);
    }
}

#[test]
fn aggregations_of_what_is_no_number_have_the_errors_of_hazelcast() {
    let aggregator = |class: i32, attribute: Option<&str>| {
        let mut blob = unhex("00000000fffffffe01ffffffe3");
        blob.extend_from_slice(&class.to_be_bytes());
        let length = attribute.map_or(-1, |text| i32::try_from(text.len()).unwrap());
        blob.extend_from_slice(&length.to_be_bytes());
        blob.extend_from_slice(attribute.unwrap_or_default().as_bytes());
        blob
    };
    let aggregate = |class, attribute, values: &[Value<'_>]| {
        let mut aggregation =
            Aggregation::decode(Data::new(&aggregator(class, attribute)).unwrap())?;
        for value in values {
            let value = value.encode();
            let value = Data::new(&value).unwrap();
            aggregation.add(&Entry { key: value, value, layouts: &|_| None })?;
        }
        Ok::<_, Error>(aggregation.finish())
    };
    let document = Value::Json(r#"{"text":"x","half":1.5,"null":null}"#);
    let code = |class, attribute, values: &[Value<'_>]| {
        aggregate(class, attribute, values).map_err(|error| error.code())
    };
    // Averages and sums of each type.
    for class in [6, 7, 8, 9, 10, 11, 12, 13, 16] {
        for (attribute, expected) in [
            ("missing", ErrorCode::NullPointer),
            ("null", ErrorCode::NullPointer),
            ("text", ErrorCode::ClassCast),
        ] {
            let found = code(class, Some(attribute), &[document]);
            assert_eq!(found, Err(expected), "{attribute} {class}");
        }
    }
    for class in [10, 11, 12, 13] {
        let found = code(class, Some("half"), &[document]);
        assert_eq!(found, Err(ErrorCode::IllegalArgument));
    }
    let mixed = [Value::Int(1), Value::Text("1")];
    for class in [14, 15] {
        assert_eq!(code(class, None, &mixed), Err(ErrorCode::ClassCast));
        assert_eq!(code(class, Some("missing"), &[document]), Ok(Value::Null.encode()));
    }
    // Whole documents are compared by their texts.
    let documents = ["{}", "[1]", "{}"].map(Value::Json);
    assert_eq!(code(14, None, &documents), Ok(documents[0].encode()));
    let distinct = sorted_if_set(&aggregate(5, None, &documents).unwrap());
    assert_eq!(distinct.len(), 2);
}

/// The projection of one attribute of an entry of the vectors.
fn projected(entry_name: &str, attribute: &str) -> Result<Vec<u8>, Error> {
    let (layouts, entries) = (layouts(), entries());
    let find = |id| layouts.get(&id).cloned();
    let (_, key, value) = entries.iter().find(|(name, ..)| *name == entry_name).unwrap();
    let mut blob = unhex("00000000fffffffe01ffffffe200000000");
    blob.extend_from_slice(&i32::try_from(attribute.len()).unwrap().to_be_bytes());
    blob.extend_from_slice(attribute.as_bytes());
    let projection = Projection::decode(Data::new(&blob).unwrap())?;
    let (key, value) = (Data::new(key).unwrap(), Data::new(value).unwrap());
    projection.apply(&Entry { key, value, layouts: &find })
}

#[test]
fn arrays_and_objects_are_projected() {
    let address = r#"{"city":"Bern","zip":null}"#;
    assert_eq!(projected("json", "address"), Ok(Value::Json(address).encode()));
    assert_eq!(projected("json", "items[0].p"), Ok(Value::Json(r#"{"q":"x"}"#).encode()));
    let whole = projected("json", "this").unwrap();
    let (_, _, value) = entries().swap_remove(0);
    assert_eq!(whole, value);
    for entry in ["compact", "portable"] {
        let ints = projected(entry, "ints").unwrap();
        let Some(Value::Ints(ints)) = Data::new(&ints).and_then(Value::decode) else { panic!() };
        assert_eq!(ints.len(), 3, "{entry}");
        let tags = projected(entry, "tags").unwrap();
        let Some(Value::Objects(tags)) = Data::new(&tags).and_then(Value::decode) else { panic!() };
        assert_eq!(tags.iter().next(), Some(Value::Text("a")), "{entry}");
    }
    // A nested record can be read by itself.
    for entry in ["compact", "portable"] {
        assert_eq!(text_of(&projected(entry, "address").unwrap(), "city"), "Bern");
        assert_eq!(text_of(&projected(entry, "this").unwrap(), "address.city"), "Bern");
        assert_eq!(text_of(&projected(entry, "items[0]").unwrap(), "tags[0]"), "x");
    }
    let (_, _, portable) = entries().into_iter().find(|(name, ..)| *name == "portable").unwrap();
    assert_eq!(projected("portable", "this"), Ok(portable));
    let numbers = projected("compact", "nints").unwrap();
    let numbers = Data::new(&numbers).and_then(Value::decode);
    assert!(matches!(numbers, Some(Value::Objects(_))), "numbers that may be null are objects");
}

/// An attribute of the record in a blob, which is a text.
fn text_of(blob: &[u8], attribute: &str) -> String {
    let (layouts, data) = (layouts(), Data::new(blob).unwrap());
    let find = |id| layouts.get(&id).cloned();
    let entry = Entry { key: data, value: data, layouts: &find };
    let mut text = None;
    let mut take = |attribute: Attribute<'_>| match attribute {
        Attribute::Scalar(Scalar::Text(found)) => text = Some(found.into_owned()),
        other => panic!("{other:?}"),
    };
    entry.read(&Path::new(attribute).unwrap(), &mut take).unwrap();
    text.unwrap()
}
