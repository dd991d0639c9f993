//! The interfaces that a mode can import: one file or folder each, of the same structure, and a
//! line each in the table below.
//!
//! A capability's file holds its [`Capability`] and the host side of its WIT interface, as a thin
//! layer over plain Rust. It works on a [`Context`] and does not know the [`State`] of the store,
//! which is put together here. From the lowest file up: `mode`, `caller`, `view`, the
//! capabilities, this one.

mod caller;
pub(crate) mod dns;
pub(crate) mod http;
mod kubernetes;
mod local_addresses;
mod log;
mod log_budget;
pub(crate) mod mode;
pub(crate) mod multicast;
mod probe;
mod rate;
mod store;
mod view;
pub(crate) mod wasi;

use std::sync::Arc;

use semver::Version;
use wasmtime::component::{Linker, ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtxView, WasiHttpView};

use crate::limiter::Limiter;
use crate::limits;
use crate::meter::Meter;
use caller::Caller;
use mode::Mode;
pub(crate) use view::Grant;
use view::{Capability, Context, View};

/// Generates, from one line per capability, the [`TABLE`], the fields with the state of each, and
/// the [`View`] through which it borrows them.
macro_rules! capabilities {
    ($($name:ident: $C:ty,)*) => {
        /// All interfaces of this host.
        pub(crate) const TABLE: &[Row] = &[$(Row::of::<$C>()),*];

        /// The state of the capabilities of one mode, which outlives its instances.
        #[derive(Debug, Default)]
        pub(crate) struct Shared {
            pub(crate) requests: Arc<http::Requests>,
            $(pub(crate) $name: <$C as Capability>::Shared,)*
        }

        /// The state of the capabilities of one instance.
        #[derive(Debug, Default)]
        struct Own {
            $($name: <$C as Capability>::Own,)*
        }

        $(impl View<$C> for State {
            fn view(&mut self) -> Context<'_, $C> {
                Context {
                    caller: &self.caller,
                    shared: &self.shared.$name,
                    own: &mut self.own.$name,
                    resources: &mut self.resources,
                }
            }
        })*
    };
}

capabilities! {
    dns: dns::Dns,
    kubernetes: kubernetes::Kubernetes,
    log: log::Log,
    multicast: multicast::Multicast,
    probe: probe::Probe,
    store: store::Store,
}

/// One interface of [`TABLE`]; see [`Capability`].
pub(crate) struct Row {
    pub(crate) interface: &'static str,
    pub(crate) grant: Option<Grant>,
    pub(crate) description: &'static str,
    pub(crate) link: fn(&mut Linker<State>) -> wasmtime::Result<()>,
}

impl Row {
    const fn of<C: Capability>() -> Self
    where
        State: View<C>,
    {
        Self {
            interface: C::INTERFACE,
            grant: C::GRANT,
            description: C::DESCRIPTION,
            link: C::add_to_linker::<State>,
        }
    }
}

/// The version of `convoke:host` that this host implements.
pub(crate) fn host_version() -> Version {
    Version::new(0, 1, 0)
}

/// The interfaces of [`TABLE`], for an error text.
pub(crate) fn names() -> String {
    TABLE.iter().map(|capability| capability.interface).collect::<Vec<_>>().join(", ")
}

/// Every grant of a capability: those of [`TABLE`], and that of `wasi:http`.
pub(crate) fn grants() -> impl Iterator<Item = Grant> {
    TABLE.iter().filter_map(|capability| capability.grant).chain([http::GRANT])
}

/// The data of the store of one instance.
pub(crate) struct State {
    pub(crate) caller: Caller,
    shared: Arc<Shared>,
    own: Own,
    resources: ResourceTable,
    wasi: WasiCtx,
    http: http::Http,
    pub(crate) limiter: Limiter,
    pub(crate) meter: Meter,
    /// Whether the running call was interrupted at the end of its computing budget.
    pub(crate) out_of_budget: bool,
}

impl State {
    /// `with_runtime` if the component contains the runtime of a language, which takes more memory.
    pub(crate) fn new(mode: Arc<Mode>, shared: Arc<Shared>, with_runtime: bool) -> Self {
        let caller = Caller::new(Arc::clone(&mode));
        let mut resources = ResourceTable::new();
        resources.set_max_capacity(limits::RESOURCES_MAX);
        Self {
            wasi: wasi::context(&mode.name, &caller.log),
            limiter: Limiter::new(with_runtime),
            http: http::Http::new(mode, Arc::clone(&shared.requests)),
            caller,
            shared,
            own: Own::default(),
            resources,
            meter: Meter::default(),
            out_of_budget: false,
        }
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.resources }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        self.http.view(&mut self.resources)
    }
}
