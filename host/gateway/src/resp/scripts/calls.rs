//! The commands that scripts call, for statistics and `MONITOR`.
//!
//! They are collected during a run and reported once it is done, on the member of the client: a run
//! may be undone and started again, and may be executed by another member.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use convoke_script::Value;
use serde::{Deserialize, Serialize};

use super::super::command::Command;
use super::super::monitor::line_of;
use super::super::request::Request;
use super::super::server::Server;
use super::super::stats::{CommandCalls, ERROR_CODES_MAX, TimedCalls, error_code, weight_after};

/// Maximum size of the lines of one run for `MONITOR`, in bytes. Further commands are only counted.
const LINES_BYTES_MAX: usize = 4 << 20;

/// What was called.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Calls {
    commands: Vec<CommandCalls>,
    /// Errors by their codes.
    errors: BTreeMap<String, u64>,
    /// Lines for `MONITOR`, without the time.
    lines: Vec<String>,
    /// Commands for which there was no room in `lines`.
    omitted: u64,
}

impl Calls {
    /// Calls of each kind.
    #[cfg(test)]
    pub(super) fn sample() -> Self {
        let mut timed = TimedCalls::default();
        timed.add(Duration::from_micros(300), 16);
        let name = Cow::Borrowed("set");
        let of = CommandCalls { name, command: None, calls: 17, rejected: 1, failed: 300, timed };
        Self {
            commands: vec![of],
            errors: BTreeMap::from([("ERR".into(), 301)]),
            lines: vec!["[3 lua] \"set\" \"k\"".into()],
            omitted: 7,
        }
    }

    /// Adds them to the statistics of a lane, and shows them to the clients that called `MONITOR`.
    pub(crate) fn report(&self, server: &Server, lane: usize) {
        let mut calls = 0;
        for of in &self.commands {
            server.stats.add(lane, of);
            calls += of.calls;
        }
        if calls > 0 {
            server.counters.commands.add(lane, calls);
        }
        for (code, count) in &self.errors {
            server.stats.count_errors(code, *count);
        }
        if !server.monitors.is_any() {
            return;
        }
        for line in &self.lines {
            server.monitors.show_line(line);
        }
        if self.omitted > 0 {
            let omitted = self.omitted;
            server.monitors.show_line(&format!("[0 lua] \"... ({omitted} more commands)\""));
        }
    }
}

/// Collects the calls of one attempt.
pub(super) struct Recorder {
    calls: Calls,
    /// The lane of the client, if it is a client of this member.
    lane: Option<usize>,
    /// Whether lines for `MONITOR` are collected.
    shows: bool,
    lines_bytes: usize,
}

/// A call in progress: its row and when it was started, with the number of calls for which its time
/// counts, if it is timed.
#[derive(Clone, Copy)]
pub(super) struct Begun {
    row: usize,
    started: Option<(Instant, u64)>,
}

impl Recorder {
    pub(super) fn new(lane: Option<usize>, shows: bool) -> Self {
        Self { calls: Calls::default(), lane, shows, lines_bytes: 0 }
    }

    pub(super) fn into_calls(self) -> Calls {
        self.calls
    }

    /// Begins a call that is executed.
    #[inline]
    pub(super) fn begin(&self, server: &Server, row: usize, is_quick: bool) -> Begun {
        let here = self.calls.commands.iter().find(|of| of.command == Some(row));
        let here = here.map_or(0, |of| of.calls);
        let weight = match self.lane {
            Some(lane) => server.stats.weight_of_next(lane, row, is_quick, here),
            None if is_quick => weight_after(here),
            None => 1,
        };
        Begun { row, started: (weight > 0).then(|| (Instant::now(), weight)) }
    }

    /// Ends a call with its reply.
    #[inline]
    pub(super) fn end(
        &mut self,
        begun: Begun,
        command: &Command,
        (database, request): (usize, &Request<'_>),
        reply: &Value,
    ) {
        let Begun { row, started } = begun;
        let time = started.map(|(started, weight)| (started.elapsed(), weight));
        self.count(command, row, time, reply);
        if self.shows && !command.is(Command::ADMIN) {
            self.show(database, request);
        }
    }

    fn count(
        &mut self,
        command: &Command,
        row: usize,
        time: Option<(Duration, u64)>,
        reply: &Value,
    ) {
        let has_failed = self.count_error(reply);
        let of = self.of(command, row);
        of.calls += 1;
        of.failed += u64::from(has_failed);
        if let Some((time, weight)) = time {
            of.timed.add(time, weight);
        }
    }

    /// Counts a call that was rejected with this error. `None` if there is no such command.
    pub(super) fn reject(&mut self, command: Option<(&Command, usize)>, error: &Value) {
        self.count_error(error);
        if let Some((command, row)) = command {
            self.of(command, row).rejected += 1;
        }
    }

    /// Counts the error in a reply, if it is one.
    fn count_error(&mut self, reply: &Value) -> bool {
        let Value::Error(text) = reply else { return false };
        let text = String::from_utf8_lossy(text);
        let code = error_code(&text);
        let errors = &mut self.calls.errors;
        if let Some(count) = errors.get_mut(code) {
            *count += 1;
        } else if errors.len() < ERROR_CODES_MAX {
            errors.insert(code.into(), 1);
        }
        true
    }

    #[inline]
    fn of(&mut self, command: &Command, row: usize) -> &mut CommandCalls {
        let commands = &mut self.calls.commands;
        let at = commands.iter().position(|of| of.command == Some(row)).unwrap_or_else(|| {
            commands.push(CommandCalls {
                name: Cow::Borrowed(command.name),
                command: Some(row),
                calls: 0,
                rejected: 0,
                failed: 0,
                timed: TimedCalls::default(),
            });
            commands.len() - 1
        });
        &mut commands[at]
    }

    #[cold]
    fn show(&mut self, database: usize, request: &Request<'_>) {
        if self.lines_bytes >= LINES_BYTES_MAX {
            self.calls.omitted += 1;
            return;
        }
        let line = line_of(database, "lua", request);
        self.lines_bytes += line.len();
        self.calls.lines.push(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{server_on, single_member_grid, with_request};

    #[tokio::test]
    async fn lines_of_one_run_are_bounded() {
        let server = server_on(single_member_grid(), crate::trust::Passwords::default());
        let info = crate::testing::info(3);
        server.monitors.add(&info);
        let mut recorder = Recorder::new(Some(0), true);
        let value = vec![b'x'; LINES_BYTES_MAX / 100];
        with_request(&[b"set", b"k", &value], |request| {
            (0..200).for_each(|_| recorder.show(0, request));
        });
        let calls = recorder.into_calls();
        assert!(calls.lines.iter().map(String::len).sum::<usize>() < 2 * LINES_BYTES_MAX);
        assert_eq!(calls.lines.len() as u64 + calls.omitted, 200);
        calls.report(&server, 0);
        let mut last = Vec::new();
        while let Ok(Some(message)) = info.output_buffer.next() {
            last = message.payload.to_vec();
        }
        let last = String::from_utf8(last).unwrap();
        assert!(last.ends_with(" more commands)\""), "{last}");
    }
}
