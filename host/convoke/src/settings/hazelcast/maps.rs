//! Translates map settings that have a counterpart.

use convoke_grid::map::{BACKUPS_MAX, Eviction, MergePolicy};

use super::super::options::Options;
use super::super::tables::MapEntry;
use super::document::Document;
use super::quoted::quoted;

/// The map name for default settings, in Hazelcast and here.
const HAZELCAST_DEFAULT: &str = "default";
const CONVOKE_DEFAULT: &str = "*";

/// Hazelcast's defaults of map settings; a map does not inherit from another.
const BACKUPS: u8 = 1;
const MERGE: MergePolicy = MergePolicy::PutIfAbsent;

/// Settings that are ignored if they have Hazelcast's default value.
const DEFAULTS: [(&str, &str); 6] = [
    ("in-memory-format", "BINARY"),
    ("read-backup-data", "false"),
    ("statistics-enabled", "true"),
    ("cache-deserialized-values", "INDEX-ONLY"),
    ("metadata-policy", "CREATE_ON_UPDATE"),
    ("merge-policy.batch-size", "100"),
];

/// The translated settings of one map.
struct Translation {
    /// The `[maps]` entry; 0 means no limit.
    entry: MapEntry,
    /// The name of its split-brain protection rule.
    protection: Option<String>,
}

/// Translates maps, and the number of members that they require.
pub(super) fn translate(
    document: &mut Document,
    file: &mut Options,
    ignored: &mut Vec<String>,
) -> Result<(), String> {
    let named = document.names_below("");
    let mut maps = Vec::new();
    let named = named.iter().filter_map(|name| name.strip_prefix("map[")?.strip_suffix(']'));
    let named = named.map(str::to_owned).chain(document.names_of_overrides("map"));
    for name in named.collect::<Vec<_>>() {
        let translation = read(document, &name, ignored)?;
        maps.push((name, translation));
    }
    let default_name = default_name(&maps);
    let mut members = 0;
    for (name, translation) in &maps {
        let Some(rule) = &translation.protection else { continue };
        let needed = protection(document, rule)?;
        members = members.max(needed);
        if needed > 1 && name != default_name {
            ignored.push(format!(
                "{} (min-members is {needed}, and applies to all maps)",
                document.shown(&format!("map[{name}].split-brain-protection-ref"))
            ));
        }
    }
    if members > 1 {
        file.min_members = u32::try_from(members).ok();
    }
    let inherited = maps.iter().find(|(name, _)| name == default_name);
    let inherited = inherited.map(|(_, translation)| translation.entry.clone()).unwrap_or_default();
    for (name, Translation { entry, .. }) in &maps {
        if name != default_name {
            file.maps.insert(name.clone(), differences_from(&inherited, entry));
        }
    }
    // A map without settings of its own must not match another pattern.
    let patterns: Vec<String> =
        file.maps.keys().filter(|name| name.contains('*')).cloned().collect();
    file.maps.retain(|name, entry| {
        *entry != MapEntry::default() || patterns.iter().any(|pattern| pattern != name)
    });
    // The default is no limit.
    let limit = |limit: Option<u64>| limit.filter(|limit| *limit > 0);
    let inherited = MapEntry {
        ttl_s: limit(inherited.ttl_s),
        max_idle_s: limit(inherited.max_idle_s),
        merge: Some(inherited.merge.unwrap_or(MERGE)),
        ..inherited
    };
    file.maps.insert(CONVOKE_DEFAULT.to_owned(), inherited);
    Ok(())
}

/// The map with the default settings. A pattern that matches all maps takes precedence over
/// `default`.
fn default_name(maps: &[(String, Translation)]) -> &'static str {
    if maps.iter().any(|(name, _)| name == CONVOKE_DEFAULT) {
        CONVOKE_DEFAULT
    } else {
        HAZELCAST_DEFAULT
    }
}

fn read(
    document: &mut Document,
    name: &str,
    ignored: &mut Vec<String>,
) -> Result<Translation, String> {
    let path = |key: &str| format!("map[{name}].{key}");
    let backups = 0..=u64::from(BACKUPS_MAX);
    let small = |number: Option<u64>| number.and_then(|number| u8::try_from(number).ok());
    let seconds = 0..=u64::from(u32::MAX);
    let mut entry = MapEntry {
        backups: small(document.number(&path("backup-count"), backups.clone())?),
        async_backups: small(document.number(&path("async-backup-count"), backups)?),
        ttl_s: document.number(&path("time-to-live-seconds"), seconds.clone())?,
        max_idle_s: document.number(&path("max-idle-seconds"), seconds)?,
        ..MapEntry::default()
    };
    if document.is_on(&path("per-entry-stats-enabled"), false)? {
        entry.statistics = Some(true);
    }
    eviction(document, name, &mut entry, ignored)?;
    let policy = document.last_text(["merge-policy.class-name", "merge-policy"].map(path))?;
    if let Some(policy) = policy {
        entry.merge = match policy.rsplit('.').next().unwrap_or_default() {
            "LatestUpdateMergePolicy" => Some(MergePolicy::LastWriter),
            "PutIfAbsentMergePolicy" => Some(MergePolicy::PutIfAbsent),
            "HigherHitsMergePolicy" => Some(MergePolicy::HigherHits),
            "DiscardMergePolicy" => Some(MergePolicy::Discard),
            other => {
                ignored.push(format!(
                    "{} ({} has no counterpart: the last writer wins)",
                    document.shown(&path("merge-policy")),
                    quoted(other)
                ));
                Some(MergePolicy::LastWriter)
            }
        };
    }
    if document.is_on(&path("map-store.enabled"), false)? {
        return Err(format!(
            "{} keeps the map in an external store, which is not supported: remove it, and let the application read and write that store",
            document.shown(&path("map-store"))
        ));
    }
    let protection = document.text(&path("split-brain-protection-ref"))?;
    for (key, inherited) in DEFAULTS {
        document.forget_default(&path(key), inherited);
    }
    Ok(Translation { entry, protection })
}

/// The limit and the eviction policy of a map. Only limits on memory have a counterpart.
fn eviction(
    document: &mut Document,
    name: &str,
    entry: &mut MapEntry,
    ignored: &mut Vec<String>,
) -> Result<(), String> {
    let path = |key: &str| format!("map[{name}].eviction.{key}");
    let policy = document.text(&path("eviction-policy"))?.unwrap_or_default();
    let bound = document.text(&path("max-size-policy"))?;
    let size = document.number(&path("size"), 0..=u64::from(u32::MAX))?.filter(|size| *size > 0);
    let policy = match policy.to_ascii_uppercase().as_str() {
        // Nothing is evicted, so the limit has no effect.
        "" | "NONE" => return Ok(()),
        "LRU" => Eviction::Lru,
        "LFU" => Eviction::Lfu,
        "RANDOM" => Eviction::Random,
        other => {
            return Err(format!(
                "{}: {:?} is not NONE, LRU, LFU or RANDOM",
                document.shown(&path("eviction-policy")),
                quoted(other)
            ));
        }
    };
    let Some(size) = size else { return Ok(()) };
    match bound.as_deref() {
        Some("USED_HEAP_SIZE" | "USED_NATIVE_MEMORY_SIZE") => {
            entry.memory_mib = Some(size);
            entry.eviction = Some(policy);
        }
        bound => ignored.push(format!(
            "{} (a bound by {} has no counterpart; set memory-mib for a memory limit)",
            document.shown(&format!("map[{name}].eviction")),
            quoted(bound.unwrap_or("PER_NODE"))
        )),
    }
    Ok(())
}

/// The number of members that a rule requires; 0 when it is disabled or unknown.
fn protection(document: &mut Document, name: &str) -> Result<u64, String> {
    for path in
        [format!("split-brain-protection[{name}]"), format!("split-brain-protection.{name}")]
    {
        if document.is_on(&format!("{path}.enabled"), false)? {
            let size = document.number(&format!("{path}.minimum-cluster-size"), 1..=1_000_000)?;
            return Ok(size.unwrap_or(0));
        }
    }
    Ok(0)
}

/// The differences of a map's entry from the default entry, from which maps inherit in Convoke; in
/// Hazelcast a map inherits nothing.
fn differences_from(inherited: &MapEntry, own: &MapEntry) -> MapEntry {
    fn differing<T: Copy + PartialEq>(
        own: Option<T>,
        inherited: Option<T>,
        default: T,
    ) -> Option<T> {
        let own = own.unwrap_or(default);
        (own != inherited.unwrap_or(default)).then_some(own)
    }
    MapEntry {
        backups: differing(own.backups, inherited.backups, BACKUPS),
        async_backups: differing(own.async_backups, inherited.async_backups, 0),
        ttl_s: differing(own.ttl_s, inherited.ttl_s, 0),
        max_idle_s: differing(own.max_idle_s, inherited.max_idle_s, 0),
        memory_mib: differing(own.memory_mib, inherited.memory_mib, 0),
        eviction: own.eviction,
        merge: differing(own.merge, inherited.merge, MERGE),
        statistics: own.statistics.or(inherited.statistics.map(|_| false)),
        format: own.format.or(inherited.format),
    }
}
