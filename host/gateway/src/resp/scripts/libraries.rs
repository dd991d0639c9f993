//! The libraries of functions, which are the same on all members.
//!
//! They are stored as one hash, so that several libraries can be changed atomically: a field is the
//! name of a library, its value the source and the descriptions of its functions. Each member
//! caches what it read last. A change is announced to all members before it is acknowledged; should the
//! announcement be lost with the member that made it, the others notice within
//! [`CACHED_MS_MAX`].

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use convoke_grid::op::{GenericOp, HashOp, KeyOp, Op};
use convoke_grid::{OpError, Reply, Version};
use convoke_script::{FunctionInfo, Library};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::super::answer::CommandError;
use super::super::server::Server;

/// The map, and the key in it.
const MAP: &str = "functions";
const KEY: &[u8] = b"libraries";
/// The setting of the cluster that changes with each change of the libraries.
const CHANGED: &str = "functions-changed";
/// Libraries, and bytes of their sources and descriptions, at most.
const LIBRARIES_MAX: usize = 1_000;
const LIBRARIES_BYTES_MAX: usize = 16 << 20;
/// How long a member relies on what it read, in milliseconds.
const CACHED_MS_MAX: u64 = 1_000;
/// Attempts of a change while others make changes too, at most.
const ATTEMPTS_MAX: usize = 32;

/// A library and its functions.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) library: Arc<Library>,
    pub(super) functions: Vec<FunctionInfo>,
}

/// A library as it is stored.
#[derive(Serialize, Deserialize)]
struct Stored {
    source: Bytes,
    functions: Vec<FunctionInfo>,
}

impl Loaded {
    fn stored(&self) -> Result<Vec<u8>, OpError> {
        let stored =
            Stored { source: self.library.source.clone(), functions: self.functions.clone() };
        postcard::to_allocvec(&stored).map_err(|_| OpError::Malformed)
    }

    /// `None` if the bytes are not those of a library.
    fn of_stored(bytes: &[u8]) -> Option<Self> {
        let Stored { source, functions } = postcard::from_bytes(bytes).ok()?;
        Some(Self { library: Arc::new(Library::new(source).ok()?), functions })
    }

    fn bytes(&self) -> usize {
        let described = self.functions.iter().map(|function| {
            function.name.len() + function.description.as_ref().map_or(0, String::len)
        });
        self.library.source.len() + described.sum::<usize>()
    }
}

/// All libraries at one time.
#[derive(Clone, Debug, Default)]
pub(super) struct Catalog {
    version: Version,
    libraries: BTreeMap<String, Arc<Loaded>>,
    /// By name in lower case: the library, and the index of the function in it.
    functions: HashMap<String, (Arc<Loaded>, usize)>,
}

impl Catalog {
    /// The function of this name, in any case.
    pub(super) fn function(&self, name: &[u8]) -> Option<(&Arc<Loaded>, &FunctionInfo)> {
        let name = std::str::from_utf8(name).ok()?;
        let found = match self.functions.get(name) {
            Some(found) => Some(found),
            None => self.functions.get(&name.to_ascii_lowercase()),
        };
        let (loaded, index) = found?;
        Some((loaded, loaded.functions.get(*index)?))
    }

    /// By name.
    pub(super) fn libraries(&self) -> impl Iterator<Item = &Arc<Loaded>> {
        self.libraries.values()
    }

    pub(super) fn library(&self, name: &str) -> Option<&Arc<Loaded>> {
        self.libraries.get(name)
    }

    /// Number of functions.
    pub(super) fn functions(&self) -> usize {
        self.functions.len()
    }

    /// Adds a library, in place of one of the same name if `replace` is set.
    pub(super) fn add(&mut self, loaded: &Arc<Loaded>, replace: bool) -> Result<(), CommandError> {
        let name = loaded.library.name.clone();
        if !replace && self.libraries.contains_key(&name) {
            return Err(CommandError(format!("ERR Library '{name}' already exists").into()));
        }
        self.remove(&name);
        for function in &loaded.functions {
            if self.functions.contains_key(&function.name.to_ascii_lowercase()) {
                let name = &function.name;
                return Err(CommandError(format!("ERR Function {name} already exists").into()));
            }
        }
        self.insert(Arc::clone(loaded));
        let bytes: usize = self.libraries.values().map(|loaded| loaded.bytes()).sum();
        if self.libraries.len() > LIBRARIES_MAX || bytes > LIBRARIES_BYTES_MAX {
            let text = format!(
                "ERR too many libraries; the limit is {LIBRARIES_MAX} libraries and {} MiB in total",
                LIBRARIES_BYTES_MAX >> 20
            );
            return Err(CommandError(text.into()));
        }
        Ok(())
    }

    /// Removes a library. Returns whether there was one.
    pub(super) fn remove(&mut self, name: &str) -> bool {
        let removed = self.libraries.remove(name);
        self.functions.retain(|_, (loaded, _)| loaded.library.name != name);
        removed.is_some()
    }

    /// Removes all libraries.
    pub(super) fn clear(&mut self) {
        self.libraries.clear();
        self.functions.clear();
    }

    fn insert(&mut self, loaded: Arc<Loaded>) {
        for (index, function) in loaded.functions.iter().enumerate() {
            let name = function.name.to_ascii_lowercase();
            self.functions.insert(name, (Arc::clone(&loaded), index));
        }
        self.libraries.insert(loaded.library.name.clone(), loaded);
    }
}

/// The libraries cached by this member.
#[derive(Default)]
pub(crate) struct Functions {
    cached: Mutex<Option<Cached>>,
}

struct Cached {
    catalog: Arc<Catalog>,
    /// The value of [`CHANGED`] before it was read.
    changed: Option<String>,
    /// [`Grid::setting_changes`](convoke_grid::Grid::setting_changes) before that was read.
    read_at: u64,
    read_ms: u64,
}

impl Functions {
    /// Number of libraries and functions that this member read last.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let cached = self.cached.lock();
        let catalog = cached.as_ref().map(|cached| &cached.catalog);
        catalog.map_or((0, 0), |catalog| (catalog.libraries.len(), catalog.functions()))
    }
}

/// The libraries that this member read last, which may have changed since.
pub(super) fn last_read(server: &Server) -> Option<Arc<Catalog>> {
    server.functions.cached.lock().as_ref().map(|cached| Arc::clone(&cached.catalog))
}

/// The libraries, if this member need not read them again.
pub(super) fn cached(server: &Server) -> Option<Arc<Catalog>> {
    let mut cached = server.functions.cached.lock();
    let cached = cached.as_mut()?;
    if server.elapsed_ms().saturating_sub(cached.read_ms) >= CACHED_MS_MAX {
        return None;
    }
    let changes = server.grid.setting_changes();
    if cached.read_at != changes {
        if cached.changed != server.grid.setting(CHANGED) {
            return None;
        }
        cached.read_at = changes;
    }
    Some(Arc::clone(&cached.catalog))
}

/// The libraries.
pub(super) async fn current(server: &Server) -> Result<Arc<Catalog>, OpError> {
    match cached(server) {
        Some(catalog) => Ok(catalog),
        None => read(server).await,
    }
}

/// Reads the libraries, bypassing the cache.
async fn read(server: &Server) -> Result<Arc<Catalog>, OpError> {
    let read_at = server.grid.setting_changes();
    let (changed, read_ms) = (server.grid.setting(CHANGED), server.elapsed_ms());
    let known = last_read(server);
    let version = Op::Key(KEY, KeyOp::Generic(GenericOp::Version));
    let all = Op::Key(KEY, KeyOp::Hash(HashOp::All));
    let (version, all) =
        match <[Reply; 2]>::try_from(submit(server, None, vec![version, all]).await?) {
            Ok([Reply::Integer(version), Reply::Map(all)]) => {
                (Version(version.cast_unsigned()), all)
            }
            _ => return Err(OpError::Malformed),
        };
    let catalog = match known {
        Some(known) if known.version == version => known,
        known => {
            let mut catalog = Catalog { version, ..Catalog::default() };
            for (_, stored) in all {
                let Reply::Bytes(stored) = stored else { return Err(OpError::Malformed) };
                let loaded = Loaded::of_stored(&stored).ok_or(OpError::Malformed)?;
                // What is compiled already stays so.
                let same = known.as_ref().and_then(|known| {
                    known
                        .library(&loaded.library.name)
                        .filter(|known| known.library.sha == loaded.library.sha)
                });
                catalog.insert(same.map_or_else(|| Arc::new(loaded), Arc::clone));
            }
            Arc::new(catalog)
        }
    };
    let cached = Cached { catalog: Arc::clone(&catalog), changed, read_at, read_ms };
    *server.functions.cached.lock() = Some(cached);
    Ok(catalog)
}

/// Executes operations on the libraries in one step, if they still have this version.
async fn submit(
    server: &Server,
    version: Option<Version>,
    ops: Vec<Op<'_>>,
) -> Result<Vec<Reply>, OpError> {
    let map = server.grid.open_system(MAP)?;
    let op =
        Op::Batch { watched: version.into_iter().map(|version| (KEY, version)).collect(), ops };
    let Reply::List(replies) = server.submit(&map, server.grid.partition_of(KEY), &op).await?
    else {
        return Err(OpError::Malformed);
    };
    let failed = replies.iter().find_map(|reply| match reply {
        Reply::Failed(error) => Some(error.clone()),
        _ => None,
    });
    failed.map_or(Ok(replies), Err)
}

/// Changes the libraries on all members.
pub(super) async fn change(
    server: &Server,
    mut edit: impl FnMut(&mut Catalog) -> Result<(), CommandError>,
) -> Result<(), CommandError> {
    for _ in 0..ATTEMPTS_MAX {
        let before = read(server).await?;
        let mut after = Catalog::clone(&before);
        edit(&mut after)?;
        let mut stored = Vec::new();
        for (name, loaded) in &after.libraries {
            if before.library(name).is_none_or(|known| !Arc::ptr_eq(known, loaded)) {
                stored.push((name.as_bytes(), loaded.stored()?));
            }
        }
        let removed: Vec<&[u8]> = before
            .libraries
            .keys()
            .filter(|name| after.library(name).is_none())
            .map(String::as_bytes)
            .collect();
        let mut ops = Vec::new();
        if !removed.is_empty() {
            ops.push(Op::Key(KEY, KeyOp::Hash(HashOp::Remove(removed))));
        }
        if !stored.is_empty() {
            let fields = stored.iter().map(|(name, value)| (*name, &value[..])).collect();
            ops.push(Op::Key(KEY, KeyOp::Hash(HashOp::Set(fields))));
        }
        if ops.is_empty() {
            return Ok(());
        }
        ops.push(Op::Key(KEY, KeyOp::Generic(GenericOp::Version)));
        match submit(server, Some(before.version), ops).await {
            Ok(replies) => {
                announce(server, replies.last()).await;
                return Ok(());
            }
            Err(OpError::Changed) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(OpError::Busy.into())
}

/// Makes all members read the libraries again before they use them.
async fn announce(server: &Server, version: Option<&Reply>) {
    let version = match version {
        Some(Reply::Integer(version)) => *version,
        _ => 0,
    };
    server.grid.set_setting(CHANGED, &version.to_string());
    server.grid.announcements_received().await;
}
