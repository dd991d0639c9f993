//! Starts, runs and stops a member.

pub(crate) mod accept;
pub(crate) mod addresses;
mod alone;
pub(crate) mod beacons;
pub(crate) mod builtin;
pub(crate) mod caller;
pub(crate) mod calls;
pub(crate) mod candidates;
mod choice;
mod client_port;
mod clients;
pub(crate) mod data;
pub(crate) mod driver;
mod dry_run;
pub(crate) mod events;
mod hazelcast;
mod identity;
pub(crate) mod input;
pub(crate) mod links;
pub(crate) mod modes;
pub(crate) mod names;
mod nodes;
pub(crate) mod on_link;
pub(crate) mod ports;
pub(crate) mod probing;
mod public;
pub(crate) mod rate_limit;
mod ready;
mod resp;
pub(crate) mod schedule;
mod signals;
pub(crate) mod sockets;
pub(crate) mod state;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use convoke_discovery::ModeHandle;
use convoke_gateway::http::Pages;
use convoke_grid::Grid;
use convoke_membership::{Config, MemberId, Membership};
use tokio::net::UdpSocket;
use tokio::sync::{Notify, mpsc, watch};
use tracing::{info, warn};

use crate::interfaces::Changes;
use crate::limits;
use crate::settings::Settings;
use crate::status::Status;
use accept::Acceptor;
use addresses::{AddressUsers, AddressWatcher, Ports, advertised};
use choice::{choose_interface, preferences};
use client_port::ClientPort;
use clients::{BoundPorts, ClientPorts, serve_clients};
use driver::Driver;
pub(crate) use dry_run::DryRun;
use identity::{AdvertisedPorts, derive_keys, introduce, local_member};
use input::{INPUTS_MAX, Input};
pub(crate) use signals::Signals;
use state::{Counters, MemberState};

/// Time limit for a leaving member to hand over its data, in milliseconds. Orchestrators commonly
/// send SIGKILL after 30 s.
const HAND_OVER_MS_MAX: u64 = 25_000;
/// Time limit of the graceful leave after the data is handed over, in milliseconds.
const LEAVE_MS_MAX: u64 = 3_000;
/// Maximum number of queued snapshots of modes.
const MODE_EVENTS_MAX: usize = 64;

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

/// The tasks of this process.
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
        alone::start_alone(settings, &choice, http, http_port).await?;
        return Ok(Running::Alone);
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

    let bound = BoundPorts::bind(settings, &ips)?;
    let ports_to_advertise = AdvertisedPorts::new(settings, http_port, &bound, &ips);
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
        resp: bound.resp.as_ref().and_then(ClientPort::on_further_addresses),
        hazelcast: bound.hazelcast.as_ref().and_then(ClientPort::on_further_addresses),
    };
    let clients = ClientPorts { http, bound, pages };
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
    tokio::spawn(ready::log_ready(
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
        hazelcast: status.hazelcast.clone(),
        host,
        status: Arc::clone(&status),
    };
    tokio::spawn(AddressWatcher::new(preferences, choice, public, ports, users).run(changes));

    Ok(Running::Clustered(Clustered { modes, input, driver, grid, status }))
}

impl Clustered {
    /// Hands over the data first, while clients that asked for announcements connect to other
    /// members; then the modes withdraw their announcements while the other
    /// members are notified.
    async fn leave(self, signals: &mut Signals) {
        let Self { modes, input, driver, grid, status } = self;
        status.leaving.store(true, Ordering::Relaxed);
        info!("leaving; a second signal stops immediately");
        let first = Instant::now();
        status.announce_leave();
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
        let finish = async {
            status.await_moves().await;
            status.finish_clients().await;
        };
        tokio::select! {
            () = finish => {}
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
