//! Hazelcast configuration files have the same effect in Convoke as in Hazelcast.

use std::fs;

use convoke_tests::peers::hazelcast;

#[test]
fn effective_values_match_hazelcast_or_differ_for_a_documented_reason() {
    let folder = hazelcast::folder();
    let comparison = hazelcast::compare(&folder).unwrap();
    assert!(comparison.unexplained.is_empty(), "{}", comparison.unexplained.join("\n"));
    let page = fs::read_to_string(folder.join("README.md")).unwrap();
    assert_eq!(page, comparison.page(), "run `cargo xtask peers hazelcast`");
}
