//! One problem with an import or an export.

use semver::Version;

use crate::capability;

/// The export that makes a component a mode, at the version that this host supports.
pub(crate) const STRATEGY: &str = "convoke:discovery/strategy@0.1.0";
/// The optional export of modes that announce this member.
pub(crate) const ANNOUNCER: &str = "convoke:discovery/announcer@0.1.0";

/// One reason why a component cannot be used as a mode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportProblem {
    /// A capability that exists and is not granted.
    #[error("it imports {import}, which is not granted")]
    NotGranted {
        /// The import's name.
        import: String,
        /// The capability's name in a grant.
        capability: &'static str,
        /// An example of a pattern.
        example: &'static str,
    },
    /// A known interface in a version that this host does not have.
    #[error("{verb} {interface} {theirs}, and this convoke has {ours}: {advice}")]
    OtherVersion {
        /// "it imports" or "it exports".
        verb: &'static str,
        /// The interface without its version.
        interface: String,
        /// The version that the component was built for.
        theirs: String,
        /// The version of this host.
        ours: String,
        /// Which side is older, and what to do.
        advice: &'static str,
    },
    /// WASI interfaces that language runtimes require.
    #[error(
        "it imports {first}{more} of WASI, as the runtimes of some languages do; to provide WASI without files, sockets and environment, add to its [[discovery]]: wasi = \"inert\"; or build it with WASI stubbed out", more = and_more(*others)
    )]
    Wasi {
        /// The first of them.
        first: String,
        /// The number of the others.
        others: usize,
    },
    /// A WASI interface that is not available to modes.
    #[error("it imports {0}, which is not available to modes; build it without that import")]
    OtherWasi(String),
    /// An unknown interface in a package of Convoke.
    #[error("it imports {0}, which this convoke does not have; it has: {known}", known = capability::names())]
    UnknownCapability(String),
    /// An import from any other package.
    #[error(
        "it imports {0}, which is not an interface of convoke; modes can import from convoke:host only"
    )]
    Foreign(String),
    /// It does not export the strategy interface.
    #[error(
        "it does not export {STRATEGY}, which every mode has to; include the world convoke:discovery/mode"
    )]
    NoStrategy,
    /// The names match and the types do not.
    #[error(
        "its types do not match the interfaces it imports or exports: {0}; build it from the wit/ of this convoke"
    )]
    Types(String),
}

fn and_more(others: usize) -> String {
    if others == 0 { String::new() } else { format!(" and {others} more") }
}

/// Splits `convoke:host/log@0.1.0` into interface and version.
pub(super) fn split(name: &str) -> (&str, Option<Version>) {
    match name.split_once('@') {
        Some((interface, version)) => (interface, Version::parse(version).ok()),
        None => (name, None),
    }
}

/// Checks versions as wasmtime's linker does: the major version has to be equal, and before 1.0
/// the minor version; a pre-release version matches only itself.
pub(super) fn version_problem(
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
