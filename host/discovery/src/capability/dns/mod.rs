//! `convoke:host/dns`: addresses and services by name. Granted by name.

mod name;
mod resolver;
mod system;

use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use wasmtime::component::{HasSelf, Linker};

use super::{Capability, Context, Grant, Mode};
use crate::bindings::imports::convoke::host::dns::{self, Addresses, DnsError, Place, Service};
use crate::limits;
use crate::text::one_line;
use resolver::{LookupError, Resolver};
pub(crate) use system::Resolvers;

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
            .look_up(names, async |resolver, name| {
                let found = resolver.addresses(name).await?;
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
            .look_up(names, async |resolver, name| {
                let (places, ttl_s) = resolver.service(name).await?;
                let places = places.into_iter().map(|place| Place {
                    host: place.host,
                    addresses: place.addresses.iter().map(ToString::to_string).collect(),
                    port: place.port,
                    priority: place.priority,
                    weight: place.weight,
                });
                Ok(Service { places: places.collect(), ttl_s })
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

    /// One outcome for each name, in their order, within [`limits::LOOKUP_MS_MAX`].
    async fn look_up<T>(
        &mut self,
        names: Vec<String>,
        ask: impl AsyncFn(&Resolver, &str) -> Result<T, LookupError>,
    ) -> Vec<Result<T, DnsError>> {
        let mode: &Mode = &self.mode;
        let resolver = mode.dns.get(&mode.grants.dns.servers);
        let number = names.len();
        let ask = &ask;
        let resolver = &resolver;
        let outcomes = stream::iter(names.into_iter().enumerate())
            .map(|(index, name)| async move {
                admit(mode, index, &name)?;
                let resolver = resolver.as_ref().map_err(|why| DnsError::Temporary(why.clone()))?;
                let bound = Duration::from_millis(limits::LOOKUP_MS_MAX);
                match tokio::time::timeout(bound, ask(resolver, &name)).await {
                    Ok(outcome) => outcome.map_err(told),
                    Err(_) => Err(DnsError::Temporary(format!(
                        "no answer from {} within {} ms",
                        resolver.servers(),
                        limits::LOOKUP_MS_MAX
                    ))),
                }
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

fn told(error: LookupError) -> DnsError {
    match error {
        LookupError::NotFound | LookupError::NoData => DnsError::NotFound,
        LookupError::Temporary(why) => DnsError::Temporary(one_line(&why, 300)),
        LookupError::Other(why) => DnsError::Other(one_line(&why, 300)),
    }
}
