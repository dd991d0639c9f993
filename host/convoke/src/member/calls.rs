//! Connects to other members: dial, then handshake.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use convoke_membership::{AtAddress, Hello};
use convoke_wire::{ClusterKeys, HandshakeError, SealedStream, connect};
use tokio::net::TcpStream;

use crate::interfaces::zone;

/// Time limit for opening a connection, in milliseconds. Local networks need a few milliseconds,
/// and a lost host never answers.
pub(crate) const CONNECT_MS_MAX: u64 = 400;
/// Retries of a call whose connection is closed during the handshake.
const RETRIES_MAX: u32 = 6;
/// Wait before the first retry, in milliseconds; doubled for each further one.
const RETRY_MS: u64 = 2;

/// An authenticated stream, with the peer's hello.
pub(crate) struct Call {
    pub(crate) hello: Hello,
    pub(crate) stream: SealedStream<TcpStream>,
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error("connection refused")]
    Refused,
    #[error("no answer within {CONNECT_MS_MAX} ms")]
    Silent,
    #[error("cannot be reached: {0}")]
    Unreachable(io::Error),
    #[error("{0}")]
    Handshake(HandshakeError),
    #[error("its hello cannot be decoded; it may run another version of Convoke")]
    MalformedHello,
}

impl CallError {
    /// The conclusion about a member that was known to be at this address.
    pub(crate) fn found(&self) -> AtAddress {
        match self {
            Self::Refused => AtAddress::Refused,
            Self::Handshake(
                HandshakeError::NotAMember { .. }
                | HandshakeError::Credentials
                | HandshakeError::Version { .. }
                | HandshakeError::Refused { .. },
            ) => AtAddress::OtherProcess,
            _ => AtAddress::Silent,
        }
    }

    /// Whether the peer accepted the connection and closed it during the handshake.
    pub(crate) fn was_closed_by_peer(&self) -> bool {
        matches!(self, Self::Handshake(HandshakeError::Closed))
    }

    /// Whether this call rules out a member of this cluster at the address. A peer that accepted
    /// the connection and did not complete the handshake may be one that is busy, paused or about
    /// to stop; a call that failed for a local reason shows nothing.
    pub(crate) fn rules_out_member(&self) -> bool {
        match self {
            Self::Refused | Self::Silent | Self::MalformedHello => true,
            Self::Unreachable(error) => !is_local_failure(error),
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

/// Whether no connection was attempted, since this process or host lacked resources: descriptors,
/// ports, buffers, or entries of the neighbour table.
fn is_local_failure(error: &io::Error) -> bool {
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

/// Calls, and retries if the peer closes the connection during the handshake: the kernel of a
/// process that dies closes its streams before its listening socket, which may still accept
/// connections.
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

/// Dials `address` and performs the handshake with `hello`.
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
    handshake(dial_within(address, connect_ms).await?, keys, hello).await
}

/// Opens a connection within [`CONNECT_MS_MAX`].
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
    // On an ephemeral port without a listener, TCP can connect to itself (simultaneous open).
    if stream.local_addr().ok() == stream.peer_addr().ok() {
        return Err(CallError::Refused);
    }
    Ok(stream)
}

/// Performs the handshake with `hello` on an open connection.
pub(crate) async fn handshake(
    stream: TcpStream,
    keys: &Arc<ClusterKeys>,
    hello: &[u8],
) -> Result<Call, CallError> {
    let _ = stream.set_nodelay(true);
    let (stream, encoded) = connect(stream, keys, hello).await.map_err(CallError::Handshake)?;
    let hello = Hello::decode(&encoded).map_err(|_| CallError::MalformedHello)?;
    Ok(Call { hello, stream })
}

#[cfg(test)]
mod tests {
    use super::*;
    use convoke_membership::member::{
        ADDRESSES_MAX, HOST_BYTES_MAX, MODES_BYTES_MAX, NAME_BYTES_MAX,
    };
    use convoke_membership::message::Summary;
    use convoke_membership::{Member, MemberId, MemberStatus, Service, View};
    use convoke_wire::HELLO_BYTES_MAX;
    use rustix::io::Errno;

    #[test]
    fn the_largest_hello_fits_a_handshake() {
        let service = Service { host: Some("h".repeat(HOST_BYTES_MAX)), port: u16::MAX };
        let member = Member {
            id: MemberId::from_bytes([u8::MAX; 16]),
            addresses: vec![SocketAddr::from(([u16::MAX; 8], u16::MAX)); ADDRESSES_MAX],
            name: "n".repeat(NAME_BYTES_MAX),
            group: "g".repeat(NAME_BYTES_MAX),
            lite: true,
            modes: "m".repeat(MODES_BYTES_MAX),
            http: Some(service.clone()),
            resp: Some(service.clone()),
            hazelcast: Some(service),
            generation: u32::MAX,
            age: u64::MAX,
        };
        assert!(member.is_valid());
        let summary = Summary {
            members: u32::MAX,
            data_members: u32::MAX,
            ..Summary::of(&View::founded_by(member.clone()))
        };
        let hello = Hello { member, standing: MemberStatus::In(Box::new(summary)) };
        let bytes = hello.encode().len();
        assert!(
            bytes <= HELLO_BYTES_MAX - 16,
            "{bytes} bytes leave no room for larger epochs and versions"
        );
    }

    #[test]
    fn a_peer_that_accepts_and_does_not_complete_the_handshake_may_be_a_member() {
        let after = |error| CallError::Handshake(error).rules_out_member();
        assert!(!after(HandshakeError::Busy));
        assert!(!after(HandshakeError::Closed));
        assert!(!after(HandshakeError::TimedOut { ms_max: 2_000 }));
        assert!(after(HandshakeError::Credentials));
        assert!(after(HandshakeError::NotAMember { began: b"HTTP".to_vec() }));
        assert!(CallError::Refused.rules_out_member() && CallError::Silent.rules_out_member());
    }

    #[test]
    fn a_connection_that_was_never_tried_shows_nothing() {
        let failed = |code: Errno| CallError::Unreachable(code.into()).rules_out_member();
        for code in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::ADDRNOTAVAIL] {
            assert!(!failed(code), "{code:?}");
        }
        assert!(failed(Errno::HOSTUNREACH) && failed(Errno::NETUNREACH));
    }

    #[test]
    fn only_a_refused_connection_proves_that_nothing_listens() {
        assert_eq!(CallError::Refused.found(), AtAddress::Refused);
        assert_eq!(CallError::Silent.found(), AtAddress::Silent);
        let at = |error| CallError::Handshake(error).found();
        assert_eq!(at(HandshakeError::Credentials), AtAddress::OtherProcess);
        assert_eq!(at(HandshakeError::Busy), AtAddress::Silent);
    }
}
