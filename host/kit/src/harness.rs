//! A component with its configuration, grants and fakes.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use convoke_discovery::{
    Backend, DiscoveryHost, Fakes, Grants, HostConfig, Inspection, Interface, Lan as Network,
    LocalMember, ModeSpec, Source,
};

use crate::cipher::{Key, ciphers};
use crate::clock::Clock;
use crate::error::HarnessError;
use crate::mode::Mode;

/// The port of members, and of candidates without a port.
const PORT: u16 = 6900;

type Change = Arc<dyn Fn(&mut Fakes) + Send + Sync>;

/// A mode to be opened. By default it has no grants and no argument, and nothing exists in its
/// fakes. Clones are opened independently.
#[derive(Clone)]
pub struct Harness {
    pub(crate) file: PathBuf,
    pub(crate) grants: Vec<(String, String)>,
    pub(crate) inert_wasi: bool,
    argument: String,
    settings: Vec<(String, String)>,
    local: LocalMember,
    fakes: Vec<Change>,
    cache: Option<PathBuf>,
}

impl Harness {
    /// The component in `file`, which is read when the harness is opened.
    pub fn load(file: impl Into<PathBuf>) -> Self {
        let address = Ipv4Addr::new(10, 0, 0, 1);
        Self {
            file: file.into(),
            grants: Vec::new(),
            inert_wasi: false,
            argument: String::new(),
            settings: Vec::new(),
            local: LocalMember {
                cluster_name: "kit".into(),
                member_id: format!("member-{address}"),
                addresses: vec![address.into()],
                port: PORT,
                attributes: Vec::new(),
            },
            fakes: Vec::new(),
            cache: None,
        }
    }

    /// Adds a pattern: `grant = { CAPABILITY = ["PATTERN"] }`.
    #[must_use]
    pub fn grant(mut self, capability: &str, pattern: &str) -> Self {
        self.grants.push((capability.to_owned(), pattern.to_owned()));
        self
    }

    /// Sets `wasi = "inert"`.
    #[must_use]
    pub fn inert_wasi(mut self) -> Self {
        self.inert_wasi = true;
        self
    }

    /// Sets `argument = "…"`.
    #[must_use]
    pub fn argument(mut self, argument: impl Into<String>) -> Self {
        self.argument = argument.into();
        self
    }

    /// Adds a setting: `settings = { KEY = "VALUE" }`.
    #[must_use]
    pub fn setting(mut self, key: &str, value: &str) -> Self {
        self.settings.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Sets the cluster name of the member, `kit` by default. Members of different clusters do
    /// not open each other's datagrams.
    #[must_use]
    pub fn cluster(mut self, name: &str) -> Self {
        name.clone_into(&mut self.local.cluster_name);
        self
    }

    /// Changes the local member that the mode sees. By default it is at 10.0.0.1:6900 and has
    /// no attributes.
    #[must_use]
    pub fn member(mut self, change: impl FnOnce(&mut LocalMember)) -> Self {
        change(&mut self.local);
        self
    }

    /// Changes the fakes; calls are cumulative.
    #[must_use]
    pub fn fakes(mut self, change: impl Fn(&mut Fakes) + Send + Sync + 'static) -> Self {
        self.fakes.push(Arc::new(change));
        self
    }

    /// Caches compiled code in `folder`, for components that take seconds to compile and are
    /// opened often. The code in the folder is executed, so nobody else may have write access.
    #[must_use]
    pub fn cache(mut self, folder: impl Into<PathBuf>) -> Self {
        self.cache = Some(folder.into());
        self
    }

    /// Loads and configures the mode, with its own virtual clock.
    ///
    /// # Errors
    /// Any problem with the file or a grant, or the mode's rejection of its configuration.
    pub fn open(&self) -> Result<Mode, HarnessError> {
        self.open_in(&Clock::start()?, None)
    }

    /// Reports what the component exports and imports. No code of it runs.
    ///
    /// # Errors
    /// Any problem with the file.
    pub fn inspect(&self) -> Result<Inspection, HarnessError> {
        let host = self.host(&Arc::new(Fakes::default()), &self.local)?;
        let source = Source::File(self.file.clone());
        Ok(Clock::start()?.run(host.inspect(&stem(&self.file), &source, None))?)
    }

    /// Opens the mode with the time of `clock`; in a network, as the member at that address.
    pub(crate) fn open_in(
        &self,
        clock: &Rc<Clock>,
        place: Option<(Network, IpAddr)>,
    ) -> Result<Mode, HarnessError> {
        let pairs: Vec<(&str, [&str; 1])> =
            self.grants.iter().map(|(what, pattern)| (what.as_str(), [pattern.as_str()])).collect();
        let grants =
            Grants::parse(pairs.iter().map(|(what, pattern)| (*what, pattern.as_slice())))?;
        let mut local = self.local.clone();
        let mut fakes = self.initial_fakes();
        let mut name = stem(&self.file);
        if let Some((network, address)) = place {
            name = format!("{name}@{address}");
            local.addresses = vec![address];
            local.member_id = format!("member-{address}");
            fakes.lan = Some((network, SocketAddr::new(address, PORT)));
        }
        let fakes = Arc::new(fakes);
        let spec = ModeSpec {
            name,
            source: Source::File(self.file.clone()),
            digest: None,
            argument: self.argument.clone(),
            settings: self.settings.clone(),
            grants: Grants { inert_wasi: self.inert_wasi, ..grants },
        };
        let host = self.host(&fakes, &local)?;
        Mode::open(Rc::clone(clock), host, &spec, local, fakes)
    }

    /// The initial fakes.
    pub(crate) fn initial_fakes(&self) -> Fakes {
        let mut fakes = Fakes::default();
        for change in &self.fakes {
            change(&mut fakes);
        }
        fakes
    }

    fn host(&self, fakes: &Arc<Fakes>, local: &LocalMember) -> Result<DiscoveryHost, HarnessError> {
        let address = local.addresses.first().copied().unwrap_or(Ipv4Addr::LOCALHOST.into());
        Ok(DiscoveryHost::new(HostConfig {
            interfaces: vec![Interface { address, index: Some(1) }],
            multicast_hops: 1,
            default_ports: vec![PORT],
            cache_directory: self.cache.clone(),
            state_directory: None,
            prober: fakes.prober(),
            backend: Backend::Fake(Arc::clone(fakes)),
            beacon_ciphers: ciphers(self.key()),
            on_own_thread: false,
        })?)
    }

    pub(crate) fn key(&self) -> Key {
        Key::of(&self.local.cluster_name)
    }

    /// Caches compiled code in `folder`, unless a cache is set.
    pub(crate) fn cache_or(mut self, folder: &Path) -> Self {
        self.cache.get_or_insert_with(|| folder.to_owned());
        self
    }

    /// Replaces all grants of `capability` by one pattern.
    pub(crate) fn regrant(mut self, capability: &str, pattern: &str) -> Self {
        self.grants.retain(|(of, _)| of != capability);
        self.grant(capability, pattern)
    }
}

/// The mode's name: the file's name without extension.
pub(crate) fn stem(file: &Path) -> String {
    file.file_stem().unwrap_or(file.as_os_str()).to_string_lossy().into_owned()
}

impl fmt::Debug for Harness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Harness")
            .field("file", &self.file)
            .field("grants", &self.grants)
            .field("inert_wasi", &self.inert_wasi)
            .field("argument", &self.argument)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
