//! The example in Python, and the template: componentize-py, the component, tests.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;
use crate::process::{find, run};
use crate::workspace::Workspace;

const NAME: &str = "etcd";

fn example(workspace: &Workspace) -> PathBuf {
    workspace.root.join("plugins/examples").join(NAME)
}

fn template(workspace: &Workspace) -> PathBuf {
    workspace.root.join("host/convoke/templates/python")
}

/// Leaves `target/examples/etcd.wasm`. The Makefile knows when the tools and the
/// component are older than what they are made from.
pub(crate) fn build(workspace: &Workspace) -> Result<()> {
    let mut make = make(&example(workspace))?;
    make.arg(format!("VENV={}", super::tools(workspace).join("venv").display()));
    make.arg(format!("OUT={}", super::output(workspace, NAME).display()));
    run(&mut make)
}

/// What needs no host, by this machine's own Python.
pub(crate) fn test(workspace: &Workspace) -> Result<()> {
    for project in [example(workspace), template(workspace)] {
        run(make(&project)?.arg("test"))?;
    }
    Ok(())
}

fn make(project: &Path) -> Result<Command> {
    for program in ["make", "python3"] {
        if find(program).is_none() {
            return Err(format!("the example in Python takes {program}, and there is none here"));
        }
    }
    let mut make = Command::new("make");
    make.arg("--silent").arg("--directory").arg(project);
    Ok(make)
}
