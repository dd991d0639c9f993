//! Answering calls: bounded in number, size and time before anybody has proved
//! to be a member, and shared fairly; see [`HandshakeGate`].

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use convoke_membership::{Hello, Standing};
use convoke_wire::{ClusterKeys, HandshakeError, HandshakeGate, Origin, PROVED_MAX, WAITING_MAX};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tracing::{debug, info, warn};

use super::calls::Call;
use super::input::Input;
use super::state::{Counters, Place, bump};

/// Callers whose refusal was logged: each is said once.
const SAID_MAX: usize = 256;
/// A pause after the system refuses to accept, as when it has no descriptor left.
const ACCEPT_PAUSE_MS: u64 = 100;
/// Callers that are being answered or turned away at once, and so descriptors. Above what the
/// gate lets in: one that it drops for another ends as soon as its task runs, so that callers
/// that send nothing never keep others in the system's queue.
const CALLERS_MAX: usize = 2 * (WAITING_MAX + PROVED_MAX);

/// Answers at all addresses of the member port.
pub(crate) struct Door {
    keys: Arc<ClusterKeys>,
    driver: mpsc::Sender<Input>,
    /// Where streams of data go.
    data: mpsc::Sender<Box<Call>>,
    place: watch::Receiver<Arc<Place>>,
    counters: Arc<Counters>,
    gate: Arc<HandshakeGate>,
    said: Arc<Mutex<HashSet<(IpAddr, &'static str)>>>,
    callers: Arc<Semaphore>,
}

impl Door {
    pub(crate) fn new(
        keys: Arc<ClusterKeys>,
        driver: mpsc::Sender<Input>,
        data: mpsc::Sender<Box<Call>>,
        place: watch::Receiver<Arc<Place>>,
        counters: Arc<Counters>,
    ) -> Arc<Self> {
        let (gate, said) = (Arc::new(HandshakeGate::new()), Arc::default());
        let callers = Arc::new(Semaphore::new(CALLERS_MAX));
        Arc::new(Self { keys, driver, data, place, counters, gate, said, callers })
    }

    /// Answers those who call at these for as long as the process runs.
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
            let (door, hello) = (Arc::clone(&self), Arc::clone(&self.place.borrow().hello));
            tokio::spawn(async move {
                let _turn = turn;
                door.take(stream, from, &hello).await;
            });
        }
    }

    async fn take(&self, stream: TcpStream, from: SocketAddr, hello: &[u8]) {
        match greet(&self.gate, stream, from.ip().into(), &self.keys, hello).await {
            Ok(call) if call.hello.standing == Standing::Data => {
                let _ = self.data.send(Box::new(call)).await;
            }
            Ok(call) => {
                let call = Box::new(call);
                let _ = self.driver.send(Input::Connected { call, called: false }).await;
            }
            Err(error) => {
                bump(&self.counters.refused);
                say(&self.said, from.ip(), &error);
            }
        }
    }
}

/// The next caller at any of the addresses, from `next` on: so that callers at one
/// do not keep those at another waiting.
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

async fn greet(
    gate: &HandshakeGate,
    stream: TcpStream,
    origin: Origin,
    keys: &ClusterKeys,
    hello: &[u8],
) -> Result<Call, HandshakeError> {
    let _ = stream.set_nodelay(true);
    let (stream, greeting) = gate.accept(stream, origin, keys, hello).await?;
    let hello = Hello::decode(&greeting)
        .map_err(|_| HandshakeError::Malformed { what: "the greeting cannot be read" })?;
    Ok(Call { hello, stream })
}

/// One line for each caller and kind of refusal.
fn say(said: &Mutex<HashSet<(IpAddr, &'static str)>>, from: IpAddr, error: &HandshakeError) {
    debug!(%from, %error, "a caller was turned away");
    let kind = match error {
        HandshakeError::Credentials => "credentials",
        HandshakeError::Version { .. } => "version",
        HandshakeError::Dropped => "crowd",
        // Port scans and health checks open and close; that is no news.
        HandshakeError::Closed | HandshakeError::Io(_) => return,
        _ => "other",
    };
    let Ok(mut said) = said.lock() else { return };
    if said.len() < SAID_MAX && said.insert((from, kind)) {
        match kind {
            "crowd" => {
                warn!(%from, "many connections to the member port that send nothing: {error}; members that call are served all the same");
            }
            "other" => info!(%from, "turned away a caller on the member port: {error}"),
            _ => warn!(%from, "turned away a caller on the member port: {error}"),
        }
    }
}
