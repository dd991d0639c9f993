//! Several modes that use the same component.

use convoke_tests::cluster::TIMEOUT;
use convoke_tests::{Cluster, binary};

#[test]
fn one_component_can_be_configured_as_several_modes() {
    let cluster = Cluster::new();
    let first = cluster.start();
    cluster.agree([&first]);
    let component = binary::convoke().with_file_name("../modes/tcpip.wasm").display().to_string();
    let spare = cluster.spare_port(1);
    let arguments = [
        ("near", format!("{}", first.address())),
        ("far", format!("127.0.0.1:{}-{spare}", spare - 3)),
        // The name is in use: the second one gets a suffix.
        ("near", format!("127.0.0.1:{spare}")),
    ];
    let text: String = arguments
        .iter()
        .map(|(name, argument)| {
            format!("[[discovery]]\nmode = \"{name}\"\nplugin = {component:?}\nargument = \"{argument}\"\n")
        })
        .collect();
    let config = cluster.write("modes.toml", text).display().to_string();
    let second = cluster.launch().option("--config", config).start();
    second.wait_for_line(TIMEOUT, &["looking for members", "modes=\"near, far, near#2\""]);
    cluster.agree([&first, &second]);
    let found = second.wait_for_status(TIMEOUT, "a lookup of each mode", |status| {
        let candidates = status.modes.iter().map(|mode| {
            let seen = mode.more.get("last_snapshot")?.get("candidates")?.as_u64()?;
            Some((mode.name.clone(), seen))
        });
        candidates.collect::<Option<Vec<_>>>()
    });
    let expected = [("near", 1), ("far", 4), ("near#2", 1)];
    assert_eq!(found, expected.map(|(name, seen)| (name.to_owned(), seen)));
}
