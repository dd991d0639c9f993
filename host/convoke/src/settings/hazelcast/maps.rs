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

/// Settings that change nothing here, where they are as Hazelcast has them anyway.
const DEFAULTS: [(&str, &str); 8] = [
    ("in-memory-format", "BINARY"),
    ("read-backup-data", "false"),
    ("statistics-enabled", "true"),
    ("cache-deserialized-values", "INDEX-ONLY"),
    ("metadata-policy", "CREATE_ON_UPDATE"),
    ("max-idle-seconds", "0"),
    ("time-to-live-seconds", "0"),
    ("merge-policy.batch-size", "100"),
];

/// What one map says.
#[derive(Default)]
struct Said {
    backups: Option<u8>,
    async_backups: Option<u8>,
    ttl_s: Option<u64>,
    max_idle_s: Option<u64>,
    memory_mib: Option<u64>,
    eviction: Option<Eviction>,
    merge: Option<MergePolicy>,
    statistics: Option<bool>,
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
    for name in named.iter().filter_map(|name| name.strip_prefix("map[")?.strip_suffix(']')) {
        maps.push((name.to_owned(), read(document, name, ignored)?));
    }
    let mut members = 0;
    for (_, said) in &maps {
        if let Some(name) = &said.protection {
            members = members.max(protection(document, name)?);
        }
    }
    if members > 1 {
        file.min_members = u32::try_from(members).ok();
    }
    let usual = maps.iter().find(|(name, _)| name == THEIR_USUAL).map(|(_, said)| said);
    let none = Said::default();
    let usual = usual.unwrap_or(&none);
    for (name, said) in &maps {
        let is_usual = name == THEIR_USUAL;
        let name = if is_usual { OUR_USUAL } else { name };
        file.maps.insert(name.to_owned(), said.entry((!is_usual).then_some(usual)));
    }
    file.maps.retain(|_, entry| *entry != MapEntry::default());
    Ok(())
}

fn read(document: &mut Document, name: &str, ignored: &mut Vec<String>) -> Result<Said, String> {
    let path = |key: &str| format!("map[{name}].{key}");
    let backups = 0..=u64::from(BACKUPS_MAX);
    let small = |number: Option<u64>| number.and_then(|number| u8::try_from(number).ok());
    let seconds = 0..=u64::from(u32::MAX);
    let mut said = Said {
        backups: small(document.number(&path("backup-count"), backups.clone())?),
        async_backups: small(document.number(&path("async-backup-count"), backups)?),
        ttl_s: document.number(&path("time-to-live-seconds"), seconds.clone())?,
        max_idle_s: document.number(&path("max-idle-seconds"), seconds)?,
        ..Said::default()
    };
    if document.is_on(&path("per-entry-stats-enabled"), false)? {
        said.statistics = Some(true);
    }
    eviction(document, name, &mut said, ignored)?;
    let policy = match document.text(&path("merge-policy"))? {
        Some(policy) => Some(policy),
        None => document.text(&path("merge-policy.class-name"))?,
    };
    if let Some(policy) = policy {
        said.merge = match policy.rsplit('.').next().unwrap_or_default() {
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
                None
            }
        };
    }
    said.protection = document.text(&path("split-brain-protection-ref"))?;
    for (key, usual) in DEFAULTS {
        document.forget_default(&path(key), usual);
    }
    Ok(said)
}

/// A bound of a map, and what goes at it: here a bound is one of memory.
fn eviction(
    document: &mut Document,
    name: &str,
    said: &mut Said,
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
            said.memory_mib = Some(size);
            said.eviction = Some(policy);
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

impl Said {
    /// As an entry of our own, which has what it does not say from the usual one.
    fn entry(&self, usual: Option<&Self>) -> MapEntry {
        let mut entry = MapEntry {
            backups: self.backups,
            async_backups: self.async_backups,
            ttl_s: self.ttl_s,
            max_idle_s: self.max_idle_s,
            memory_mib: self.memory_mib,
            eviction: self.eviction,
            merge: self.merge,
            statistics: self.statistics,
        };
        let Some(usual) = usual else {
            // No limit is what there is without one.
            for limit in [&mut entry.ttl_s, &mut entry.max_idle_s] {
                *limit = limit.filter(|limit| *limit > 0);
            }
            return entry;
        };
        let unless_usual = |own: Option<u8>, usual: Option<u8>, default: u8| {
            let own = own.unwrap_or(default);
            (own != usual.unwrap_or(default)).then_some(own)
        };
        entry.backups = unless_usual(self.backups, usual.backups, BACKUPS);
        entry.async_backups = unless_usual(self.async_backups, usual.async_backups, 0);
        let limit = |own: Option<u64>, usual: Option<u64>| {
            let own = own.unwrap_or(0);
            (own != usual.unwrap_or(0)).then_some(own)
        };
        entry.ttl_s = limit(self.ttl_s, usual.ttl_s);
        entry.max_idle_s = limit(self.max_idle_s, usual.max_idle_s);
        entry.memory_mib = limit(self.memory_mib, usual.memory_mib);
        if usual.merge.is_some() && self.merge.is_none() {
            entry.merge = Some(MergePolicy::PutIfAbsent);
        }
        if usual.statistics == Some(true) && self.statistics.is_none() {
            entry.statistics = Some(false);
        }
        entry
    }
}
