//! `convoke:host/dns`: addresses and services by name. Granted by name.

mod answer;
mod conf;
mod fates;
mod fault;
mod hosts;
mod miss;
mod name;
mod resolver;
mod server;
mod system;
#[cfg(test)]
mod tests;

use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use tokio::time::Instant;
use wasmtime::component::{HasSelf, Linker};

use super::{Capability, Context, Grant, Mode};
use crate::bindings::imports::convoke::host::dns::{self, Addresses, DnsError, Place, Service};
use crate::limits;
use crate::text::one_line;
pub(crate) use miss::LookupError;
use resolver::Resolver;
pub(crate) use system::Resolvers;

/// Why a name cannot be looked up, in bytes: eight servers have their say.
const ERROR_BYTES_MAX: usize = 600;

pub(crate) const CAPABILITY: Capability = Capability {
    interface: "convoke:host/dns",
    grant: Some(Grant {
        is_granted: |grants| !grants.dns.is_empty(),
        capability: "dns",
        example: "*.shop.example",
    }),
    in_words: "look names up in DNS",
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
        self.want_names(&names);
        if let Some(fakes) = self.mode.host.world.fakes() {
            return Ok(self.made_up(&names, |name| {
                let addresses = fakes.dns.addresses(name)?.iter().map(ToString::to_string);
                Some(Addresses { addresses: addresses.collect(), ttl_s: fakes.dns.ttl_s })
            }));
        }
        Ok(self
            .look_up(names, async |mode, resolver, name, until| {
                let found = resolver.addresses(name, until).await?;
                mode.dns.fates.forget(name);
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
        self.want_names(&names);
        if let Some(fakes) = self.mode.host.world.fakes() {
            return Ok(self.made_up(&names, |name| {
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
                    mode.dns.fates.forget(name);
                } else {
                    let usable = service.places.iter().filter(|p| !p.addresses.is_empty()).count();
                    mode.dns.fates.unusable(&mode.name, name, &service.unusable, usable);
                }
                let places = service.places.into_iter().map(|place| Place {
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
    /// All of one call that are not granted are denied together.
    fn want_names(&self, names: &[String]) {
        let names = names.iter().take(limits::LOOKUP_NAMES_MAX).map(String::as_str);
        let denied = names.filter(|name| name::is_name(name) && !self.mode.grants.dns.covers(name));
        self.mode.want("dns", denied);
    }

    /// One outcome for each name, in their order, from fakes.
    fn made_up<T>(
        &self,
        names: &[String],
        ask: impl Fn(&str) -> Option<T>,
    ) -> Vec<Result<T, DnsError>> {
        let mode = &self.mode;
        let outcome = |(index, name): (usize, &String)| {
            admit(mode, index, name)?;
            match mode.host.world.failing() {
                Some(why) => Err(DnsError::Temporary(why)),
                None => ask(name).ok_or(DnsError::NotFound),
            }
        };
        names.iter().enumerate().map(outcome).collect()
    }

    /// One outcome for each name, in their order, within [`limits::LOOKUP_MS_MAX`] and before
    /// the mode's own call is out of time.
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
                outcome.map_err(|error| told(mode, &name, error))
            })
            .buffered(limits::LOOKUPS_AT_ONCE)
            .collect::<Vec<_>>();
        let leaves = || Err(DnsError::Temporary("this member leaves".into()));
        let given_up = || std::iter::repeat_with(leaves).take(number).collect();
        self.while_wanted(outcomes).await.unwrap_or_else(given_up)
    }
}

/// A few names for one line.
fn shown(names: &[String]) -> String {
    one_line(&names.join(", "), 300)
}

/// Whether this name may be asked for.
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

/// The error as the mode has it. Why there is nothing is for the log alone.
fn told(mode: &Mode, name: &str, error: LookupError) -> DnsError {
    if let LookupError::Absent(absent) = &error {
        mode.dns.fates.absent(&mode.name, name, absent);
        return DnsError::NotFound;
    }
    mode.dns.fates.forget(name);
    match error {
        LookupError::Temporary(why) => DnsError::Temporary(one_line(&why, ERROR_BYTES_MAX)),
        other => DnsError::Other(one_line(&other.to_string(), ERROR_BYTES_MAX)),
    }
}
