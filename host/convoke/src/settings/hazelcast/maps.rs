//! Maps: what Hazelcast's settings of a map have a counterpart for.

use convoke_grid::map::{BACKUPS_MAX, Eviction, MergePolicy};

use super::super::data::MapEntry;
use super::super::file::File;
use super::document::{Document, one_line};

/// The settings of maps that have none of their own: theirs, and ours.
const THEIR_USUAL: &str = "default";
const OUR_USUAL: &str = "*";

/// What an unnamed setting of a map is there, in each map: none has another's.
const BACKUPS: u8 = 1;
const MERGE: MergePolicy = MergePolicy::PutIfAbsent;

/// Settings that change nothing here, where they are as Hazelcast has them anyway.
const DEFAULTS: [(&str, &str); 6] = [
    ("in-memory-format", "BINARY"),
    ("read-backup-data", "false"),
    ("statistics-enabled", "true"),
    ("cache-deserialized-values", "INDEX-ONLY"),
    ("metadata-policy", "CREATE_ON_UPDATE"),
    ("merge-policy.batch-size", "100"),
];

/// What one map says.
struct Said {
    /// As an entry of our own; 0 is no limit.
    entry: MapEntry,
    /// The rule of how many members a map needs, by its name.
    protection: Option<String>,
}

/// Maps, and how many members they need.
pub(super) fn translate(
    document: &mut Document,
    file: &mut File,
    ignored: &mut Vec<String>,
) -> Result<(), String> {
    let named = document.names_below("");
    let mut maps = Vec::new();
    let named = named.iter().filter_map(|name| name.strip_prefix("map[")?.strip_suffix(']'));
    let named = named.map(str::to_owned).chain(document.names_of_overrides("map"));
    for name in named.collect::<Vec<_>>() {
        let said = read(document, &name, ignored)?;
        maps.push((name, said));
    }
    let usual_name = usual_name(&maps);
    let mut members = 0;
    for (name, said) in &maps {
        let Some(rule) = &said.protection else { continue };
        let needed = protection(document, rule)?;
        members = members.max(needed);
        if needed > 1 && name != usual_name {
            ignored.push(format!(
                "{} (min-members is {needed}, and holds for all maps)",
                document.shown(&format!("map[{name}].split-brain-protection-ref"))
            ));
        }
    }
    if members > 1 {
        file.min_members = u32::try_from(members).ok();
    }
    let usual = maps.iter().find(|(name, _)| name == usual_name);
    let usual = usual.map(|(_, said)| said.entry.clone()).unwrap_or_default();
    for (name, Said { entry, .. }) in &maps {
        if name != usual_name {
            file.maps.insert(name.clone(), beside(&usual, entry));
        }
    }
    // One that says nothing of its own is still none of those that another pattern fits.
    let patterns: Vec<String> =
        file.maps.keys().filter(|name| name.contains('*')).cloned().collect();
    file.maps.retain(|name, entry| {
        *entry != MapEntry::default() || patterns.iter().any(|pattern| pattern != name)
    });
    // No limit is what there is without one.
    let limit = |limit: Option<u64>| limit.filter(|limit| *limit > 0);
    let usual = MapEntry {
        ttl_s: limit(usual.ttl_s),
        max_idle_s: limit(usual.max_idle_s),
        merge: Some(usual.merge.unwrap_or(MERGE)),
        ..usual
    };
    file.maps.insert(OUR_USUAL.to_owned(), usual);
    Ok(())
}

/// The map whose settings those have that are not named: a pattern that fits all comes first.
fn usual_name(maps: &[(String, Said)]) -> &'static str {
    if maps.iter().any(|(name, _)| name == OUR_USUAL) { OUR_USUAL } else { THEIR_USUAL }
}

fn read(document: &mut Document, name: &str, ignored: &mut Vec<String>) -> Result<Said, String> {
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
                    one_line(other)
                ));
                Some(MergePolicy::LastWriter)
            }
        };
    }
    if document.is_on(&path("map-store.enabled"), false)? {
        return Err(format!(
            "{} keeps the map in another store, and nothing here does: take it out, and let the application read and write that store",
            document.shown(&path("map-store"))
        ));
    }
    let protection = document.text(&path("split-brain-protection-ref"))?;
    for (key, usual) in DEFAULTS {
        document.forget_default(&path(key), usual);
    }
    Ok(Said { entry, protection })
}

/// A bound of a map, and what goes at it: here a bound is one of memory.
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
        // Nothing goes, and the bound means nothing.
        "" | "NONE" => return Ok(()),
        "LRU" => Eviction::Lru,
        "LFU" => Eviction::Lfu,
        "RANDOM" => Eviction::Random,
        other => {
            return Err(format!(
                "{}: {:?} is not NONE, LRU, LFU or RANDOM",
                document.shown(&path("eviction-policy")),
                one_line(other)
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
            "{} (a bound by {} has no counterpart; set memory-mib for one by memory)",
            document.shown(&format!("map[{name}].eviction")),
            one_line(bound.unwrap_or("PER_NODE"))
        )),
    }
    Ok(())
}

/// How many members a rule asks for; 0 when it is off or unknown.
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

/// A map's own entry where it differs from the usual one, which it has the rest from here:
/// there, no map has another's settings.
fn beside(usual: &MapEntry, own: &MapEntry) -> MapEntry {
    fn differing<T: Copy + PartialEq>(own: Option<T>, usual: Option<T>, default: T) -> Option<T> {
        let own = own.unwrap_or(default);
        (own != usual.unwrap_or(default)).then_some(own)
    }
    MapEntry {
        backups: differing(own.backups, usual.backups, BACKUPS),
        async_backups: differing(own.async_backups, usual.async_backups, 0),
        ttl_s: differing(own.ttl_s, usual.ttl_s, 0),
        max_idle_s: differing(own.max_idle_s, usual.max_idle_s, 0),
        memory_mib: differing(own.memory_mib, usual.memory_mib, 0),
        eviction: own.eviction,
        merge: differing(own.merge, usual.merge, MERGE),
        statistics: own.statistics.or(usual.statistics.map(|_| false)),
    }
}
