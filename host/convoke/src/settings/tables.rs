//! The tables and lists of the configuration file.

use std::collections::BTreeMap;
use std::fmt;

use convoke_grid::map::{Eviction, Format, MergePolicy};
use serde::{Deserialize, Deserializer, Serialize};

/// A `[[discovery]]` table.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Discovery {
    pub(crate) mode: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) argument: String,
    pub(crate) plugin: Option<String>,
    pub(crate) digest: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) settings: BTreeMap<String, Plain>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) grant: BTreeMap<String, OneOrMore>,
    pub(crate) wasi: Option<String>,
}

/// A `[maps.NAME]` table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct MapEntry {
    pub(super) backups: Option<u8>,
    pub(super) async_backups: Option<u8>,
    pub(super) ttl_s: Option<u64>,
    pub(super) max_idle_s: Option<u64>,
    pub(super) memory_mib: Option<u64>,
    pub(super) eviction: Option<Eviction>,
    pub(super) merge: Option<MergePolicy>,
    pub(super) statistics: Option<bool>,
    pub(super) format: Option<Format>,
}

/// A value that is passed to a mode as text.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(untagged, expecting = "expected a string, a number or a boolean")]
pub(crate) enum Plain {
    Text(String),
    Number(i64),
    Boolean(bool),
}

impl fmt::Display for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Number(number) => number.fmt(f),
            Self::Boolean(boolean) => boolean.fmt(f),
        }
    }
}

/// One string, or a list of strings.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(untagged, expecting = "expected a string or a list of strings")]
pub(crate) enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl OneOrMore {
    pub(crate) fn as_slice(&self) -> &[String] {
        match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::More(texts) => texts,
        }
    }

    pub(crate) fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(text) => vec![text],
            Self::More(texts) => texts,
        }
    }

    /// Deserializes either form as a list.
    pub(super) fn list<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Vec<String>>, D::Error> {
        Self::deserialize(deserializer).map(|either| Some(either.into_vec()))
    }
}

/// The value of an option.
impl From<String> for OneOrMore {
    fn from(text: String) -> Self {
        Self::One(text)
    }
}
