//! Opening streams to others: one dial, one handshake, one outcome.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use convoke_membership::{AtAddress, Hello};
use convoke_wire::{ClusterKeys, HandshakeError, SealedStream, connect};
use tokio::net::TcpStream;

use crate::interfaces::zone;

/// How long a connection may take to open: on a local network a few
/// milliseconds; a host that is gone never answers.
pub(crate) const CONNECT_MS_MAX: u64 = 400;
/// Times a call that is cut off in the handshake is made again.
const RETRIES_MAX: u32 = 6;
/// Wait before the first of them, in milliseconds; each further one is twice as long.
const RETRY_MS: u64 = 2;

/// A stream to a member that said who it is.
pub(crate) struct Call {
    pub(crate) hello: Hello,
    pub(crate) stream: SealedStream<TcpStream>,
}

/// Why there is no stream.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error("nothing listens there")]
    Refused,
    #[error("no answer within {CONNECT_MS_MAX} ms")]
    Silent,
    #[error("no way there: {0}")]
    Unreachable(io::Error),
    #[error("{0}")]
    Handshake(HandshakeError),
    #[error("its greeting cannot be read; is it another version?")]
    Greeting,
}

impl CallError {
    /// What it says about a member that was known to be at the address.
    pub(crate) fn found(&self) -> AtAddress {
        match self {
            Self::Refused => AtAddress::Nobody,
            Self::Handshake(
                HandshakeError::NotAMember { .. }
                | HandshakeError::Credentials
                | HandshakeError::Version { .. }
                | HandshakeError::Refused { .. },
            ) => AtAddress::Another,
            _ => AtAddress::Silent,
        }
    }

    /// Whether the peer took the connection and hung up.
    pub(crate) fn is_cut_off(&self) -> bool {
        matches!(self, Self::Handshake(HandshakeError::Closed))
    }

    /// Whether there certainly is no member of this cluster, as far as a call can show. Where
    /// something took the connection and did not complete the handshake there may be one: busy,
    /// paused, or about to stop. And a call that failed on this side has shown nothing.
    pub(crate) fn is_certain(&self) -> bool {
        match self {
            Self::Refused | Self::Silent | Self::Greeting => true,
            Self::Unreachable(error) => !is_own_fault(error),
            Self::Handshake(error) => match error {
                HandshakeError::NotAMember { .. }
                | HandshakeError::Credentials
                | HandshakeError::Version { .. }
                | HandshakeError::Refused { .. } => true,
                HandshakeError::Busy
                | HandshakeError::Dropped
                | HandshakeError::Malformed { .. }
                | HandshakeError::TimedOut { .. }
                | HandshakeError::Closed
                | HandshakeError::Io(_)
                | HandshakeError::HelloTooLarge { .. }
                | HandshakeError::NoRandomness => false,
            },
        }
    }
}

/// Whether a connection was not even tried, since this process or host had no room for it:
/// descriptors, ports, buffers, entries of the table of neighbours.
fn is_own_fault(error: &io::Error) -> bool {
    let code = error.raw_os_error().map(rustix::io::Errno::from_raw_os_error);
    code.is_some_and(|code| {
        use rustix::io::Errno;
        matches!(
            code,
            Errno::MFILE
                | Errno::NFILE
                | Errno::NOBUFS
                | Errno::NOMEM
                | Errno::AGAIN
                | Errno::ADDRNOTAVAIL
        )
    })
}

/// As [`call`], and again when the peer hangs up in the handshake: a process
/// that dies closes its streams before its port, and for a moment its port
/// still takes calls.
pub(crate) async fn call_surely(
    address: SocketAddr,
    keys: &Arc<ClusterKeys>,
    hello: &[u8],
    connect_ms: u64,
) -> Result<Call, CallError> {
    for retry in 0..RETRIES_MAX {
        match call_within(address, keys, hello, connect_ms).await {
            Err(CallError::Handshake(HandshakeError::Closed)) => {
                tokio::time::sleep(Duration::from_millis(RETRY_MS << retry)).await;
            }
            outcome => return outcome,
        }
    }
    call_within(address, keys, hello, connect_ms).await
}

/// Dials `address` and shakes hands as `hello`.
pub(crate) async fn call(
    address: SocketAddr,
    keys: &Arc<ClusterKeys>,
    hello: &[u8],
) -> Result<Call, CallError> {
    call_within(address, keys, hello, CONNECT_MS_MAX).await
}

async fn call_within(
    address: SocketAddr,
    keys: &Arc<ClusterKeys>,
    hello: &[u8],
    connect_ms: u64,
) -> Result<Call, CallError> {
    greet(dial_within(address, connect_ms).await?, keys, hello).await
}

/// Opens a connection, within [`CONNECT_MS_MAX`].
pub(crate) async fn dial(address: SocketAddr) -> Result<TcpStream, CallError> {
    dial_within(address, CONNECT_MS_MAX).await
}

async fn dial_within(address: SocketAddr, connect_ms: u64) -> Result<TcpStream, CallError> {
    let opening = TcpStream::connect(zone::with(address));
    let stream = match tokio::time::timeout(Duration::from_millis(connect_ms), opening).await {
        Err(_) => return Err(CallError::Silent),
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
            return Err(CallError::Refused);
        }
        Ok(Err(error)) => return Err(CallError::Unreachable(error)),
        Ok(Ok(stream)) => stream,
    };
    // A port of the ephemeral range can connect to itself when nobody listens.
    if stream.local_addr().ok() == stream.peer_addr().ok() {
        return Err(CallError::Refused);
    }
    Ok(stream)
}

/// Shakes hands as `hello` over a connection that was dialled.
pub(crate) async fn greet(
    stream: TcpStream,
    keys: &Arc<ClusterKeys>,
    hello: &[u8],
) -> Result<Call, CallError> {
    let _ = stream.set_nodelay(true);
    let (stream, greeting) = connect(stream, keys, hello).await.map_err(CallError::Handshake)?;
    let hello = Hello::decode(&greeting).map_err(|_| CallError::Greeting)?;
    Ok(Call { hello, stream })
}

#[cfg(test)]
mod tests {
    use super::*;
    use convoke_membership::member::{
        ADDRESSES_MAX, HOST_BYTES_MAX, MODES_BYTES_MAX, NAME_BYTES_MAX,
    };
    use convoke_membership::message::Summary;
    use convoke_membership::{Member, MemberId, Service, Standing, View};
    use convoke_wire::HELLO_BYTES_MAX;
    use rustix::io::Errno;

    #[test]
    fn the_largest_greeting_fits_a_handshake() {
        let service = Service { host: Some("h".repeat(HOST_BYTES_MAX)), port: u16::MAX };
        let member = Member {
            id: MemberId::from_bytes([u8::MAX; 16]),
            addresses: vec![SocketAddr::from(([u16::MAX; 8], u16::MAX)); ADDRESSES_MAX],
            name: "n".repeat(NAME_BYTES_MAX),
            group: "g".repeat(NAME_BYTES_MAX),
            lite: true,
            modes: "m".repeat(MODES_BYTES_MAX),
            http: Some(service.clone()),
            resp: Some(service),
            generation: u32::MAX,
            age: u64::MAX,
        };
        assert!(member.is_sound());
        let summary = Summary {
            members: u32::MAX,
            data_members: u32::MAX,
            ..Summary::of(&View::founded_by(member.clone()))
        };
        let hello = Hello { member, standing: Standing::In(Box::new(summary)) };
        let bytes = hello.encode().len();
        assert!(bytes <= HELLO_BYTES_MAX - 16, "{bytes} bytes; epochs and versions may grow");
    }

    #[test]
    fn a_peer_that_took_the_connection_and_did_not_complete_the_handshake_may_be_a_member() {
        let after = |error| CallError::Handshake(error).is_certain();
        assert!(!after(HandshakeError::Busy));
        assert!(!after(HandshakeError::Closed));
        assert!(!after(HandshakeError::TimedOut { ms_max: 2_000 }));
        assert!(after(HandshakeError::Credentials));
        assert!(after(HandshakeError::NotAMember { began: b"HTTP".to_vec() }));
        assert!(CallError::Refused.is_certain() && CallError::Silent.is_certain());
    }

    #[test]
    fn a_connection_that_was_not_even_tried_says_nothing() {
        let failed = |code: Errno| CallError::Unreachable(code.into()).is_certain();
        for code in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::ADDRNOTAVAIL] {
            assert!(!failed(code), "{code:?}");
        }
        assert!(failed(Errno::HOSTUNREACH) && failed(Errno::NETUNREACH));
    }

    #[test]
    fn only_a_refusal_is_a_proof_that_nobody_listens() {
        assert_eq!(CallError::Refused.found(), AtAddress::Nobody);
        assert_eq!(CallError::Silent.found(), AtAddress::Silent);
        let at = |error| CallError::Handshake(error).found();
        assert_eq!(at(HandshakeError::Credentials), AtAddress::Another);
        assert_eq!(at(HandshakeError::Busy), AtAddress::Silent);
    }
}
