//! What a component is and asks for, before anything is granted to it.

use std::time::Duration;

use wasmtime::Engine;
use wasmtime::component::Component;

use crate::Digest;
use crate::capability::{Grant, http};
use crate::imports::{self, ANNOUNCER, ImportProblem, STRATEGY};

/// What one component is and asks for.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// Of its bytes.
    pub digest: Digest,
    /// Its size, in bytes.
    pub bytes: u64,
    /// What compiling it took, or loading what was compiled before.
    pub compiled_in: Duration,
    /// What it exports of ours, with the versions it was built for.
    pub exports: Vec<String>,
    /// Each permission it asks for.
    pub asks: Vec<Asked>,
    /// Why it could not be used here even with all of that; empty when it could.
    pub problems: Vec<ImportProblem>,
}

/// One permission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The interface, or the first of several, as it was built for.
    pub interface: String,
    /// What it could do with it: "may …".
    pub in_words: String,
    /// How it is granted.
    pub grant: AskedGrant,
}

/// How a permission is granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AskedGrant {
    /// Every mode has it.
    Always,
    /// An entry of `grant = { … }`.
    Entry {
        /// Such as `dns`.
        capability: &'static str,
        /// A pattern that grants some of it, such as `*.shop.example`.
        example: &'static str,
    },
    /// `wasi = "inert"`.
    InertWasi,
}

/// Looks at a compiled component.
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
    let mut asks: Vec<Asked> = links
        .capabilities
        .iter()
        .map(|capability| Asked {
            interface: capability.interface.to_owned(),
            in_words: capability.in_words.to_owned(),
            grant: capability.grant.map_or(AskedGrant::Always, entry),
        })
        .collect();
    if links.http {
        asks.push(Asked {
            interface: "wasi:http/outgoing-handler".to_owned(),
            in_words: "make HTTP requests to the servers that are named".to_owned(),
            grant: entry(http::GRANT),
        });
    }
    if links.inert_wasi {
        asks.push(Asked {
            interface: "wasi:cli and others".to_owned(),
            in_words: "read the clock, get random numbers, print into the log: its language's runtime insists on WASI, of which it gets no files, no sockets and no environment".to_owned(),
            grant: AskedGrant::InertWasi,
        });
    }
    Inspection { digest, bytes, compiled_in, exports, asks, problems }
}

fn entry(grant: Grant) -> AskedGrant {
    AskedGrant::Entry { capability: grant.capability, example: grant.example }
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
    fn everything_is_granted_for_a_look_at_what_cannot_be() {
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
