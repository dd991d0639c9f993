//! Starts, runs and stops a member.

pub(crate) mod accept;
pub(crate) mod addresses;
pub(crate) mod beacons;
pub(crate) mod builtin;
pub(crate) mod caller;
pub(crate) mod calls;
pub(crate) mod candidates;
pub(crate) mod data;
pub(crate) mod driver;
pub(crate) mod events;
pub(crate) mod input;
pub(crate) mod links;
pub(crate) mod modes;
pub(crate) mod names;
pub(crate) mod on_link;
pub(crate) mod ports;
pub(crate) mod probing;
mod public;
pub(crate) mod rate_limit;
pub(crate) mod resp;
pub(crate) mod schedule;
pub(crate) mod sockets;
pub(crate) mod state;

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use convoke_discovery::{LocalMember, ModeHandle};
use convoke_gateway::http::{self, Pages, Web};
use convoke_gateway::notifications;
use convoke_gateway::pubsub::PubSub;
use convoke_grid::Grid;
use convoke_membership::{Config, Member, MemberId, Membership, Service, View};
use convoke_wire::ClusterKeys;
use tokio::net::{TcpListener, UdpSocket};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, mpsc, watch};
use tracing::{info, warn};

use crate::address_list::AddressList;
use crate::interfaces::{self, Changes, Choice, Preferences, zone};
use crate::local_address::LocalAddress;
use crate::settings::{ClientAddress, Settings};
use crate::status::Status;
use crate::{describe, limits};
use accept::Acceptor;
use addresses::{AddressUsers, AddressWatcher, Ports, advertised};
use driver::Driver;
use input::{INPUTS_MAX, Input};
use resp::RespPort;
use state::{Counters, MemberState};

/// How long a leaving member may take to hand over its data, in milliseconds. Orchestrators
/// commonly send SIGKILL after 30 s.
const HAND_OVER_MS_MAX: u64 = 25_000;
/// Signals within this time count as one, in milliseconds.
const ONE_SIGNAL_MS: u64 = 500;
/// How long the graceful leave may take after the data is handed over, in milliseconds.
const LEAVE_MS_MAX: u64 = 3_000;
/// Snapshots of modes that may be queued, at most.
const MODE_EVENTS_MAX: usize = 64;
/// A start that takes longer than this logs what it is waiting for, in milliseconds.
const SLOW_START_MS: u64 = 5_000;

/// Runs a member until it is asked to leave.
pub(crate) async fn run(settings: Settings, mut signals: Signals) -> Result<(), String> {
    let running = tokio::select! {
        biased;
        () = signals.next() => {
            info!("stopped during the start");
            return Ok(());
        }
        running = start(&settings) => running?,
    };
    signals.next().await;
    match running {
        Running::Clustered(clustered) => clustered.leave(&mut signals).await,
        Running::Alone => info!("left"),
    }
    Ok(())
}

/// What runs in this process.
enum Running {
    Clustered(Clustered),
    Alone,
}

/// A member of a cluster, or one that is still joining.
struct Clustered {
    modes: Vec<ModeHandle>,
    input: mpsc::Sender<Input>,
    driver: std::thread::JoinHandle<()>,
    grid: Grid,
    status: Arc<Status>,
}

/// Starts everything; returns once the modes are looking for members.
async fn start(settings: &Settings) -> Result<Running, String> {
    limits::raise_open_files();
    if let Some(path) = &settings.file {
        info!(file = %path.display(), "configuration read");
        if !settings.overridden.is_empty() {
            let keys = settings.overridden.join(", ");
            info!(%keys, "configuration file overridden by the command line or the environment");
        }
    }
    for warning in settings.warning.iter().chain(&settings.notes) {
        warn!("{warning}");
    }
    let changes = Changes::watch();
    let preferences = preferences(settings);
    let choice = choose_interface(settings, &preferences).await?;
    let ips = choice.to_bind();
    let ip = ips[0];
    let further = settings.auto_bind_http.then_some(settings.auto_bind_range);
    let http = ports::bind_http(&ips, settings.port, further)?;
    let http_port = http[0].local_addr().map_err(|e| e.to_string())?.port();
    if settings.no_cluster {
        return start_alone(settings, &choice, http, http_port).await;
    }
    let port = ports::bind_member_port(&ips, settings.start_port, settings.start_port_range)?;
    if settings.domain_server && !port.taken.is_empty() {
        return Err(format!(
            "port {} is in use, and a domain server must listen on the port that its instances connect to: stop the process that uses it, or set another with --start-port and in the instances' --cluster-mode domain:HOST:PORT",
            settings.start_port
        ));
    }
    if !port.taken.is_empty() {
        info!(member = %port.address(), in_use = ?port.taken, "the start port is in use; using the next free one");
    }

    let resp = RespPort::bind(settings, &ips)?;
    let ports_to_advertise = AdvertisedPorts::new(settings, http_port, resp.as_ref(), &ips);
    let id = MemberId::new_now();
    // Clients are served, and the member is not ready, while the name in `--public-address` cannot
    // be resolved.
    let mut me = introduce(settings, id, advertised(&[], &port.addresses), ports_to_advertise);
    let keys = derive_keys(settings, &choice).await?;
    let (counters, changed) = (Arc::new(Counters::default()), Arc::new(Notify::new()));
    let (member_state, state_receiver) = watch::channel(Arc::new(MemberState {
        me: me.clone(),
        view: None,
        hello: [].into(),
        suspects: Arc::default(),
        leaving: false,
        refusal: None,
    }));
    let grid = data::grid(id, &settings.data, Some(&keys), &counters, &changed);
    let (streams, opened) = mpsc::channel(data::STREAMS_MAX);
    let (input, inputs) = mpsc::channel(INPUTS_MAX);
    let data = data::Data {
        grid: grid.clone(),
        keys: Some(Arc::clone(&keys)),
        member_state: state_receiver.clone(),
        driver: input.clone(),
        streams: opened,
    };
    tokio::spawn(data.run());
    let pages = if settings.domain_server { Pages::Admin } else { Pages::Member };
    let ports = Ports {
        member: port.address().port(),
        http: http_port,
        resp: resp.as_ref().filter(|resp| resp.is_public).map(|resp| resp.port),
    };
    let clients = ClientPorts { http, resp, pages };
    let (status, web) =
        serve_clients(settings, clients, &grid, &state_receiver, &counters, changed);
    let public = public::wait(settings, port.address().port()).await?;
    if !public.is_empty() {
        me.addresses = advertised(&public, &port.addresses);
    }

    let local = local_member(settings, &me);
    let (ciphers, prober) = (beacons::ciphers(&keys, id), probing::prober(&keys, &me));
    let host = modes::host(settings, &choice, ciphers, prober)?;
    let loaded = modes::load(&host, settings, &choice, &local).await?;

    let core =
        Membership::new(me.clone(), settings.data.terms.clone(), Config::default(), rand::random());
    member_state.send_modify(|member_state| {
        let member_state = Arc::make_mut(member_state);
        (member_state.me, member_state.hello) = (core.me().clone(), core.hello().encode().into());
    });

    let member_address = port.address();
    let sockets = port.sockets.into_iter().map(UdpSocket::into_std).collect::<Result<_, _>>();
    let sockets = sockets.map_err(|error| error.to_string())?;
    let driver = spawn_driver(Driver {
        core,
        sockets,
        keys: Arc::clone(&keys),
        inputs,
        input: input.clone(),
        member_state,
        counters: Arc::clone(&counters),
        grid: grid.clone(),
    })?;
    let (counting, data) = (Arc::clone(&counters), streams);
    let acceptor =
        Acceptor::new(Arc::clone(&keys), input.clone(), data, state_receiver.clone(), counting);
    tokio::spawn(Arc::clone(&acceptor).answer(port.listeners));

    for mode in &settings.modes {
        if let Some(because) = mode.chosen {
            info!(mode = mode.name, because, "mode chosen by auto");
        }
    }
    let (events, heard) = mpsc::channel(MODE_EVENTS_MAX);
    let names: Vec<String> = loaded.iter().map(|mode| mode.name().to_owned()).collect();
    info!(modes = names.join(", "), cluster = %settings.cluster_name, member = %member_address, name = %me.name, "looking for members");
    if settings.domain_server {
        let admin = SocketAddr::new(ip, http_port);
        info!(
            "domain server: instances join with --cluster-mode domain:{}; admin page at http://{admin}/",
            member_address
        );
    }
    let modes: Vec<ModeHandle> =
        loaded.into_iter().map(|mode| host.start(mode, local.clone(), events.clone())).collect();
    drop(events);
    let _ = status.modes.set(modes.iter().map(ModeHandle::status).collect());
    tokio::spawn(
        caller::CandidateCaller {
            modes: names,
            events: heard,
            driver: input.clone(),
            member_state: state_receiver.clone(),
            keys,
            counters,
        }
        .run(),
    );
    tokio::spawn(log_ready(
        state_receiver,
        Arc::clone(&status),
        member_address,
        (ip, http_port).into(),
    ));
    let users = AddressUsers {
        driver: input.clone(),
        acceptor,
        web,
        pages,
        resp: status.resp.clone(),
        host,
        status: Arc::clone(&status),
    };
    tokio::spawn(AddressWatcher::new(preferences, choice, public, ports, users).run(changes));

    Ok(Running::Clustered(Clustered { modes, input, driver, grid, status }))
}

impl Clustered {
    /// Hands over the data first; then the modes withdraw their announcements while the other
    /// members are notified.
    async fn leave(self, signals: &mut Signals) {
        let Self { modes, input, driver, grid, status } = self;
        status.leaving.store(true, Ordering::Relaxed);
        info!("leaving; a second signal stops immediately");
        let first = Instant::now();
        let hand_over = Duration::from_millis(HAND_OVER_MS_MAX);
        tokio::select! {
            done = tokio::time::timeout(hand_over, grid.leave()) => if done.is_err() {
                warn!("not all data was handed over within {HAND_OVER_MS_MAX} ms; the backups take over");
            },
            () = signals.another(first) => {
                warn!("stopped by a second signal before all data was handed over; the backups take over");
                return;
            }
        }
        tokio::select! {
            () = status.finish_clients() => {}
            () = signals.another(first) => {
                warn!("stopped by a second signal before all clients were answered");
                return;
            }
        }
        let stops: Vec<_> = modes.into_iter().map(|mode| tokio::spawn(mode.stop())).collect();
        let _ = input.send(Input::Leave).await;
        let gone = async {
            let driver = tokio::task::spawn_blocking(move || driver.join());
            let _ = driver.await;
            for stop in stops {
                let _ = stop.await;
            }
        };
        tokio::select! {
            done = tokio::time::timeout(Duration::from_millis(LEAVE_MS_MAX), gone) => match done {
                Ok(()) => info!("left"),
                Err(_) => warn!("left, but the other members did not confirm it within {LEAVE_MS_MAX} ms"),
            },
            () = signals.another(first) => {
                warn!("stopped by a second signal before the other members confirmed the leave");
            }
        }
    }
}

/// Starts the driver on a thread and a runtime of its own.
fn spawn_driver(driver: Driver) -> Result<std::thread::JoinHandle<()>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start the membership thread: {error}"))?;
    std::thread::Builder::new()
        .name("membership".into())
        .spawn(move || runtime.block_on(driver.run()))
        .map_err(|error| format!("cannot start the membership thread: {error}"))
}

/// Logs once that this member is in a cluster, and until then what it is waiting for.
async fn log_ready(
    mut member_state: watch::Receiver<Arc<MemberState>>,
    status: Arc<Status>,
    member: SocketAddr,
    http: SocketAddr,
) {
    let started = tokio::time::Instant::now();
    let in_a_cluster =
        async { member_state.wait_for(|member_state| member_state.view.is_some()).await.is_ok() };
    tokio::pin!(in_a_cluster);
    // Doubled each time, so that the line does not appear every few seconds.
    let mut patience_ms = SLOW_START_MS;
    loop {
        let patience = tokio::time::sleep(Duration::from_millis(patience_ms));
        patience_ms = patience_ms.saturating_mul(2);
        tokio::select! {
            here = &mut in_a_cluster => {
                if here {
                    let elapsed_ms = started.elapsed().as_millis();
                    info!(%member, %http, elapsed_ms, "ready");
                }
                return;
            }
            () = patience => {
                let waiting: Vec<String> = status
                    .modes
                    .get()
                    .into_iter()
                    .flatten()
                    .map(|mode| mode.borrow().clone())
                    .filter(|mode| !mode.has_looked)
                    .map(|mode| match (mode.last_problem, mode.last_trap) {
                        (Some(problem), _) => format!("{}: {problem}", mode.name),
                        (None, Some(trap)) => format!("{} {trap}", mode.name),
                        (None, None) => format!("{} has not completed a lookup yet", mode.name),
                    })
                    .collect();
                if status.is_refused() {
                    continue;
                }
                let waiting = if waiting.is_empty() { "candidates to be called".to_owned() } else { waiting.join("; ") };
                warn!(%waiting, "not in a cluster yet; still looking for members. No cluster is founded until every mode has completed a lookup");
            }
        }
    }
}

/// Starts a member with `--no-cluster`: the client endpoints and a view with one member.
async fn start_alone(
    settings: &Settings,
    choice: &Choice,
    http: Vec<TcpListener>,
    http_port: u16,
) -> Result<Running, String> {
    let ips = choice.to_bind();
    let resp = RespPort::bind(settings, &ips)?;
    let ports_to_advertise = AdvertisedPorts::new(settings, http_port, resp.as_ref(), &ips);
    let public = public::look_up_once(settings, 0).await?;
    let bound = [SocketAddr::new(choice.primary.ip, 0)];
    let me =
        introduce(settings, MemberId::new_now(), advertised(&public, &bound), ports_to_advertise);
    let view = View::founded_by(Member { age: 1, generation: 1, ..me.clone() });
    let member_state = MemberState {
        me: me.clone(),
        view: Some(view.clone()),
        hello: [].into(),
        suspects: Arc::default(),
        leaving: false,
        refusal: None,
    };
    let (_, state_receiver) = watch::channel(Arc::new(member_state));
    let (counters, changed) = (Arc::new(Counters::default()), Arc::new(Notify::new()));
    let grid = data::grid(me.id, &settings.data, None, &counters, &changed);
    grid.expect_view(&view);
    let ((driver, _), (_, streams)) = (mpsc::channel(1), mpsc::channel(1));
    let member_state = state_receiver.clone();
    let data = data::Data { grid: grid.clone(), keys: None, member_state, driver, streams };
    tokio::spawn(data.run());
    let ports = ClientPorts { http, resp, pages: Pages::Member };
    serve_clients(settings, ports, &grid, &state_receiver, &counters, changed);
    info!(
        "no discovery and no member port, as --no-cluster asks\n\n{}\n",
        describe::blocks(&view, me.id)
    );
    let http_address = SocketAddr::new(choice.primary.ip, http_port);
    info!(http = %http_address, "ready");
    Ok(Running::Alone)
}

/// The ports for clients.
struct ClientPorts {
    http: Vec<TcpListener>,
    /// `None` when RESP is turned off.
    resp: Option<RespPort>,
    pages: Pages,
}

/// Starts to serve clients.
fn serve_clients(
    settings: &Settings,
    ports: ClientPorts,
    grid: &Grid,
    state_receiver: &watch::Receiver<Arc<MemberState>>,
    counters: &Arc<Counters>,
    changed: Arc<Notify>,
) -> (Arc<Status>, Arc<Web>) {
    let (clients, pubsub) = (&settings.clients, PubSub::new(grid.clone()));
    grid.set_own_setting(notifications::SETTING, &clients.notifications.text());
    let serve = |port: RespPort| {
        port.serve(grid.clone(), Arc::clone(&pubsub), clients, state_receiver.clone())
    };
    let status = Arc::new(Status {
        cluster_name: settings.cluster_name.clone(),
        member_state: state_receiver.clone(),
        modes: OnceLock::new(),
        counters: Arc::clone(counters),
        grid: grid.clone(),
        resp: ports.resp.map(serve),
        web: OnceLock::new(),
        is_addressless: AtomicBool::new(false),
        leaving: AtomicBool::new(false),
    });
    let web = Web::new(Arc::clone(&status) as _, grid.clone(), pubsub, clients.passwords());
    let _ = status.web.set(Arc::downgrade(&web));
    tokio::spawn(http::serve(ports.http, Arc::clone(&web), ports.pages));
    tokio::spawn(events::publish_changes(Arc::clone(&status), state_receiver.clone(), changed));
    (status, web)
}

/// What the choice among this host's addresses depends on.
fn preferences(settings: &Settings) -> Preferences {
    let mut listed = AddressList::default();
    for mode in settings.modes.iter().filter(|mode| mode.plugin.is_none()) {
        match mode.name.as_str() {
            "tcpip" => listed.add(&mode.argument),
            // There, loopback stands for this member's own address.
            "domain" if !builtin::is_loopback(&mode.argument) => listed.add(&mode.argument),
            _ => {}
        }
    }
    // Members that are also found by other modes must be able to dial this one.
    let is_all = settings.modes.iter().all(|mode| mode.name == "tcpip");
    if listed.is_loopback_only() && !is_all {
        listed = AddressList::default();
    }
    Preferences { patterns: settings.interfaces.clone(), listed }
}

/// A member list without an address in this host's networks may be that of another cluster, or
/// outdated: then no member is found, and this one founds a cluster of its own.
fn warn_of_foreign_member_list(settings: &Settings, listed: &AddressList, have: &[LocalAddress]) {
    let is_all = settings.modes.iter().all(|m| m.plugin.is_none() && m.name == "tcpip");
    let touches = listed.is_empty() || have.iter().any(|own| listed.overlaps_network_of(own));
    if !is_all || touches || settings.public_address.is_some() {
        return;
    }
    let networks = have.iter().filter(|own| !own.ip.is_loopback());
    let networks: Vec<String> = networks.map(|own| format!("{own}, /{}", own.prefix)).collect();
    warn!(
        "the member list has no address in a network of this host ({}); if no listed member answers, this member founds a cluster of its own. Check the list",
        networks.join("; ")
    );
}

async fn choose_interface(
    settings: &Settings,
    preferences: &Preferences,
) -> Result<Choice, String> {
    let have = interfaces::local_addresses()
        .await
        .map_err(|error| format!("cannot list this host's addresses: {error}"))?;
    let choice = preferences.choose(&have, &interfaces::system_route)?;
    zone::set(choice.primary.index);
    if !preferences.patterns.is_empty() && settings.public_address.is_none() {
        let named = have.iter().filter(|own| preferences.listed.contains(own));
        let named: Vec<String> = named.map(|own| own.ip.to_string()).collect();
        if !named.is_empty()
            && !choice.all.iter().any(|address| preferences.listed.contains(address))
        {
            warn!(
                "--interfaces selects {}, but the member list has {} for this host: members that use the list will not find this one",
                choice.primary,
                named.join(", ")
            );
        }
    }
    let unmatched = preferences.unmatched(&have);
    if !unmatched.is_empty() {
        warn!(
            unmatched = unmatched.join(", "),
            "no address of this host matches some patterns of --interfaces"
        );
    }
    warn_of_foreign_member_list(settings, &preferences.listed, &have);
    info!(
        address = %choice.primary,
        because = choice.reason,
        also = describe::list(&choice.all[1..]),
        not = choice.others.join("; "),
        "address chosen"
    );
    Ok(choice)
}

/// The client endpoints that this member advertises.
#[derive(Default)]
struct AdvertisedPorts {
    http: Option<Service>,
    resp: Option<Service>,
}

impl AdvertisedPorts {
    fn new(settings: &Settings, http_port: u16, resp: Option<&RespPort>, ips: &[IpAddr]) -> Self {
        let (http, public) = (&settings.http_public_address, &settings.resp_public_address);
        Self {
            http: Some(ClientAddress::service(http.as_ref(), http_port)),
            resp: resp.and_then(|resp| resp.advertised(ips, public.as_ref())),
        }
    }
}

/// The member as other members see it.
fn introduce(
    settings: &Settings,
    id: MemberId,
    addresses: Vec<SocketAddr>,
    ports_to_advertise: AdvertisedPorts,
) -> Member {
    Member {
        id,
        addresses,
        name: settings.name.clone().unwrap_or_else(|| names::generate(id.as_bytes())),
        group: settings.group.clone(),
        lite: settings.lite,
        modes: modes::listed(settings),
        http: ports_to_advertise.http,
        resp: ports_to_advertise.resp,
        generation: 0,
        age: 0,
    }
}

fn local_member(settings: &Settings, me: &Member) -> LocalMember {
    let port = me.address().port();
    LocalMember {
        cluster_name: settings.cluster_name.clone(),
        member_id: me.id.to_string(),
        addresses: me.addresses.iter().filter(|a| a.port() == port).map(SocketAddr::ip).collect(),
        port,
        attributes: Vec::new(),
    }
}

async fn derive_keys(settings: &Settings, choice: &Choice) -> Result<Arc<ClusterKeys>, String> {
    if settings.password.is_empty() && !choice.primary.ip.is_loopback() {
        warn!(
            "the cluster password is empty: any host on this network can join cluster {:?}; set --cluster-password-file or CONVOKE_CLUSTER_PASSWORD",
            settings.cluster_name
        );
    }
    let (name, password) = (settings.cluster_name.clone(), settings.password.clone());
    let keys = tokio::task::spawn_blocking(move || ClusterKeys::derive(&name, &password))
        .await
        .map_err(|error| error.to_string())?;
    keys.map(Arc::new).map_err(|error| error.to_string())
}

/// SIGTERM and SIGINT, caught from the beginning, so that they also stop a member that is still
/// starting.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Starts to catch the signals. Needs a runtime.
    pub(crate) fn catch() -> Result<Self, String> {
        let catch =
            |kind| signal(kind).map_err(|error| format!("cannot listen for signals: {error}"));
        Ok(Self {
            terminate: catch(SignalKind::terminate())?,
            interrupt: catch(SignalKind::interrupt())?,
        })
    }

    /// Waits for a further signal, not one that belongs to the first: wrappers forward a signal
    /// that the whole process group received as well.
    async fn another(&mut self, first: Instant) {
        loop {
            self.next().await;
            if first.elapsed() >= Duration::from_millis(ONE_SIGNAL_MS) {
                return;
            }
        }
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// What a dry run needs to look for members without joining.
pub(crate) struct DryRun {
    pub(crate) choice: Choice,
    pub(crate) me: Member,
    pub(crate) keys: Arc<ClusterKeys>,
    pub(crate) local: LocalMember,
}

impl DryRun {
    /// Binds nothing: determines the address that a member with these settings would use.
    pub(crate) async fn new(settings: &Settings) -> Result<Self, String> {
        let choice = choose_interface(settings, &preferences(settings)).await?;
        let id = MemberId::new_now();
        let bound = [SocketAddr::new(choice.primary.ip, settings.start_port)];
        let public = public::look_up_once(settings, settings.start_port).await?;
        let me = introduce(settings, id, advertised(&public, &bound), AdvertisedPorts::default());
        let keys = derive_keys(settings, &choice).await?;
        // Port 0, so that no member is mistaken for this process.
        let local = LocalMember { port: 0, ..local_member(settings, &me) };
        Ok(Self { choice, me, keys, local })
    }
}
