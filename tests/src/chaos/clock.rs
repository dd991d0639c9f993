//! Clock faults, by a small library that is preloaded into members.
//!
//! libfaketime is not used, because it moves the monotonic clock along with the wall clock. A step
//! of the wall clock must not affect the monotonic one; on a suspended machine the monotonic clock
//! stops while the wall clock continues.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The library's source.
const SOURCE: &str = include_str!("clock.c");

/// Environment variable with the path of the file of offsets.
pub(super) const VARIABLE: &str = "CHAOS_CLOCK";

/// Builds the library in `folder`.
///
/// # Errors
/// If there is no C compiler, or it fails.
pub(super) fn build(folder: &Path) -> Result<PathBuf, String> {
    let (source, library) = (folder.join("clock.c"), folder.join("libchaosclock.so"));
    fs::write(&source, SOURCE).map_err(|error| format!("{}: {error}", source.display()))?;
    let mut compiler = Command::new("cc");
    compiler.args(["-O2", "-shared", "-fPIC", "-o"]).arg(&library).arg(&source).arg("-ldl");
    let output = compiler.output().map_err(|error| format!("`cc` cannot be started: {error}"))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        return Err(format!("`cc` failed: {}", complaint.trim()));
    }
    Ok(library)
}

/// The offsets of one member's clocks.
#[derive(Debug)]
pub(super) struct Offsets {
    path: PathBuf,
    file: File,
    wall: i64,
    monotonic: i64,
}

impl Offsets {
    /// Correct clocks.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(super) fn new(path: PathBuf) -> std::io::Result<Self> {
        let file = OpenOptions::new().create(true).write(true).truncate(true).open(&path)?;
        let offsets = Self { path, file, wall: 0, monotonic: 0 };
        offsets.write()?;
        Ok(offsets)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the wall clock is correct.
    pub(super) fn is_right(&self) -> bool {
        self.wall == 0
    }

    /// Offsets the wall clock, in nanoseconds.
    pub(super) fn set_wall(&mut self, nanos: i64) {
        self.wall = nanos;
        let _ = self.write();
    }

    /// Sets back the monotonic clock by the nanoseconds that it was stopped.
    pub(super) fn suspend(&mut self, nanos: i64) {
        self.monotonic -= nanos;
        let _ = self.write();
    }

    /// Resets the monotonic clock for a new process.
    pub(super) fn start(&mut self) {
        self.monotonic = 0;
        let _ = self.write();
    }

    fn write(&self) -> std::io::Result<()> {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.wall.to_ne_bytes());
        bytes[8..].copy_from_slice(&self.monotonic.to_ne_bytes());
        self.file.write_all_at(&bytes, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_sees_the_offset_time() {
        let folder = tempfile::tempdir().unwrap();
        let library = match build(folder.path()) {
            Ok(library) => library,
            Err(why) => return eprintln!("SKIPPED: {why}"),
        };
        let mut offsets = Offsets::new(folder.path().join("offsets")).unwrap();
        let year = || {
            let mut date = Command::new("date");
            date.arg("+%Y").env("LD_PRELOAD", &library).env(VARIABLE, offsets.path());
            let output = date.output().unwrap();
            String::from_utf8(output.stdout).unwrap().trim().parse::<i64>().unwrap()
        };
        let now = year();
        offsets.set_wall(-10 * 366 * 86_400 * 1_000_000_000);
        let then = {
            let mut date = Command::new("date");
            date.arg("+%Y").env("LD_PRELOAD", &library).env(VARIABLE, offsets.path());
            let output = date.output().unwrap();
            String::from_utf8(output.stdout).unwrap().trim().parse::<i64>().unwrap()
        };
        assert!((9..=11).contains(&(now - then)), "{now} and {then}");
    }
}
