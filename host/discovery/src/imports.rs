//! Checks what a component imports and exports before it is linked, and reports all problems at
//! once.

mod problem;
mod wasi;

use std::fmt;

use convoke_text::escaped;
use wasmtime::component::Component;
use wasmtime::component::types::ComponentItem;

use crate::capability::{self, Grant, Row};
use crate::grant::Grants;
pub use problem::ImportProblem;
pub(crate) use problem::{ANNOUNCER, STRATEGY};
use problem::{split, version_problem};
use wasi::WasiLinks;

/// All reasons why one component cannot be used as a mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unlinkable {
    /// The mode's name.
    pub mode: String,
    /// Where the component comes from.
    pub origin: String,
    /// At least one problem, imports first.
    pub problems: Vec<ImportProblem>,
    /// Grants that would allow the imports, including those that the mode has; `None` if no
    /// problem is about a grant.
    pub grant: Option<Box<Grants>>,
}

impl std::error::Error for Unlinkable {}

impl Unlinkable {
    /// Replaces the example grants by `grants`, and completes those with examples where they
    /// are not sufficient.
    #[must_use]
    pub fn with_needed_grants(mut self, mut grants: Grants) -> Self {
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

/// `granted`, extended by an example of each capability that `problems` report as missing.
pub(crate) fn proposed(problems: &[ImportProblem], granted: &Grants) -> Option<Box<Grants>> {
    let mut grants = Box::new(granted.clone());
    complete(&mut grants, problems).then_some(grants)
}

/// Adds an example of each missing capability; true if there is any.
fn complete(grants: &mut Grants, problems: &[ImportProblem]) -> bool {
    let mut lacks = false;
    for problem in problems {
        if let ImportProblem::NotGranted { capability, example, .. } = problem {
            lacks = true;
            let mut all = capability::grants();
            if !all.any(|known| known.capability == *capability && (known.is_granted)(grants)) {
                // The example patterns are valid.
                let _ = grants.add(capability, example);
            }
        }
    }
    lacks
}

/// An example grant of each capability, so that only imports that can never be granted remain
/// as problems.
pub(crate) fn everything() -> Grants {
    let mut grants = Grants { inert_wasi: true, ..Grants::default() };
    for grant in capability::grants() {
        // The examples are valid; a test checks that.
        let _ = grants.add(grant.capability, grant.example);
    }
    grants
}

/// The interfaces that a component is linked with.
#[derive(Default)]
pub(crate) struct Links {
    pub(crate) capabilities: Vec<&'static Row>,
    /// Whether `wasi:http` and its dependencies are linked.
    pub(crate) http: bool,
    /// Whether the other WASI interfaces are linked, without access to the system.
    pub(crate) inert_wasi: bool,
}

/// The interfaces to link, or all problems of `component`.
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
    let mut wasi = WasiLinks::default();
    problems.extend(wasi::inspect(&asked, grants, &mut wasi));
    (links.http, links.inert_wasi) = (wasi.http, wasi.inert);
    if let Some(problem) = strategy_problem(ty.exports(engine).map(|(name, _)| name)) {
        problems.push(problem);
    }
    if problems.is_empty() { Ok(links) } else { Err(problems) }
}

/// Whether an interface contains only type definitions, and so needs no grant.
fn is_types_only(engine: &wasmtime::Engine, item: &ComponentItem) -> bool {
    match item {
        ComponentItem::ComponentInstance(instance) => {
            instance.exports(engine).all(|(_, item)| matches!(item.ty, ComponentItem::Type(_)))
        }
        ComponentItem::Type(_) => true,
        _ => false,
    }
}

fn classify(name: &str, grants: &Grants) -> Result<&'static Row, ImportProblem> {
    let shown = || escaped(name, 200);
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

#[cfg(test)]
mod tests {
    use super::{STRATEGY, Unlinkable, classify, proposed, strategy_problem};
    use crate::Grants;

    #[test]
    fn one_proposed_grant_covers_existing_and_missing_capabilities() {
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
        let grant = refused.with_needed_grants(known).grant.unwrap().to_string();
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
    fn a_capability_that_is_not_granted_is_rejected() {
        let import = "convoke:host/multicast@0.1.0";
        assert_eq!(
            problem(import, &Grants::default()).unwrap(),
            "it imports convoke:host/multicast@0.1.0, which is not granted"
        );
        let granted = Grants::parse([("multicast", ["224.0.0.9:1"].as_slice())]).unwrap();
        assert_eq!(problem(import, &granted), None);
    }

    #[test]
    fn a_version_mismatch_reports_which_side_is_older() {
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
    fn an_unknown_import_is_rejected_by_name() {
        assert_eq!(
            problem("convoke:host/teleport@0.1.0", &Grants::default()).unwrap(),
            "it imports convoke:host/teleport@0.1.0, which this convoke does not have; it has: convoke:host/dns, convoke:host/kubernetes, convoke:host/log, convoke:host/multicast, convoke:host/probe, convoke:host/store"
        );
        assert_eq!(
            problem("acme:host/log@0.1.0", &Grants::default()).unwrap(),
            "it imports acme:host/log@0.1.0, which is not an interface of convoke; modes can import from convoke:host only"
        );
    }

    #[test]
    fn a_compatible_strategy_export_is_required() {
        let problem = |exports: &[&str]| {
            strategy_problem(exports.iter().copied()).map(|problem| problem.to_string())
        };
        assert_eq!(problem(&["init", STRATEGY]), None);
        assert_eq!(problem(&["convoke:discovery/strategy@0.1.9"]), None);
        assert_eq!(
            problem(&["init"]).unwrap(),
            "it does not export convoke:discovery/strategy@0.1.0, which every mode has to; include the world convoke:discovery/mode"
        );
        assert_eq!(
            problem(&["convoke:discovery/strategy@1.0.0"]).unwrap(),
            "it exports convoke:discovery/strategy 1.0.0, and this convoke has 0.1.0: this convoke is older; update convoke"
        );
    }
}
