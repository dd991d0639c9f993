//! The traits of a capability, and of a store that provides its state.
//!
//! A capability does not know the store. It works on a [`Context`], which borrows what one call
//! needs, and can be linked with any store that is a [`View`] of it.

use std::fmt::Debug;
use std::marker::PhantomData;

use wasmtime::component::{HasData, Linker, ResourceTable};

use super::caller::Caller;
use crate::grant::Grants;

/// One interface of `convoke:host`, represented by a type without values.
pub(crate) trait Capability: Sized + 'static {
    /// The interface without its version: `convoke:host/multicast`.
    const INTERFACE: &'static str;
    /// The grant that it needs; `None` if every mode has it.
    const GRANT: Option<Grant>;
    /// The permitted actions, as a phrase after "may".
    const DESCRIPTION: &'static str;

    /// The state that the instances of one mode share, one after the other.
    type Shared: Debug + Default + Send + Sync;
    /// The state of one instance.
    type Own: Debug + Default + Send;

    /// Links the interface to the host side, which is implemented for `Context<'_, Self>`.
    fn add_to_linker<T: View<Self>>(linker: &mut Linker<T>) -> wasmtime::Result<()>;
}

/// The grant of a capability.
#[derive(Clone, Copy)]
pub(crate) struct Grant {
    /// Whether any pattern of the capability is granted; the scope is checked at each call.
    pub(crate) is_granted: fn(&Grants) -> bool,
    /// The capability's name in a grant.
    pub(crate) capability: &'static str,
    /// An example of a pattern.
    pub(crate) example: &'static str,
}

/// A store that holds what the capability `C` needs.
pub(crate) trait View<C: Capability>: Send + 'static {
    /// Borrows it for one call.
    fn view(&mut self) -> Context<'_, C>;
}

/// The context of one call of the capability `C`.
pub(crate) struct Context<'a, C: Capability> {
    pub(crate) caller: &'a Caller,
    pub(crate) shared: &'a C::Shared,
    pub(crate) own: &'a mut C::Own,
    pub(crate) resources: &'a mut ResourceTable,
}

/// Names the type of `Context<'_, C>` for the bindings.
pub(crate) struct HasContext<C>(PhantomData<C>);

impl<C: Capability> HasData for HasContext<C> {
    type Data<'a> = Context<'a, C>;
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use wasmtime::component::{Linker, ResourceTable};

    use super::{Capability, Context, View};
    use crate::capability::caller::Caller;
    use crate::capability::mode::Mode;

    /// The smallest store of a capability, for its tests.
    pub(crate) struct Alone<C: Capability> {
        pub(crate) caller: Caller,
        pub(crate) shared: C::Shared,
        pub(crate) own: C::Own,
        pub(crate) resources: ResourceTable,
    }

    impl<C: Capability> Alone<C> {
        pub(crate) fn new(mode: Arc<Mode>) -> Self {
            Self {
                caller: Caller::new(mode),
                shared: C::Shared::default(),
                own: C::Own::default(),
                resources: ResourceTable::new(),
            }
        }
    }

    impl<C: Capability> View<C> for Alone<C> {
        fn view(&mut self) -> Context<'_, C> {
            let Self { caller, shared, own, resources } = self;
            Context { caller, shared, own, resources }
        }
    }

    /// Links a capability with a store that holds nothing else.
    pub(crate) fn link_alone<C: Capability>() -> wasmtime::Result<()> {
        C::add_to_linker(&mut Linker::<Alone<C>>::new(&wasmtime::Engine::default()))
    }
}
