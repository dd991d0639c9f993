//! `convoke plugin new`: creates a project that `make` builds.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::output::say;
use crate::settings::{Language, NewArgs};

/// A file of a project: its path and content.
struct File {
    path: &'static str,
    content: &'static [u8],
}

include!(concat!(env!("OUT_DIR"), "/templates.rs"));

/// Longest name of a mode, in bytes.
const NAME_BYTES_MAX: usize = 64;

pub(super) fn create(args: &NewArgs) -> Result<(), String> {
    let name = &args.mode_name;
    let sound = name.len() <= NAME_BYTES_MAX
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('-')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if !sound {
        return Err(format!(
            "{name:?} is not a name for a mode; expected a lower-case letter, then lower-case letters, digits and hyphens, at most {NAME_BYTES_MAX}"
        ));
    }
    let folder = Path::new(name);
    if folder.exists() {
        return Err(format!("{name} already exists; choose another name, or move it away"));
    }
    let files = files(args.lang);
    // Created under a temporary name and then renamed, so that a failure leaves no incomplete
    // project.
    let unfinished = PathBuf::from(format!(".{name}.unfinished"));
    let written = files
        .iter()
        .try_for_each(|file| write(&unfinished.join(file.path), file.content, name))
        .and_then(|()| fs::rename(&unfinished, folder));
    if let Err(error) = written {
        let _ = fs::remove_dir_all(&unfinished);
        return Err(format!("{name} cannot be created: {error}"));
    }
    say!(
        "created the mode {name}; {name}/README.md lists the tools that it needs\n\n  cd {name}\n  make          # builds {name}.wasm\n  make test\n  convoke plugin try {name}.wasm --argument 10.0.0.5"
    );
    Ok(())
}

fn files(language: Language) -> Vec<&'static File> {
    let (own, shared) = match language {
        Language::Rust => (RUST, SDK),
        Language::Python => (PYTHON, WIT),
        Language::Javascript => (JAVASCRIPT, WIT),
        Language::C => (C, WIT),
        Language::Go => (GO, WIT),
    };
    own.iter().chain(shared).collect()
}

/// Writes a file. In UTF-8 text the placeholders are replaced by the name.
fn write(path: &Path, content: &[u8], name: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    match std::str::from_utf8(content) {
        Ok(text) => {
            let snake = name.replace('-', "_");
            fs::write(path, text.replace("{{name}}", name).replace("{{snake}}", &snake))
        }
        Err(_) => fs::write(path, content),
    }
}

#[cfg(test)]
mod tests {
    use super::files;
    use crate::settings::Language;
    use clap::ValueEnum as _;

    #[test]
    fn each_language_has_what_a_project_needs() {
        for language in Language::value_variants() {
            let files = files(*language);
            let has = |path: &str| files.iter().any(|file| file.path == path);
            for path in ["Makefile", "README.md", ".gitignore"] {
                assert!(has(path), "{language:?} has no {path}");
            }
            let interface = files.iter().any(|file| file.path.ends_with("discovery/strategy.wit"));
            assert!(interface, "{language:?} has no WIT");
            let mut paths: Vec<&str> = files.iter().map(|file| file.path).collect();
            paths.sort_unstable();
            assert!(paths.windows(2).all(|pair| pair[0] != pair[1]), "{language:?}: {paths:?}");
        }
    }
}
