//! The traits that a mode implements.

use crate::{LocalMember, ModeConfig, Problem, Snapshot};

/// A discovery mode. One value serves one configured mode for the life of one instance; its
/// calls never overlap.
pub trait Mode: Sized + 'static {
    /// Validates the configuration and stores what later calls need. Called once, before any
    /// other function; must not wait for the network. Invalid configuration is
    /// [`Problem::Misconfigured`], with a text that starts with the offending value.
    fn configure(config: ModeConfig, me: LocalMember) -> Result<Self, Problem>;

    /// Returns all currently known candidates. May block on host calls for a second or two. If
    /// nobody is found, the result is an empty snapshot.
    fn discover(&mut self) -> Result<Snapshot, Problem>;
}

/// A mode that announces this member.
///
/// ```
/// use convoke_mode_sdk::{
///     Announcer, LocalMember, Mode, ModeConfig, Problem, Snapshot, export_mode, store,
/// };
///
/// struct Shelf(LocalMember);
///
/// impl Mode for Shelf {
///     fn configure(_config: ModeConfig, me: LocalMember) -> Result<Self, Problem> {
///         Ok(Self(me))
///     }
///
///     fn discover(&mut self) -> Result<Snapshot, Problem> {
///         Ok(Snapshot::of([]))
///     }
/// }
///
/// impl Announcer for Shelf {
///     fn announce(&mut self) -> Result<Option<u32>, Problem> {
///         if self.0.is_reachable() {
///             store::save("last-address", self.0.addresses[0].as_bytes())?;
///         }
///         Ok(None)
///     }
/// }
///
/// export_mode!(Shelf, announcer);
/// # fn main() {}
/// ```
pub trait Announcer: Mode {
    /// Announces this member; returns the number of milliseconds until the next call, or `None`
    /// if the announcement need not be repeated.
    fn announce(&mut self) -> Result<Option<u32>, Problem>;

    /// Removes the announcement when the member leaves gracefully, within 500 ms. The default
    /// does nothing, for announcements that expire.
    fn withdraw(&mut self) -> Result<(), Problem> {
        Ok(())
    }
}
