//! The settings on which the members of a cluster agree, converted to [`Terms`] and back.
//!
//! Names and values are those of `convoke.toml`; an absent limit is 0. The number of partitions and
//! the behaviour of maps are the same on all members; the memory limit of a map is set per member.

use std::collections::BTreeMap;

use convoke_grid::{FORMAT, MapCatalog, MapSettings};
use convoke_membership::Terms;
use convoke_membership::terms::{Difference, Rule, Scope, Term};
use serde::Deserialize;
use serde::de::IntoDeserializer as _;
use serde::de::value::Error;

use super::maps::{DEFAULT_MAP, catalog};
use super::tables::MapEntry;

/// Maximum number of partitions of a cluster.
pub(super) const PARTITIONS_MAX: u16 = 16_384;

const PARTITIONS: &str = "partitions";
/// The format in which members encode data for each other. It is not a setting, and differs between
/// versions.
const DATA_FORMAT: &str = "data-format";

/// The terms of this member: its settings, which of them the operator configured, and whether its
/// map settings are being changed.
pub(super) fn terms(
    partitions: u16,
    is_set: bool,
    entries: &BTreeMap<String, MapEntry>,
    default: &MapSettings,
    changing: bool,
) -> Terms {
    let general = |name: &str, value: String, is_set| Term {
        name: name.into(),
        value,
        is_set,
        rule: Rule::Same,
    };
    let general = vec![
        general(PARTITIONS, partitions.to_string(), is_set),
        general(DATA_FORMAT, FORMAT.to_string(), true),
    ];
    let entry_terms = |entry: &MapEntry| entry_terms(entry, changing);
    let mut scopes = vec![Scope { name: Terms::GENERAL.into(), terms: general }];
    let own = entries.get(DEFAULT_MAP).cloned().unwrap_or_default();
    let own = entry_terms(&own);
    let default = entry_terms(&MapEntry::of(default))
        .into_iter()
        .map(|term| Term { is_set: own.iter().any(|own| own.name == term.name), ..term });
    scopes.push(Scope { name: DEFAULT_MAP.into(), terms: default.collect() });
    scopes.extend(
        entries
            .iter()
            .filter(|(name, _)| *name != DEFAULT_MAP)
            .map(|(name, entry)| Scope { name: name.clone(), terms: entry_terms(entry) }),
    );
    Terms::new(scopes)
}

/// The terms of a `[maps]` entry.
fn entry_terms(entry: &MapEntry, changing: bool) -> Vec<Term> {
    let table = toml::Table::try_from(entry).unwrap_or_default();
    let text = |value: toml::Value| match value {
        toml::Value::String(text) => text,
        other => other.to_string(),
    };
    let rule = |name: &str| match name {
        "memory-mib" => Rule::Own,
        _ if changing => Rule::Changing,
        _ => Rule::Same,
    };
    let term = |(name, value): (String, _)| {
        let rule = rule(&name);
        Term { name, value: text(value), is_set: true, rule }
    };
    table.into_iter().map(term).collect()
}

/// The number of partitions and the map settings in these terms of a cluster. `None` when they are
/// not those of this version.
pub(crate) fn settings(terms: &Terms) -> Option<(u16, MapCatalog)> {
    let (partitions, _) = terms.get(Terms::GENERAL, PARTITIONS)?;
    let partitions = partitions.parse().ok().filter(|n| (1..=PARTITIONS_MAX).contains(n))?;
    let maps = terms.scopes().iter().filter(|scope| scope.name != Terms::GENERAL);
    let entries: Option<BTreeMap<String, MapEntry>> =
        maps.map(|scope| Some((scope.name.clone(), entry(&scope.terms)?))).collect();
    let catalog = catalog(&entries?).ok()?;
    catalog.is_valid().then_some((partitions, catalog))
}

fn entry(terms: &[Term]) -> Option<MapEntry> {
    let mut entry = MapEntry::default();
    for Term { name, value, .. } in terms {
        match name.as_str() {
            "backups" => entry.backups = Some(value.parse().ok()?),
            "async-backups" => entry.async_backups = Some(value.parse().ok()?),
            "ttl-s" => entry.ttl_s = Some(value.parse().ok()?),
            "max-idle-s" => entry.max_idle_s = Some(value.parse().ok()?),
            "memory-mib" => entry.memory_mib = Some(value.parse().ok()?),
            "eviction" => entry.eviction = Some(word(value)?),
            "merge" => entry.merge = Some(word(value)?),
            "statistics" => entry.statistics = Some(value.parse().ok()?),
            "format" => entry.format = Some(word(value)?),
            _ => return None,
        }
    }
    Some(entry)
}

fn word<'de, T: Deserialize<'de>>(text: &'de str) -> Option<T> {
    let text: serde::de::value::StrDeserializer<'de, Error> = text.into_deserializer();
    T::deserialize(text).ok()
}

/// The key of a setting: `partitions`, `maps."cache-*".backups`.
fn key(scope: &str, name: &str) -> String {
    if scope == Terms::GENERAL { name.to_owned() } else { format!("maps.{scope:?}.{name}") }
}

/// Lists differences: `partitions = 1021, this cluster 271`.
pub(crate) fn differences(differences: &[Difference], cluster: &str) -> String {
    let one = |difference: &Difference| {
        let Difference { scope, name, cluster: there, newcomer } = difference;
        format!("{} = {newcomer}, {cluster} {there}", key(scope, name))
    };
    differences.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// The advice about differences; `there` names the place where a setting may be removed.
pub(crate) fn remedy(differences: &[Difference], there: &str) -> String {
    let of_maps = differences.iter().all(|difference| difference.scope != Terms::GENERAL);
    let change = if of_maps {
        "; to change it without downtime, restart the members one at a time with --change-maps"
    } else {
        ""
    };
    format!("Set the same value on all members, or remove it {there}{change}")
}

/// The cluster's settings that this member was not configured with: `partitions = 1021, …`; empty
/// if there are none.
pub(crate) fn taken(own: &Terms, cluster: &Terms) -> String {
    let own = own.fixed();
    let taken = [cluster.differences(&own), cluster.changes(&own)].concat();
    let one =
        |taken: &Difference| format!("{} = {}", key(&taken.scope, &taken.name), taken.cluster);
    taken.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// Each setting with its value and its rule in a cluster.
pub(crate) fn lines(terms: &Terms) -> impl Iterator<Item = String> {
    terms.scopes().iter().flat_map(|scope| {
        let line = |term: &Term| {
            let note = match term.rule {
                _ if !term.is_set => " (not set: taken from the cluster)",
                Rule::Same => "",
                Rule::Changing => " (changing: takes effect once this member is the oldest)",
                Rule::Own => " (per member)",
            };
            format!("{} = {}{note}", key(&scope.name, &term.name), term.value)
        };
        scope.terms.iter().map(line)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str, partitions: Option<u16>) -> (Terms, MapCatalog) {
        let entries: BTreeMap<String, MapEntry> = toml::from_str(text).unwrap();
        let catalog = catalog(&entries).unwrap();
        let is_set = partitions.is_some();
        (terms(partitions.unwrap_or(271), is_set, &entries, &catalog.defaults, false), catalog)
    }

    const MAPS: &str = "[\"*\"]\nttl-s = 60\nmemory-mib = 8\nmerge = \"higher-hits\"\n\
        [carts]\nttl-s = 0\nbackups = 2\n[\"cache-*\"]\neviction = \"lfu\"\nstatistics = true\n";

    #[test]
    fn settings_round_trip_through_terms() {
        for text in ["", MAPS] {
            let (terms, catalog) = of(text, Some(7));
            assert_eq!(settings(&terms), Some((7, catalog)), "{text}");
            assert!(terms.is_valid());
        }
    }

    #[test]
    fn settings_that_were_not_set_are_open() {
        let (terms, _) = of(MAPS, None);
        assert_eq!(terms.get("", "partitions"), Some(("271", false)));
        assert_eq!(terms.get("*", "ttl-s"), Some(("60", true)));
        assert_eq!(terms.get("*", "backups"), Some(("1", false)));
        assert_eq!(terms.get("carts", "backups"), Some(("2", true)));
        assert_eq!(terms.get("carts", "merge"), Some(("higher-hits", false)), "of all maps");
        let (cluster, _) = of("[\"*\"]\nttl-s = 60\nbackups = 0\n", Some(7));
        let (other, _) = of("[\"*\"]\nttl-s = 5\n", Some(8));
        let named = differences(&cluster.differences(&other), "this cluster");
        assert_eq!(named, "partitions = 8, this cluster 7; maps.\"*\".ttl-s = 5, this cluster 60");
        let (open, _) = of("", None);
        assert_eq!(
            taken(&open, &cluster),
            "partitions = 7, maps.\"*\".backups = 0, maps.\"*\".ttl-s = 60"
        );
    }

    #[test]
    fn terms_of_another_version_are_refused() {
        let (terms, _) = of("", None);
        for (name, value) in [("partitions", "0"), ("partitions", "x")] {
            let mut scopes = terms.scopes().to_vec();
            for term in scopes.iter_mut().flat_map(|scope| &mut scope.terms) {
                if term.name == name {
                    term.value = value.into();
                }
            }
            assert_eq!(settings(&Terms::new(scopes)), None, "{name} = {value}");
        }
        assert_eq!(settings(&Terms::default()), None);
    }
}
