//! Terms: settings on which the members of a cluster must agree.
//!
//! Names and values are opaque text here; the layer above knows their meaning. A newcomer sends the
//! terms that it was configured with, and which of them its operator set. The coordinator compares
//! these with the terms of its cluster. The newcomer adopts the cluster's value of a setting that
//! was not set. A value that was set and differs is a reason to refuse it, unless the setting has
//! another [`Rule`]. Two clusters merge only if their terms are compatible.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Maximum length of the name of a setting, or of its value, in bytes.
pub const TERM_BYTES_MAX: usize = 64;
/// Maximum length of the name of a scope, in bytes.
pub const SCOPE_BYTES_MAX: usize = 128;
/// Maximum number of settings in one scope.
pub const TERMS_OF_SCOPE_MAX: usize = 16;
/// Maximum number of scopes.
pub const SCOPES_MAX: usize = 1_026;
/// Maximum number of differences that are reported.
pub const DIFFERENCES_MAX: usize = 8;

/// The default scope: its settings apply in every scope that does not have them, except in
/// [`Terms::GENERAL`].
const DEFAULT_SCOPE: &str = "*";

/// The reaction to a different value of a setting in a newcomer or in another cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rule {
    /// All members need the same value: otherwise they do not join.
    Same,
    /// The value is being changed by restarting the members one at a time: both sides log it, and
    /// the coordinator's value applies.
    Changing,
    /// Each member has its own value.
    Own,
}

/// A setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Term {
    /// At most [`TERM_BYTES_MAX`] bytes.
    pub name: String,
    /// At most [`TERM_BYTES_MAX`] bytes.
    pub value: String,
    /// Whether the operator set it; otherwise it is a default.
    pub is_set: bool,
    /// The reaction to a different value.
    pub rule: Rule,
}

/// The settings of a name, or of a pattern of names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// [`Terms::GENERAL`], a name, or a pattern: a `*` matches any text between the parts before
    /// and after it. At most [`SCOPE_BYTES_MAX`] bytes.
    pub name: String,
    /// Each setting once, at most [`TERMS_OF_SCOPE_MAX`].
    pub terms: Vec<Term>,
}

/// All settings on which members must agree. Clones share memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    scopes: Arc<[Scope]>,
    /// Whether these are the terms of a cluster, so that nothing is open.
    is_fixed: bool,
}

impl Serialize for Terms {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.is_fixed, self.scopes.as_ref()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Terms {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (is_fixed, scopes): (bool, Vec<Scope>) = Deserialize::deserialize(deserializer)?;
        Ok(Self { scopes: scopes.into(), is_fixed })
    }
}

/// A setting with different values in a newcomer and in its cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// See [`Scope::name`].
    pub scope: String,
    /// See [`Term::name`].
    pub name: String,
    /// The value in the cluster.
    pub cluster: String,
    /// The newcomer's value.
    pub newcomer: String,
}

impl Difference {
    /// Whether the bounds hold; checked for everything received from the network.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        let texts = [&self.name, &self.cluster, &self.newcomer];
        self.scope.len() <= SCOPE_BYTES_MAX && texts.iter().all(|text| text.len() <= TERM_BYTES_MAX)
    }
}

impl Terms {
    /// The scope of settings that do not belong to a name.
    pub const GENERAL: &'static str = "";

    /// Terms with these scopes, each once, at most [`SCOPES_MAX`]. A name has the settings of the
    /// scope with that name, or else of the longest pattern that matches, or else of `*`; settings
    /// that this scope does not have are taken from `*`.
    #[must_use]
    pub fn new(scopes: Vec<Scope>) -> Self {
        Self { scopes: scopes.into(), is_fixed: false }
    }

    /// The scopes.
    #[must_use]
    pub fn scopes(&self) -> &[Scope] {
        &self.scopes
    }

    /// The value for a name, and whether it was set for it. A value that was set for `*` is open
    /// for other names until it applies in a cluster.
    #[must_use]
    pub fn get(&self, scope: &str, name: &str) -> Option<(&str, bool)> {
        let (term, is_set) = self.applicable_scopes(scope).get(name)?;
        Some((&term.value, is_set || self.is_fixed))
    }

    /// These terms as the terms of a cluster, with all settings determined.
    #[must_use]
    pub fn fixed(&self) -> Self {
        Self { is_fixed: true, ..self.clone() }
    }

    /// The terms of a member that was configured with `self` in this cluster: the cluster's values,
    /// except those that were set here and are not [`Rule::Same`]. Beyond [`SCOPES_MAX`] scopes,
    /// some that only this member has are dropped.
    #[must_use]
    pub fn fixed_by(&self, cluster: &Self) -> Self {
        let known = |name: &str| cluster.scopes.iter().any(|scope| scope.name == name);
        let own = self.scopes.iter().filter(|scope| !known(&scope.name));
        let names = cluster.scopes.iter().chain(own).map(|scope| &scope.name).take(SCOPES_MAX);
        let scopes = names.map(|name| {
            let (here, there) = (self.applicable_scopes(name), cluster.applicable_scopes(name));
            let both = there.names().into_iter().chain(here.names());
            let terms = both.collect::<BTreeSet<_>>().into_iter().filter_map(|term| {
                let own = here.get(term);
                let stays = own.is_some_and(|(own, is_set)| own.rule != Rule::Same && is_set);
                let (held, _) = if stays { own } else { there.get(term).or(own) }?;
                // Each member declares itself whether it changes a setting.
                let rule = own.map_or(held.rule, |(own, _)| own.rule);
                Some(Term { rule, ..held.clone() })
            });
            Scope { name: name.clone(), terms: terms.collect() }
        });
        Self { scopes: scopes.collect(), is_fixed: true }
    }

    /// Settings with [`Rule::Same`] that were set on a newcomer, or in another cluster, and differ
    /// from `self`, the terms of this cluster: the first [`DIFFERENCES_MAX`], each once even if it
    /// occurs in several scopes. A setting that only one of the two knows is not a difference.
    #[must_use]
    pub fn differences(&self, newcomer: &Self) -> Vec<Difference> {
        self.compare(newcomer, Rule::Same)
    }

    /// The settings that the newcomer, or one of two clusters, is [changing](Rule::Changing),
    /// likewise.
    #[must_use]
    pub fn changes(&self, newcomer: &Self) -> Vec<Difference> {
        self.compare(newcomer, Rule::Changing)
    }

    fn compare(&self, newcomer: &Self, rule: Rule) -> Vec<Difference> {
        let mut found: Vec<Difference> = Vec::new();
        if self == newcomer {
            return found;
        }
        let scopes = self.scopes.iter().chain(&*newcomer.scopes).map(|scope| &*scope.name);
        for scope in scopes.collect::<BTreeSet<_>>() {
            let (here, there) = (self.applicable_scopes(scope), newcomer.applicable_scopes(scope));
            for name in there.names() {
                let (Some((cluster, _)), Some((own, is_set))) = (here.get(name), there.get(name))
                else {
                    continue;
                };
                let both = [cluster.rule, own.rule];
                // Only a newcomer itself declares that it changes a setting.
                let holds = match own.rule {
                    _ if both.contains(&Rule::Own) => Rule::Own,
                    Rule::Same if newcomer.is_fixed => cluster.rule,
                    own => own,
                };
                let is_compared = (is_set || newcomer.is_fixed) && holds == rule;
                let (cluster, own) = (&*cluster.value, &*own.value);
                let is_known = |known: &Difference| {
                    (&*known.name, &*known.cluster, &*known.newcomer) == (name, cluster, own)
                };
                if !is_compared || cluster == own || found.iter().any(is_known) {
                    continue;
                }
                if found.len() == DIFFERENCES_MAX {
                    return found;
                }
                found.push(Difference {
                    scope: scope.to_owned(),
                    name: name.to_owned(),
                    cluster: cluster.to_owned(),
                    newcomer: own.to_owned(),
                });
            }
        }
        found
    }

    /// Whether the bounds hold; checked for everything received from the network.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        let is_valid = |scope: &Scope| {
            scope.name.len() <= SCOPE_BYTES_MAX
                && scope.terms.len() <= TERMS_OF_SCOPE_MAX
                && scope.terms.iter().all(|term| {
                    term.name.len() <= TERM_BYTES_MAX && term.value.len() <= TERM_BYTES_MAX
                })
        };
        self.scopes.len() <= SCOPES_MAX && self.scopes.iter().all(is_valid)
    }

    /// Total length of its texts, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let of_terms = |terms: &[Term]| -> usize {
            terms.iter().map(|term| term.name.len() + term.value.len()).sum()
        };
        self.scopes.iter().map(|scope| scope.name.len() + of_terms(&scope.terms)).sum()
    }

    /// The settings for a name or pattern.
    fn applicable_scopes(&self, name: &str) -> ApplicableScopes<'_> {
        let named = |name: &str| self.scopes.iter().find(|scope| scope.name == name);
        if name == Self::GENERAL {
            return ApplicableScopes { own: named(name), default: None };
        }
        let fits = |scope: &&Scope| {
            let parts = scope.name.split_once('*').filter(|_| scope.name != DEFAULT_SCOPE);
            parts.is_some_and(|(begin, end)| name.starts_with(begin) && name.ends_with(end))
        };
        let own = named(name)
            .or_else(|| self.scopes.iter().filter(fits).max_by_key(|scope| scope.name.len()));
        ApplicableScopes { own, default: named(DEFAULT_SCOPE) }
    }
}

/// The scopes that apply to one name.
struct ApplicableScopes<'a> {
    own: Option<&'a Scope>,
    default: Option<&'a Scope>,
}

impl<'a> ApplicableScopes<'a> {
    /// The setting, and whether it was set for this name.
    fn get(&self, name: &str) -> Option<(&'a Term, bool)> {
        let of = |scope: Option<&'a Scope>| scope?.terms.iter().find(|term| term.name == name);
        let own = of(self.own).map(|term| (term, term.is_set));
        own.or_else(|| Some((of(self.default)?, false)))
    }

    fn names(&self) -> BTreeSet<&'a str> {
        let scopes = self.own.into_iter().chain(self.default);
        scopes.flat_map(|scope| &scope.terms).map(|term| &*term.name).collect()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Builds terms from lines such as `cache-* backups 2`: a scope, or `-` for none, a name and a
    /// value. `?` after a value marks one that was not set; `~` before a name one that is changing,
    /// `=` one with a value per member.
    pub(crate) fn terms(lines: &[&str]) -> Terms {
        let mut scopes: Vec<Scope> = Vec::new();
        for line in lines {
            let parts: Vec<&str> = line.split(' ').collect();
            let scope = if parts[0] == "-" { Terms::GENERAL } else { parts[0] };
            let value = parts[2].trim_end_matches('?').to_owned();
            let rule = match parts[1].as_bytes()[0] {
                b'~' => Rule::Changing,
                b'=' => Rule::Own,
                _ => Rule::Same,
            };
            let name = parts[1].trim_start_matches(['~', '=']).to_owned();
            let term = Term { name, value, is_set: !line.ends_with('?'), rule };
            match scopes.iter_mut().find(|known| known.name == scope) {
                Some(known) => known.terms.push(term),
                None => scopes.push(Scope { name: scope.into(), terms: vec![term] }),
            }
        }
        Terms::new(scopes)
    }

    fn differ(cluster: &[&str], newcomer: &[&str]) -> Vec<String> {
        let differences = terms(cluster).fixed().differences(&terms(newcomer));
        differences
            .iter()
            .map(|d| format!("{} {} {} {}", d.scope, d.name, d.newcomer, d.cluster))
            .collect()
    }

    const NONE: [&str; 0] = [];

    #[test]
    fn set_values_must_be_equal_and_open_values_may_differ() {
        assert_eq!(
            differ(&["- partitions 271?"], &["- partitions 1021"]),
            [" partitions 1021 271"]
        );
        assert_eq!(differ(&["- partitions 1021"], &["- partitions 271?"]), NONE);
        assert_eq!(differ(&["- partitions 1021?"], &["- partitions 1021"]), NONE);
        let fixed = terms(&["- partitions 271?"]).fixed();
        assert_eq!(terms(&["- partitions 7"]).differences(&fixed).len(), 1);
    }

    #[test]
    fn a_name_uses_its_own_scope_or_the_longest_pattern_or_the_default() {
        let cluster = ["* backups 1?", "cache-* backups 0", "cache-a ttl 5"];
        assert_eq!(differ(&cluster, &["* backups 1?", "cache-b backups 0"]), NONE);
        assert_eq!(
            differ(&cluster, &["* backups 1?", "cache-b backups 2"]),
            ["cache-b backups 2 0"]
        );
        assert_eq!(
            differ(&cluster, &["* backups 1?", "cache-a backups 0"]),
            ["cache-a backups 0 1"],
            "a scope has the default value of settings that it does not have"
        );
        assert_eq!(differ(&cluster, &["* backups 1"]), NONE, "settings of other names are open");
        assert_eq!(differ(&cluster, &["* backups 0"]), ["* backups 0 1"]);
        let other = terms(&["* backups 1"]).fixed();
        let found = terms(&cluster).fixed().differences(&other);
        assert_eq!(found.len(), 1, "in another cluster nothing is open: {found:?}");
    }

    #[test]
    fn changing_settings_are_reported_and_do_not_prevent_joining() {
        let cluster = terms(&["- partitions 7", "* ttl 60", "* backups 1?", "carts ttl 5"]);
        let cluster = cluster.fixed();
        let own = terms(&[
            "- partitions 271?",
            "* ~ttl 0?",
            "* backups 1?",
            "cache-* ~ttl 9",
            "d backups 1",
        ]);
        for changes in [cluster.changes(&own), own.fixed_by(&cluster).changes(&cluster)] {
            assert_eq!(changes.len(), 1, "{changes:?}");
            assert_eq!((&*changes[0].scope, &*changes[0].name), ("cache-*", "ttl"));
        }
        assert_eq!(cluster.differences(&own), []);
        let fixed = own.fixed_by(&cluster);
        let get = |scope, name| fixed.get(scope, name);
        assert_eq!(get("", "partitions"), Some(("7", true)));
        assert_eq!(get("*", "ttl"), Some(("60", true)));
        assert_eq!(get("carts", "ttl"), Some(("5", true)));
        assert_eq!(get("cache-a", "ttl"), Some(("9", true)), "its value as coordinator");
        assert_eq!(get("cache-a", "backups"), Some(("1", true)));
        // A setting that this member does not change is not changing here.
        assert!(
            fixed
                .scopes()
                .iter()
                .flat_map(|scope| &scope.terms)
                .all(|term| { (term.rule == Rule::Changing) == (term.name == "ttl") })
        );
        let strict = terms(&["* ttl 7"]).fixed();
        let open = terms(&["* ttl 0?"]).fixed_by(&own.fixed());
        assert_eq!(open.differences(&strict).len(), 2, "of * and of cache-*");
        // Whichever of the two coordinates, they can merge.
        assert_eq!(cluster.differences(&fixed), []);
        assert_eq!(fixed.differences(&cluster), []);
    }

    #[test]
    fn per_member_settings_are_not_compared_and_adopted_if_open() {
        let cluster = terms(&["* =memory 8", "carts =memory 2"]).fixed();
        let own = terms(&["* =memory 0?", "big =memory 16"]);
        assert_eq!(cluster.differences(&own), []);
        assert_eq!(cluster.changes(&own), []);
        let fixed = own.fixed_by(&cluster);
        let values = ["a", "big", "carts"].map(|name| fixed.get(name, "memory").unwrap().0);
        assert_eq!(values, ["8", "16", "2"]);
    }

    #[test]
    fn combined_scopes_of_a_member_and_its_cluster_stay_within_bounds() {
        let lines = |prefix: &str, count: usize| {
            (0..count).map(|n| format!("{prefix}{n} ~ttl 1")).collect::<Vec<_>>()
        };
        let made = |lines: &[String]| terms(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        let (own, cluster) = (made(&lines("a", SCOPES_MAX)), made(&lines("b", SCOPES_MAX - 1)));
        let fixed = own.fixed_by(&cluster);
        assert!(fixed.is_valid());
        assert_eq!(fixed.scopes().len(), SCOPES_MAX);
    }

    #[test]
    fn a_difference_is_reported_once_and_their_number_is_bounded() {
        let named: Vec<String> = (0..50).map(|n| format!("m{n} ttl {n}")).collect();
        let mut lines: Vec<&str> = named.iter().map(String::as_str).collect();
        lines.push("* backups 2");
        let found = differ(&["* backups 1?", "* ttl none?"], &lines);
        assert_eq!(found.len(), DIFFERENCES_MAX);
        assert_eq!(found.iter().filter(|line| line.contains("backups")).count(), 1);
        assert_eq!(found[0], "* backups 2 1");
    }

    #[test]
    fn a_setting_that_only_one_side_knows_is_not_a_difference() {
        assert_eq!(differ(&["- a 1"], &["- b 2"]), NONE);
    }

    #[test]
    fn terms_from_the_network_are_checked_for_bounds() {
        let with = |name: usize, value: usize| {
            let term = Term {
                name: "n".repeat(name),
                value: "v".repeat(value),
                is_set: true,
                rule: Rule::Same,
            };
            Terms::new(vec![Scope { name: "*".into(), terms: vec![term] }])
        };
        assert!(with(TERM_BYTES_MAX, TERM_BYTES_MAX).is_valid());
        assert!(!with(TERM_BYTES_MAX + 1, 1).is_valid());
        assert!(!with(1, TERM_BYTES_MAX + 1).is_valid());
        let scope = with(1, 1).scopes()[0].clone();
        assert!(!Terms::new(vec![scope; SCOPES_MAX + 1]).is_valid());
    }
}
