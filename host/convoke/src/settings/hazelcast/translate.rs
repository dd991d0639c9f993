//! Translates a whole file.

use std::fmt::Write as _;
use std::net::IpAddr;

use convoke_membership::member::NAME_BYTES_MAX;

use super::super::checks::{START_PORT_RANGE, is_valid_name};
use super::super::options::Options;
use super::super::tables::OneOrMore;
use super::defaults::{CLUSTER_NAME, GROUP, GROUP_PORT, PORT};
use super::document::{Document, Surroundings};
use super::quoted::quoted;
use super::{join, maps, names};

/// Maximum number of listed paths; the rest are counted.
const LISTED_MAX: usize = 24;

/// A Hazelcast file in the Convoke format.
#[derive(Debug)]
pub(crate) struct Translated {
    pub(crate) file: Options,
    /// Paths without effect, with a reason where needed.
    pub(crate) ignored: Vec<String>,
}

/// Settings that determine which hosts may be members, or what happens to data, and have no
/// counterpart: a file that enables one of these is rejected. `None` if the setting has no
/// `enabled`.
const REFUSED: [(&str, Option<&str>, &str); 8] = [
    (
        "group",
        None,
        "is for Hazelcast 3; set <cluster-name> instead, and a password with --cluster-password-file",
    ),
    (
        "network.ssl",
        Some("enabled"),
        "decides by certificates which hosts may be members; Convoke uses the cluster password for this: remove it, and set --cluster-password-file",
    ),
    (
        "security",
        Some("enabled"),
        "decides which hosts may be members; Convoke uses the cluster password for this: remove it, and set --cluster-password-file",
    ),
    (
        "network.member-address-provider",
        Some("enabled"),
        "runs a class that chooses this member's address: remove it, and set network.interfaces or network.public-address",
    ),
    (
        "network.socket-interceptor",
        Some("enabled"),
        "runs a class that decides which hosts may connect: remove it, and set --cluster-password-file",
    ),
    (
        "config-replacers",
        None,
        "replace values by running classes: write the values, or use ${NAME} with CONVOKE_HZ_NAME in the environment",
    ),
    ("persistence", Some("enabled"), "keeps data on disk, which is not supported: remove it"),
    (
        "hot-restart-persistence",
        Some("enabled"),
        "keeps data on disk, which is not supported: remove it",
    ),
];

/// Properties for the address that a member binds, and the one that it advertises.
pub(super) const LOCAL_ADDRESS: &str = "hazelcast.local.localAddress";
pub(super) const PUBLIC_ADDRESS: &str = "hazelcast.local.publicAddress";

/// A property that must be the same on all members.
const TOKEN: &str = "hazelcast.application.validation.token";

/// Translates a whole file. The error is one line.
pub(in super::super) fn translate(
    text: &str,
    surroundings: &Surroundings,
) -> Result<Translated, String> {
    let mut document = Document::read(text, surroundings)?;
    if document.is_on("advanced-network.enabled", false)? {
        document.advance()?;
    } else {
        document.forget("advanced-network");
    }
    for (path, switch, why) in REFUSED {
        let is_on = match switch {
            Some(switch) => document.is_on(&format!("{path}.{switch}"), false)?,
            None => document.has(path),
        };
        if is_on {
            return Err(format!("{} {why}", document.shown(path)));
        }
        document.forget(path);
    }
    if document.has_property("", TOKEN) {
        return Err(format!(
            "{TOKEN} decides which hosts may be members; Convoke uses the cluster password for this: remove it, and set --cluster-password-file"
        ));
    }
    names::check(&document)?;
    let mut ignored = Vec::new();
    let mut file = Options {
        cluster_name: Some(
            document.text("cluster-name")?.unwrap_or_else(|| CLUSTER_NAME.to_owned()),
        ),
        public_address: {
            let property = document.property("", PUBLIC_ADDRESS)?;
            document.text("network.public-address")?.or(property)
        },
        ..Options::default()
    };
    if let Some(name) = document.text("instance-name")? {
        if is_valid_name(&name) {
            file.name = Some(name);
        } else {
            ignored.push(format!(
                "hazelcast.instance-name (longer than {NAME_BYTES_MAX} bytes: a name is generated)"
            ));
        }
    }
    secret(&mut document, &mut file)?;
    ports(&mut document, &mut file)?;
    if document.is_on("network.interfaces.enabled", false)? {
        let mut interfaces = document.texts("network.interfaces.interface")?;
        interfaces.extend(document.texts("network.interfaces.interfaces")?);
        file.interfaces = Some(OneOrMore::More(interfaces));
    } else {
        document.forget("network.interfaces");
    }
    // As in Hazelcast, the property overrides the interfaces.
    if let Some(address) = document.property("", LOCAL_ADDRESS)? {
        let address = if address == "localhost" { "127.0.0.1" } else { &address };
        if address.parse::<IpAddr>().is_err() {
            return Err(format!(
                "{LOCAL_ADDRESS}: {:?} is not an IP address; give this member's address, or set network.interfaces",
                quoted(address)
            ));
        }
        file.interfaces = Some(OneOrMore::One(address.to_owned()));
    }
    if document.is_on("lite-member.enabled", false)? {
        file.lite = Some(true);
    }
    if let Some(count) = document.property("", "hazelcast.partition.count")? {
        let count = count.parse().ok().filter(|count| *count > 0);
        file.partitions =
            Some(count.ok_or("hazelcast.partition.count is not 1 to 16384".to_owned())?);
    }
    join::translate(&mut document, &mut file, &mut ignored)?;
    maps::translate(&mut document, &mut file, &mut ignored)?;
    ignored.extend(document.rest());
    Ok(Translated { file, ignored })
}

/// Translates the encryption password to the cluster password.
fn secret(document: &mut Document, file: &mut Options) -> Result<(), String> {
    const PATH: &str = "network.symmetric-encryption";
    if document.is_on(&format!("{PATH}.enabled"), false)? {
        let Some(password) = document.text(&format!("{PATH}.password"))? else {
            return Err(format!(
                "{} is enabled with a key instead of a password: remove it, and set --cluster-password-file",
                document.shown(PATH)
            ));
        };
        file.cluster_password = Some(password);
        // The cipher cannot be configured.
        for name in ["algorithm", "salt", "iteration-count"] {
            document.forget(&format!("{PATH}.{name}"));
        }
    } else {
        document.forget(PATH);
    }
    Ok(())
}

/// Translates the first port and the number of ports that are tried.
fn ports(document: &mut Document, file: &mut Options) -> Result<(), String> {
    let mut port = PORT;
    for path in ["network.port", "network.port.port"] {
        if let Some(text) = document.text(path)? {
            port = document.port(path, &text)?;
        }
    }
    file.start_port = Some(port);
    // The member port is always bound with SO_REUSEADDR.
    document.forget_default("network.reuse-address", "true");
    let count = document.number("network.port.port-count", 1..=u64::from(u16::MAX))?;
    let mut count = count.and_then(|count| u16::try_from(count).ok());
    if !document.is_on("network.port.auto-increment", true)? {
        count = Some(1);
    }
    file.start_port_range = count.filter(|count| *count != START_PORT_RANGE);
    Ok(())
}

/// How the line of a setting begins that is not honoured, in a file that is converted.
pub(crate) const UNHONOURED: &str = "# - ";

impl Translated {
    /// One line for the log; `None` when everything is honoured.
    pub(crate) fn warning(&self) -> Option<String> {
        let Self { ignored, .. } = self;
        let (first, more) = ignored.split_at(ignored.len().min(LISTED_MAX));
        let more = match more.len() {
            0 => String::new(),
            count => format!(" and {count} more"),
        };
        (!first.is_empty()).then(|| {
            format!(
                "these settings of the Hazelcast file are not honoured: {}{more}",
                first.join(", ")
            )
        })
    }

    /// The file in the Convoke format.
    pub(crate) fn to_toml(&self, origin: &str) -> Result<String, String> {
        let mut text = format!(
            "# Converted from {origin}. Settings that it does not have are Hazelcast's defaults: cluster\n\
             # name {CLUSTER_NAME:?}, port {PORT}, multicast {GROUP}:{GROUP_PORT}.\n\n"
        );
        let body = toml::to_string(&self.file).map_err(|error| error.to_string())?;
        text.push_str(&body);
        if !self.ignored.is_empty() {
            text.push_str("\n# Not honoured:\n");
        }
        for path in &self.ignored {
            let _ = writeln!(text, "{UNHONOURED}{path}");
        }
        Ok(text)
    }
}
