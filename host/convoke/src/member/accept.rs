//! Accepts connections on the member port. The number, bytes and time of unauthenticated peers are
//! limited, and each origin gets a fair share; see [`HandshakeGate`].

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use convoke_membership::{Hello, MemberStatus};
use convoke_wire::{ClusterKeys, HandshakeError, HandshakeGate, Origin, PROVED_MAX, WAITING_MAX};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tracing::{debug, info, warn};

use super::calls::Call;
use super::input::Input;
use super::state::{Counters, MemberState, increment};

/// Callers whose refusal was logged; each is logged once.
const LOGGED_MAX: usize = 256;
/// Pause after the system failed to accept a connection, for example for lack of descriptors, in
/// milliseconds.
const ACCEPT_PAUSE_MS: u64 = 100;
/// Maximum number of connections with a handshake or a refusal in progress, which bounds the open
/// descriptors. Higher than the gate's limit: a handshake that the gate drops ends only when its
/// task next runs, and silent peers must not fill the system's accept queue meanwhile.
const CALLERS_MAX: usize = 2 * (WAITING_MAX + PROVED_MAX);

/// Accepts connections at all addresses of the member port.
pub(crate) struct Acceptor {
    keys: Arc<ClusterKeys>,
    driver: mpsc::Sender<Input>,
    /// Receives data streams.
    data: mpsc::Sender<Box<Call>>,
    member_state: watch::Receiver<Arc<MemberState>>,
    counters: Arc<Counters>,
    gate: Arc<HandshakeGate>,
    logged: Arc<Mutex<HashSet<(IpAddr, &'static str)>>>,
    callers: Arc<Semaphore>,
}

impl Acceptor {
    pub(crate) fn new(
        keys: Arc<ClusterKeys>,
        driver: mpsc::Sender<Input>,
        data: mpsc::Sender<Box<Call>>,
        member_state: watch::Receiver<Arc<MemberState>>,
        counters: Arc<Counters>,
    ) -> Arc<Self> {
        let (gate, logged) = (Arc::new(HandshakeGate::new()), Arc::default());
        let callers = Arc::new(Semaphore::new(CALLERS_MAX));
        Arc::new(Self { keys, driver, data, member_state, counters, gate, logged, callers })
    }

    /// Accepts connections from these listeners for as long as the process runs.
    pub(crate) async fn answer(self: Arc<Self>, listeners: Vec<TcpListener>) {
        let mut next = 0;
        loop {
            let Ok(turn) = Arc::clone(&self.callers).acquire_owned().await else { return };
            let (stream, from) = match accept(&listeners, &mut next).await {
                Ok(accepted) => accepted,
                Err(error) => {
                    warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(ACCEPT_PAUSE_MS)).await;
                    continue;
                }
            };
            let (acceptor, hello) =
                (Arc::clone(&self), Arc::clone(&self.member_state.borrow().hello));
            tokio::spawn(async move {
                let _turn = turn;
                acceptor.take(stream, from, &hello).await;
            });
        }
    }

    async fn take(&self, stream: TcpStream, from: SocketAddr, hello: &[u8]) {
        match handshake(&self.gate, stream, from.ip().into(), &self.keys, hello).await {
            Ok(call) if call.hello.standing == MemberStatus::Data => {
                let _ = self.data.send(Box::new(call)).await;
            }
            Ok(call) => {
                let call = Box::new(call);
                let _ = self.driver.send(Input::Connected { call, called: false }).await;
            }
            Err(error) => {
                increment(&self.counters.refused);
                log_refusal(&self.logged, from.ip(), &error);
            }
        }
    }
}

/// Accepts the next connection on any of the listeners, starting at `next`, so that a busy listener
/// does not starve the others.
async fn accept(
    listeners: &[TcpListener],
    next: &mut usize,
) -> io::Result<(TcpStream, SocketAddr)> {
    std::future::poll_fn(|context| {
        for step in 0..listeners.len() {
            let index = (*next + step) % listeners.len();
            if let Poll::Ready(accepted) = listeners[index].poll_accept(context) {
                *next = (index + 1) % listeners.len();
                return Poll::Ready(accepted);
            }
        }
        Poll::Pending
    })
    .await
}

async fn handshake(
    gate: &HandshakeGate,
    stream: TcpStream,
    origin: Origin,
    keys: &ClusterKeys,
    hello: &[u8],
) -> Result<Call, HandshakeError> {
    let _ = stream.set_nodelay(true);
    let (stream, encoded) = gate.accept(stream, origin, keys, hello).await?;
    let hello = Hello::decode(&encoded)
        .map_err(|_| HandshakeError::Malformed { what: "the hello cannot be decoded" })?;
    Ok(Call { hello, stream })
}

/// Logs a refusal, once for each caller and kind.
fn log_refusal(
    logged: &Mutex<HashSet<(IpAddr, &'static str)>>,
    from: IpAddr,
    error: &HandshakeError,
) {
    debug!(%from, %error, "refused a connection");
    let kind = match error {
        HandshakeError::Credentials => "credentials",
        HandshakeError::Version { .. } => "version",
        HandshakeError::Dropped => "crowd",
        // Not logged: port scans and health checks connect and disconnect immediately.
        HandshakeError::Closed | HandshakeError::Io(_) => return,
        _ => "other",
    };
    let Ok(mut logged) = logged.lock() else { return };
    if logged.len() < LOGGED_MAX && logged.insert((from, kind)) {
        match kind {
            "crowd" => {
                warn!(%from, "too many idle connections to the member port: {error}; members can still connect");
            }
            "other" => info!(%from, "refused a connection on the member port: {error}"),
            _ => warn!(%from, "refused a connection on the member port: {error}"),
        }
    }
}
