//! Every setting that can be given, once: the command line and the environment (clap) and the file
//! (serde) fill the same struct, and [`Options::over`] combines two of them.
//!
//! A flat struct: with `#[serde(flatten)]`, the errors of a file would have no line, and unknown
//! keys would be accepted.

#![expect(rustdoc::broken_intra_doc_links, reason = "the texts are those of --help")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use clap::builder::RangedI64ValueParser;
use serde::{Deserialize, Serialize};

use super::tables::{Discovery, MapEntry, OneOrMore};

/// A display order after that of any other option.
const LAST: usize = 998;

/// The settings of one source, or of several. Each is `None` unless it was given; an unknown key of
/// a file is an error, which lists the keys in this order.
#[derive(Clone, Debug, Default, Args, Deserialize, Serialize)]
#[command(next_line_help = false, next_help_heading = "Options of a member")]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Options {
    /// How to find members: multicast[:GROUP:PORT], tcpip:LIST, dns:NAMES,
    /// kubernetes[:NAMESPACE,SERVICE], domain:HOST[:PORT] or auto. May be repeated [default:
    /// multicast]
    #[arg(
        long,
        global = true,
        value_name = "MODE[:ARG]",
        env = "CONVOKE_CLUSTER_MODE",
        value_delimiter = '\n'
    )]
    #[serde(deserialize_with = "OneOrMore::list")]
    pub(crate) cluster_mode: Option<Vec<String>>,
    /// Multicast group [default: 224.2.2.4, or ff15::2904 on an IPv6 interface]
    #[arg(long, global = true, value_name = "GROUP", env = "CONVOKE_MC_ADDRESS")]
    pub(crate) mc_address: Option<String>,
    /// Multicast port [default: 2904]
    #[arg(long, global = true, value_name = "PORT", env = "CONVOKE_MC_PORT", value_parser = port())]
    pub(crate) mc_port: Option<u16>,
    /// Multicast TTL: 1 for the local network, 0 for this host only [default: 32]
    #[arg(long, global = true, value_name = "HOPS", env = "CONVOKE_MC_TTL")]
    pub(crate) mc_ttl: Option<u8>,
    /// First member port to try; if it is in use, the next ports are tried [default: 6900]
    #[arg(long, global = true, value_name = "PORT", env = "CONVOKE_START_PORT", value_parser = port())]
    pub(crate) start_port: Option<u16>,
    /// Number of member ports to try, counting the first [default: 100]
    #[arg(long, global = true, value_name = "COUNT", env = "CONVOKE_START_PORT_RANGE", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) start_port_range: Option<u16>,
    /// Cluster name; only members with the same name form a cluster [default: development]
    #[arg(long, global = true, value_name = "NAME", env = "CONVOKE_CLUSTER_NAME")]
    pub(crate) cluster_name: Option<String>,
    /// Cluster password; only members with the same password form a cluster. Other users of this
    /// host can read it in the process list: prefer the file or the environment variable
    #[arg(
        long,
        global = true,
        value_name = "PASSWORD",
        env = "CONVOKE_CLUSTER_PASSWORD",
        hide_env_values = true
    )]
    pub(crate) cluster_password: Option<String>,
    /// File that contains the cluster password; a trailing line break is ignored
    #[arg(long, global = true, value_name = "FILE", env = "CONVOKE_CLUSTER_PASSWORD_FILE")]
    pub(crate) cluster_password_file: Option<PathBuf>,
    /// Join the cluster and route requests, but store no data
    #[arg(long, global = true, env = "CONVOKE_LITE", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub(crate) lite: Option<bool>,
    /// Name of this member in lists [default: generated]
    #[arg(long, global = true, value_name = "NAME", env = "CONVOKE_NAME")]
    pub(crate) name: Option<String>,
    /// Group of this member in lists [default: convoke]
    #[arg(long, global = true, value_name = "GROUP", env = "CONVOKE_GROUP")]
    pub(crate) group: Option<String>,
    /// Addresses to bind and advertise, separated by commas: addresses, patterns such as 10.0.*.*,
    /// CIDR, fe80::5%eth1, interface names [default: chosen automatically; the log says why]
    #[arg(long, global = true, value_name = "LIST", env = "CONVOKE_INTERFACES")]
    pub(crate) interfaces: Option<OneOrMore>,
    /// Address that other members connect to, when it differs from the bound one (NAT, containers)
    #[arg(long, global = true, value_name = "HOST[:PORT]", env = "CONVOKE_PUBLIC_ADDRESS")]
    pub(crate) public_address: Option<String>,
    /// HTTP port: health, metrics, status [default: 8080]
    #[arg(long, global = true, value_name = "PORT", env = "CONVOKE_PORT", value_parser = port())]
    pub(crate) port: Option<u16>,
    /// If the HTTP port is in use, use the next free one
    #[arg(long, global = true, env = "CONVOKE_AUTO_BIND_HTTP", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub(crate) auto_bind_http: Option<bool>,
    /// Number of further ports that --auto-bind-http tries [default: 5]
    #[arg(long, global = true, value_name = "COUNT", env = "CONVOKE_AUTO_BIND_RANGE")]
    pub(crate) auto_bind_range: Option<u16>,
    /// Run a single member without discovery and member port
    // The last one in --help.
    #[arg(display_order = LAST, long, global = true, env = "CONVOKE_NO_CLUSTER", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub(crate) no_cluster: Option<bool>,
    /// RESP port, for Redis clients; if it is in use, the next 100 ports are tried. Loopback only,
    /// unless a client password is set. 0 turns RESP off [default: 6379]
    #[arg(long, global = true, value_name = "PORT", env = "CONVOKE_RESP_PORT")]
    pub(crate) resp_port: Option<u16>,
    /// Address that RESP clients connect to, when it differs from the member's address and RESP
    /// port (NAT, containers); reported to Redis Cluster clients. An omitted part keeps its value
    #[arg(long, global = true, value_name = "[HOST][:PORT]", env = "CONVOKE_RESP_PUBLIC_ADDRESS")]
    pub(crate) resp_public_address: Option<String>,
    /// Port for clients of Hazelcast; if it is in use, the next 100 ports are tried. Loopback only,
    /// unless a client password is set. 0 opens none [default: 5701]
    #[arg(long, global = true, value_name = "PORT", env = "CONVOKE_HAZELCAST_PORT")]
    pub(crate) hazelcast_port: Option<u16>,
    /// Address that clients of Hazelcast connect to, when it differs from the member's address and
    /// port for them (NAT, containers). An omitted part keeps its value
    #[arg(
        long,
        global = true,
        value_name = "[HOST][:PORT]",
        env = "CONVOKE_HAZELCAST_PUBLIC_ADDRESS"
    )]
    pub(crate) hazelcast_public_address: Option<String>,
    /// Address that HTTP clients connect to, when it differs from the member's address and HTTP
    /// port; shown in lists and on the pages of a domain server. An omitted part keeps its value
    #[arg(long, global = true, value_name = "[HOST][:PORT]", env = "CONVOKE_HTTP_PUBLIC_ADDRESS")]
    pub(crate) http_public_address: Option<String>,
    /// Password that clients need to use the data. Other users of this host can read
    /// it in the process list: prefer the file or the environment variable
    #[arg(
        long,
        global = true,
        value_name = "PASSWORD",
        env = "CONVOKE_CLIENT_PASSWORD",
        hide_env_values = true
    )]
    pub(crate) client_password: Option<String>,
    /// File that contains the client password
    #[arg(long, global = true, value_name = "FILE", env = "CONVOKE_CLIENT_PASSWORD_FILE")]
    pub(crate) client_password_file: Option<PathBuf>,
    /// Password of the user `readonly`, who may not change data. Other users of this host can read
    /// it in the process list: prefer the file or the environment variable
    #[arg(
        long,
        global = true,
        value_name = "PASSWORD",
        env = "CONVOKE_CLIENT_READ_ONLY_PASSWORD",
        hide_env_values = true
    )]
    pub(crate) client_read_only_password: Option<String>,
    /// File that contains the password of the user `readonly`
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "CONVOKE_CLIENT_READ_ONLY_PASSWORD_FILE"
    )]
    pub(crate) client_read_only_password_file: Option<PathBuf>,
    /// Keyspace notifications to publish, until changed with CONFIG SET: letters as in Redis, such
    /// as Ex [default: none]
    #[arg(long, global = true, value_name = "LETTERS", env = "CONVOKE_NOTIFY_KEYSPACE_EVENTS")]
    pub(crate) notify_keyspace_events: Option<String>,
    /// Maximum number of RESP clients, and of connections of Hazelcast clients [default: 10000]
    #[arg(long, global = true, value_name = "COUNT", env = "CONVOKE_MAX_CLIENTS")]
    pub(crate) max_clients: Option<u32>,
    /// Seconds after which an idle RESP client is disconnected; 0 means never [default: 0]
    #[arg(long, global = true, value_name = "SECONDS", env = "CONVOKE_CLIENT_IDLE_S")]
    pub(crate) client_idle_s: Option<u32>,
    /// Act as a node of a Redis Cluster: cluster-aware clients are redirected to the member that
    /// holds a key
    #[arg(long, global = true, env = "CONVOKE_REDIS_CLUSTER", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub(crate) redis_cluster: Option<bool>,
    /// Refuse writes while the cluster has fewer members than this [default: 1]
    #[arg(long, global = true, value_name = "COUNT", env = "CONVOKE_MIN_MEMBERS")]
    pub(crate) min_members: Option<u32>,
    /// Number of partitions; must be the same on all members [default: 271]
    #[arg(long, global = true, value_name = "COUNT", env = "CONVOKE_PARTITIONS")]
    pub(crate) partitions: Option<u16>,
    /// Join although [maps] differ from the cluster's settings; they take effect once this member
    /// is the oldest. To change map settings, restart the members one at a time with this option
    #[arg(long, global = true, env = "CONVOKE_CHANGE_MAPS", num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub(crate) change_maps: Option<bool>,
    /// Threads that serve clients and other members [default: the number of cores minus one]
    #[arg(long, global = true, value_name = "COUNT", env = "CONVOKE_WORKERS")]
    pub(crate) workers: Option<u16>,
    /// Directory for modes with the grant `store`; each gets a subdirectory [default: convoke in
    /// $XDG_STATE_HOME or ~/.local/state]
    #[arg(long, global = true, value_name = "FOLDER", env = "CONVOKE_STATE_DIRECTORY")]
    pub(crate) state_directory: Option<PathBuf>,
    /// Configuration file [default: convoke.toml, if it exists]
    #[arg(long, global = true, value_name = "FILE", env = "CONVOKE_CONFIG")]
    #[serde(skip)]
    pub(crate) config: Option<PathBuf>,
    #[arg(skip)]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) discovery: Vec<Discovery>,
    #[arg(skip)]
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) maps: BTreeMap<String, MapEntry>,
}

fn port() -> RangedI64ValueParser<u16> {
    clap::value_parser!(u16).range(1..)
}

impl Options {
    /// Merges these settings with those of `below`, which has lower precedence.
    pub(super) fn over(mut self, below: &Self) -> Self {
        // A secret and the file that contains it are one setting.
        let is_given =
            |text: &Option<String>, file: &Option<PathBuf>| text.is_some() || file.is_some();
        let mut below = below.clone();
        if is_given(&self.cluster_password, &self.cluster_password_file) {
            (below.cluster_password, below.cluster_password_file) = (None, None);
        }
        if is_given(&self.client_password, &self.client_password_file) {
            (below.client_password, below.client_password_file) = (None, None);
        }
        if is_given(&self.client_read_only_password, &self.client_read_only_password_file) {
            (below.client_read_only_password, below.client_read_only_password_file) = (None, None);
        }
        // Tables are in files only, and there is one file.
        let (discovery, maps) = (below.discovery, below.maps);
        // The macro does not compile if a setting is missing.
        macro_rules! first_given {
            ($($setting:ident)*) => {
                Self { $($setting: self.$setting.take().or(below.$setting),)* discovery, maps }
            };
        }
        first_given! {
            cluster_mode mc_address mc_port mc_ttl start_port start_port_range cluster_name
            cluster_password cluster_password_file lite name group interfaces public_address
            port auto_bind_http auto_bind_range no_cluster resp_port resp_public_address
            hazelcast_port hazelcast_public_address http_public_address client_password client_password_file client_read_only_password
            client_read_only_password_file notify_keyspace_events max_clients client_idle_s
            redis_cluster min_members partitions change_maps workers state_directory config
        }
    }

    /// The keys of a file.
    pub(super) fn keys(&self) -> Vec<String> {
        let table = toml::Table::try_from(self).unwrap_or_default();
        table.into_iter().map(|(key, _)| key).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Options;

    fn read(text: &str) -> Options {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn a_setting_that_is_given_above_wins() {
        let above = read("start-port = 7000\nlite = false\ninterfaces = \"lo\"");
        let below = read("start-port = 1\nport = 2\nlite = true\n[[discovery]]\nmode = \"dns\"");
        let both = above.over(&below);
        assert_eq!((both.start_port, both.port, both.lite), (Some(7000), Some(2), Some(false)));
        assert_eq!(both.discovery.len(), 1);
        assert_eq!(both.keys().join(" "), "discovery interfaces lite port start-port");
    }

    #[test]
    fn a_secret_above_wins_over_a_file_with_it_below() {
        let below = read("cluster-password-file = \"a\"\nclient-password = \"b\"");
        let above = read("cluster-password = \"c\"\nclient-password-file = \"d\"");
        let both = above.over(&below);
        assert_eq!(both.keys().join(" "), "client-password-file cluster-password");
        let both = read("").over(&below);
        assert_eq!(both.keys().join(" "), "client-password cluster-password-file");
    }
}
