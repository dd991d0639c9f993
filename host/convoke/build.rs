//! Finds the built-in modes, which `cargo xtask modes` compiles ahead of time.

use std::path::PathBuf;

const MODES: &[&str] = &["multicast", "tcpip", "dns", "kubernetes", "domain"];

fn main() {
    println!("cargo::rerun-if-env-changed=CARGO_TARGET_DIR");
    let workspace = PathBuf::from(env("CARGO_MANIFEST_DIR")).join("../..");
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| workspace.join("target"), |target| workspace.join(target));
    let folder = target.join("modes");
    let out = PathBuf::from(env("OUT_DIR"));
    for mode in MODES {
        let from = folder.join(format!("{mode}.cwasm"));
        println!("cargo::rerun-if-changed={}", from.display());
        if let Err(error) = std::fs::copy(&from, out.join(format!("{mode}.cwasm"))) {
            println!(
                "cargo::error=the built-in modes are not built yet ({}: {error}); run `cargo xtask build`, which brings the WebAssembly toolchain and builds them",
                from.display()
            );
            return;
        }
    }
}

fn env(name: &str) -> String {
    std::env::var(name).unwrap_or_default()
}
