//! Compiles components ahead of time, with the settings of the host they are
//! embedded in: `convoke-precompile INPUT OUTPUT [INPUT OUTPUT]…`.
//!
//! Beside each output, `OUTPUT.made-from` holds what it was made from and for
//! which engine; while both stay the same the output is left alone.

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

/// Makes `output` of `input` where that is needed, and says in a line what was done.
fn make(input: &Path, output: &Path) -> Result<String, String> {
    let component = fs::read(input).map_err(|error| error.to_string())?;
    let engine = precompiled_for().map_err(|error| error.to_string())?;
    let made_from = format!("{} {engine}\n", Digest::of(&component));
    let stamp = with_suffix(output, ".made-from");
    if output.is_file() && fs::read_to_string(&stamp).is_ok_and(|made| made == made_from) {
        return Ok(format!("{}: up to date", output.display()));
    }
    let precompiled = precompile(&component).map_err(|error| format!("{error:#}"))?;
    write(output, &precompiled).map_err(|error| format!("{}: {error}", output.display()))?;
    write(&stamp, made_from.as_bytes()).map_err(|error| format!("{}: {error}", stamp.display()))?;
    Ok(format!("{}: {} bytes from {}", output.display(), precompiled.len(), component.len()))
}

/// Writes all or nothing.
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
