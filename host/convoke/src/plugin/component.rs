//! `convoke plugin component`: makes a component from a core module, for toolchains that cannot.

use std::fs;
use std::path::Path;

use crate::output::say;
use wit_component::ComponentEncoder;

/// The adapter for WASI preview 1, which implements the calls of language runtimes within the
/// component. Its source is in the same folder.
const INERT: &[u8] = include_bytes!("../../templates/inert/wasi_snapshot_preview1.wasm");
/// The import module of WASI preview 1.
const FIRST_WASI: &str = "wasi_snapshot_preview1";
/// Largest module, in bytes; the same limit as for components.
const CORE_BYTES_MAX: u64 = convoke_discovery::limits::COMPONENT_BYTES_MAX;

pub(super) fn make(core: &Path, output: &Path) -> Result<(), String> {
    let shown = core.display();
    let size = fs::metadata(core).map_err(|error| format!("{shown}: {error}"))?.len();
    if size > CORE_BYTES_MAX {
        return Err(format!("{shown} is larger than {} MiB", CORE_BYTES_MAX >> 20));
    }
    let module = fs::read(core).map_err(|error| format!("{shown}: {error}"))?;
    if module.starts_with(b"\0asm\x0d\0\x01\0") {
        return Err(format!("{shown} is already a component"));
    }
    let encoded = ComponentEncoder::default()
        .validate(true)
        .module(&module)
        .and_then(|encoder| encoder.adapter(FIRST_WASI, INERT))
        .and_then(|encoder| encoder.encode())
        .map_err(|error| {
            let why = format!("{error:#}").split_whitespace().collect::<Vec<_>>().join(" ");
            format!("{shown} cannot be made into a component: {why}; was the WIT world of a mode embedded, as wit-bindgen does?")
        })?;
    fs::write(output, &encoded).map_err(|error| format!("{}: {error}", output.display()))?;
    say!("{}: a component of {} KiB", output.display(), encoded.len().div_ceil(1024));
    Ok(())
}
