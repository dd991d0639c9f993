//! `convoke plugin inspect`: prints the exports and imports of a component.

use std::path::Path;

use convoke_discovery::{Grants, Inspection, PermissionGrant, Source};

use super::mode_name;
use crate::member::modes;
use crate::settings::Settings;

pub(super) async fn run(file: &Path, settings: &Settings) -> Result<(), String> {
    let host = modes::host_without_a_member(settings)?;
    let name = mode_name(file);
    let source = Source::File(file.to_owned());
    let found = host.inspect(&name, &source, None).await.map_err(|error| error.to_string())?;
    crate::output::write(format_args!("{}", report(&name, file, &found)));
    match found.problems.len() {
        0 => Ok(()),
        _ => Err(format!("{} cannot be used as a mode by this convoke", file.display())),
    }
}

fn report(name: &str, file: &Path, found: &Inspection) -> String {
    let mut text = format!(
        "{}\n  {} bytes, {}\n  compiled in {} ms\n",
        file.display(),
        found.bytes,
        found.digest,
        found.compiled_in.as_millis()
    );
    for export in &found.exports {
        let what = match export.contains("/announcer@") {
            true => "announces this member",
            false => "looks for members",
        };
        text.push_str(&format!("  {what} ({export})\n"));
    }
    if !found.problems.is_empty() {
        for problem in &found.problems {
            text.push_str(&format!("  problem: {problem}\n"));
        }
        return text;
    }
    text.push_str("  all its interfaces are supported by this convoke\n");
    text.push_str("it requests permission to\n");
    for asked in &found.permissions {
        let granted = match asked.grant {
            PermissionGrant::Always => "; always granted",
            _ => "",
        };
        text.push_str(&format!("  {}{granted} ({})\n", asked.description, asked.interface));
    }
    text.push_str(
        "to load it, add these lines to convoke.toml, with each grant as narrow as possible\n\n",
    );
    text.push_str(&toml(name, file, found));
    text
}

/// The TOML that loads the component, to be copied into a configuration.
fn toml(name: &str, file: &Path, found: &Inspection) -> String {
    let mut text = format!(
        "[[discovery]]\nmode = {name:?}\nplugin = {:?}\ndigest = \"{}\"   # omit it to reload the file when it changes\n",
        file.display().to_string(),
        found.digest
    );
    let mut grants = Grants::default();
    for asked in &found.permissions {
        if let PermissionGrant::Entry { capability, example } = asked.grant {
            // A pattern that the host generated always parses.
            let _ = grants.add(capability, example);
        }
    }
    if grants != Grants::default() {
        text.push_str(&format!("{grants}\n"));
    }
    if found.permissions.iter().any(|asked| asked.grant == PermissionGrant::InertWasi) {
        text.push_str("wasi = \"inert\"\n");
    }
    text
}
