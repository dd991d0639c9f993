//! Settings of data and clients.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use convoke_gateway::notifications::EventMask;
use convoke_gateway::trust::Passwords;
use convoke_grid::map::{BACKUPS_MAX, Eviction, MAP_NAME_BYTES_MAX, MergePolicy};
use convoke_grid::{MAPS_MAX, MapCatalog, MapSettings};
use convoke_membership::Terms;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::SettingsError;
use super::agreed;
use super::cli::Options;
use super::file::File;

/// Partitions of a cluster, at most.
pub(super) const PARTITIONS_MAX: u16 = 16_384;
const PARTITIONS: u16 = 271;
const RESP_PORT: u16 = 6379;
const CLIENTS_MAX: u32 = 10_000;
/// The `[maps]` name whose settings apply to maps without settings of their own.
pub(super) const DEFAULT_MAP: &str = "*";

/// What a member stores.
#[derive(Debug)]
pub(crate) struct DataSettings {
    pub(crate) partitions: u16,
    pub(crate) min_members: u32,
    pub(crate) catalog: MapCatalog,
    /// Those settings on which members must agree.
    pub(crate) terms: Terms,
}

/// What clients may do.
#[derive(Debug)]
pub(crate) struct ClientSettings {
    /// `None` when RESP is turned off.
    pub(crate) resp_port: Option<u16>,
    pub(crate) password: Zeroizing<Vec<u8>>,
    read_only_password: Zeroizing<Vec<u8>>,
    /// Keyspace notifications that are published until a client changes them.
    pub(crate) notifications: EventMask,
    pub(crate) clients_max: u32,
    pub(crate) idle: Option<Duration>,
    pub(crate) redis_cluster: bool,
}

/// A `[maps.NAME]` table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct MapEntry {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) backups: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) async_backups: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ttl_s: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) max_idle_s: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) memory_mib: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) eviction: Option<Eviction>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) merge: Option<MergePolicy>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) statistics: Option<bool>,
}

impl DataSettings {
    pub(super) fn resolve(options: &Options, file: &File) -> Result<Self, SettingsError> {
        let given = options.partitions.or(file.partitions);
        let partitions = given.unwrap_or(PARTITIONS);
        if !(1..=PARTITIONS_MAX).contains(&partitions) {
            return Err(SettingsError(format!(
                "partitions is {partitions}; expected 1 to {PARTITIONS_MAX}, the same on all members"
            )));
        }
        let catalog = catalog(&file.maps)?;
        for (name, entry) in &file.maps {
            entry.check_eviction(name, catalog.of(name))?;
        }
        Ok(Self {
            partitions,
            min_members: options.min_members.or(file.min_members).unwrap_or(1),
            terms: agreed::terms(
                partitions,
                given.is_some(),
                &file.maps,
                &catalog.defaults,
                options.change_maps.or(file.change_maps).unwrap_or(false),
            ),
            catalog,
        })
    }
}

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
        named.push((name.clone(), entry.settings(name, &default)?));
    }
    Ok(MapCatalog { defaults: default, named })
}

impl MapEntry {
    /// Checks the resolved settings of a map.
    fn check_eviction(&self, name: &str, settings: &MapSettings) -> Result<(), SettingsError> {
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
        })
    }
}

/// A password, or the file that contains it.
type Secret = (Option<String>, Option<PathBuf>);

impl ClientSettings {
    /// The passwords of clients.
    pub(crate) fn passwords(&self) -> Passwords {
        Passwords::new(&self.password, &self.read_only_password)
    }

    pub(super) fn resolve(
        options: &Options,
        file: &File,
        password_from_options: Secret,
    ) -> Result<Self, SettingsError> {
        let secret = |what: &str, own: Secret, other: Secret| {
            super::password(what, if own == (None, None) { other } else { own })
        };
        let password = secret(
            "client-password",
            password_from_options,
            (file.client_password.clone(), file.client_password_file.clone()),
        )?;
        let read_only_password = secret(
            "client-read-only-password",
            (None, None),
            (file.client_read_only_password.clone(), file.client_read_only_password_file.clone()),
        )?;
        if password.is_empty() && !read_only_password.is_empty() {
            return Err(SettingsError(
                "client-read-only-password is set without client-password, so any client would have full access; set both".into(),
            ));
        }
        let resp_port = options.resp_port.or(file.resp_port).unwrap_or(RESP_PORT);
        let clients_max = options.max_clients.or(file.max_clients).unwrap_or(CLIENTS_MAX);
        if clients_max == 0 {
            return Err(SettingsError(
                "max-clients is 0; to turn RESP off, set resp-port to 0".into(),
            ));
        }
        let letters = options.notify_keyspace_events.as_ref();
        let letters = letters.or(file.notify_keyspace_events.as_ref()).map_or("", String::as_str);
        let notifications = EventMask::parse(letters).ok_or_else(|| {
            SettingsError(format!("notify-keyspace-events is {letters:?}: {}", EventMask::EXPECTED))
        })?;
        let idle_s = options.client_idle_s.or(file.client_idle_s).unwrap_or(0);
        Ok(Self {
            resp_port: (resp_port > 0).then_some(resp_port),
            password,
            read_only_password,
            notifications,
            clients_max,
            idle: (idle_s > 0).then(|| Duration::from_secs(idle_s.into())),
            redis_cluster: options.redis_cluster.or(file.redis_cluster).unwrap_or(false),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<MapCatalog, String> {
        let entries: BTreeMap<String, MapEntry> =
            toml::from_str(text).map_err(|e| e.to_string())?;
        let file = File { maps: entries, ..File::default() };
        let data = DataSettings::resolve(&Options::default(), &file);
        data.map(|data| data.catalog).map_err(|error| error.to_string())
    }

    #[test]
    fn maps_inherit_unset_keys_from_the_default() {
        let catalog = read("[\"*\"]\nbackups = 2\n[sessions]\nttl-s = 60\n[\"cache-*\"]\nbackups = 0\nmemory-mib = 8\neviction = \"lfu\"\n").unwrap();
        assert_eq!(catalog.defaults.backups, 2);
        assert_eq!(catalog.of("sessions").backups, 2);
        assert_eq!(catalog.of("sessions").ttl_ms, Some(60_000));
        assert_eq!(catalog.of("cache-a").memory_bytes_max, Some(8 << 20));
        assert_eq!(catalog.of("cache-a").eviction, Eviction::Lfu);
    }

    #[test]
    fn zero_removes_a_limit_of_the_default() {
        let catalog = read(
            "[\"*\"]\nttl-s = 60\nmax-idle-s = 5\nmemory-mib = 8\n\
             [carts]\nttl-s = 0\nmax-idle-s = 0\nmemory-mib = 0\n",
        );
        let carts = *catalog.unwrap().of("carts");
        assert_eq!((carts.ttl_ms, carts.max_idle_ms, carts.memory_bytes_max), (None, None, None));
    }

    #[test]
    fn invalid_settings_are_refused_by_name() {
        for (text, words) in [
            ("[a]\nbackups = 7", "[maps.\"a\"]: backups is more than 6"),
            ("[a]\neviction = \"lru\"", "set memory-mib as well"),
            ("[a]\nmerge = \"best\"", "unknown variant `best`"),
            ("[a]\nbackup = 1", "unknown field `backup`"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
