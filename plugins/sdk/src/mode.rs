//! What an author implements.

use crate::{LocalMember, ModeConfig, Problem, Snapshot};

/// A way of finding members. One value serves one configured mode for the life
/// of one instance; its calls never overlap.
pub trait Mode: Sized + 'static {
    /// Checks the configuration and keeps what later calls need. Called once,
    /// before anything else; does not wait for the network. Malformed input is
    /// [`Problem::Misconfigured`], in words that start with the offending value.
    fn configure(config: ModeConfig, me: LocalMember) -> Result<Self, Problem>;

    /// Takes one look, and returns every place known now. May block on host
    /// calls for a second or two. Nobody found is an empty snapshot.
    fn discover(&mut self) -> Result<Snapshot, Problem>;
}

/// A mode in which members make themselves known.
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
    /// Makes this member known, and says after how many milliseconds to call
    /// again; none when once is enough.
    fn announce(&mut self) -> Result<Option<u32>, Problem>;

    /// Takes the announcement back on an orderly leave, within 500 ms. For
    /// announcements that fade by themselves there is nothing to do, which is the
    /// default.
    fn withdraw(&mut self) -> Result<(), Problem> {
        Ok(())
    }
}
