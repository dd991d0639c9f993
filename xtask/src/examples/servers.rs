//! Servers that examples are tried with: etcd itself, and moto, which answers as the API
//! of Amazon EC2 does and checks what is signed.

use crate::workspace::Workspace;
use crate::{Result, clients, debian};

/// Debian's name of the server alone.
const ETCD: &[&str] = &["etcd-server"];

/// Brings both, once.
pub(super) fn bring(workspace: &Workspace) -> Result<()> {
    let tools = super::tools(workspace);
    debian::unpacked(&tools.join("etcd"), ETCD)?;
    let list = workspace.root.join("tests/cloud/requirements.txt");
    clients::make(&list, &tools.join("moto"), clients::python)
}
