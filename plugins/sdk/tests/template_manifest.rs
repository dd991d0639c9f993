//! The project template contains a copy of this crate with a self-contained manifest. Its
//! features and dependencies have to match those of this crate.

use std::fs;

fn text(path: &str) -> String {
    let path = format!("{}/{path}", env!("CARGO_MANIFEST_DIR"));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The lines of one section, without comments and empty lines.
fn section<'a>(manifest: &'a str, name: &str) -> Vec<&'a str> {
    let lines = manifest.lines().skip_while(|line| *line != format!("[{name}]")).skip(1);
    let lines = lines.take_while(|line| !line.starts_with('['));
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

/// The version of a dependency: `"0.61"` in `wit-bindgen = { version = "0.61", … }`.
fn version_of<'a>(lines: &[&'a str], name: &str) -> Option<&'a str> {
    let line = lines.iter().find(|line| line.starts_with(&format!("{name} = ")))?;
    line.split("version = ").nth(1)?.split([',', ' ']).next()
}

#[test]
fn the_copy_has_the_same_features_and_dependencies() {
    let own = text("Cargo.toml");
    let copy = text("../../host/convoke/templates/rust/convoke-mode-sdk/Cargo.toml");
    let workspace = text("../Cargo.toml");
    assert_eq!(section(&own, "features"), section(&copy, "features"));
    assert!(!section(&copy, "features").is_empty());

    let versions = section(&workspace, "workspace.dependencies");
    for kind in ["dependencies", "dev-dependencies"] {
        let names = |manifest| -> Vec<String> {
            let name = |line: &str| line.split([' ', '.']).next().unwrap_or_default().to_owned();
            section(manifest, kind).into_iter().map(name).collect()
        };
        assert_eq!(names(&own), names(&copy), "{kind}");
        for name in names(&copy) {
            let version = version_of(&section(&copy, kind), &name);
            assert_eq!(version, version_of(&versions, &name), "{name} in {kind}");
            assert!(version.is_some(), "{name} in {kind}");
        }
    }
    let edition = |lines: Vec<&str>| {
        let of =
            |key| lines.iter().find(|line| line.starts_with(key)).map(|line| (*line).to_owned());
        [of("edition"), of("rust-version")]
    };
    assert_eq!(
        edition(section(&copy, "package")),
        edition(section(&workspace, "workspace.package"))
    );
}
