//! Finds the built-in modes, which `cargo xtask modes` compiles ahead of time, and lists the files
//! of the project templates of `convoke plugin new`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

const MODES: &[&str] = &["multicast", "tcpip", "dns", "kubernetes", "domain"];

/// Languages of project templates, which are also the names of their folders.
const LANGUAGES: &[&str] = &["rust", "python", "javascript", "c", "go"];

fn main() {
    println!("cargo::rerun-if-env-changed=CARGO_TARGET_DIR");
    let workspace = PathBuf::from(env("CARGO_MANIFEST_DIR")).join("../..");
    let out = PathBuf::from(env("OUT_DIR"));
    if let Err(error) = list_templates(&workspace, &out) {
        println!("cargo::error=the projects of `convoke plugin new` cannot be listed: {error}");
        return;
    }
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| workspace.join("target"), |target| workspace.join(target));
    let folder = target.join("modes");
    for mode in MODES {
        let from = folder.join(format!("{mode}.cwasm"));
        println!("cargo::rerun-if-changed={}", from.display());
        if let Err(error) = std::fs::copy(&from, out.join(format!("{mode}.cwasm"))) {
            println!(
                "cargo::error=the built-in modes are not built yet ({}: {error}); run `cargo xtask build`, which downloads the WebAssembly toolchain and builds them",
                from.display()
            );
            return;
        }
    }
}

fn env(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}

/// Writes `templates.rs`: a constant for each language, one for the Rust SDK, and one
/// for the WIT, each with its files.
fn list_templates(workspace: &Path, out: &Path) -> std::io::Result<()> {
    let mut text = String::new();
    let templates = workspace.join("host/convoke/templates");
    for language in LANGUAGES {
        list(&mut text, &language.to_uppercase(), &[(&templates.join(language), "")])?;
    }
    let wit = workspace.join("wit");
    list(
        &mut text,
        "SDK",
        &[
            (&workspace.join("plugins/sdk/src"), "convoke-mode-sdk/src/"),
            (&wit.join("discovery"), "convoke-mode-sdk/wit/discovery/"),
            (&wit.join("host"), "convoke-mode-sdk/wit/host/"),
            (&wit.join("deps"), "convoke-mode-sdk/wit/deps/"),
        ],
    )?;
    list(
        &mut text,
        "WIT",
        &[
            (&wit.join("discovery"), "wit/deps/discovery/"),
            (&wit.join("host"), "wit/deps/host/"),
            (&wit.join("deps"), "wit/deps/"),
        ],
    )?;
    std::fs::write(out.join("templates.rs"), text)
}

fn list(text: &mut String, name: &str, folders: &[(&Path, &str)]) -> std::io::Result<()> {
    let _ = writeln!(text, "const {name}: &[File] = &[");
    for (folder, prefix) in folders {
        println!("cargo::rerun-if-changed={}", folder.display());
        let mut files = Vec::new();
        walk(folder, &mut files)?;
        files.sort_unstable();
        for file in files {
            let within = file.strip_prefix(folder).unwrap_or(&file).display().to_string();
            let from = file.canonicalize()?.display().to_string();
            let _ = writeln!(
                text,
                "    File {{ path: {:?}, content: include_bytes!({from:?}) }},",
                format!("{prefix}{within}")
            );
        }
    }
    let _ = writeln!(text, "];");
    Ok(())
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { walk(&path, files)? } else { files.push(path) }
    }
    Ok(())
}
