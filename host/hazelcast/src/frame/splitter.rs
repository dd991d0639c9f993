//! Splits what a connection receives into messages.

use super::FrameError;
use super::fragments::{Fragments, Reassembled};
use super::scan::{Scan, Scanned};
use crate::limits::{MESSAGE_BYTES_MAX, UNAUTHENTICATED_BYTES_MAX};
use crate::message::Message;

/// What a client sends first. The server does not answer it.
pub const PREAMBLE: [u8; 3] = *b"CP2";

/// Splits the bytes of one connection into messages.
///
/// Call [`split`](Self::split) with what has arrived. Remove [`Split::consumed`] bytes from the
/// start of the input and call it again, until the result is [`Split::Incomplete`]; then wait for
/// more bytes and append them. The input has to begin where it began at the last call, plus what
/// was consumed. After an error, close the connection.
///
/// A message that was sent without fragments is borrowed from the input; nothing is copied or
/// allocated.
#[derive(Debug)]
pub struct Splitter {
    expects_preamble: bool,
    bytes_max: usize,
    scan: Scan,
    fragments: Fragments,
}

/// A step of a [`Splitter`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Split<'a> {
    /// The input is not a whole message.
    Incomplete {
        /// Length of the input below which the result will be the same, in bytes. At most
        /// [`MESSAGE_BYTES_MAX`] + 6.
        bytes_min: usize,
    },
    /// The preamble, which begins a connection.
    Preamble,
    /// A message.
    Message(Message<'a>),
    /// A fragment of a message that is not complete.
    Fragment {
        /// Its length, in bytes.
        bytes: usize,
    },
    /// The last fragment of a message.
    Reassembled {
        /// Length of the fragment, in bytes.
        bytes: usize,
        /// The message.
        message: Reassembled,
    },
}

impl Split<'_> {
    /// The number of bytes to remove from the input.
    #[must_use]
    pub const fn consumed(&self) -> usize {
        match self {
            Self::Incomplete { .. } => 0,
            Self::Preamble => PREAMBLE.len(),
            Self::Message(message) => message.bytes().len(),
            Self::Fragment { bytes } | Self::Reassembled { bytes, .. } => *bytes,
        }
    }
}

impl Splitter {
    /// A splitter of a connection that begins with the preamble.
    #[must_use]
    pub fn new() -> Self {
        Self { expects_preamble: true, ..Self::after_preamble() }
    }

    /// A splitter of a connection whose preamble has been read already.
    #[must_use]
    pub fn after_preamble() -> Self {
        Self {
            expects_preamble: false,
            bytes_max: UNAUTHENTICATED_BYTES_MAX,
            scan: Scan::default(),
            fragments: Fragments::default(),
        }
    }

    /// Raises the limit on messages from [`UNAUTHENTICATED_BYTES_MAX`] to [`MESSAGE_BYTES_MAX`].
    pub fn set_authenticated(&mut self) {
        self.bytes_max = MESSAGE_BYTES_MAX;
    }

    /// Takes the first message from `input`.
    ///
    /// # Errors
    /// `input` violates the framing or a limit. A length is checked as soon as its 4 bytes are
    /// there.
    pub fn split<'a>(&mut self, input: &'a [u8]) -> Result<Split<'a>, FrameError> {
        if self.expects_preamble {
            return self.preamble(input);
        }
        let bytes = match self.scan.advance(input, self.bytes_max)? {
            Scanned::Incomplete { bytes_min } => return Ok(Split::Incomplete { bytes_min }),
            Scanned::Complete { bytes } => bytes,
        };
        let scan = std::mem::take(&mut self.scan);
        let message = &input[..bytes];
        if !scan.is_fragment {
            return Ok(Split::Message(Message::of_checked(message)));
        }
        Ok(match self.fragments.add(message, scan.last, self.bytes_max)? {
            None => Split::Fragment { bytes },
            Some(message) => Split::Reassembled { bytes, message },
        })
    }

    fn preamble<'a>(&mut self, input: &'a [u8]) -> Result<Split<'a>, FrameError> {
        let seen = input.len().min(PREAMBLE.len());
        if input[..seen] != PREAMBLE[..seen] {
            return Err(FrameError::Preamble);
        }
        if seen < PREAMBLE.len() {
            return Ok(Split::Incomplete { bytes_min: PREAMBLE.len() });
        }
        self.expects_preamble = false;
        Ok(Split::Preamble)
    }
}

impl Default for Splitter {
    fn default() -> Self {
        Self::new()
    }
}
