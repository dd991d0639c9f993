//! A running member: wiring.

pub(crate) mod accept;
pub(crate) mod addresses;
pub(crate) mod beacons;
pub(crate) mod builtin;
pub(crate) mod calls;
pub(crate) mod candidates;
pub(crate) mod data;
pub(crate) mod driver;
pub(crate) mod input;
pub(crate) mod links;
pub(crate) mod modes;
pub(crate) mod names;
pub(crate) mod news;
pub(crate) mod on_link;
pub(crate) mod pace;
pub(crate) mod ports;
pub(crate) mod probing;
mod public;
pub(crate) mod resp;
pub(crate) mod seeker;
pub(crate) mod sockets;
pub(crate) mod state;
pub(crate) mod turns;

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

use crate::interfaces::{self, Changes, Choice, LocalAddress, Wishes, zone};
use crate::places::Places;
use crate::settings::{ClientAddress, Settings};
use crate::status::Status;
use crate::{describe, limits};
use accept::Door;
use addresses::{Follow, Followers, Ports, advertised};
use driver::Driver;
use input::{INPUTS_MAX, Input};
use resp::RespPort;
use state::{Counters, Place};

/// How long a member that leaves may take to hand over its data. Orchestrators
/// commonly kill after 30 s.
const HAND_OVER_MS_MAX: u64 = 25_000;
/// Signals that come within so many milliseconds count as one.
const ONE_SIGNAL_MS: u64 = 500;
/// How long a graceful leave may take after that.
const LEAVE_MS_MAX: u64 = 3_000;
/// Snapshots that may wait for the seeker.
const MODE_EVENTS_MAX: usize = 64;
/// A start that takes longer than this says what it waits for.
const PATIENCE_MS: u64 = 5_000;

/// Runs a member until it is told to leave.
pub(crate) async fn run(settings: Settings, mut signals: Signals) -> Result<(), String> {
    let running = tokio::select! {
        biased;
        () = signals.next() => {
            info!("stopped before the start was done");
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

/// What runs.
enum Running {
    Clustered(Clustered),
    Alone,
}

/// A member of a cluster, or on its way into one.
struct Clustered {
    modes: Vec<ModeHandle>,
    input: mpsc::Sender<Input>,
    driver: std::thread::JoinHandle<()>,
    grid: Grid,
    status: Arc<Status>,
}

/// Starts everything; returns once modes look for members.
async fn start(settings: &Settings) -> Result<Running, String> {
    limits::raise_open_files();
    if let Some(path) = &settings.file {
        info!(file = %path.display(), "configuration read");
        if !settings.overridden.is_empty() {
            let keys = settings.overridden.join(", ");
            info!(%keys, "the command line or the environment wins over the configuration file");
        }
    }
    for warning in settings.warning.iter().chain(&settings.notes) {
        warn!("{warning}");
    }
    let changes = Changes::watch();
    let wishes = wishes(settings);
    let choice = choose_interface(settings, &wishes).await?;
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
            "port {} is taken, and a domain server is where its instances look for it: end what has the port, or name another with --start-port and in the instances' --cluster-mode domain:HOST:PORT",
            settings.start_port
        ));
    }
    if !port.taken.is_empty() {
        info!(member = %port.address(), taken = ?port.taken, "the start port is taken; the next free one is used");
    }

    let resp = RespPort::bind(settings, &ips)?;
    let told = Told::new(settings, http_port, resp.as_ref(), &ips);
    let id = MemberId::new_now();
    // It answers clients, and is not ready, while the name that others are to call it by is
    // not there yet.
    let mut me = introduce(settings, id, advertised(&[], &port.addresses), told);
    let keys = derive_keys(settings, &choice).await?;
    let (counters, changed) = (Arc::new(Counters::default()), Arc::new(Notify::new()));
    let (place, placed) = watch::channel(Arc::new(Place {
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
        place: placed.clone(),
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
    let (status, web) = serve_clients(settings, clients, &grid, &placed, &counters, changed);
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
    place.send_modify(|place| {
        let place = Arc::make_mut(place);
        (place.me, place.hello) = (core.me().clone(), core.hello().encode().into());
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
        place,
        counters: Arc::clone(&counters),
        grid: grid.clone(),
    })?;
    let (counting, data) = (Arc::clone(&counters), streams);
    let door = Door::new(Arc::clone(&keys), input.clone(), data, placed.clone(), counting);
    tokio::spawn(Arc::clone(&door).answer(port.listeners));

    for mode in &settings.modes {
        if let Some(because) = mode.chosen {
            info!(mode = mode.name, because, "mode chosen, as auto asks");
        }
    }
    let (events, heard) = mpsc::channel(MODE_EVENTS_MAX);
    let names: Vec<String> = loaded.iter().map(|mode| mode.name().to_owned()).collect();
    info!(modes = names.join(", "), cluster = %settings.cluster_name, member = %member_address, name = %me.name, "looking for members");
    if settings.domain_server {
        let admin = SocketAddr::new(ip, http_port);
        info!(
            "domain server: instances join with --cluster-mode domain:{}, people look at http://{admin}/",
            member_address
        );
    }
    let modes: Vec<ModeHandle> =
        loaded.into_iter().map(|mode| host.start(mode, local.clone(), events.clone())).collect();
    drop(events);
    let _ = status.modes.set(modes.iter().map(ModeHandle::status).collect());
    tokio::spawn(
        seeker::Seeker {
            modes: names,
            events: heard,
            driver: input.clone(),
            place: placed.clone(),
            keys,
            counters,
        }
        .run(),
    );
    tokio::spawn(say_ready(placed, Arc::clone(&status), member_address, (ip, http_port).into()));
    let followers = Followers {
        driver: input.clone(),
        door,
        web,
        pages,
        resp: status.resp.clone(),
        host,
        status: Arc::clone(&status),
    };
    tokio::spawn(Follow::new(wishes, choice, public, ports, followers).run(changes));

    Ok(Running::Clustered(Clustered { modes, input, driver, grid, status }))
}

impl Clustered {
    /// First the data goes to others; then modes take their announcements back
    /// while the cluster is told.
    async fn leave(self, signals: &mut Signals) {
        let Self { modes, input, driver, grid, status } = self;
        status.leaving.store(true, Ordering::Relaxed);
        info!("leaving; a second signal stops at once");
        let first = Instant::now();
        let hand_over = Duration::from_millis(HAND_OVER_MS_MAX);
        tokio::select! {
            done = tokio::time::timeout(hand_over, grid.leave()) => if done.is_err() {
                warn!("not all data was handed over within {HAND_OVER_MS_MAX} ms; the backups take over from here");
            },
            () = signals.another(first) => {
                warn!("stopped by a second signal, without handing over data; the backups take over from here");
                return;
            }
        }
        tokio::select! {
            () = status.finish_clients() => {}
            () = signals.another(first) => {
                warn!("stopped by a second signal, without answering all clients");
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
                Err(_) => warn!("left without an answer from the others within {LEAVE_MS_MAX} ms"),
            },
            () = signals.another(first) => {
                warn!("stopped by a second signal, without waiting for the others");
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

/// Says once that this member is in a cluster, or what keeps it waiting.
async fn say_ready(
    mut place: watch::Receiver<Arc<Place>>,
    status: Arc<Status>,
    member: SocketAddr,
    http: SocketAddr,
) {
    let started = tokio::time::Instant::now();
    let in_a_cluster = async { place.wait_for(|place| place.view.is_some()).await.is_ok() };
    tokio::pin!(in_a_cluster);
    // Doubled each time: it need not be said every few seconds.
    let mut patience_ms = PATIENCE_MS;
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
                        (None, None) => format!("{} has not answered yet", mode.name),
                    })
                    .collect();
                if status.is_refused() {
                    continue;
                }
                let waiting = if waiting.is_empty() { "candidates to answer".to_owned() } else { waiting.join("; ") };
                warn!(%waiting, "not in a cluster yet; still looking, and no cluster is started until every mode has looked");
            }
        }
    }
}

/// `--no-cluster`: the endpoints, a view of one, and nothing else.
async fn start_alone(
    settings: &Settings,
    choice: &Choice,
    http: Vec<TcpListener>,
    http_port: u16,
) -> Result<Running, String> {
    let ips = choice.to_bind();
    let resp = RespPort::bind(settings, &ips)?;
    let told = Told::new(settings, http_port, resp.as_ref(), &ips);
    let public = public::look_up_once(settings, 0).await?;
    let bound = [SocketAddr::new(choice.primary.ip, 0)];
    let me = introduce(settings, MemberId::new_now(), advertised(&public, &bound), told);
    let view = View::founded_by(Member { age: 1, generation: 1, ..me.clone() });
    let place = Place {
        me: me.clone(),
        view: Some(view.clone()),
        hello: [].into(),
        suspects: Arc::default(),
        leaving: false,
        refusal: None,
    };
    let (_, placed) = watch::channel(Arc::new(place));
    let (counters, changed) = (Arc::new(Counters::default()), Arc::new(Notify::new()));
    let grid = data::grid(me.id, &settings.data, None, &counters, &changed);
    grid.expect_view(&view);
    let ((driver, _), (_, streams)) = (mpsc::channel(1), mpsc::channel(1));
    let place = placed.clone();
    let data = data::Data { grid: grid.clone(), keys: None, place, driver, streams };
    tokio::spawn(data.run());
    let ports = ClientPorts { http, resp, pages: Pages::Member };
    serve_clients(settings, ports, &grid, &placed, &counters, changed);
    info!(
        "no discovery and no member port, as --no-cluster asks\n\n{}\n",
        describe::blocks(&view, me.id)
    );
    let http_address = SocketAddr::new(choice.primary.ip, http_port);
    info!(http = %http_address, "ready");
    Ok(Running::Alone)
}

/// Where clients are served.
struct ClientPorts {
    http: Vec<TcpListener>,
    /// None when RESP is turned off.
    resp: Option<RespPort>,
    pages: Pages,
}

/// Serves clients from now on.
fn serve_clients(
    settings: &Settings,
    ports: ClientPorts,
    grid: &Grid,
    placed: &watch::Receiver<Arc<Place>>,
    counters: &Arc<Counters>,
    changed: Arc<Notify>,
) -> (Arc<Status>, Arc<Web>) {
    let (clients, pubsub) = (&settings.clients, PubSub::new(grid.clone()));
    grid.set_own_setting(notifications::SETTING, &clients.notifications.text());
    let serve =
        |port: RespPort| port.serve(grid.clone(), Arc::clone(&pubsub), clients, placed.clone());
    let status = Arc::new(Status {
        cluster_name: settings.cluster_name.clone(),
        place: placed.clone(),
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
    tokio::spawn(news::tell(Arc::clone(&status), placed.clone(), changed));
    (status, web)
}

/// What decides among this host's addresses.
fn wishes(settings: &Settings) -> Wishes {
    let mut listed = Places::default();
    for mode in settings.modes.iter().filter(|mode| mode.plugin.is_none()) {
        match mode.name.as_str() {
            "tcpip" => listed.add(&mode.argument),
            // Loopback is another name for this member's own address there.
            "domain" if !builtin::is_loopback(&mode.argument) => listed.add(&mode.argument),
            _ => {}
        }
    }
    // Who is looked for elsewhere as well is to be dialled from there.
    let is_all = settings.modes.iter().all(|mode| mode.name == "tcpip");
    if listed.are_loopback() && !is_all {
        listed = Places::default();
    }
    Wishes { wanted: settings.interfaces.clone(), listed }
}

/// A list of members somewhere else is perhaps one of another cluster, or of the hosts' old
/// addresses: nobody there may be found, and this member founds a cluster of its own.
fn warn_of_a_strange_list(settings: &Settings, listed: &Places, have: &[LocalAddress]) {
    let is_all = settings.modes.iter().all(|m| m.plugin.is_none() && m.name == "tcpip");
    let touches = listed.is_empty() || have.iter().any(|own| listed.touch(own));
    if !is_all || touches || settings.public_address.is_some() {
        return;
    }
    let networks = have.iter().filter(|own| !own.ip.is_loopback());
    let networks: Vec<String> = networks.map(|own| format!("{own}, /{}", own.prefix)).collect();
    warn!(
        "the member list names no address in a network of this host ({}): if nobody there answers, this member starts a cluster of its own. Is it the right list?",
        networks.join("; ")
    );
}

async fn choose_interface(settings: &Settings, wishes: &Wishes) -> Result<Choice, String> {
    let have = interfaces::local_addresses()
        .await
        .map_err(|error| format!("cannot list this machine's addresses: {error}"))?;
    let choice = wishes.choose(&have, &interfaces::system_route)?;
    zone::set(choice.primary.index);
    if !wishes.wanted.is_empty() && settings.public_address.is_none() {
        let named = have.iter().filter(|own| wishes.listed.name(own));
        let named: Vec<String> = named.map(|own| own.ip.to_string()).collect();
        if !named.is_empty() && !choice.all.iter().any(|address| wishes.listed.name(address)) {
            warn!(
                "interfaces choose {}, and the member list names {} of this machine: members that use the list do not find this one there",
                choice.primary,
                named.join(", ")
            );
        }
    }
    let unmatched = wishes.unmatched(&have);
    if !unmatched.is_empty() {
        warn!(
            unmatched = unmatched.join(", "),
            "no address of this host matches a part of --interfaces"
        );
    }
    warn_of_a_strange_list(settings, &wishes.listed, &have);
    info!(
        address = %choice.primary,
        because = choice.reason,
        also = describe::list(&choice.all[1..]),
        not = choice.others.join("; "),
        "address chosen"
    );
    Ok(choice)
}

/// Services that others are told.
#[derive(Default)]
struct Told {
    http: Option<Service>,
    resp: Option<Service>,
}

impl Told {
    fn new(settings: &Settings, http_port: u16, resp: Option<&RespPort>, ips: &[IpAddr]) -> Self {
        let (http, public) = (&settings.http_public_address, &settings.resp_public_address);
        Self {
            http: Some(ClientAddress::service(http.as_ref(), http_port)),
            resp: resp.and_then(|resp| resp.told(ips, public.as_ref())),
        }
    }
}

/// Turns settings into the member that others see.
fn introduce(settings: &Settings, id: MemberId, addresses: Vec<SocketAddr>, told: Told) -> Member {
    Member {
        id,
        addresses,
        name: settings.name.clone().unwrap_or_else(|| names::generate(id.as_bytes())),
        group: settings.group.clone(),
        lite: settings.lite,
        modes: modes::listed(settings),
        http: told.http,
        resp: told.resp,
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
            "the cluster password is empty: whoever reaches this network can join cluster {:?}; set --cluster-password-file or CONVOKE_CLUSTER_PASSWORD",
            settings.cluster_name
        );
    }
    let (name, password) = (settings.cluster_name.clone(), settings.password.clone());
    let keys = tokio::task::spawn_blocking(move || ClusterKeys::derive(&name, &password))
        .await
        .map_err(|error| error.to_string())?;
    keys.map(Arc::new).map_err(|error| error.to_string())
}

/// SIGTERM and SIGINT, caught from the first moment: a member that is asked to
/// stop while it starts stops.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Catches them from now on. Needs a runtime.
    pub(crate) fn catch() -> Result<Self, String> {
        let catch =
            |kind| signal(kind).map_err(|error| format!("cannot listen for signals: {error}"));
        Ok(Self {
            terminate: catch(SignalKind::terminate())?,
            interrupt: catch(SignalKind::interrupt())?,
        })
    }

    /// One more signal, long enough after the first to be another one: wrappers pass one on that
    /// their whole process group got as well.
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

/// For the dry run: as a member would look, without being one.
pub(crate) struct Onlooker {
    pub(crate) choice: Choice,
    pub(crate) me: Member,
    pub(crate) keys: Arc<ClusterKeys>,
    pub(crate) local: LocalMember,
}

impl Onlooker {
    /// Binds nothing: says where a member with these settings would be.
    pub(crate) async fn new(settings: &Settings) -> Result<Self, String> {
        let choice = choose_interface(settings, &wishes(settings)).await?;
        let id = MemberId::new_now();
        let bound = [SocketAddr::new(choice.primary.ip, settings.start_port)];
        let public = public::look_up_once(settings, settings.start_port).await?;
        let me = introduce(settings, id, advertised(&public, &bound), Told::default());
        let keys = derive_keys(settings, &choice).await?;
        // Port 0: nobody is taken for this one.
        let local = LocalMember { port: 0, ..local_member(settings, &me) };
        Ok(Self { choice, me, keys, local })
    }
}
