//! The configuration file, of Convoke or of Hazelcast.

use std::path::Path;

use convoke_discovery::Reference;
use convoke_text::excerpt;

use super::error::SettingsError;
use super::hazelcast::{self, Surroundings};
use super::options::Options;
use super::read::read_text;

/// Reads a Convoke or Hazelcast file, with a warning about it if there is one. Relative paths
/// in it are resolved against its directory.
pub(super) fn read(path: &Path) -> Result<(Options, Option<String>), SettingsError> {
    let shown = path.display();
    let text = read_text(path)?;
    if hazelcast::is_meant(path, &text) {
        let translated = hazelcast::translate(&text, &surroundings(path))
            .map_err(|why| SettingsError(format!("{shown}: {why}")))?;
        let warning = translated.warning().map(|warning| format!("{shown}: {warning}"));
        return Ok((translated.file, warning));
    }
    let mut file = parse(&text).map_err(|(line, why)| {
        SettingsError(match line {
            Some(line) => format!("{shown}:{line}: {why}"),
            None => format!("{shown}: {why}"),
        })
    })?;
    let folder = path.parent().unwrap_or(Path::new(""));
    for entry in &mut file.discovery {
        let file = entry.plugin.as_mut().filter(|plugin| !Reference::is_one(plugin));
        if let Some(plugin) = file {
            // Both are UTF-8 unless the directory's name is not, in which case the file is not
            // found.
            *plugin = folder.join(&*plugin).to_string_lossy().into_owned();
        }
    }
    for path in [
        &mut file.cluster_password_file,
        &mut file.client_password_file,
        &mut file.client_read_only_password_file,
        &mut file.state_directory,
    ] {
        *path = path.take().map(|path| folder.join(path));
    }
    Ok((file, None))
}

/// Converts a Hazelcast file to the Convoke format.
pub(crate) fn convert(path: &Path) -> Result<String, SettingsError> {
    let refused = |why: String| SettingsError(format!("{}: {why}", path.display()));
    let text = read_text(path)?;
    let translated = hazelcast::translate(&text, &surroundings(path)).map_err(refused)?;
    translated.to_toml(&path.display().to_string()).map_err(refused)
}

/// Parses a file; an error has its line number.
fn parse(text: &str) -> Result<Options, (Option<usize>, String)> {
    toml::from_str(text).map_err(|error| describe_toml_error(text, &error))
}

/// The line and the one-line message of a TOML error.
pub(crate) fn describe_toml_error(text: &str, error: &toml::de::Error) -> (Option<usize>, String) {
    let line = error.span().map(|span| 1 + text[..span.start].matches('\n').count());
    (line, excerpt(error.message(), usize::MAX))
}

/// The environment of a Hazelcast file, which its contents depend on.
fn surroundings(path: &Path) -> Surroundings {
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    Surroundings {
        folder: path.parent().unwrap_or(Path::new("")).to_owned(),
        environment: environment.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_design_is_read() {
        let file = parse(
            r#"
            cluster-name = "shop"
            [[discovery]]
            mode = "tcpip"
            argument = "10.0.0.1-20,10.0.1.0/28:6900-6902"
            [[discovery]]
            mode = "consul"
            plugin = "modes/consul.wasm"
            settings = { service = "shop", retries = 3 }
            grant = { multicast = ["224.2.2.4:2904"] }
            "#,
        )
        .unwrap();
        assert_eq!(file.discovery.len(), 2);
        assert_eq!(file.discovery[1].settings["retries"].to_string(), "3");
    }

    #[test]
    fn errors_have_line_numbers() {
        let (line, why) = parse("cluster-name = \"a\"\nstart-prot = 7\n").unwrap_err();
        assert_eq!(line, Some(2));
        assert!(why.contains("unknown field `start-prot`"), "{why}");
        let (line, _) = parse("a = \"x\n").unwrap_err();
        assert_eq!(line, Some(1));
        let (line, why) = parse("\n\nmc-port = 70000").unwrap_err();
        assert_eq!(line, Some(3), "{why}");
    }

    /// The annotated example, with every key and table uncommented.
    fn example() -> String {
        let annotated = include_str!("../../convoke.example.toml");
        let bare = annotated.lines().map(|line| {
            let line = line.strip_prefix("# ").unwrap_or(line);
            let key = line.split(" = ").next().unwrap_or_default();
            let is_key =
                line.contains(" = ") && key.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
            if is_key || line.starts_with('[') { line } else { "" }
        });
        bare.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_annotated_example_is_valid_and_complete() {
        let example = example();
        let file = parse(&example).unwrap();
        let written = toml::to_string(&file).unwrap();
        let keys = |text: &str| -> std::collections::BTreeSet<String> {
            let keys = text.lines().filter_map(|line| line.split_once(" = "));
            keys.map(|(key, _)| key.to_owned()).filter(|key| !key.is_empty()).collect()
        };
        // All keys: the options that can be set in a file.
        use clap::CommandFactory as _;
        let options = super::super::cli::Cli::command();
        let options = options.get_arguments().filter_map(|option| option.get_long());
        let elsewhere = ["config", "help", "version"];
        for option in options.filter(|option| !elsewhere.contains(option)) {
            assert!(keys(&example).contains(option), "{option} is not in the example");
            assert!(keys(&written).contains(option), "{option} has no key in the file");
        }
        let of_modes = ["mode", "argument", "plugin", "digest", "settings", "grant", "wasi"];
        let of_maps = [
            "backups",
            "async-backups",
            "ttl-s",
            "max-idle-s",
            "memory-mib",
            "eviction",
            "merge",
            "statistics",
            "format",
        ];
        for key in of_modes.into_iter().chain(of_maps) {
            assert!(keys(&example).contains(key), "{key} is not in the example");
        }
    }

    #[test]
    fn the_example_shows_the_actual_defaults() {
        let shown = parse(&example()).unwrap();
        let given = super::super::CommandLine::read(["convoke".into()]).unwrap();
        let defaults = super::super::Settings::resolve(given).unwrap();
        assert_eq!(shown.cluster_name.as_deref(), Some(defaults.cluster_name.as_str()));
        assert_eq!(shown.cluster_mode, Some(vec![defaults.modes[0].name.clone()]));
        assert_eq!(
            (shown.mc_port, shown.start_port),
            (Some(defaults.mc_port), Some(defaults.start_port))
        );
        assert_eq!(shown.mc_ttl, Some(defaults.mc_ttl));
        assert_eq!(
            (shown.lite, shown.no_cluster),
            (Some(defaults.lite), Some(defaults.no_cluster))
        );
        assert_eq!(shown.group, Some(defaults.group));
        assert_eq!(
            (shown.port, shown.auto_bind_http),
            (Some(defaults.port), Some(defaults.auto_bind_http))
        );
        assert_eq!(shown.auto_bind_range, Some(defaults.auto_bind_range));
        assert_eq!(shown.resp_port, defaults.clients.resp_port);
        assert_eq!(shown.hazelcast_port, defaults.clients.hazelcast_port);
        assert_eq!(
            shown.notify_keyspace_events.as_deref(),
            Some(defaults.clients.notifications.text().as_str())
        );
        assert_eq!(shown.max_clients, Some(defaults.clients.clients_max));
        assert_eq!(shown.redis_cluster, Some(defaults.clients.redis_cluster));
        assert_eq!((shown.client_idle_s, defaults.clients.idle), (Some(0), None));
        assert_eq!(shown.min_members, Some(defaults.data.min_members));
        assert_eq!(shown.partitions, Some(defaults.data.partitions));
        assert_eq!(shown.change_maps, Some(false));
    }

    #[test]
    fn fuzz_toml() {
        let samples = [
            include_str!("../../convoke.example.toml").to_owned(),
            example(),
            "start-port = 70000\n[maps.\"*\"]\nttl-s = -1\n".to_owned(),
            format!("discovery = {}", "[".repeat(300)),
        ];
        convoke_harness::check!(&samples, |bytes| {
            let Ok(text) = std::str::from_utf8(bytes) else { return };
            match parse(text) {
                Ok(options) => {
                    let written = toml::to_string(&options).expect("what was read can be written");
                    let again = parse(&written).expect("what was written can be read");
                    assert_eq!(toml::to_string(&again), Ok(written));
                }
                Err((line, why)) => {
                    assert!(!why.contains('\n'), "{why}");
                    assert!(line.is_none_or(|line| line <= 1 + text.matches('\n').count()));
                }
            }
        });
    }
}
