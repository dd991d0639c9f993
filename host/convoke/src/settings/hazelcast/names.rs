//! Known names in the parts of a file that affect membership. If a misspelt name were ignored, the
//! default would apply, and the member would join another cluster.

use super::super::distance::distance;
use super::document::{Document, plain};
use super::quoted::quoted;

/// The names below each path.
const KNOWN: [(&str, &[&str]); 9] = [
    // A text value.
    ("cluster-name", &[]),
    (
        "network",
        &[
            "failure-detector",
            "interfaces",
            "join",
            "member-address-provider",
            "memcache-protocol",
            // The socket of members in an advanced network.
            "name",
            "outbound-ports",
            "port",
            "public-address",
            "rest-api",
            "reuse-address",
            "socket-interceptor",
            "socket-options",
            "ssl",
            "symmetric-encryption",
            "tpc-socket",
        ],
    ),
    ("network.port", &["auto-increment", "port", "port-count"]),
    ("network.interfaces", &["enabled", "interface", "interfaces"]),
    (
        "network.join",
        &[
            "auto-detection",
            "aws",
            "azure",
            "discovery-strategies",
            "eureka",
            "gcp",
            "kubernetes",
            "multicast",
            "tcp-ip",
        ],
    ),
    ("network.join.auto-detection", &["enabled"]),
    (
        "network.join.multicast",
        &[
            "enabled",
            "loopback-mode-enabled",
            "multicast-group",
            "multicast-port",
            "multicast-time-to-live",
            "multicast-timeout-seconds",
            "trusted-interfaces",
        ],
    ),
    (
        "network.join.tcp-ip",
        &[
            "connection-timeout-seconds",
            "enabled",
            "interface",
            "member",
            "member-list",
            "members",
            "required-member",
        ],
    ),
    ("lite-member", &["enabled"]),
];

/// Top-level names that decide membership; other unknown names are only listed.
const AT_THE_TOP: [&str; 4] = ["advanced-network", "cluster-name", "lite-member", "network"];
/// Maximum edit distance between one of these and a misspelt name.
const EDITS_MAX: usize = 2;

/// Rejects a file with a name in these places that Hazelcast does not know.
pub(super) fn check(document: &Document) -> Result<(), String> {
    for name in document.names_below("") {
        let bare = bare(&name);
        if let Some(meant) = AT_THE_TOP.iter().find(|known| is_meant(bare, known)) {
            return Err(format!(
                "{} is unknown to Hazelcast; did you mean {meant:?}?",
                document.shown(&name)
            ));
        }
    }
    for (path, known) in KNOWN {
        for name in document.names_below(path) {
            let bare = bare(&name);
            // Below `network.join`, case and dashes are ignored.
            let is_loose = path.starts_with("network.join");
            let is_same = |known: &str| known == bare || is_loose && plain(known) == plain(bare);
            if !known.iter().any(|known| is_same(known)) {
                let known = match known {
                    [] => "expected text only".to_owned(),
                    known => format!("expected one of {}", known.join(", ")),
                };
                return Err(format!(
                    "{}: {:?} is unknown to Hazelcast; {known}",
                    document.shown(path),
                    quoted(bare),
                ));
            }
        }
    }
    Ok(())
}

/// Whether a name is a misspelling of a known one.
fn is_meant(name: &str, known: &str) -> bool {
    let plain = |name: &str| plain(&name.replace('_', ""));
    name != known && distance(&plain(known), &plain(name)) <= EDITS_MAX
}

/// The name without the prefix that XML adds.
fn bare(name: &str) -> &str {
    name.split('[').next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::super::{Surroundings, translate};

    #[test]
    fn a_misspelt_name_is_refused() {
        let refusal = |text: &str| translate(text, &Surroundings::default()).unwrap_err();
        for (text, expected) in [
            (
                "clusterName: shop",
                "hazelcast.clusterName is unknown to Hazelcast; did you mean \"cluster-name\"?",
            ),
            ("Cluster-Name: shop", "did you mean \"cluster-name\"?"),
            ("netwrok: { port: 5702 }", "did you mean \"network\"?"),
            (
                "network: { publicAddress: a }",
                "hazelcast.network: \"publicAddress\" is unknown to Hazelcast",
            ),
            (
                "network: { port: { auto-incremnt: false } }",
                "hazelcast.network.port: \"auto-incremnt\"",
            ),
            (
                "network: { join: { tcp-ip: { enable: true } } }",
                "hazelcast.network.join.tcp-ip: \"enable\"",
            ),
            (
                "network: { join: { tcpip-ip: { member: a } } }",
                "hazelcast.network.join: \"tcpip-ip\"",
            ),
            (
                "advanced-network: { enabled: true, member-server-socket-endpoint-config: { prot: 1 } }",
                "hazelcast.advanced-network.member-server-socket-endpoint-config: \"prot\"",
            ),
        ] {
            let text = format!("hazelcast: {{ {text} }}");
            let refusal = refusal(&text);
            assert!(refusal.contains(expected), "{text}: {refusal}");
        }
    }
}
