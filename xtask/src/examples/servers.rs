//! Servers that the examples are tested with: etcd, and moto, which implements the API of Amazon
//! EC2 and verifies request signatures.

use crate::workspace::Workspace;
use crate::{Result, clients, debian};

/// Debian's package of the server without its client.
const ETCD: &[&str] = &["etcd-server"];

/// Downloads both, unless that was done.
pub(super) fn download(workspace: &Workspace) -> Result<()> {
    let tools = super::tools(workspace);
    debian::unpacked(&tools.join("etcd"), ETCD)?;
    let list = workspace.root.join("tests/cloud/requirements.txt");
    clients::make(&list, &tools.join("moto"), clients::python)
}
