//! Configuration files of Hazelcast have the effect here that they have there.

use std::fs;

use convoke_tests::peers::hazelcast;

#[test]
fn effective_values_are_those_that_hazelcast_reads_or_differ_for_a_reason() {
    let folder = hazelcast::folder();
    let comparison = hazelcast::compare(&folder).unwrap();
    assert!(comparison.unexplained.is_empty(), "{}", comparison.unexplained.join("\n"));
    let page = fs::read_to_string(folder.join("README.md")).unwrap();
    assert_eq!(page, comparison.page(), "run `cargo xtask peers hazelcast`");
}
