//! `convoke:host/dns`: address and service lookups. Granted by name.

mod answer;
mod conf;
mod failure_log;
mod fault;
mod hosts;
mod lookup_error;
mod name;
mod resolver;
mod server;
mod system;
#[cfg(test)]
mod tests;

use std::time::Duration;

use convoke_text::escaped;
use futures_util::stream::{self, StreamExt as _};
use tokio::time::Instant;
use wasmtime::component::{HasSelf, Linker};

use super::{Capability, Context, Grant, Mode};
use crate::bindings::imports::convoke::host::dns::{self, Addresses, DnsError, Place, Service};
use crate::limits;
pub(crate) use lookup_error::LookupError;
use resolver::Resolver;
pub(crate) use system::Resolvers;

/// Length of the reason why a name cannot be looked up, in bytes: it covers up to eight
/// servers.
const ERROR_BYTES_MAX: usize = 600;

pub(crate) const CAPABILITY: Capability = Capability {
    interface: "convoke:host/dns",
    grant: Some(Grant {
        is_granted: |grants| !grants.dns.is_empty(),
        capability: "dns",
        example: "*.shop.example",
    }),
    description: "look names up in DNS",
    link: |linker: &mut Linker<_>| {
        dns::add_to_linker::<_, HasSelf<_>>(linker, |state| &mut state.capabilities)
    },
};

impl dns::Host for Context {
    async fn lookup_addresses(
        &mut self,
        names: Vec<String>,
    ) -> wasmtime::Result<Vec<Result<Addresses, DnsError>>> {
        self.called(format_args!("dns: addresses of {}", shown(&names)));
        self.record_denied_names(&names);
        if let Some(fakes) = self.mode.host.backend.fakes() {
            return Ok(self.answers_of_fakes(&names, |name| {
                let addresses = fakes.dns.addresses(name)?.iter().map(ToString::to_string);
                Some(Addresses { addresses: addresses.collect(), ttl_s: fakes.dns.ttl_s })
            }));
        }
        Ok(self
            .look_up(names, async |mode, resolver, name, until| {
                let found = resolver.addresses(name, until).await?;
                mode.dns.failures.forget(name);
                let addresses = found.addresses.iter().map(ToString::to_string).collect();
                Ok(Addresses { addresses, ttl_s: found.ttl_s })
            })
            .await)
    }

    async fn lookup_services(
        &mut self,
        names: Vec<String>,
    ) -> wasmtime::Result<Vec<Result<Service, DnsError>>> {
        self.called(format_args!("dns: services {}", shown(&names)));
        self.record_denied_names(&names);
        if let Some(fakes) = self.mode.host.backend.fakes() {
            return Ok(self.answers_of_fakes(&names, |name| {
                let places = fakes.dns.service(name)?.iter().map(|place| Place {
                    host: place.host.clone(),
                    addresses: place.addresses.iter().map(ToString::to_string).collect(),
                    port: place.port,
                    priority: 0,
                    weight: 0,
                });
                Some(Service { places: places.collect(), ttl_s: fakes.dns.ttl_s })
            }));
        }
        Ok(self
            .look_up(names, async |mode, resolver, name, until| {
                let service = resolver.service(name, until).await?;
                if service.unusable.is_empty() {
                    mode.dns.failures.forget(name);
                } else {
                    let usable = service.targets.iter().filter(|p| !p.addresses.is_empty()).count();
                    mode.dns.failures.unusable(&mode.name, name, &service.unusable, usable);
                }
                let places = service.targets.into_iter().map(|place| Place {
                    host: place.host,
                    addresses: place.addresses.iter().map(ToString::to_string).collect(),
                    port: place.port,
                    priority: place.priority,
                    weight: place.weight,
                });
                Ok(Service { places: places.collect(), ttl_s: service.ttl_s })
            })
            .await)
    }
}

impl Context {
    /// Records all names of one call that are not granted, so that one proposed grant covers
    /// all of them.
    fn record_denied_names(&self, names: &[String]) {
        let names = names.iter().take(limits::LOOKUP_NAMES_MAX).map(String::as_str);
        let denied = names.filter(|name| name::is_name(name) && !self.mode.grants.dns.covers(name));
        self.mode.record_denied("dns", denied);
    }

    /// One result for each name, in their order, from fakes.
    fn answers_of_fakes<T>(
        &self,
        names: &[String],
        ask: impl Fn(&str) -> Option<T>,
    ) -> Vec<Result<T, DnsError>> {
        let mode = &self.mode;
        let outcome = |(index, name): (usize, &String)| {
            admit(mode, index, name)?;
            match mode.host.backend.failing() {
                Some(why) => Err(DnsError::Temporary(why)),
                None => ask(name).ok_or(DnsError::NotFound),
            }
        };
        names.iter().enumerate().map(outcome).collect()
    }

    /// One result for each name, in their order, within [`limits::LOOKUP_MS_MAX`] and before
    /// the mode's call times out.
    async fn look_up<T>(
        &mut self,
        names: Vec<String>,
        ask: impl AsyncFn(&Mode, &Resolver, &str, Instant) -> Result<T, LookupError>,
    ) -> Vec<Result<T, DnsError>> {
        let mode: &Mode = &self.mode;
        let resolver = &*mode.dns.get(&mode.grants.dns.servers);
        let number = names.len();
        let spare = Duration::from_millis(limits::LOOKUP_SPARE_MS);
        let until = Instant::now() + Duration::from_millis(limits::LOOKUP_MS_MAX);
        let until = self.ends.checked_sub(spare).map_or(until, |ends| until.min(ends));
        let ask = &ask;
        let outcomes = stream::iter(names.into_iter().enumerate())
            .map(|(index, name)| async move {
                admit(mode, index, &name)?;
                let outcome = ask(mode, resolver, &name, until).await;
                outcome.map_err(|error| to_wit(mode, &name, error))
            })
            .buffered(limits::LOOKUPS_AT_ONCE)
            .collect::<Vec<_>>();
        let leaves = || Err(DnsError::Temporary("this member is leaving".into()));
        let given_up = || std::iter::repeat_with(leaves).take(number).collect();
        self.unless_stopped(outcomes).await.unwrap_or_else(given_up)
    }
}

/// Names for one log line, cut at 300 bytes.
fn shown(names: &[String]) -> String {
    escaped(&names.join(", "), 300)
}

/// Checks that this name is valid, granted, and within the limit of one call.
fn admit(mode: &Mode, index: usize, name: &str) -> Result<(), DnsError> {
    if index >= limits::LOOKUP_NAMES_MAX {
        let max = limits::LOOKUP_NAMES_MAX;
        return Err(DnsError::Other(format!("more than {max} names in one call")));
    }
    if !name::is_name(name) {
        return Err(DnsError::InvalidName);
    }
    if !mode.grants.dns.covers(name) {
        mode.warn_denied("dns", name);
        return Err(DnsError::Denied);
    }
    Ok(())
}

/// The error as the mode receives it. A negative answer is logged, and the mode gets only
/// `not-found`.
fn to_wit(mode: &Mode, name: &str, error: LookupError) -> DnsError {
    if let LookupError::Negative(answer) = &error {
        mode.dns.failures.negative(&mode.name, name, answer);
        return DnsError::NotFound;
    }
    mode.dns.failures.forget(name);
    match error {
        LookupError::Temporary(why) => DnsError::Temporary(escaped(&why, ERROR_BYTES_MAX)),
        other => DnsError::Other(escaped(&other.to_string(), ERROR_BYTES_MAX)),
    }
}
