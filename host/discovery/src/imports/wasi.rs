//! Which WASI interfaces a component gets, and the grant that each of them needs.

use convoke_text::escaped;
use semver::Version;

use super::problem::{ImportProblem, split, version_problem};
use crate::capability::http;
use crate::grant::Grants;

/// HTTP requests: they need the grant `http`.
const HTTP: &[&str] = &["wasi:http/outgoing-handler", "wasi:http/types"];

/// Dependencies of HTTP requests: available with either grant.
const SHARED: &[&str] =
    &["wasi:clocks/monotonic-clock", "wasi:io/error", "wasi:io/poll", "wasi:io/streams"];

/// Interfaces that language runtimes require: they need `wasi = "inert"`.
const INERT: &[&str] = &[
    "wasi:cli/environment",
    "wasi:cli/exit",
    "wasi:cli/stderr",
    "wasi:cli/stdin",
    "wasi:cli/stdout",
    "wasi:cli/terminal-input",
    "wasi:cli/terminal-output",
    "wasi:cli/terminal-stderr",
    "wasi:cli/terminal-stdin",
    "wasi:cli/terminal-stdout",
    "wasi:clocks/wall-clock",
    "wasi:filesystem/preopens",
    "wasi:filesystem/types",
    "wasi:random/insecure",
    "wasi:random/insecure-seed",
    "wasi:random/random",
    "wasi:sockets/instance-network",
    "wasi:sockets/ip-name-lookup",
    "wasi:sockets/network",
    "wasi:sockets/tcp",
    "wasi:sockets/tcp-create-socket",
    "wasi:sockets/udp",
    "wasi:sockets/udp-create-socket",
];

/// The WASI version of this host.
fn host_version() -> Version {
    Version::new(0, 2, 12)
}

/// The WASI interfaces to link; see [`Links`](super::Links).
#[derive(Default)]
pub(super) struct WasiLinks {
    pub(super) http: bool,
    pub(super) inert: bool,
}

/// Checks the WASI interfaces of `imported`: adds those to link to `links`, and returns the
/// problems.
pub(super) fn inspect(
    imported: &[&str],
    grants: &Grants,
    links: &mut WasiLinks,
) -> Vec<ImportProblem> {
    let mut problems = Vec::new();
    let (mut shared, mut inert, mut requests) = (Vec::new(), Vec::new(), None);
    for name in imported.iter().filter(|name| name.starts_with("wasi:")) {
        let (interface, theirs) = split(name);
        let is = |list: &[&str]| list.contains(&interface);
        if !is(HTTP) && !is(SHARED) && !is(INERT) {
            problems.push(ImportProblem::OtherWasi(escaped(name, 200)));
            continue;
        }
        let Some(theirs) = theirs else {
            problems.push(ImportProblem::OtherWasi(escaped(name, 200)));
            continue;
        };
        if let Some(problem) = version_problem("it imports", interface, &theirs, &host_version()) {
            problems.push(problem);
        } else if is(HTTP) {
            requests = Some(*name);
        } else if is(SHARED) {
            shared.push(*name);
        } else {
            inert.push(*name);
        }
    }
    if let Some(name) = requests {
        match (http::GRANT.is_granted)(grants) {
            true => links.http = true,
            false => problems.push(ImportProblem::NotGranted {
                import: escaped(name, 200),
                capability: http::GRANT.capability,
                example: http::GRANT.example,
            }),
        }
    } else {
        inert.splice(0..0, shared);
    }
    if let Some(first) = inert.first() {
        match grants.inert_wasi {
            true => links.inert = true,
            false => problems
                .push(ImportProblem::Wasi { first: escaped(first, 200), others: inert.len() - 1 }),
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::{WasiLinks, inspect};
    use crate::Grants;

    fn problems(imported: &[&str], grants: &Grants) -> Vec<String> {
        let problems = inspect(imported, grants, &mut WasiLinks::default());
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn http_requests_need_a_grant_and_bring_their_dependencies() {
        let asked = ["wasi:http/types@0.2.6", "wasi:io/streams@0.2.6", "wasi:io/poll@0.2.0"];
        assert_eq!(
            problems(&asked, &Grants::default()),
            ["it imports wasi:http/types@0.2.6, which is not granted"]
        );
        let granted = Grants::parse([("http", ["https://a.example"].as_slice())]).unwrap();
        let mut links = WasiLinks::default();
        assert!(inspect(&asked, &granted, &mut links).is_empty());
        assert!(links.http && !links.inert);
    }

    #[test]
    fn the_imports_of_a_language_runtime_are_one_problem() {
        let asked =
            ["wasi:io/poll@0.2.6", "wasi:cli/environment@0.2.6", "wasi:random/random@0.2.6"];
        assert_eq!(
            problems(&asked, &Grants::default()),
            [
                "it imports wasi:io/poll@0.2.6 and 2 more of WASI, as the runtimes of some languages do; to provide WASI without files, sockets and environment, add to its [[discovery]]: wasi = \"inert\"; or build it with WASI stubbed out"
            ]
        );
        let inert = Grants { inert_wasi: true, ..Grants::default() };
        let mut links = WasiLinks::default();
        assert!(inspect(&asked, &inert, &mut links).is_empty());
        assert!(links.inert && !links.http);
    }

    #[test]
    fn an_inert_wasi_does_not_include_http_requests() {
        let inert = Grants { inert_wasi: true, ..Grants::default() };
        assert_eq!(problems(&["wasi:http/types@0.2.6"], &inert).len(), 1);
    }

    #[test]
    fn other_interfaces_and_versions_are_rejected() {
        let inert = Grants { inert_wasi: true, ..Grants::default() };
        assert_eq!(
            problems(
                &["wasi:keyvalue/store@0.2.0-draft", "wasi:http/incoming-handler@0.2.0"],
                &inert
            ),
            [
                "it imports wasi:keyvalue/store@0.2.0-draft, which is not available to modes; build it without that import",
                "it imports wasi:http/incoming-handler@0.2.0, which is not available to modes; build it without that import"
            ]
        );
        assert_eq!(
            problems(&["wasi:cli/environment@0.3.0"], &inert),
            [
                "it imports wasi:cli/environment 0.3.0, and this convoke has 0.2.12: this convoke is older; update convoke"
            ]
        );
    }
}
