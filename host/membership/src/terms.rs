//! Settings that the members of a cluster have in common.
//!
//! What they mean is known to the layer above only; here names and values are text. A
//! newcomer says with which ones it was configured, and which of them its operator set. The
//! coordinator compares these with what holds in its cluster. What was left open the newcomer
//! takes from the cluster; a value that was set and is another one keeps it out, unless the
//! setting's [`Rule`] is another. Two clusters become one only when the same holds in both.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Length of the name of a setting, or of its value, in bytes, at most.
pub const TERM_BYTES_MAX: usize = 64;
/// Length of the name of a scope, in bytes, at most.
pub const SCOPE_BYTES_MAX: usize = 128;
/// Settings of one scope, at most.
pub const TERMS_OF_SCOPE_MAX: usize = 16;
/// Scopes, at most.
pub const SCOPES_MAX: usize = 1_026;
/// Differences that are named, at most.
pub const DIFFERENCES_MAX: usize = 8;

/// The scope whose settings hold in each scope that does not have them, but not for
/// [`Terms::GENERAL`].
const USUAL: &str = "*";

/// What becomes of a setting that has one value at a newcomer, or in a cluster that is met, and
/// another in this cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rule {
    /// All members have the same: they stay apart.
    Same,
    /// It is being changed by restarting one member after the other: both sides log it, and the
    /// value of the coordinator holds.
    Changing,
    /// Each member has its own.
    Own,
}

/// A setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Term {
    /// At most [`TERM_BYTES_MAX`] bytes.
    pub name: String,
    /// At most [`TERM_BYTES_MAX`] bytes.
    pub value: String,
    /// Whether it was set, and is not what holds when nobody sets it.
    pub is_set: bool,
    /// What becomes of another value.
    pub rule: Rule,
}

/// The settings of what one name, or several names, stand for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// [`Terms::GENERAL`], a name, or a pattern: one with a `*` is for all names that begin as it
    /// does before the first `*` and end as it does after it. At most [`SCOPE_BYTES_MAX`] bytes.
    pub name: String,
    /// Each once, at most [`TERMS_OF_SCOPE_MAX`].
    pub terms: Vec<Term>,
}

/// All settings that members have in common. Copies share their memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    scopes: Arc<[Scope]>,
    /// Whether they hold in a cluster, so that nothing is open.
    is_settled: bool,
}

impl Serialize for Terms {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.is_settled, self.scopes.as_ref()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Terms {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (is_settled, scopes): (bool, Vec<Scope>) = Deserialize::deserialize(deserializer)?;
        Ok(Self { scopes: scopes.into(), is_settled })
    }
}

/// A setting that a newcomer has and its cluster has otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// See [`Scope::name`].
    pub scope: String,
    /// See [`Term::name`].
    pub name: String,
    /// What holds in the cluster.
    pub cluster: String,
    /// What the newcomer has.
    pub newcomer: String,
}

impl Difference {
    /// Whether this came from a peer that keeps the bounds.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let texts = [&self.name, &self.cluster, &self.newcomer];
        self.scope.len() <= SCOPE_BYTES_MAX && texts.iter().all(|text| text.len() <= TERM_BYTES_MAX)
    }
}

impl Terms {
    /// The scope of what has none.
    pub const GENERAL: &'static str = "";

    /// Of these scopes, each once, at most [`SCOPES_MAX`]. For a name holds the scope of that name,
    /// or else the longest pattern that fits, or else `*`; what that scope does not have is as in
    /// `*`.
    #[must_use]
    pub fn new(scopes: Vec<Scope>) -> Self {
        Self { scopes: scopes.into(), is_settled: false }
    }

    /// The scopes.
    #[must_use]
    pub fn scopes(&self) -> &[Scope] {
        &self.scopes
    }

    /// The value that holds for a name, and whether it was set for it. What was set for `*` is
    /// open for other names until it holds in a cluster.
    #[must_use]
    pub fn get(&self, scope: &str, name: &str) -> Option<(&str, bool)> {
        let (term, is_set) = self.within(scope).get(name)?;
        Some((&term.value, is_set || self.is_settled))
    }

    /// The same, as they hold in a cluster: with nothing left open.
    #[must_use]
    pub fn settled(&self) -> Self {
        Self { is_settled: true, ..self.clone() }
    }

    /// What a member that was configured with these terms stands for in this cluster: the
    /// cluster's values, except those that were set here and are not the [`Rule::Same`] for all. Of
    /// more than [`SCOPES_MAX`] scopes, some that only this member has are left out.
    #[must_use]
    pub fn settled_in(&self, cluster: &Self) -> Self {
        let known = |name: &str| cluster.scopes.iter().any(|scope| scope.name == name);
        let own = self.scopes.iter().filter(|scope| !known(&scope.name));
        let names = cluster.scopes.iter().chain(own).map(|scope| &scope.name).take(SCOPES_MAX);
        let scopes = names.map(|name| {
            let (here, there) = (self.within(name), cluster.within(name));
            let both = there.names().into_iter().chain(here.names());
            let terms = both.collect::<BTreeSet<_>>().into_iter().filter_map(|term| {
                let own = here.get(term);
                let stays = own.is_some_and(|(own, is_set)| own.rule != Rule::Same && is_set);
                let (held, _) = if stays { own } else { there.get(term).or(own) }?;
                // Whether it is changing is for each member to say.
                let rule = own.map_or(held.rule, |(own, _)| own.rule);
                Some(Term { rule, ..held.clone() })
            });
            Scope { name: name.clone(), terms: terms.collect() }
        });
        Self { scopes: scopes.collect(), is_settled: true }
    }

    /// What a newcomer, or another cluster, was set to and this cluster, whose terms these are, has
    /// otherwise, where all have to have the same: the first [`DIFFERENCES_MAX`], each once if it
    /// is the same in several scopes. A setting that only one of the two knows is no difference.
    #[must_use]
    pub fn differences(&self, newcomer: &Self) -> Vec<Difference> {
        self.compare(newcomer, Rule::Same)
    }

    /// The same of settings that the newcomer, or one of two clusters, is
    /// [changing](Rule::Changing).
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
            let (here, there) = (self.within(scope), newcomer.within(scope));
            for name in there.names() {
                let (Some((cluster, _)), Some((own, is_set))) = (here.get(name), there.get(name))
                else {
                    continue;
                };
                let both = [cluster.rule, own.rule];
                // A newcomer has to say itself that it changes something.
                let holds = match own.rule {
                    _ if both.contains(&Rule::Own) => Rule::Own,
                    Rule::Same if newcomer.is_settled => cluster.rule,
                    own => own,
                };
                let is_compared = (is_set || newcomer.is_settled) && holds == rule;
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

    /// Whether this came from a peer that keeps the bounds.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let is_sound = |scope: &Scope| {
            scope.name.len() <= SCOPE_BYTES_MAX
                && scope.terms.len() <= TERMS_OF_SCOPE_MAX
                && scope.terms.iter().all(|term| {
                    term.name.len() <= TERM_BYTES_MAX && term.value.len() <= TERM_BYTES_MAX
                })
        };
        self.scopes.len() <= SCOPES_MAX && self.scopes.iter().all(is_sound)
    }

    /// Bytes of its texts.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let of_terms = |terms: &[Term]| -> usize {
            terms.iter().map(|term| term.name.len() + term.value.len()).sum()
        };
        self.scopes.iter().map(|scope| scope.name.len() + of_terms(&scope.terms)).sum()
    }

    /// What holds for a name or pattern.
    fn within(&self, name: &str) -> Within<'_> {
        let named = |name: &str| self.scopes.iter().find(|scope| scope.name == name);
        if name == Self::GENERAL {
            return Within { own: named(name), usual: None };
        }
        let fits = |scope: &&Scope| {
            let parts = scope.name.split_once('*').filter(|_| scope.name != USUAL);
            parts.is_some_and(|(begin, end)| name.starts_with(begin) && name.ends_with(end))
        };
        let own = named(name)
            .or_else(|| self.scopes.iter().filter(fits).max_by_key(|scope| scope.name.len()));
        Within { own, usual: named(USUAL) }
    }
}

/// Where the settings of one name are.
struct Within<'a> {
    own: Option<&'a Scope>,
    usual: Option<&'a Scope>,
}

impl<'a> Within<'a> {
    /// The setting, and whether it was set for this name.
    fn get(&self, name: &str) -> Option<(&'a Term, bool)> {
        let of = |scope: Option<&'a Scope>| scope?.terms.iter().find(|term| term.name == name);
        let own = of(self.own).map(|term| (term, term.is_set));
        own.or_else(|| Some((of(self.usual)?, false)))
    }

    fn names(&self) -> BTreeSet<&'a str> {
        let scopes = self.own.into_iter().chain(self.usual);
        scopes.flat_map(|scope| &scope.terms).map(|term| &*term.name).collect()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Terms from lines such as `cache-* backups 2`: a scope or `-` for none, a name and a value,
    /// `?` behind a value that nobody set; `~` before a name that is changing, `=` before one of
    /// which each member has its own value.
    pub(crate) fn terms(lines: &[&str]) -> Terms {
        let mut scopes: Vec<Scope> = Vec::new();
        for line in lines {
            let words: Vec<&str> = line.split(' ').collect();
            let scope = if words[0] == "-" { Terms::GENERAL } else { words[0] };
            let value = words[2].trim_end_matches('?').to_owned();
            let rule = match words[1].as_bytes()[0] {
                b'~' => Rule::Changing,
                b'=' => Rule::Own,
                _ => Rule::Same,
            };
            let name = words[1].trim_start_matches(['~', '=']).to_owned();
            let term = Term { name, value, is_set: !line.ends_with('?'), rule };
            match scopes.iter_mut().find(|known| known.name == scope) {
                Some(known) => known.terms.push(term),
                None => scopes.push(Scope { name: scope.into(), terms: vec![term] }),
            }
        }
        Terms::new(scopes)
    }

    fn differ(cluster: &[&str], newcomer: &[&str]) -> Vec<String> {
        let differences = terms(cluster).settled().differences(&terms(newcomer));
        differences
            .iter()
            .map(|d| format!("{} {} {} {}", d.scope, d.name, d.newcomer, d.cluster))
            .collect()
    }

    const NONE: [&str; 0] = [];

    #[test]
    fn what_was_set_has_to_be_the_same_and_what_was_left_open_may_be_anything() {
        assert_eq!(
            differ(&["- partitions 271?"], &["- partitions 1021"]),
            [" partitions 1021 271"]
        );
        assert_eq!(differ(&["- partitions 1021"], &["- partitions 271?"]), NONE);
        assert_eq!(differ(&["- partitions 1021?"], &["- partitions 1021"]), NONE);
        let settled = terms(&["- partitions 271?"]).settled();
        assert_eq!(terms(&["- partitions 7"]).differences(&settled).len(), 1);
    }

    #[test]
    fn a_name_has_what_its_own_scope_says_or_the_longest_pattern_or_the_usual_one() {
        let cluster = ["* backups 1?", "cache-* backups 0", "cache-a ttl 5"];
        assert_eq!(differ(&cluster, &["* backups 1?", "cache-b backups 0"]), NONE);
        assert_eq!(
            differ(&cluster, &["* backups 1?", "cache-b backups 2"]),
            ["cache-b backups 2 0"]
        );
        assert_eq!(
            differ(&cluster, &["* backups 1?", "cache-a backups 0"]),
            ["cache-a backups 0 1"],
            "a scope of its own has the usual value where it says nothing"
        );
        assert_eq!(differ(&cluster, &["* backups 1"]), NONE, "what it does not name is open");
        assert_eq!(differ(&cluster, &["* backups 0"]), ["* backups 0 1"]);
        let other = terms(&["* backups 1"]).settled();
        let found = terms(&cluster).settled().differences(&other);
        assert_eq!(found.len(), 1, "in another cluster nothing is open: {found:?}");
    }

    #[test]
    fn what_is_changing_is_named_and_keeps_nobody_out() {
        let cluster = terms(&["- partitions 7", "* ttl 60", "* backups 1?", "carts ttl 5"]);
        let cluster = cluster.settled();
        let own = terms(&[
            "- partitions 271?",
            "* ~ttl 0?",
            "* backups 1?",
            "cache-* ~ttl 9",
            "d backups 1",
        ]);
        for changes in [cluster.changes(&own), own.settled_in(&cluster).changes(&cluster)] {
            assert_eq!(changes.len(), 1, "{changes:?}");
            assert_eq!((&*changes[0].scope, &*changes[0].name), ("cache-*", "ttl"));
        }
        assert_eq!(cluster.differences(&own), []);
        let settled = own.settled_in(&cluster);
        let get = |scope, name| settled.get(scope, name);
        assert_eq!(get("", "partitions"), Some(("7", true)));
        assert_eq!(get("*", "ttl"), Some(("60", true)));
        assert_eq!(get("carts", "ttl"), Some(("5", true)));
        assert_eq!(get("cache-a", "ttl"), Some(("9", true)), "what it leads with");
        assert_eq!(get("cache-a", "backups"), Some(("1", true)));
        // What this member does not change is not changing here.
        assert!(
            settled
                .scopes()
                .iter()
                .flat_map(|scope| &scope.terms)
                .all(|term| { (term.rule == Rule::Changing) == (term.name == "ttl") })
        );
        let strict = terms(&["* ttl 7"]).settled();
        let open = terms(&["* ttl 0?"]).settled_in(&own.settled());
        assert_eq!(open.differences(&strict).len(), 2, "of * and of cache-*");
        // Whoever leads: the two can be one.
        assert_eq!(cluster.differences(&settled), []);
        assert_eq!(settled.differences(&cluster), []);
    }

    #[test]
    fn what_each_member_has_of_its_own_is_not_compared_and_taken_where_it_is_open() {
        let cluster = terms(&["* =memory 8", "carts =memory 2"]).settled();
        let own = terms(&["* =memory 0?", "big =memory 16"]);
        assert_eq!(cluster.differences(&own), []);
        assert_eq!(cluster.changes(&own), []);
        let settled = own.settled_in(&cluster);
        let values = ["a", "big", "carts"].map(|name| settled.get(name, "memory").unwrap().0);
        assert_eq!(values, ["8", "16", "2"]);
    }

    #[test]
    fn scopes_of_a_member_and_of_its_cluster_together_keep_the_bounds() {
        let lines = |prefix: &str, count: usize| {
            (0..count).map(|n| format!("{prefix}{n} ~ttl 1")).collect::<Vec<_>>()
        };
        let made = |lines: &[String]| terms(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        let (own, cluster) = (made(&lines("a", SCOPES_MAX)), made(&lines("b", SCOPES_MAX - 1)));
        let settled = own.settled_in(&cluster);
        assert!(settled.is_sound());
        assert_eq!(settled.scopes().len(), SCOPES_MAX);
    }

    #[test]
    fn a_difference_is_named_once_and_there_is_a_bound_to_their_number() {
        let named: Vec<String> = (0..50).map(|n| format!("m{n} ttl {n}")).collect();
        let mut lines: Vec<&str> = named.iter().map(String::as_str).collect();
        lines.push("* backups 2");
        let found = differ(&["* backups 1?", "* ttl none?"], &lines);
        assert_eq!(found.len(), DIFFERENCES_MAX);
        assert_eq!(found.iter().filter(|line| line.contains("backups")).count(), 1);
        assert_eq!(found[0], "* backups 2 1");
    }

    #[test]
    fn a_setting_that_only_one_knows_is_no_difference() {
        assert_eq!(differ(&["- a 1"], &["- b 2"]), NONE);
    }

    #[test]
    fn terms_from_the_network_keep_the_bounds() {
        let with = |name: usize, value: usize| {
            let term = Term {
                name: "n".repeat(name),
                value: "v".repeat(value),
                is_set: true,
                rule: Rule::Same,
            };
            Terms::new(vec![Scope { name: "*".into(), terms: vec![term] }])
        };
        assert!(with(TERM_BYTES_MAX, TERM_BYTES_MAX).is_sound());
        assert!(!with(TERM_BYTES_MAX + 1, 1).is_sound());
        assert!(!with(1, TERM_BYTES_MAX + 1).is_sound());
        let scope = with(1, 1).scopes()[0].clone();
        assert!(!Terms::new(vec![scope; SCOPES_MAX + 1]).is_sound());
    }
}
