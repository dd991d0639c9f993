//! Settings on which all members of a cluster have to agree.
//!
//! What they mean is known to the layer above only; here names and values are text. A
//! newcomer says with which ones it was configured, and which of them its operator set. The
//! coordinator compares these with what holds in its cluster: a value that was set and is
//! another one keeps the newcomer out, and what was left open it takes from the cluster. Two
//! clusters become one only when the same holds in both.

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

/// A setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Term {
    /// At most [`TERM_BYTES_MAX`] bytes.
    pub name: String,
    /// At most [`TERM_BYTES_MAX`] bytes.
    pub value: String,
    /// Whether it was set, and is not what holds when nobody sets it.
    pub is_set: bool,
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

/// All settings on which members have to agree. Copies share their memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms(Arc<[Scope]>);

impl Serialize for Terms {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.as_ref().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Terms {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Vec::deserialize(deserializer).map(Self::new)
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
        Self(scopes.into())
    }

    /// The scopes.
    #[must_use]
    pub fn scopes(&self) -> &[Scope] {
        &self.0
    }

    /// The value that holds for a name, and whether it was set.
    #[must_use]
    pub fn get(&self, scope: &str, name: &str) -> Option<(&str, bool)> {
        self.within(scope).get(name)
    }

    /// The same, with nothing left open.
    #[must_use]
    pub fn settled(&self) -> Self {
        let mut scopes = self.0.to_vec();
        for term in scopes.iter_mut().flat_map(|scope| &mut scope.terms) {
            term.is_set = true;
        }
        Self::new(scopes)
    }

    /// What a newcomer was set to and this cluster, whose terms these are, has otherwise: the
    /// first [`DIFFERENCES_MAX`], each once if it is the same in several scopes. A setting that
    /// only one of the two knows is no difference.
    #[must_use]
    pub fn differences(&self, newcomer: &Self) -> Vec<Difference> {
        let mut found: Vec<Difference> = Vec::new();
        if self == newcomer {
            return found;
        }
        let of = |terms: &Self| terms.0.iter().map(|scope| scope.name.clone()).collect::<Vec<_>>();
        let scopes: BTreeSet<String> = of(self).into_iter().chain(of(newcomer)).collect();
        for scope in scopes {
            let (here, there) = (self.within(&scope), newcomer.within(&scope));
            for name in there.names() {
                let (Some((cluster, _)), Some((value, true))) = (here.get(name), there.get(name))
                else {
                    continue;
                };
                let is_known = |known: &Difference| {
                    (&*known.name, &*known.cluster, &*known.newcomer) == (name, cluster, value)
                };
                if cluster == value || found.iter().any(is_known) {
                    continue;
                }
                if found.len() == DIFFERENCES_MAX {
                    return found;
                }
                found.push(Difference {
                    scope: scope.clone(),
                    name: name.to_owned(),
                    cluster: cluster.to_owned(),
                    newcomer: value.to_owned(),
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
        self.0.len() <= SCOPES_MAX && self.0.iter().all(is_sound)
    }

    /// Bytes of its texts.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let of_terms = |terms: &[Term]| -> usize {
            terms.iter().map(|term| term.name.len() + term.value.len()).sum()
        };
        self.0.iter().map(|scope| scope.name.len() + of_terms(&scope.terms)).sum()
    }

    /// What holds for a name or pattern.
    fn within(&self, name: &str) -> Within<'_> {
        let named = |name: &str| self.0.iter().find(|scope| scope.name == name);
        if name == Self::GENERAL {
            return Within { own: named(name), usual: None };
        }
        let fits = |scope: &&Scope| {
            let parts = scope.name.split_once('*').filter(|_| scope.name != USUAL);
            parts.is_some_and(|(begin, end)| name.starts_with(begin) && name.ends_with(end))
        };
        let own =
            named(name).or_else(|| self.0.iter().filter(fits).max_by_key(|scope| scope.name.len()));
        Within { own, usual: named(USUAL) }
    }
}

/// Where the settings of one name are.
struct Within<'a> {
    own: Option<&'a Scope>,
    usual: Option<&'a Scope>,
}

impl<'a> Within<'a> {
    fn get(&self, name: &str) -> Option<(&'a str, bool)> {
        let scopes = self.own.into_iter().chain(self.usual);
        let mut terms = scopes.flat_map(|scope| &scope.terms);
        terms.find(|term| term.name == name).map(|term| (&*term.value, term.is_set))
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
    /// and `?` behind a value that nobody set.
    pub(crate) fn terms(lines: &[&str]) -> Terms {
        let mut scopes: Vec<Scope> = Vec::new();
        for line in lines {
            let words: Vec<&str> = line.split(' ').collect();
            let scope = if words[0] == "-" { Terms::GENERAL } else { words[0] };
            let value = words[2].trim_end_matches('?').to_owned();
            let term = Term { name: words[1].into(), value, is_set: !line.ends_with('?') };
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
        assert_eq!(differ(&cluster, &["* backups 1"]), ["cache-* backups 1 0"]);
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
            let term = Term { name: "n".repeat(name), value: "v".repeat(value), is_set: true };
            Terms::new(vec![Scope { name: "*".into(), terms: vec![term] }])
        };
        assert!(with(TERM_BYTES_MAX, TERM_BYTES_MAX).is_sound());
        assert!(!with(TERM_BYTES_MAX + 1, 1).is_sound());
        assert!(!with(1, TERM_BYTES_MAX + 1).is_sound());
        let scope = with(1, 1).scopes()[0].clone();
        assert!(!Terms::new(vec![scope; SCOPES_MAX + 1]).is_sound());
    }
}
