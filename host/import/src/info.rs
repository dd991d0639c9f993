//! What `INFO` says of a server.

use std::collections::BTreeMap;

use crate::client::{Connection, Requests, text_of};
use crate::trouble::Trouble;

/// The fields of all sections of `INFO`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Info(BTreeMap<String, String>);

impl Info {
    /// Parses lines of the form `name:value`. Others are skipped.
    fn parse(text: &str) -> Self {
        let fields = text.lines().filter_map(|line| line.split_once(':'));
        Self(fields.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect())
    }

    pub(crate) async fn of(connection: &mut Connection) -> Result<Self, Trouble> {
        let reply = connection.call(&Requests::from(["INFO"])).await?;
        match reply.text() {
            Some(text) => Ok(Self::parse(&String::from_utf8_lossy(text))),
            None => Err(Trouble::Final(format!("INFO is refused: {}", text_of(&reply)))),
        }
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    fn is_set(&self, name: &str) -> bool {
        self.get(name) == Some("1")
    }

    /// Product and version, such as `Valkey 8.1.4`.
    pub(crate) fn product(&self) -> String {
        let products = [
            ("convoke_version", "Convoke"),
            ("valkey_version", "Valkey"),
            ("dragonfly_version", "Dragonfly"),
            ("redis_version", "Redis"),
        ];
        let found = products.iter().find_map(|(field, name)| Some((name, self.get(field)?)));
        found.map_or_else(|| "unknown".to_owned(), |(name, version)| format!("{name} {version}"))
    }

    /// Whether the server is a member of a Convoke cluster.
    pub(crate) fn is_member(&self) -> bool {
        self.get("convoke_version").is_some()
    }

    /// Identifies the process: another one has other cursors.
    pub(crate) fn run_id(&self) -> Option<&str> {
        self.get("run_id")
    }

    pub(crate) fn is_cluster(&self) -> bool {
        self.is_set("cluster_enabled") || self.get("redis_mode") == Some("cluster")
    }

    pub(crate) fn is_sentinel(&self) -> bool {
        self.get("redis_mode") == Some("sentinel")
    }

    pub(crate) fn is_loading(&self) -> bool {
        self.is_set("loading") || self.is_set("async_loading")
    }

    /// Whether the server is a replica that has lost its primary, or is still copying from it.
    pub(crate) fn is_stale_replica(&self) -> bool {
        self.get("master_link_status") == Some("down")
    }

    /// The databases that have keys, with the numbers of keys.
    pub(crate) fn databases(&self) -> Vec<(u16, u64)> {
        let database = |(name, value): (&String, &String)| {
            let number = name.strip_prefix("db")?.parse().ok()?;
            let keys = value.strip_prefix("keys=")?.split(',').next()?.parse().ok()?;
            Some((number, keys))
        };
        let mut all: Vec<(u16, u64)> = self.0.iter().filter_map(database).collect();
        all.sort_unstable();
        all.retain(|(_, keys)| *keys > 0);
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# Server\r\nredis_version:7.2.4\r\nvalkey_version:8.1.4\r\nrun_id:4f2a\r\n\
        redis_mode:standalone\r\n\r\n# Replication\r\nmaster_link_status:down\r\n\
        # Keyspace\r\ndb10:keys=7,expires=0,avg_ttl=0\r\ndb2:keys=3,expires=1,avg_ttl=5\r\n\
        db3:keys=0,expires=0\r\n";

    #[test]
    fn fields_are_found_in_any_section() {
        let info = Info::parse(TEXT);
        assert_eq!(info.product(), "Valkey 8.1.4");
        assert_eq!(info.run_id(), Some("4f2a"));
        assert_eq!(info.databases(), [(2, 3), (10, 7)]);
        assert!(info.is_stale_replica() && !info.is_cluster() && !info.is_loading());
        assert!(!info.is_member() && !info.is_sentinel());
    }

    #[test]
    fn fuzz_info() {
        convoke_harness::check!(&[TEXT, "cluster_enabled:1\ndb0:keys=1"], |bytes| {
            let info = Info::parse(&String::from_utf8_lossy(bytes));
            let databases = info.databases();
            assert!(databases.is_sorted() && databases.iter().all(|(_, keys)| *keys > 0));
            assert!(!info.product().is_empty());
        });
    }
}
