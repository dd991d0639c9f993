//! Compiles components ahead of time, with the settings of the host they are
//! embedded in: `convoke-precompile INPUT OUTPUT [INPUT OUTPUT]…`.
//!
//! `OUTPUT.made-from`, beside each output, records the digest of the input and the engine it
//! was compiled for; while both are unchanged the output is not rewritten.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use convoke_discovery::{Digest, precompile, precompiled_for};

fn main() -> ExitCode {
    let paths: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    if paths.is_empty() || !paths.len().is_multiple_of(2) {
        eprintln!("usage: convoke-precompile INPUT OUTPUT [INPUT OUTPUT]...");
        return ExitCode::FAILURE;
    }
    for pair in paths.chunks(2) {
        match make(&pair[0], &pair[1]) {
            Ok(line) => println!("{line}"),
            Err(error) => {
                eprintln!("{}: {error}", pair[0].display());
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

/// Compiles `input` to `output` if the output is missing or out of date. Returns a line that
/// says what was done.
fn make(input: &Path, output: &Path) -> Result<String, String> {
    let component = fs::read(input).map_err(|error| error.to_string())?;
    let engine = precompiled_for().map_err(|error| error.to_string())?;
    let made_from = format!("{} {engine}\n", Digest::of(&component));
    let provenance = with_suffix(output, ".made-from");
    if output.is_file() && fs::read_to_string(&provenance).is_ok_and(|made| made == made_from) {
        return Ok(format!("{}: up to date", output.display()));
    }
    let precompiled = precompile(&component).map_err(|error| format!("{error:#}"))?;
    write(output, &precompiled).map_err(|error| format!("{}: {error}", output.display()))?;
    write(&provenance, made_from.as_bytes())
        .map_err(|error| format!("{}: {error}", provenance.display()))?;
    Ok(format!("{}: {} bytes from {}", output.display(), precompiled.len(), component.len()))
}

/// Writes the file atomically: to a temporary name, then renamed.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let unfinished = with_suffix(path, ".unfinished");
    fs::write(&unfinished, bytes)?;
    fs::rename(&unfinished, path)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
