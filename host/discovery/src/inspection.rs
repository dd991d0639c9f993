//! The exports and imports of a component, before it is granted anything.

use std::time::Duration;

use convoke_fetch::Digest;
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::capability::{Grant, http};
use crate::imports::{self, ANNOUNCER, ImportProblem, STRATEGY};

/// The exports of a component, and the permissions it needs.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// The digest of its bytes.
    pub digest: Digest,
    /// Its size, in bytes.
    pub bytes: u64,
    /// The time for compiling it, or for loading it from the cache.
    pub compiled_in: Duration,
    /// The Convoke interfaces that it exports, with the versions it was built for.
    pub exports: Vec<String>,
    /// Each permission that it needs.
    pub permissions: Vec<Permission>,
    /// Why it could not be used even with all permissions; empty if it could.
    pub problems: Vec<ImportProblem>,
}

/// A permission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permission {
    /// The interface, or the first of several, in the version that it was built for.
    pub interface: String,
    /// The permitted actions, as a phrase after "may".
    pub description: String,
    /// The grant that it needs.
    pub grant: PermissionGrant,
}

/// The grant that a permission needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PermissionGrant {
    /// Every mode has it.
    Always,
    /// An entry of `grant = { … }`.
    Entry {
        /// The capability, such as `dns`.
        capability: &'static str,
        /// An example of a pattern, such as `*.shop.example`.
        example: &'static str,
    },
    /// `wasi = "inert"`.
    InertWasi,
}

/// Inspects a compiled component.
pub(crate) fn inspect(
    engine: &Engine,
    component: &Component,
    digest: Digest,
    bytes: u64,
    compiled_in: Duration,
) -> Inspection {
    let exports = component
        .component_type()
        .exports(engine)
        .map(|(name, _)| name)
        .filter(|name| [STRATEGY, ANNOUNCER].iter().any(|known| same_interface(name, known)))
        .map(str::to_owned)
        .collect();
    let (links, problems) = match imports::inspect(component, &imports::everything()) {
        Ok(links) => (links, Vec::new()),
        Err(problems) => (imports::Links::default(), problems),
    };
    let mut permissions: Vec<Permission> = links
        .capabilities
        .iter()
        .map(|capability| Permission {
            interface: capability.interface.to_owned(),
            description: capability.description.to_owned(),
            grant: capability.grant.map_or(PermissionGrant::Always, entry),
        })
        .collect();
    if links.http {
        permissions.push(Permission {
            interface: "wasi:http/outgoing-handler".to_owned(),
            description: "make HTTP requests to the granted servers".to_owned(),
            grant: entry(http::GRANT),
        });
    }
    if links.inert_wasi {
        permissions.push(Permission {
            interface: "wasi:cli and others".to_owned(),
            description: "read the clock, get random numbers and print to the log; its language runtime requires WASI, which is provided without files, sockets and environment".to_owned(),
            grant: PermissionGrant::InertWasi,
        });
    }
    Inspection { digest, bytes, compiled_in, exports, permissions, problems }
}

fn entry(grant: Grant) -> PermissionGrant {
    PermissionGrant::Entry { capability: grant.capability, example: grant.example }
}

fn same_interface(name: &str, known: &str) -> bool {
    let interface = |name: &str| name.split('@').next().unwrap_or_default().to_owned();
    interface(name) == interface(known)
}

#[cfg(test)]
mod tests {
    use crate::capability::{self, http};
    use crate::imports::everything;

    #[test]
    fn inspection_assumes_all_grants() {
        let grants = everything();
        for capability in capability::TABLE {
            assert!(
                capability.grant.is_none_or(|grant| (grant.is_granted)(&grants)),
                "{}",
                capability.interface
            );
        }
        assert!((http::GRANT.is_granted)(&grants) && grants.inert_wasi);
    }
}
