//! `--public-address`: a name that is resolved and advertised. It may not be in DNS yet; the name
//! of a container often appears seconds after its start.

use std::net::SocketAddr;
use std::time::Duration;

use tracing::{info, warn};

use crate::describe::list;
use crate::settings::{PublicAddress, Settings};

/// Time between two lookups of a name that cannot be resolved, in milliseconds; the same as for
/// modes.
const RETRY_MS: u64 = 1_000;

/// The reason why there are no addresses.
#[derive(Debug)]
enum Missing {
    /// The name cannot be resolved now, with the error of the system's resolver.
    Yet(String),
    /// No host could dial the addresses.
    Undialable(String),
}

/// The addresses to advertise, as the system resolves the name now; empty without
/// `--public-address`. `port` is the default port.
async fn look_up(settings: &Settings, port: u16) -> Result<Vec<SocketAddr>, Missing> {
    let Some(PublicAddress { host, port: own }) = &settings.public_address else {
        return Ok(Vec::new());
    };
    let found = tokio::net::lookup_host((host.as_str(), own.unwrap_or(port))).await;
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in found.map_err(|error| Missing::Yet(error.to_string()))? {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        return Err(Missing::Yet("the name has no address".into()));
    }
    if addresses.iter().any(|a| a.ip().is_unspecified() || a.ip().is_multicast()) {
        let why =
            format!("--public-address: {host:?} is not an address that other hosts can connect to");
        return Err(Missing::Undialable(why));
    }
    Ok(addresses)
}

/// Repeats the lookup until it succeeds, and logs the first failure.
pub(super) async fn wait(settings: &Settings, port: u16) -> Result<Vec<SocketAddr>, String> {
    let started = tokio::time::Instant::now();
    let mut is_logged = false;
    loop {
        match look_up(settings, port).await {
            Ok(addresses) => {
                if is_logged {
                    let elapsed_ms = started.elapsed().as_millis();
                    info!(addresses = list(&addresses), elapsed_ms, "--public-address resolved");
                }
                return Ok(addresses);
            }
            Err(Missing::Undialable(why)) => return Err(why),
            Err(Missing::Yet(why)) if !is_logged => {
                is_logged = true;
                warn!(name = name(settings), %why, "cannot resolve --public-address; retrying every second, and this member joins once it resolves");
            }
            Err(Missing::Yet(_)) => {}
        }
        tokio::time::sleep(Duration::from_millis(RETRY_MS)).await;
    }
}

/// Looks up once. A name that cannot be resolved is logged and skipped.
pub(super) async fn look_up_once(
    settings: &Settings,
    port: u16,
) -> Result<Vec<SocketAddr>, String> {
    match look_up(settings, port).await {
        Ok(addresses) => Ok(addresses),
        Err(Missing::Undialable(why)) => Err(why),
        Err(Missing::Yet(why)) => {
            warn!(name = name(settings), %why, "cannot resolve --public-address; it is not advertised");
            Ok(Vec::new())
        }
    }
}

fn name(settings: &Settings) -> &str {
    settings.public_address.as_ref().map_or("", |public| &public.host)
}
