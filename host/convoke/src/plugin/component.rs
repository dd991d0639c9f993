//! `convoke plugin component`: the last step of a build, for tools that stop before it.

use std::fs;
use std::path::Path;

use crate::output::say;
use wit_component::ComponentEncoder;

/// Answers what runtimes ask of the first WASI, inside the component; see its source
/// beside it.
const INERT: &[u8] = include_bytes!("../../templates/inert/wasi_snapshot_preview1.wasm");
/// The name under which runtimes ask.
const FIRST_WASI: &str = "wasi_snapshot_preview1";
/// Largest module, in bytes, as for components.
const CORE_BYTES_MAX: u64 = convoke_discovery::limits::COMPONENT_BYTES_MAX;

pub(super) fn make(core: &Path, output: &Path) -> Result<(), String> {
    let shown = core.display();
    let size = fs::metadata(core).map_err(|error| format!("{shown}: {error}"))?.len();
    if size > CORE_BYTES_MAX {
        return Err(format!("{shown} is larger than {} MiB", CORE_BYTES_MAX >> 20));
    }
    let module = fs::read(core).map_err(|error| format!("{shown}: {error}"))?;
    if module.starts_with(b"\0asm\x0d\0\x01\0") {
        return Err(format!("{shown} is a component already"));
    }
    let encoded = ComponentEncoder::default()
        .validate(true)
        .module(&module)
        .and_then(|encoder| encoder.adapter(FIRST_WASI, INERT))
        .and_then(|encoder| encoder.encode())
        .map_err(|error| {
            let why = format!("{error:#}").split_whitespace().collect::<Vec<_>>().join(" ");
            format!("{shown} makes no component: {why}; was the type of a mode embedded, as wit-bindgen does?")
        })?;
    fs::write(output, &encoded).map_err(|error| format!("{}: {error}", output.display()))?;
    say!("{}: a component of {} KiB", output.display(), encoded.len().div_ceil(1024));
    Ok(())
}
