//! The example and the template in Python: componentize-py, the component, tests.

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

/// Builds `target/examples/etcd.wasm`. The Makefile rebuilds tools and component if they are
/// outdated.
pub(crate) fn build(workspace: &Workspace) -> Result<()> {
    let mut make = make(&example(workspace))?;
    make.arg(format!("VENV={}", super::tools(workspace).join("venv").display()));
    make.arg(format!("OUT={}", super::output(workspace, NAME).display()));
    run(&mut make)
}

/// Runs the native tests of the example and of the template with the installed Python.
pub(crate) fn test(workspace: &Workspace) -> Result<()> {
    for project in [example(workspace), template(workspace)] {
        run(make(&project)?.arg("test"))?;
    }
    Ok(())
}

fn make(project: &Path) -> Result<Command> {
    for program in ["make", "python3"] {
        if find(program).is_none() {
            return Err(format!("the example in Python needs {program}, which is not installed"));
        }
    }
    let mut make = Command::new("make");
    make.arg("--silent").arg("--directory").arg(project);
    Ok(make)
}
