//! The settings of maps, from the `[maps]` tables.

use std::collections::BTreeMap;

use convoke_gateway::resp::{DATABASE_MAP_PREFIX, DATABASES, is_database_map};
use convoke_grid::map::{BACKUPS_MAX, Eviction, MAP_NAME_BYTES_MAX};
use convoke_grid::{MAPS_MAX, MapCatalog, MapSettings};

use super::error::SettingsError;
use super::tables::MapEntry;

/// The `[maps]` name whose settings apply to maps without settings of their own.
pub(super) const DEFAULT_MAP: &str = "*";

/// The settings of all maps.
pub(super) fn catalog(entries: &BTreeMap<String, MapEntry>) -> Result<MapCatalog, SettingsError> {
    if entries.len() > MAPS_MAX {
        return Err(SettingsError(format!("[maps]: more than {MAPS_MAX} maps")));
    }
    let default = match entries.get(DEFAULT_MAP) {
        Some(entry) => entry.settings(DEFAULT_MAP, &MapSettings::default())?,
        None => MapSettings::default(),
    };
    let mut named = Vec::new();
    for (name, entry) in entries.iter().filter(|(name, _)| *name != DEFAULT_MAP) {
        if name.is_empty() || name.len() > MAP_NAME_BYTES_MAX {
            return Err(SettingsError(format!(
                "[maps.{name:?}]: a map's name has 1 to {MAP_NAME_BYTES_MAX} bytes"
            )));
        }
        check_database(name)?;
        named.push((name.clone(), entry.settings(name, &default)?));
    }
    Ok(MapCatalog { defaults: default, named })
}

/// Refuses the name of a database of Redis clients that does not exist.
fn check_database(name: &str) -> Result<(), SettingsError> {
    let is_pattern = name.contains('*');
    if is_pattern || !name.starts_with(DATABASE_MAP_PREFIX) || is_database_map(name) {
        return Ok(());
    }
    Err(SettingsError(format!(
        "[maps.{name:?}]: there is no such database; they are {DATABASE_MAP_PREFIX}0 to {DATABASE_MAP_PREFIX}{}",
        DATABASES - 1
    )))
}

impl MapEntry {
    /// Checks the resolved settings of a map.
    pub(super) fn check_eviction(
        &self,
        name: &str,
        settings: &MapSettings,
    ) -> Result<(), SettingsError> {
        let evicts = self.eviction.is_some_and(|eviction| eviction != Eviction::None);
        if evicts && settings.memory_bytes_max.is_none() {
            return Err(SettingsError(format!(
                "[maps.{name:?}]: eviction needs a memory limit: set memory-mib as well"
            )));
        }
        Ok(())
    }

    /// The settings of a map; keys that are not set are taken from `default`.
    fn settings(&self, name: &str, default: &MapSettings) -> Result<MapSettings, SettingsError> {
        let refused =
            |key: &str, why: &str| Err(SettingsError(format!("[maps.{name:?}]: {key} {why}")));
        for (key, backups) in [("backups", self.backups), ("async-backups", self.async_backups)] {
            if backups.is_some_and(|backups| backups > BACKUPS_MAX) {
                return refused(key, &format!("is more than {BACKUPS_MAX}"));
            }
        }
        for (key, number) in [
            ("ttl-s", self.ttl_s),
            ("max-idle-s", self.max_idle_s),
            ("memory-mib", self.memory_mib),
        ] {
            if number.is_some_and(|number| number > u64::from(u32::MAX)) {
                return refused(key, &format!("is more than {}", u32::MAX));
            }
        }
        // 0 means no limit, for a map whose default has one.
        let limit = |own: Option<u64>, scale: u64, default: Option<u64>| match own {
            Some(0) => None,
            Some(own) => Some(own * scale),
            None => default,
        };
        let memory_bytes_max = limit(self.memory_mib, 1 << 20, default.memory_bytes_max);
        Ok(MapSettings {
            backups: self.backups.unwrap_or(default.backups),
            async_backups: self.async_backups.unwrap_or(default.async_backups),
            ttl_ms: limit(self.ttl_s, 1_000, default.ttl_ms),
            max_idle_ms: limit(self.max_idle_s, 1_000, default.max_idle_ms),
            memory_bytes_max,
            eviction: self.eviction.unwrap_or(default.eviction),
            merge: self.merge.unwrap_or(default.merge),
            statistics: self.statistics.unwrap_or(default.statistics),
            format: self.format.unwrap_or(default.format),
        })
    }

    /// An entry with all of these settings.
    pub(super) fn of(settings: &MapSettings) -> Self {
        let MapSettings {
            backups,
            async_backups,
            ttl_ms,
            max_idle_ms,
            memory_bytes_max,
            eviction,
            merge,
            statistics,
            format,
        } = *settings;
        let whole = |limit: Option<u64>, scale: u64| Some(limit.map_or(0, |limit| limit / scale));
        Self {
            backups: Some(backups),
            async_backups: Some(async_backups),
            ttl_s: whole(ttl_ms, 1_000),
            max_idle_s: whole(max_idle_ms, 1_000),
            memory_mib: whole(memory_bytes_max, 1 << 20),
            eviction: Some(eviction),
            merge: Some(merge),
            statistics: Some(statistics),
            format: Some(format),
        }
    }
}
