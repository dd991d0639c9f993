//! Settings of data and clients.

use std::time::Duration;

use convoke_gateway::notifications::EventMask;
use convoke_gateway::trust::Passwords;
use convoke_grid::MapCatalog;
use convoke_membership::Terms;
use zeroize::Zeroizing;

use super::agreed::{self, PARTITIONS_MAX};
use super::error::SettingsError;
use super::maps::catalog;
use super::options::Options;
use super::secrets;

const PARTITIONS: u16 = 271;
const RESP_PORT: u16 = 6379;
const HAZELCAST_PORT: u16 = 5701;
const CLIENTS_MAX: u32 = 10_000;

/// Settings of the stored data.
#[derive(Debug)]
pub(crate) struct DataSettings {
    pub(crate) partitions: u16,
    pub(crate) min_members: u32,
    pub(crate) catalog: MapCatalog,
    /// Those of these settings on which members must agree.
    pub(crate) terms: Terms,
}

/// Settings of access by clients.
#[derive(Debug)]
pub(crate) struct ClientSettings {
    /// `None` when RESP is turned off.
    pub(crate) resp_port: Option<u16>,
    /// `None` when no port is opened for clients of Hazelcast.
    pub(crate) hazelcast_port: Option<u16>,
    pub(crate) password: Zeroizing<Vec<u8>>,
    read_only_password: Zeroizing<Vec<u8>>,
    /// Keyspace notifications that are published unless a client changes the setting.
    pub(crate) notifications: EventMask,
    pub(crate) clients_max: u32,
    pub(crate) idle: Option<Duration>,
    pub(crate) redis_cluster: bool,
}

impl DataSettings {
    pub(super) fn resolve(
        options: &Options,
        place: impl Fn(&str) -> String,
    ) -> Result<Self, SettingsError> {
        let partitions = options.partitions.unwrap_or(PARTITIONS);
        if !(1..=PARTITIONS_MAX).contains(&partitions) {
            return Err(SettingsError(format!(
                "{} is {partitions}; expected 1 to {PARTITIONS_MAX}, the same on all members",
                place("partitions")
            )));
        }
        let min_members = options.min_members.unwrap_or(1);
        if min_members == 0 {
            let place = place("min-members");
            return Err(SettingsError(format!("{place} is 0; expected 1 or more members")));
        }
        let catalog = catalog(&options.maps)?;
        for (name, entry) in &options.maps {
            entry.check_eviction(name, catalog.of(name))?;
        }
        Ok(Self {
            partitions,
            min_members,
            terms: agreed::terms(
                partitions,
                options.partitions.is_some(),
                &options.maps,
                &catalog.defaults,
                options.change_maps.unwrap_or(false),
            ),
            catalog,
        })
    }
}

impl ClientSettings {
    /// The passwords of clients.
    pub(crate) fn passwords(&self) -> Passwords {
        Passwords::new(&self.password, &self.read_only_password)
    }

    /// Who may use the data.
    pub(crate) fn access(&self) -> &'static str {
        match (self.password.is_empty(), self.read_only_password.is_empty()) {
            (true, _) => "clients on this machine, as no client password is set",
            (false, true) => "clients with the client password",
            (false, false) => "clients with the client password, or that of the user readonly",
        }
    }

    pub(super) fn resolve(
        options: &Options,
        place: impl Fn(&str) -> String,
    ) -> Result<Self, SettingsError> {
        let password = secrets::password(
            "client-password",
            &place("client-password"),
            options.client_password.clone(),
            options.client_password_file.clone(),
        )?;
        let read_only_password = secrets::password(
            "client-read-only-password",
            &place("client-read-only-password"),
            options.client_read_only_password.clone(),
            options.client_read_only_password_file.clone(),
        )?;
        if password.is_empty() && !read_only_password.is_empty() {
            return Err(SettingsError(
                "client-read-only-password is set without client-password, so any client would have full access; set both".into(),
            ));
        }
        let resp_port = options.resp_port.unwrap_or(RESP_PORT);
        let hazelcast_port = options.hazelcast_port.unwrap_or(HAZELCAST_PORT);
        let clients_max = options.max_clients.unwrap_or(CLIENTS_MAX);
        if clients_max == 0 {
            return Err(SettingsError(format!(
                "{} is 0; to accept no clients, set resp-port and hazelcast-port to 0",
                place("max-clients")
            )));
        }
        let letters = options.notify_keyspace_events.as_deref().unwrap_or_default();
        let notifications = EventMask::parse(letters).ok_or_else(|| {
            SettingsError(format!(
                "{} is {letters:?}: {}",
                place("notify-keyspace-events"),
                EventMask::EXPECTED
            ))
        })?;
        let idle_s = options.client_idle_s.unwrap_or(0);
        Ok(Self {
            resp_port: (resp_port > 0).then_some(resp_port),
            hazelcast_port: (hazelcast_port > 0).then_some(hazelcast_port),
            password,
            read_only_password,
            notifications,
            clients_max,
            idle: (idle_s > 0).then(|| Duration::from_secs(idle_s.into())),
            redis_cluster: options.redis_cluster.unwrap_or(false),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use convoke_grid::map::Eviction;

    use super::super::tables::MapEntry;
    use super::*;

    fn read(text: &str) -> Result<MapCatalog, String> {
        let entries: BTreeMap<String, MapEntry> =
            toml::from_str(text).map_err(|e| e.to_string())?;
        let data =
            DataSettings::resolve(&Options { maps: entries, ..Options::default() }, str::to_owned);
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
        for (text, fragment) in [
            ("[a]\nbackups = 7", "[maps.\"a\"]: backups is more than 6"),
            ("[a]\neviction = \"lru\"", "set memory-mib as well"),
            ("[a]\nmerge = \"best\"", "unknown variant `best`"),
            ("[a]\nbackup = 1", "unknown field `backup`"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(fragment), "{text}: {error}");
        }
    }
}
