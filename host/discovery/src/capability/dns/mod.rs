//! `convoke:host/dns`: address and service lookups. Granted by name.

mod failure_log;

use std::time::Duration;

use convoke_text::escaped;
use futures_util::stream::{self, StreamExt as _};
use tokio::time::Instant;
use wasmtime::component::Linker;

use super::mode::Mode;
use super::view::{Capability, Context, Grant, HasContext, View};
use crate::bindings::imports::convoke::host::dns::{self, Addresses, DnsError, Place, Service};
use crate::limits;
use crate::lookup::{LookupError, Resolver, is_name};
use failure_log::FailureLog;

/// Length of the reason why a name cannot be looked up, in bytes: it covers up to eight
/// servers.
const ERROR_BYTES_MAX: usize = 600;

pub(crate) enum Dns {}

impl Capability for Dns {
    const INTERFACE: &'static str = "convoke:host/dns";
    const GRANT: Option<Grant> = Some(Grant {
        is_granted: |grants| !grants.dns.is_empty(),
        capability: "dns",
        example: "*.shop.example",
    });
    const DESCRIPTION: &'static str = "look names up in DNS";

    type Shared = FailureLog;
    type Own = ();

    fn add_to_linker<T: View<Self>>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
        dns::add_to_linker::<_, HasContext<Self>>(linker, T::view)
    }
}

impl dns::Host for Context<'_, Dns> {
    async fn lookup_addresses(
        &mut self,
        names: Vec<String>,
    ) -> wasmtime::Result<Vec<Result<Addresses, DnsError>>> {
        self.caller.mode.called(format_args!("dns: addresses of {}", shown(&names)));
        self.record_denied_names(&names);
        if let Some(fakes) = self.caller.mode.host.backend.fakes() {
            return Ok(self.answers_of_fakes(&names, |name| {
                let addresses = fakes.dns.addresses(name)?.iter().map(ToString::to_string);
                Some(Addresses { addresses: addresses.collect(), ttl_s: fakes.dns.ttl_s })
            }));
        }
        Ok(self
            .look_up(names, async |lookups, name| {
                let found = lookups.resolver.addresses(name, lookups.until).await?;
                lookups.failures.forget(name);
                let addresses = found.addresses.iter().map(ToString::to_string).collect();
                Ok(Addresses { addresses, ttl_s: found.ttl_s })
            })
            .await)
    }

    async fn lookup_services(
        &mut self,
        names: Vec<String>,
    ) -> wasmtime::Result<Vec<Result<Service, DnsError>>> {
        self.caller.mode.called(format_args!("dns: services {}", shown(&names)));
        self.record_denied_names(&names);
        if let Some(fakes) = self.caller.mode.host.backend.fakes() {
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
            .look_up(names, async |lookups, name| {
                let service = lookups.resolver.service(name, lookups.until).await?;
                if service.unusable.is_empty() {
                    lookups.failures.forget(name);
                } else {
                    let usable = service.targets.iter().filter(|p| !p.addresses.is_empty()).count();
                    lookups.failures.unusable(&lookups.mode.name, name, &service.unusable, usable);
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

impl Context<'_, Dns> {
    /// Records all names of one call that are not granted, so that one proposed grant covers
    /// all of them.
    fn record_denied_names(&self, names: &[String]) {
        let names = names.iter().take(limits::LOOKUP_NAMES_MAX).map(String::as_str);
        let denied =
            names.filter(|name| is_name(name) && !self.caller.mode.grants.dns.covers(name));
        self.caller.mode.record_denied("dns", denied);
    }

    /// One result for each name, in their order, from fakes.
    fn answers_of_fakes<T>(
        &self,
        names: &[String],
        ask: impl Fn(&str) -> Option<T>,
    ) -> Vec<Result<T, DnsError>> {
        let mode = &self.caller.mode;
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
        ask: impl AsyncFn(&Lookups<'_>, &str) -> Result<T, LookupError>,
    ) -> Vec<Result<T, DnsError>> {
        let mode: &Mode = &self.caller.mode;
        let resolver = &*mode.resolvers.get(&mode.grants.dns.servers);
        let number = names.len();
        let spare = Duration::from_millis(limits::LOOKUP_SPARE_MS);
        let until = Instant::now() + Duration::from_millis(limits::LOOKUP_MS_MAX);
        let until = self.caller.ends.checked_sub(spare).map_or(until, |ends| until.min(ends));
        let lookups = &Lookups { mode, failures: self.shared, resolver, until };
        let ask = &ask;
        let outcomes = stream::iter(names.into_iter().enumerate())
            .map(|(index, name)| async move {
                admit(mode, index, &name)?;
                let outcome = ask(lookups, &name).await;
                outcome.map_err(|error| lookups.error(&name, error))
            })
            .buffered(limits::LOOKUPS_AT_ONCE)
            .collect::<Vec<_>>();
        let leaves = || Err(DnsError::Temporary("this member is leaving".into()));
        let given_up = || std::iter::repeat_with(leaves).take(number).collect();
        self.caller.unless_stopped(outcomes).await.unwrap_or_else(given_up)
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
    if !is_name(name) {
        return Err(DnsError::InvalidName);
    }
    if !mode.grants.dns.covers(name) {
        mode.warn_denied("dns", name);
        return Err(DnsError::Denied);
    }
    Ok(())
}

/// The shared context of the lookups of one call.
struct Lookups<'a> {
    mode: &'a Mode,
    failures: &'a FailureLog,
    resolver: &'a Resolver,
    until: Instant,
}

impl Lookups<'_> {
    /// The error as the mode receives it. A negative answer is logged, and the mode gets only
    /// `not-found`.
    fn error(&self, name: &str, error: LookupError) -> DnsError {
        if let LookupError::Negative(answer) = &error {
            self.failures.negative(&self.mode.name, name, answer);
            return DnsError::NotFound;
        }
        self.failures.forget(name);
        match error {
            LookupError::Temporary(why) => DnsError::Temporary(escaped(&why, ERROR_BYTES_MAX)),
            other => DnsError::Other(escaped(&other.to_string(), ERROR_BYTES_MAX)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Dns;
    use crate::backend::Fakes;
    use crate::bindings::imports::convoke::host::dns::{DnsError, Host as _};
    use crate::capability::mode;
    use crate::capability::view::View as _;
    use crate::capability::view::tests::{Alone, link_alone};

    #[test]
    fn it_links_with_a_store_that_holds_nothing_else() {
        link_alone::<Dns>().unwrap();
    }

    #[tokio::test]
    async fn each_name_gets_its_own_result_in_the_order_of_the_call() {
        let mut fakes = Fakes::default();
        fakes.dns.names.insert("a.example".into(), vec!["10.0.0.7".parse().unwrap()]);
        let mode = mode::tests::mode(fakes, &[("dns", &["*.example"])]);
        let mut alone = Alone::<Dns>::new(mode);
        let names = ["a.example", "gone.example", "a.test", "10.0.0.7"].map(String::from);
        let results = alone.view().lookup_addresses(names.into()).await.unwrap();
        assert_eq!(results[0].as_ref().unwrap().addresses, ["10.0.0.7"]);
        assert!(matches!(results[1], Err(DnsError::NotFound)));
        assert!(matches!(results[2], Err(DnsError::Denied)));
        assert!(matches!(results[3], Err(DnsError::InvalidName)));
        assert_eq!(
            alone.caller.mode.grants_needed(),
            "grant = { dns = [\"*.example\", \"a.test\"] }"
        );
    }
}
