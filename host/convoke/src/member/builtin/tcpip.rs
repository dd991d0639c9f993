//! `tcpip`: needs only the start port.

use convoke_discovery::Grants;

use super::BuiltIn;

pub(super) const MODE: BuiltIn = BuiltIn {
    name: "tcpip",
    component: include_bytes!(concat!(env!("OUT_DIR"), "/tcpip.cwasm")),
    settings: |settings, _| vec![("start-port", settings.start_port.to_string())],
    argument: None,
    grants: |_, _, _| Grants::default(),
    access: None,
};
