//! The incoming half of a session: each message is processed once, in order.

use std::collections::VecDeque;

use bytes::{Buf as _, BytesMut};
use parking_lot::Mutex;

use super::receipt::{LENGTH_BYTES, REFUSED_MAX, Receipt};
use crate::limits::MESSAGE_BYTES_MAX;

/// The result of opening a connection.
#[derive(Debug)]
pub struct Opened {
    /// The first receipt, to be sent back over the connection.
    pub receipt: Receipt,
    /// Identifies the connection in this process. Bytes of older connections of the same member,
    /// even from before it was removed and returned, have another number.
    pub connection: u64,
    /// Whether this ended another session.
    pub(crate) is_new: bool,
}

/// The result of handling a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It was processed.
    Processed,
    /// Its sender is no longer the primary.
    Refused,
    /// It is malformed.
    Malformed,
}

/// The incoming half of a session. Its lock is held while messages are handled, one after the
/// other, and so is taken before all others.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    session: Option<u64>,
    /// The current connection: the latest one that opened.
    connection: Option<u64>,
    received: u64,
    partial: BytesMut,
    /// Numbers of the last messages that were refused.
    refused: VecDeque<u64>,
    /// Refusals up to this number are forgotten.
    refused_before: u64,
}

impl State {
    fn remember_refusal(&mut self, number: u64) {
        if self.refused.len() >= REFUSED_MAX
            && let Some(oldest) = self.refused.pop_front()
        {
            self.refused_before = oldest;
        }
        self.refused.push_back(number);
    }
}

impl Incoming {
    /// Handles a new connection, whose number is unique in this process. The sender named its
    /// session and the last message that it knows to be acknowledged.
    pub(super) fn handle_opened(&self, connection: u64, session: u64, acknowledged: u64) -> Opened {
        let mut state = self.state.lock();
        let is_new = state.session.is_some_and(|other| other != session);
        if state.session != Some(session) {
            *state = State { session: Some(session), ..State::default() };
        }
        state.connection = Some(connection);
        state.partial.clear();
        let unheard = |number: &u64| *number > acknowledged;
        let refused = state.refused.iter().copied().filter(unheard).collect();
        let vouches = state.refused_before <= acknowledged;
        let received = if vouches { state.received } else { u64::MAX };
        let receipt = Receipt::Resume { session, received, refused };
        Opened { receipt, connection, is_new }
    }

    /// Handles bytes of a connection: passes each complete message to `each`. `None` when the
    /// connection must be closed: a newer one has opened, or a message is malformed.
    pub(super) fn handle_bytes(
        &self,
        connection: u64,
        bytes: &[u8],
        mut each: impl FnMut(&[u8]) -> Verdict,
    ) -> Option<Receipt> {
        let mut state = self.state.lock();
        if state.connection != Some(connection) {
            return None;
        }
        state.partial.extend_from_slice(bytes);
        let mut refused = Vec::new();
        while let Some(head) = state.partial.first_chunk::<LENGTH_BYTES>() {
            let length = u32::from_be_bytes(*head) as usize;
            if length > MESSAGE_BYTES_MAX {
                return None;
            }
            if state.partial.len() < LENGTH_BYTES + length {
                break;
            }
            state.partial.advance(LENGTH_BYTES);
            let message = state.partial.split_to(length).freeze();
            let number = state.received + 1;
            match each(&message) {
                Verdict::Processed => {}
                Verdict::Refused => {
                    refused.push(number);
                    state.remember_refusal(number);
                }
                Verdict::Malformed => return None,
            }
            state.received = number;
        }
        Some(Receipt::Received { received: state.received, refused })
    }

    /// Forgets the session, like a receiver that has removed the sender.
    #[cfg(test)]
    pub(super) fn reset(&self) {
        *self.state.lock() = State::default();
    }
}
