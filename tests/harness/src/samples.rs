//! Samples written to files, as the initial corpus of libFuzzer.

use std::env;
use std::fs;
use std::path::Path;

/// Environment variable with the folder to which [`write_samples`] writes.
pub const SAMPLES: &str = "CONVOKE_FUZZ_SAMPLES";

/// Writes each sample to a file in the folder that [`SAMPLES`] names, if it is set.
///
/// # Panics
/// If a file cannot be written.
pub fn write_samples<T: AsRef<[u8]>>(samples: &[T]) {
    if let Some(folder) = env::var_os(SAMPLES) {
        write_to(folder.as_ref(), samples);
    }
}

fn write_to<T: AsRef<[u8]>>(folder: &Path, samples: &[T]) {
    for (number, sample) in samples.iter().enumerate() {
        let file = folder.join(format!("sample-{number}"));
        if let Err(error) = fs::write(&file, sample.as_ref()) {
            panic!("{}: {error}", file.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sample_is_a_file() {
        let folder = env::temp_dir().join(format!("convoke-harness-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        write_to(&folder, &["one", "two"]);
        assert_eq!(fs::read(folder.join("sample-0")).unwrap(), b"one");
        assert_eq!(fs::read(folder.join("sample-1")).unwrap(), b"two");
        fs::remove_dir_all(&folder).unwrap();
    }
}
