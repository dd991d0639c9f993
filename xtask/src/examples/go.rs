//! The example in Go: its component, built with the standard Go toolchain, and its tests.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{fs, io::Write as _};

use wit_component::{StringEncoding, metadata};

use super::bindings::{self, Bindings};
use crate::Result;
use crate::process::{find, run};
use crate::workspace::Workspace;

const NAME: &str = "http-list";

/// The Go module of a project, as the bindings import it.
const MODULE: &str = "mode";

/// File with the custom section that contains a mode's component type. Projects append it to Go's
/// output, since Go cannot emit custom sections.
const COMPONENT_TYPE: &str = "component-type.section";

fn example(workspace: &Workspace) -> PathBuf {
    workspace.root.join("plugins/examples").join(NAME)
}

fn template(workspace: &Workspace) -> PathBuf {
    workspace.root.join("host/convoke/templates/go")
}

/// Writes the generated bindings of the Go template.
pub(crate) fn bindings(workspace: &Workspace) -> Result<()> {
    present()?;
    bindings::write(&template(workspace).join("bindings"), &generated(workspace)?)
}

fn generated(workspace: &Workspace) -> Result<Bindings> {
    let (mut resolve, world) = bindings::world(workspace, &template(workspace))?;
    let ty = metadata::encode(&resolve, world, StringEncoding::UTF8, None, false)
        .map_err(|error| format!("{error:#}"))?;
    let mut generator = wit_bindgen_go::Opts::default().build();
    let files = bindings::generate(generator.as_mut(), &mut resolve, world)?;
    let mut generated = Bindings::new();
    generated.insert(COMPONENT_TYPE.into(), custom_section("component-type:mode", &ty));
    for (name, bytes) in files {
        if name == Path::new("go.mod") {
            continue;
        }
        let text = String::from_utf8(bytes).map_err(|error| error.to_string())?;
        let is_go = name.extension().is_some_and(|extension| extension == "go");
        let text = if is_go { format(&in_project(&text))? } else { text };
        let is_exports = name == Path::new("wit_exports.go");
        if is_exports && !text.contains("\twitRuntime.Unpin()\n}") {
            return Err(
                "wit-bindgen's output has changed: in_project does not find the end of a call"
                    .to_owned(),
            );
        }
        let name = if is_exports { "exports.go".into() } else { name };
        generated.insert(name, text.into_bytes());
    }
    Ok(generated)
}

/// Adapts generated Go code to a project's layout. The generator emits a standalone program that
/// imports a library; in a project, both are packages below `bindings`, and the mode is the package
/// `strategy`. Results of host functions that are called within an exported function are pinned;
/// this unpins them when the call returns, because the generator only unpins arguments.
fn in_project(text: &str) -> String {
    let exported = "export_convoke_discovery_strategy";
    text.replace(
        &format!("\"wit_component/{exported}\""),
        &format!("{exported} \"{MODULE}/strategy\""),
    )
    .replace("\"wit_component/", &format!("\"{MODULE}/bindings/"))
    .replace("\"go.bytecodealliance.org/pkg/wit/", &format!("\"{MODULE}/bindings/wit/"))
    .replace("\npackage main\n", "\npackage bindings\n")
    .replace("\tsyncExportPinner.Unpin()\n}", "\tsyncExportPinner.Unpin()\n\twitRuntime.Unpin()\n}")
    .replace("\n// Unused, but present to make the compiler happy\nfunc main() {}\n", "")
}

fn format(text: &str) -> Result<String> {
    let failed = |error: std::io::Error| format!("gofmt: {error}");
    let mut gofmt = Command::new("gofmt")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    // gofmt reads all input before it writes, so this cannot deadlock.
    gofmt.stdin.take().map_or(Ok(()), |mut to| to.write_all(text.as_bytes())).map_err(failed)?;
    let output = gofmt.wait_with_output().map_err(failed)?;
    if !output.status.success() {
        return Err("gofmt rejects the generated code".to_owned());
    }
    String::from_utf8(output.stdout).map_err(|error| error.to_string())
}

/// A custom section of a core module: id 0, size, name, content.
fn custom_section(name: &str, content: &[u8]) -> Vec<u8> {
    let mut body = leb128(name.len());
    body.extend(name.as_bytes());
    body.extend(content);
    let mut section = vec![0];
    section.extend(leb128(body.len()));
    section.extend(body);
    section
}

fn leb128(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// Builds `target/examples/http-list.wasm`.
pub(crate) fn build(workspace: &Workspace) -> Result<()> {
    present()?;
    let component = super::output(workspace, NAME);
    let sources = bindings::sources(&[example(workspace)], &["build", "README.md"])?;
    if super::is_fresh(&component, &sources) {
        return Ok(());
    }
    let folder = super::tools(workspace).join("build").join(NAME);
    run(make(&example(workspace), &folder)?.arg("core"))?;
    bindings::make_component(workspace, &folder.join(format!("{NAME}.core.wasm")), &component)
}

/// Runs the tests of the example and of the template, and checks that the template's bindings match
/// `wit/` (which needs gofmt).
pub(crate) fn test(workspace: &Workspace) -> Result<()> {
    present()?;
    bindings::check(&template(workspace).join("bindings"), &generated(workspace)?)?;
    for (project, name) in [(example(workspace), NAME), (template(workspace), "template-go")] {
        let folder = super::tools(workspace).join("build").join(name);
        run(make(&project, &folder)?.arg("test"))?;
    }
    Ok(())
}

fn present() -> Result<()> {
    match find("go").and(find("gofmt")).and(find("make")) {
        Some(_) => Ok(()),
        None => Err("the example in Go needs Go 1.24 or later, and make".to_owned()),
    }
}

/// Returns `make` for a project, with build output in `folder`, so that the checkout stays
/// unchanged.
fn make(project: &Path, folder: &Path) -> Result<Command> {
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut make = Command::new("make");
    make.args(["--silent", "--directory"]).arg(project);
    make.arg(format!("BUILD={}", folder.display()));
    Ok(make)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_in_groups_of_seven_bits() {
        assert_eq!(leb128(0), [0]);
        assert_eq!(leb128(127), [0x7f]);
        assert_eq!(leb128(128), [0x80, 1]);
        assert_eq!(leb128(8_653), [0xcd, 0x43]);
        assert_eq!(custom_section("a", b"bc"), [0, 4, 1, b'a', b'b', b'c']);
    }
}
