//! The result of `convoke config convert`, under the names of Hazelcast's values.

use std::fs;
use std::path::Path;
use std::process::Command;

use convoke_grid::map::{Eviction, MergePolicy};
use convoke_grid::{MapCatalog, MapSettings};
use toml::{Table, Value};

use super::{NONE, REFUSED, Values};
use crate::binary;

/// Value of a setting of the file that is reported as not honoured.
const LISTED: &str = "listed";
/// Prefix of the lines that report such settings in the output.
const LISTED_LINE: &str = "# - hazelcast.";
/// Name of the object that `Effective.java` uses for the `*` of a name.
const PROBE: &str = "probe";
/// Prefix of the lines of an `.env` file that are variables in the text of the file; Hazelcast
/// reads them from system properties.
const VARIABLE: &str = "variable ";

/// The effective values of a file after conversion. The names of maps and of optional values are
/// taken from `theirs`.
///
/// # Errors
/// If the binary cannot be started, or its output is invalid.
pub fn convert(file: &Path, theirs: &Values) -> Result<Values, String> {
    let shown = file.display();
    let mut convoke = Command::new(binary::convoke());
    convoke.args(["config", "convert"]).arg(file);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("HZ_") {
            convoke.env_remove(name);
        }
    }
    for (name, value) in environment(file)? {
        convoke.env(name, value);
    }
    let output = convoke.output().map_err(|error| format!("{shown}: {error}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if !output.status.success() {
        let why = text(&output.stderr);
        let why = why.rsplit_once("hazelcast.").map_or(why.as_str(), |(_, why)| why);
        return Ok([(REFUSED.to_owned(), why.trim().to_owned())].into());
    }
    let text = text(&output.stdout);
    let table: Table = toml::from_str(&text).map_err(|error| format!("{shown}: {error}"))?;
    let listed = text.lines().filter_map(|line| line.strip_prefix(LISTED_LINE));
    let converted = Converted { table, listed: listed.map(str::to_owned).collect() };
    converted.values(theirs).map_err(|error| format!("{shown}: {error}"))
}

/// The variables in the `.env` file of a configuration file.
fn environment(file: &Path) -> Result<Vec<(String, String)>, String> {
    let path = file.with_extension("env");
    if !path.is_file() {
        return Ok(Vec::new());
    }
    let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let lines = text.lines().filter_map(|line| line.split_once('='));
    let set = lines.map(|(name, value)| {
        let name = match name.strip_prefix(VARIABLE) {
            Some(name) => format!("CONVOKE_HZ_{}", name.replace(['.', '-'], "_").to_uppercase()),
            None => name.to_owned(),
        };
        (name, value.to_owned())
    });
    Ok(set.collect())
}

/// A converted file, and the settings of the original that are not honoured.
struct Converted {
    table: Table,
    listed: Vec<String>,
}

impl Converted {
    fn values(&self, theirs: &Values) -> Result<Values, String> {
        let mut values = Values::new();
        let mut set = |name: &str, value: String| {
            values.insert(name.to_owned(), value);
        };
        for (name, key, usual) in [
            ("cluster-name", "cluster-name", "development"),
            ("instance-name", "name", NONE),
            ("lite", "lite", "false"),
            ("partition-count", "partitions", "271"),
            ("port", "start-port", "6900"),
            ("ports-tried", "start-port-range", "100"),
            ("public-address", "public-address", NONE),
            ("password", "cluster-password", NONE),
        ] {
            set(name, self.text(key).unwrap_or_else(|| usual.to_owned()));
        }
        // A member's port is always bound with this option.
        set("reuse-address", self.listed_or("reuse-address", "true"));
        set("interfaces", sorted(&self.texts("interfaces")));
        self.join(theirs, &mut values);
        self.maps(theirs, &mut values)?;
        Ok(values)
    }

    fn join(&self, theirs: &Values, values: &mut Values) {
        let modes = self.modes();
        let mut ways: Vec<&str> = Vec::new();
        let mut members: Vec<String> = Vec::new();
        let mut required = NONE.to_owned();
        let mut set = |name: &str, value: String| {
            values.insert(name.to_owned(), value);
        };
        // Names of pods are resolved by the dns mode as well.
        let is_of_kubernetes = theirs.get("join").is_some_and(|way| way == "kubernetes");
        for Mode { name, argument, settings } in &modes {
            let way = match name.as_str() {
                "tcpip" | "dns" | "domain" if !is_of_kubernetes => "tcp-ip",
                "dns" => "kubernetes",
                other => other,
            };
            if !ways.contains(&way) {
                ways.push(way);
            }
            match (name.as_str(), way) {
                ("multicast", _) => {
                    let (group, port) = argument.rsplit_once(':').unwrap_or((argument, NONE));
                    set("multicast-group", group.trim_matches(['[', ']']).to_owned());
                    set("multicast-port", port.to_owned());
                }
                ("auto", _) => {
                    set("multicast-group", self.text("mc-address").unwrap_or_default());
                    set("multicast-port", self.text("mc-port").unwrap_or_default());
                }
                ("domain", _) if settings.get("required").is_some_and(is_true) => {
                    required.clone_from(argument);
                }
                (_, "tcp-ip") => members.extend(argument.split(',').map(str::to_owned)),
                ("dns", _) => {
                    let (host, port) = argument.split_once(':').unwrap_or((argument, ""));
                    set("kubernetes.servicedns", host.to_owned());
                    if !port.is_empty() {
                        set("kubernetes.serviceport", port.to_owned());
                    }
                }
                _ => kubernetes(settings, |name, value| set(&format!("kubernetes.{name}"), value)),
            }
        }
        if ways.contains(&"multicast") || ways.contains(&"auto") {
            set("multicast-ttl", self.text("mc-ttl").unwrap_or_else(|| "32".to_owned()));
            set("multicast-timeout", NONE.to_owned());
            set("trusted-interfaces", NONE.to_owned());
        }
        if ways.contains(&"tcp-ip") {
            set("members", sorted(&members));
            set("required-member", required);
        }
        let is_alone = self.table.get("no-cluster").is_some_and(is_true);
        set("join", if is_alone { "none".to_owned() } else { ways.join(", ") });
        // A setting with its default value is not repeated in the converted file.
        const NOT_READY: &str = "kubernetes.resolvenotreadyaddresses";
        if theirs.contains_key(NOT_READY) && modes.iter().any(|mode| mode.name == "kubernetes") {
            values.entry(NOT_READY.to_owned()).or_insert_with(|| "true".to_owned());
        }
        // Other properties have no counterpart; only their names are compared.
        for name in theirs.keys().filter_map(|name| name.strip_prefix("kubernetes.")) {
            let is_listed = self.listed.iter().any(|path| {
                let last = path.rsplit('.').next().unwrap_or(path);
                last.replace('-', "").eq_ignore_ascii_case(name)
            });
            if is_listed {
                values.insert(format!("kubernetes.{name}"), LISTED.to_owned());
            }
        }
    }

    fn modes(&self) -> Vec<Mode> {
        let entries = self.table.get("discovery").and_then(Value::as_array);
        let modes = entries.into_iter().flatten().filter_map(Value::as_table).map(|entry| Mode {
            name: entry.get("mode").map(text).unwrap_or_default(),
            argument: entry.get("argument").map(text).unwrap_or_default(),
            settings: entry.get("settings").and_then(Value::as_table).cloned().unwrap_or_default(),
        });
        modes.collect()
    }

    /// The maps that `theirs` has values of, as a member's map catalog contains them.
    fn maps(&self, theirs: &Values, values: &mut Values) -> Result<(), String> {
        let catalog = self.catalog()?;
        let members = self.text("min-members").unwrap_or_else(|| "1".to_owned());
        let names = theirs.keys().filter_map(|path| path.strip_prefix("map["));
        for name in names.filter_map(|rest| rest.strip_suffix("].backups")) {
            let settings = catalog.of(name);
            let seconds = |ms: Option<u64>| (ms.unwrap_or(0) / 1_000).to_string();
            let merge = match settings.merge {
                MergePolicy::LastWriter => "LatestUpdateMergePolicy",
                MergePolicy::PutIfAbsent => "PutIfAbsentMergePolicy",
                MergePolicy::HigherHits => "HigherHitsMergePolicy",
                MergePolicy::Discard => "DiscardMergePolicy",
            };
            let merge = self.listed_of_map(name, "merge-policy").unwrap_or(merge);
            let eviction = settings.evicts_at().map(|bytes| {
                let policy = match settings.eviction {
                    Eviction::None => "NONE",
                    Eviction::Lru => "LRU",
                    Eviction::Lfu => "LFU",
                    Eviction::Random => "RANDOM",
                };
                format!("{policy} at {} MiB", bytes >> 20)
            });
            let eviction = eviction
                .or_else(|| self.listed_of_map(name, "eviction").map(str::to_owned))
                .unwrap_or_else(|| NONE.to_owned());
            for (key, value) in [
                ("backups", settings.backups.to_string()),
                ("async-backups", settings.async_backups.to_string()),
                ("ttl-s", seconds(settings.ttl_ms)),
                ("max-idle-s", seconds(settings.max_idle_ms)),
                ("eviction", eviction),
                ("merge-policy", merge.to_owned()),
                ("minimum-members", members.clone()),
                ("statistics", settings.statistics.to_string()),
            ] {
                values.insert(format!("map[{name}].{key}"), value);
            }
        }
        Ok(())
    }

    /// The map catalog that a member reads from `[maps]`.
    fn catalog(&self) -> Result<MapCatalog, String> {
        let empty = Table::new();
        let entries = self.table.get("maps").and_then(Value::as_table).unwrap_or(&empty);
        let mut catalog = MapCatalog::default();
        if let Some(entry) = entries.get("*").and_then(Value::as_table) {
            catalog.defaults = map_settings(entry, &MapSettings::default())?;
        }
        for (name, entry) in entries.iter().filter(|(name, _)| *name != "*") {
            let entry = entry.as_table().ok_or_else(|| format!("[maps.{name}] is not a table"))?;
            catalog.named.push((name.clone(), map_settings(entry, &catalog.defaults)?));
        }
        Ok(catalog)
    }

    fn listed_or(&self, path: &str, default: &str) -> String {
        let is_it = |listed: &&String| listed.split(' ').next().is_some_and(|l| l.ends_with(path));
        self.listed.iter().find(is_it).map_or(default, |_| LISTED).to_owned()
    }

    /// The value of a setting of a map if it is listed, under the pattern with this name or the
    /// default.
    fn listed_of_map(&self, name: &str, key: &str) -> Option<&'static str> {
        self.listed.iter().find_map(|path| {
            let (pattern, rest) = path.strip_prefix("map[")?.split_once("].")?;
            let is_usual = pattern == "default" && name == PROBE;
            let fits = is_usual || pattern.replace('*', PROBE) == name;
            (fits && rest.starts_with(key)).then_some(LISTED)
        })
    }

    fn text(&self, key: &str) -> Option<String> {
        self.table.get(key).map(text)
    }

    fn texts(&self, key: &str) -> Vec<String> {
        match self.table.get(key) {
            Some(Value::Array(values)) => values.iter().map(text).collect(),
            Some(value) => vec![text(value)],
            None => Vec::new(),
        }
    }
}

/// One `[[discovery]]` table.
struct Mode {
    name: String,
    argument: String,
    settings: Table,
}

/// Settings of the kubernetes mode, as the properties of Hazelcast's plugin.
fn kubernetes(settings: &Table, mut set: impl FnMut(&str, String)) {
    for (key, value) in settings {
        let text = text(value);
        match key.as_str() {
            "namespace" => set("namespace", text),
            "service" => set("servicename", text),
            "port" => set("serviceport", text),
            "not-ready" => set("resolvenotreadyaddresses", text),
            "label-selector" => {
                let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
                let (names, values): (Vec<&str>, Vec<&str>) = pairs.unzip();
                set("podlabelname", names.join(","));
                set("podlabelvalue", values.join(","));
            }
            other => set(other, text),
        }
    }
}

fn map_settings(entry: &Table, usual: &MapSettings) -> Result<MapSettings, String> {
    let mut settings = *usual;
    for (key, value) in entry {
        let number = value.as_integer().and_then(|number| u64::try_from(number).ok());
        let limit = |scale: u64| number.filter(|number| *number > 0).map(|number| number * scale);
        let count = number.and_then(|number| u8::try_from(number).ok()).unwrap_or_default();
        match key.as_str() {
            "backups" => settings.backups = count,
            "async-backups" => settings.async_backups = count,
            "ttl-s" => settings.ttl_ms = limit(1_000),
            "max-idle-s" => settings.max_idle_ms = limit(1_000),
            "memory-mib" => settings.memory_bytes_max = limit(1 << 20),
            "eviction" => {
                let eviction = value.clone().try_into();
                settings.eviction = eviction.map_err(|error: toml::de::Error| error.to_string())?;
            }
            "merge" => {
                let merge = value.clone().try_into();
                settings.merge = merge.map_err(|error: toml::de::Error| error.to_string())?;
            }
            "statistics" => settings.statistics = is_true(value),
            other => return Err(format!("unknown map setting {other:?}")),
        }
    }
    Ok(settings)
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn is_true(value: &Value) -> bool {
    value.as_bool() == Some(true)
}

/// Texts joined in sorted order, for comparison as a set.
fn sorted(texts: &[String]) -> String {
    let mut texts: Vec<&str> = texts.iter().map(String::as_str).filter(|t| !t.is_empty()).collect();
    texts.sort_unstable();
    texts.dedup();
    if texts.is_empty() { NONE.to_owned() } else { texts.join(", ") }
}
