//! Reads what a component imports and exports before anything is linked, and
//! explains all that stands in the way at once.

mod wasi;

use std::fmt;

use semver::Version;
use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

use crate::capability::{self, Capability, Grant};
use crate::grant::Grants;
use crate::text::one_line;

/// The package whose exports make a component a mode, at the version this host knows.
pub(crate) const STRATEGY: &str = "convoke:discovery/strategy@0.1.0";
/// The optional export of modes that make this member known.
pub(crate) const ANNOUNCER: &str = "convoke:discovery/announcer@0.1.0";

/// Everything that keeps one component from being a mode here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unlinkable {
    /// The mode's name.
    pub mode: String,
    /// Where it comes from.
    pub origin: String,
    /// At least one problem, imports first.
    pub problems: Vec<ImportProblem>,
    /// Grants that let it in, those included that the mode has; `None` when none of the
    /// problems is about a grant.
    pub grant: Option<Box<Grants>>,
}

/// One thing that keeps a component from being a mode here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportProblem {
    /// A capability that exists and was not granted.
    #[error("it imports {import}, which is not granted")]
    NotGranted {
        /// The import's name.
        import: String,
        /// The capability, as a grant names it.
        capability: &'static str,
        /// A pattern that grants some of it.
        example: &'static str,
    },
    /// A known interface in a version that this host does not have.
    #[error("{verb} {interface} {theirs}, and this convoke has {ours}: {advice}")]
    OtherVersion {
        /// "it imports" or "it exports".
        verb: &'static str,
        /// The interface without its version.
        interface: String,
        /// What the component was built for.
        theirs: String,
        /// What this host has.
        ours: String,
        /// Which side is older, and what to do.
        advice: &'static str,
    },
    /// Interfaces of WASI that a language's runtime asks for.
    #[error(
        "it imports {first}{more} of WASI, as the runtimes of some languages do; to give it a WASI with no files, no sockets and no environment add to its [[discovery]]: wasi = \"inert\"; or build it with its WASI stubbed", more = and_more(*others)
    )]
    Wasi {
        /// The first of them.
        first: String,
        /// How many more there are.
        others: usize,
    },
    /// An interface of WASI that no mode gets.
    #[error("it imports {0}, which no mode gets; build it without")]
    OtherWasi(String),
    /// An interface of convoke's own that nobody knows.
    #[error("it imports {0}, which this convoke does not have; it has: {known}", known = capability::names())]
    UnknownCapability(String),
    /// Anything else.
    #[error("it imports {0}, which is not convoke's; modes import from convoke:host only")]
    Foreign(String),
    /// No strategy.
    #[error(
        "it does not export {STRATEGY}; every mode does: include the world convoke:discovery/mode"
    )]
    NoStrategy,
    /// The names agree and the types do not.
    #[error("it does not fit the interfaces it names: {0}; build it from the wit/ of this convoke")]
    Types(String),
}

fn and_more(others: usize) -> String {
    if others == 0 { String::new() } else { format!(" and {others} more") }
}

impl std::error::Error for Unlinkable {}

impl Unlinkable {
    /// Proposes what the mode is known to ask for, in place of examples where there is any.
    #[must_use]
    pub fn wanting(mut self, mut grants: Grants) -> Self {
        if complete(&mut grants, &self.problems) {
            self.grant = Some(Box::new(grants));
        }
        self
    }
}

impl fmt::Display for Unlinkable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mode {:?} ({}) cannot be used: ", self.mode, self.origin)?;
        for (at, problem) in self.problems.iter().enumerate() {
            write!(f, "{}{problem}", if at == 0 { "" } else { "; " })?;
        }
        if let Some(grant) = &self.grant {
            write!(f, "; to allow it, its [[discovery]] needs: {grant}")?;
        }
        Ok(())
    }
}

/// What to grant: `granted`, and an example of each capability that `problems` lack.
pub(crate) fn proposed(problems: &[ImportProblem], granted: &Grants) -> Option<Box<Grants>> {
    let mut grants = Box::new(granted.clone());
    complete(&mut grants, problems).then_some(grants)
}

/// Adds an example of each capability that is lacking; whether there is any.
fn complete(grants: &mut Grants, problems: &[ImportProblem]) -> bool {
    let mut lacks = false;
    for problem in problems {
        if let ImportProblem::NotGranted { capability, example, .. } = problem {
            lacks = true;
            let all = capability::TABLE.iter().filter_map(|known| known.grant);
            let mut all = all.chain([capability::http::GRANT]);
            if !all.any(|known| known.capability == *capability && (known.is_granted)(grants)) {
                // A pattern that this host writes itself is sound.
                let _ = grants.add(capability, example);
            }
        }
    }
    lacks
}

/// Something of each capability, so that only what can never be granted is left.
pub(crate) fn everything() -> Grants {
    let some: [(&str, &[&str]); 6] = [
        ("dns", &["*"]),
        ("http", &["https://*"]),
        ("kubernetes", &["."]),
        ("multicast", &["224.2.2.4:2904"]),
        ("probe", &["*:*"]),
        ("store", &["1KiB"]),
    ];
    // Sound, all of them: a test says so.
    let granted = Grants::parse(some).unwrap_or_default();
    Grants { inert_wasi: true, ..granted }
}

/// What a component is linked with.
#[derive(Default)]
pub(crate) struct Links {
    pub(crate) capabilities: Vec<&'static Capability>,
    /// `wasi:http` and what it is made of.
    pub(crate) http: bool,
    /// Further interfaces of WASI, with nothing behind them.
    pub(crate) inert_wasi: bool,
}

/// What to link, or everything that is wrong with `component`.
pub(crate) fn inspect(component: &Component, grants: &Grants) -> Result<Links, Vec<ImportProblem>> {
    let engine = component.engine();
    let ty = component.component_type();
    let asked: Vec<&str> = ty
        .imports(engine)
        .filter(|(_, import)| !is_types_only(engine, &import.ty))
        .map(|(name, _)| name)
        .collect();
    let mut problems = Vec::new();
    let mut links = Links::default();
    for name in asked.iter().filter(|name| !name.starts_with("wasi:")) {
        match classify(name, grants) {
            Ok(capability) => links.capabilities.push(capability),
            Err(problem) => problems.push(problem),
        }
    }
    problems.extend(wasi::inspect(&asked, grants, &mut links));
    if let Some(problem) = strategy_problem(ty.exports(engine).map(|(name, _)| name)) {
        problems.push(problem);
    }
    if problems.is_empty() { Ok(links) } else { Err(problems) }
}

/// An interface of records and variants asks for nothing.
fn is_types_only(engine: &wasmtime::Engine, item: &ComponentItem) -> bool {
    match item {
        ComponentItem::ComponentInstance(instance) => {
            instance.exports(engine).all(|(_, item)| matches!(item.ty, ComponentItem::Type(_)))
        }
        ComponentItem::Type(_) => true,
        _ => false,
    }
}

fn classify(name: &str, grants: &Grants) -> Result<&'static Capability, ImportProblem> {
    let shown = || one_line(name, 200);
    let (interface, theirs) = split(name);
    let Some(capability) = capability::TABLE.iter().find(|known| known.interface == interface)
    else {
        return Err(match interface.split_once([':', '/']) {
            Some(("convoke", _)) => ImportProblem::UnknownCapability(shown()),
            _ => ImportProblem::Foreign(shown()),
        });
    };
    let Some(theirs) = theirs else { return Err(ImportProblem::Foreign(shown())) };
    if let Some(problem) =
        version_problem("it imports", interface, &theirs, &capability::host_version())
    {
        return Err(problem);
    }
    match capability.grant {
        Some(grant) if !(grant.is_granted)(grants) => {
            let Grant { capability, example, .. } = grant;
            Err(ImportProblem::NotGranted { import: shown(), capability, example })
        }
        _ => Ok(capability),
    }
}

fn strategy_problem<'a>(exports: impl Iterator<Item = &'a str>) -> Option<ImportProblem> {
    let (ours, our_version) = split(STRATEGY);
    let ours_version = our_version?;
    let mut problem = Some(ImportProblem::NoStrategy);
    for name in exports {
        let (interface, theirs) = split(name);
        if interface != ours {
            continue;
        }
        let Some(theirs) = theirs else { continue };
        problem = version_problem("it exports", interface, &theirs, &ours_version);
        if problem.is_none() {
            break;
        }
    }
    problem
}

/// `convoke:host/log@0.1.0` as interface and version.
fn split(name: &str) -> (&str, Option<Version>) {
    match name.split_once('@') {
        Some((interface, version)) => (interface, Version::parse(version).ok()),
        None => (name, None),
    }
}

/// Versions agree as wasmtime's linker has it: the same major version, and before
/// 1.0 the same minor version; a pre-release only with itself.
fn version_problem(
    verb: &'static str,
    interface: &str,
    theirs: &Version,
    ours: &Version,
) -> Option<ImportProblem> {
    let line = |version: &Version| match version.major {
        0 => (0, version.minor),
        major => (major, 0),
    };
    let compatible = theirs == ours
        || (theirs.pre.is_empty() && ours.pre.is_empty() && line(theirs) == line(ours));
    if compatible {
        return None;
    }
    Some(ImportProblem::OtherVersion {
        verb,
        interface: interface.to_owned(),
        theirs: theirs.to_string(),
        ours: ours.to_string(),
        advice: if theirs > ours {
            "this convoke is older; update convoke"
        } else {
            "the mode is older; update the mode"
        },
    })
}

#[cfg(test)]
mod tests {
    use super::{STRATEGY, Unlinkable, classify, proposed, strategy_problem};
    use crate::Grants;

    #[test]
    fn one_grant_is_proposed_for_all_that_is_lacking_beside_what_there_is() {
        let granted = Grants::parse([("http", ["http://10.0.0.5"].as_slice())]).unwrap();
        let imports = ["convoke:host/multicast@0.1.0", "convoke:host/store@0.1.0"];
        let problems: Vec<_> =
            imports.iter().filter_map(|import| classify(import, &granted).err()).collect();
        let grant = proposed(&problems, &granted);
        let refused = Unlinkable { mode: "m".into(), origin: "m.wasm".into(), problems, grant };
        assert_eq!(
            refused.to_string(),
            "mode \"m\" (m.wasm) cannot be used: it imports convoke:host/multicast@0.1.0, which is not granted; it imports convoke:host/store@0.1.0, which is not granted; to allow it, its [[discovery]] needs: grant = { http = [\"http://10.0.0.5\"], multicast = [\"224.2.2.4:2904\"], store = \"64KiB\" }"
        );
        assert_eq!(proposed(&[], &granted), None);
        let known = Grants::parse([("store", ["1KiB"].as_slice())]).unwrap();
        let grant = refused.wanting(known).grant.unwrap().to_string();
        assert_eq!(grant, "grant = { multicast = [\"224.2.2.4:2904\"], store = \"1KiB\" }");
    }

    fn problem(import: &str, grants: &Grants) -> Option<String> {
        classify(import, grants).err().map(|problem| problem.to_string())
    }

    #[test]
    fn the_log_needs_no_grant() {
        assert_eq!(problem("convoke:host/log@0.1.0", &Grants::default()), None);
        assert_eq!(problem("convoke:host/log@0.1.7", &Grants::default()), None);
    }

    #[test]
    fn a_capability_that_is_not_granted_is_refused_with_the_line_that_grants_it() {
        let import = "convoke:host/multicast@0.1.0";
        assert_eq!(
            problem(import, &Grants::default()).unwrap(),
            "it imports convoke:host/multicast@0.1.0, which is not granted"
        );
        let granted = Grants::parse([("multicast", ["224.0.0.9:1"].as_slice())]).unwrap();
        assert_eq!(problem(import, &granted), None);
    }

    #[test]
    fn another_version_says_which_side_is_older() {
        assert_eq!(
            problem("convoke:host/log@0.2.0", &Grants::default()).unwrap(),
            "it imports convoke:host/log 0.2.0, and this convoke has 0.1.0: this convoke is older; update convoke"
        );
        assert_eq!(
            problem("convoke:host/log@0.0.9", &Grants::default()).unwrap(),
            "it imports convoke:host/log 0.0.9, and this convoke has 0.1.0: the mode is older; update the mode"
        );
        assert!(problem("convoke:host/log@0.1.0-rc.1", &Grants::default()).is_some());
    }

    #[test]
    fn what_nobody_here_knows_is_refused_by_name() {
        assert_eq!(
            problem("convoke:host/teleport@0.1.0", &Grants::default()).unwrap(),
            "it imports convoke:host/teleport@0.1.0, which this convoke does not have; it has: convoke:host/dns, convoke:host/kubernetes, convoke:host/log, convoke:host/multicast, convoke:host/probe, convoke:host/store"
        );
        assert_eq!(
            problem("acme:host/log@0.1.0", &Grants::default()).unwrap(),
            "it imports acme:host/log@0.1.0, which is not convoke's; modes import from convoke:host only"
        );
    }

    #[test]
    fn a_strategy_of_this_line_of_versions_is_required() {
        let problem = |exports: &[&str]| {
            strategy_problem(exports.iter().copied()).map(|problem| problem.to_string())
        };
        assert_eq!(problem(&["init", STRATEGY]), None);
        assert_eq!(problem(&["convoke:discovery/strategy@0.1.9"]), None);
        assert_eq!(
            problem(&["init"]).unwrap(),
            "it does not export convoke:discovery/strategy@0.1.0; every mode does: include the world convoke:discovery/mode"
        );
        assert_eq!(
            problem(&["convoke:discovery/strategy@1.0.0"]).unwrap(),
            "it exports convoke:discovery/strategy 1.0.0, and this convoke has 0.1.0: this convoke is older; update convoke"
        );
    }
}
