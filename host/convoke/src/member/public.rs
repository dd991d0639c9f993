//! `--public-address`: a name that others are told as addresses, and that may not be in DNS
//! yet. That of a container often appears seconds after its start.

use std::net::SocketAddr;
use std::time::Duration;

use tracing::{info, warn};

use crate::describe::list;
use crate::settings::{PublicAddress, Settings};

/// Between two look-ups of a name that is not there, in milliseconds: as modes ask for a name
/// that DNS does not know.
const RETRY_MS: u64 = 1_000;

/// Why there are no addresses.
#[derive(Debug)]
enum Missing {
    /// It cannot be looked up, or is not there: as the system's resolver says.
    Yet(String),
    /// Nobody could use it.
    Undialable(String),
}

/// The addresses to tell others, as the system resolves the name now; none without
/// `--public-address`. Without a port of its own it has `port`.
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
        let why = format!("--public-address: {host:?} is no address that others can dial");
        return Err(Missing::Undialable(why));
    }
    Ok(addresses)
}

/// The same, once the name is there: it is asked for again until then, and the first failure
/// is logged. Ends early where the future is dropped.
pub(super) async fn wait(settings: &Settings, port: u16) -> Result<Vec<SocketAddr>, String> {
    let started = tokio::time::Instant::now();
    let mut is_told = false;
    loop {
        match look_up(settings, port).await {
            Ok(addresses) => {
                if is_told {
                    let elapsed_ms = started.elapsed().as_millis();
                    info!(addresses = list(&addresses), elapsed_ms, "--public-address: found");
                }
                return Ok(addresses);
            }
            Err(Missing::Undialable(why)) => return Err(why),
            Err(Missing::Yet(why)) if !is_told => {
                is_told = true;
                warn!(name = name(settings), %why, "--public-address: the name cannot be resolved; it is asked for again every second, and this member looks for the others once it is there");
            }
            Err(Missing::Yet(_)) => {}
        }
        tokio::time::sleep(Duration::from_millis(RETRY_MS)).await;
    }
}

/// The same, where nobody waits for it: a name that is not there is left out, and logged.
pub(super) async fn look_up_once(
    settings: &Settings,
    port: u16,
) -> Result<Vec<SocketAddr>, String> {
    match look_up(settings, port).await {
        Ok(addresses) => Ok(addresses),
        Err(Missing::Undialable(why)) => Err(why),
        Err(Missing::Yet(why)) => {
            warn!(name = name(settings), %why, "--public-address: the name cannot be resolved, and is left out");
            Ok(Vec::new())
        }
    }
}

fn name(settings: &Settings) -> &str {
    settings.public_address.as_ref().map_or("", |public| &public.host)
}
