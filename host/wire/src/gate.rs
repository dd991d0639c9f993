//! How many strangers may be at the door.

use crate::handshake::{HandshakeError, accept, refuse_as_busy};
use crate::keys::ClusterKeys;
use crate::stream::SealedStream;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;

/// How many handshakes a member answers at once.
pub const HANDSHAKES_MAX: usize = 64;
/// How many more it tells at once that it is busy; beyond that a pipe is dropped unread.
pub const REFUSALS_MAX: usize = 64;
/// How long telling so may take, in milliseconds.
pub const BUSY_MS_MAX: u64 = 250;

/// Bounds the handshakes that a member answers at once; one for all its listeners.
#[derive(Debug)]
pub struct HandshakeGate {
    handshakes: Semaphore,
    refusals: Semaphore,
}

impl HandshakeGate {
    /// A gate for [`HANDSHAKES_MAX`] handshakes at once.
    pub fn new() -> Self {
        Self { handshakes: Semaphore::new(HANDSHAKES_MAX), refusals: Semaphore::new(REFUSALS_MAX) }
    }

    /// As [`accept`](crate::accept) while there is room. Otherwise the peer is told to come again,
    /// within [`BUSY_MS_MAX`], and this gives [`HandshakeError::Busy`].
    pub async fn accept<S>(
        &self,
        io: S,
        keys: &ClusterKeys,
        hello: &[u8],
    ) -> Result<(SealedStream<S>, Vec<u8>), HandshakeError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        if let Ok(_place) = self.handshakes.try_acquire() {
            return accept(io, keys, hello).await;
        }
        if let Ok(_place) = self.refusals.try_acquire() {
            return Err(refuse_as_busy(io, BUSY_MS_MAX).await);
        }
        Err(HandshakeError::Busy)
    }
}

impl Default for HandshakeGate {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handshake::connect;
    use tokio::io::duplex;

    #[tokio::test(start_paused = true)]
    async fn a_full_gate_says_busy_and_has_room_again_once_a_handshake_ends() {
        let gate = HandshakeGate::new();
        let keys = ClusterKeys::derive("development", b"").unwrap();
        let (silent, far) = duplex(4096);
        let crowd = gate.handshakes.try_acquire_many(HANDSHAKES_MAX as u32 - 1).unwrap();
        let mut last = Box::pin(gate.accept(far, &keys, b""));
        tokio::select! {
            biased;
            _ = &mut last => panic!("the peer is silent"),
            () = std::future::ready(()) => {}
        }

        let (near, far) = duplex(4096);
        let (initiator, responder) =
            tokio::join!(connect(near, &keys, b""), gate.accept(far, &keys, b""));
        for error in [initiator.unwrap_err(), responder.unwrap_err()] {
            assert_eq!(
                error.to_string(),
                "too many handshakes at once on the answering side; try again shortly"
            );
        }

        drop(silent);
        assert!(matches!(last.await, Err(HandshakeError::Closed)));
        let (near, far) = duplex(4096);
        let (initiator, responder) =
            tokio::join!(connect(near, &keys, b""), gate.accept(far, &keys, b""));
        assert!(initiator.is_ok() && responder.is_ok());
        drop(crowd);
    }

    #[tokio::test(start_paused = true)]
    async fn saying_busy_is_bounded_in_time_and_number() {
        let gate = HandshakeGate::new();
        let keys = ClusterKeys::derive("development", b"").unwrap();
        let _crowd = gate.handshakes.try_acquire_many(HANDSHAKES_MAX as u32).unwrap();
        let began = tokio::time::Instant::now();
        let (_silent, far) = duplex(4096);
        let error = gate.accept(far, &keys, b"").await.unwrap_err();
        assert!(matches!(error, HandshakeError::TimedOut { ms_max: BUSY_MS_MAX }), "{error}");
        assert_eq!(began.elapsed().as_millis(), u128::from(BUSY_MS_MAX));

        let _more = gate.refusals.try_acquire_many(REFUSALS_MAX as u32).unwrap();
        let began = tokio::time::Instant::now();
        let (_silent, far) = duplex(4096);
        let error = gate.accept(far, &keys, b"").await.unwrap_err();
        assert!(matches!(error, HandshakeError::Busy), "{error}");
        assert!(began.elapsed().is_zero());
    }
}
