//! `MONITOR`: clients that are shown the commands of all clients of this member.

use std::fmt::{Display, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use parking_lot::Mutex;

use super::client_info::ClientInfo;
use super::request::Request;
use super::slow_log::{REDACTED, is_secret};
use crate::output_buffer::{MessageKind, OutboundMessage};

/// Maximum length of a line, in bytes. The rest of the arguments is left out.
const LINE_BYTES_MAX: usize = 64 << 10;

/// The clients that called `MONITOR`.
#[derive(Default)]
pub(crate) struct Monitors {
    count: AtomicUsize,
    clients: Mutex<Vec<Arc<ClientInfo>>>,
}

impl Monitors {
    /// Whether there are any.
    #[inline]
    pub(crate) fn is_any(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    pub(crate) fn add(&self, info: &Arc<ClientInfo>) {
        if info.is_monitor.swap(true, Ordering::Relaxed) {
            return;
        }
        info.receives_messages();
        let mut clients = self.clients.lock();
        clients.push(Arc::clone(info));
        self.count.store(clients.len(), Ordering::Relaxed);
    }

    pub(crate) fn remove(&self, info: &ClientInfo) {
        if !info.is_monitor.swap(false, Ordering::Relaxed) {
            return;
        }
        let mut clients = self.clients.lock();
        clients.retain(|other| other.id != info.id);
        self.count.store(clients.len(), Ordering::Relaxed);
    }

    /// Shows a command to all of them.
    pub(crate) fn show(&self, database: usize, peer: SocketAddr, request: &Request<'_>) {
        self.show_line(&line_of(database, peer, request));
    }

    /// Shows a line, which is one of [`line_of`].
    pub(crate) fn show_line(&self, line: &str) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let (s, us) = (since.as_secs(), since.subsec_micros());
        let payload = Bytes::from(format!("{s}.{us:06} {line}"));
        for info in &*self.clients.lock() {
            let (kind, payload) = (MessageKind::Line, payload.clone());
            let message = OutboundMessage { kind, payload, ..OutboundMessage::default() };
            info.output_buffer.push(message);
        }
    }
}

/// The line that shows a command, without the time. `peer` is the address of the client, or `lua` if
/// a script calls the command.
pub(crate) fn line_of(database: usize, peer: impl Display, request: &Request<'_>) -> String {
    let mut line = format!("[{database} {peer}]");
    for (at, argument) in request.from(0).enumerate() {
        line.push(' ');
        let argument = if is_secret(request, at) { REDACTED } else { argument };
        if !append_quoted(&mut line, argument) {
            break;
        }
    }
    line
}

/// Appends an argument in quotes. Returns whether it fitted.
fn append_quoted(line: &mut String, argument: &[u8]) -> bool {
    line.push('"');
    for (at, byte) in argument.iter().enumerate() {
        if line.len() >= LINE_BYTES_MAX {
            let _ = write!(line, "\"... ({} more bytes)", argument.len() - at);
            return false;
        }
        match byte {
            b'\\' | b'"' => line.extend(['\\', char::from(*byte)]),
            b'\n' => line.push_str("\\n"),
            b'\r' => line.push_str("\\r"),
            b'\t' => line.push_str("\\t"),
            7 => line.push_str("\\a"),
            8 => line.push_str("\\b"),
            b' '..=b'~' => line.push(char::from(*byte)),
            byte => _ = write!(line, "\\x{byte:02x}"),
        }
    }
    line.push('"');
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::with_request;

    fn shown(args: &[&[u8]]) -> String {
        let (monitors, info) = (Monitors::default(), crate::testing::info(3));
        monitors.add(&info);
        assert!(monitors.is_any());
        with_request(args, |request| monitors.show(2, info.peer, request));
        let message = info.output_buffer.next().unwrap().unwrap();
        monitors.remove(&info);
        assert!(!monitors.is_any());
        String::from_utf8(message.payload.to_vec()).unwrap()
    }

    #[test]
    fn a_line_has_the_form_of_redis_without_passwords() {
        let line = shown(&[b"set", b"a b", b"\x01\"x\\\n"]);
        let (time, rest) = line.split_once(' ').unwrap();
        assert!(time.split_once('.').is_some_and(|(_, us)| us.len() == 6), "{line}");
        assert_eq!(rest, r#"[2 127.0.0.1:1] "set" "a b" "\x01\"x\\\n""#);
        let line = shown(&[b"HELLO", b"2", b"auth", b"default", b"secret"]);
        assert!(line.ends_with(r#""HELLO" "2" "auth" "(redacted)" "(redacted)""#), "{line}");
    }

    proptest! {
        #[test]
        fn any_arguments_are_shown_in_bounded_lines(
            args in proptest::collection::vec(
                proptest::collection::vec(any::<u8>(), 0..LINE_BYTES_MAX), 1..4
            ),
        ) {
            let args: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
            let line = shown(&args);
            prop_assert!(line.len() < LINE_BYTES_MAX + 64);
            prop_assert!(line.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        }
    }
}
