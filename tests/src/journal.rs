//! The output of all processes of one test, collected as it is printed, and waiting for it.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read};
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::block::{Block, BlockReader, DataGrid, Members};

/// Lines kept of one member; older ones are dropped.
const LINES_MAX: usize = 20_000;

/// Bytes kept of one line.
const LINE_BYTES_MAX: usize = 16 << 10;

/// Ended processes whose output is printed when a wait times out: the newest ones.
const ENDED_SHOWN_MAX: usize = 8;

/// Lines of one process that are printed when a wait times out.
const LINES_SHOWN_MAX: usize = 80;

/// The output that a line was printed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// The log.
    Stdout,
    /// Errors at startup.
    Stderr,
}

/// One line, with its time.
#[derive(Clone, Debug)]
pub struct Line {
    /// When it was read.
    pub at: Instant,
    /// The output.
    pub output: Output,
    /// The text, without the newline.
    pub text: String,
}

/// The line that a member logs once it is in a cluster.
#[derive(Clone, Copy, Debug)]
pub struct Ready {
    /// When it was read.
    pub at: Instant,
    /// The address for other members; `None` without a cluster.
    pub member: Option<SocketAddr>,
    /// The address of health, metrics and status.
    pub http: Option<SocketAddr>,
}

/// The output of one process.
#[derive(Debug)]
pub struct Record {
    /// Names the process in failures.
    pub label: String,
    /// Every members block, and when it was complete.
    pub views: Vec<(Instant, Members)>,
    /// Every data grid status, and when it was complete.
    pub grids: Vec<(Instant, DataGrid)>,
    /// Set once it is in a cluster.
    pub ready: Option<Ready>,
    /// How often it logged that.
    pub ready_count: usize,
    /// Malformed blocks.
    pub malformed: Vec<String>,
    lines: VecDeque<Line>,
    dropped: usize,
    reader: BlockReader,
    open_outputs: usize,
    started: Instant,
}

impl Record {
    /// The lines that are still kept, oldest first.
    pub fn lines(&self) -> impl DoubleEndedIterator<Item = &Line> {
        self.lines.iter()
    }

    /// The lines after the first `mark` ones ([`Record::mark`]).
    pub fn lines_since(&self, mark: usize) -> impl Iterator<Item = &Line> {
        self.lines.iter().skip(mark.saturating_sub(self.dropped))
    }

    /// Number of lines so far.
    #[must_use]
    pub fn mark(&self) -> usize {
        self.dropped + self.lines.len()
    }

    /// The newest members block.
    #[must_use]
    pub fn view(&self) -> Option<&Members> {
        self.views.last().map(|(_, view)| view)
    }

    /// The newest data grid status.
    #[must_use]
    pub fn grid(&self) -> Option<&DataGrid> {
        self.grids.last().map(|(_, grid)| grid)
    }

    /// Whether the process has closed both outputs, as it does when it exits.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.open_outputs == 0
    }

    /// All of one output.
    #[must_use]
    pub fn text(&self, output: Output) -> String {
        self.lines().filter(|line| line.output == output).fold(String::new(), |mut text, line| {
            text.push_str(&line.text);
            text.push('\n');
            text
        })
    }

    fn take(&mut self, output: Output, text: String) {
        let at = Instant::now();
        if output == Output::Stdout {
            match self.reader.read(&text) {
                Ok(Some(Block::Members(members))) => self.views.push((at, members)),
                Ok(Some(Block::DataGrid(grid))) => self.grids.push((at, grid)),
                Ok(None) => {}
                Err(malformed) => self.malformed.push(malformed),
            }
            if let Some((member, http)) = read_ready(&text) {
                self.ready.get_or_insert(Ready { at, member, http });
                self.ready_count += 1;
            }
        }
        if self.lines.len() == LINES_MAX {
            self.lines.pop_front();
            self.dropped += 1;
        }
        self.lines.push_back(Line { at, output, text });
    }

    fn show(&self, page: &mut String) {
        let skipped = self.mark() - self.lines.len().min(LINES_SHOWN_MAX);
        let _ = writeln!(page, "\n--- {} ({} lines before)", self.label, skipped);
        for line in self.lines_since(skipped) {
            let ms = line.at.duration_since(self.started).as_millis();
            let mark = if line.output == Output::Stderr { '!' } else { ' ' };
            let _ = writeln!(page, "{ms:>7} ms{mark} {}", line.text);
        }
        for malformed in &self.malformed {
            let _ = writeln!(page, "malformed: {malformed}");
        }
        if self.is_closed() {
            page.push_str("(ended)\n");
        }
    }
}

/// `… ready member=127.0.0.1:6900 http=127.0.0.1:8080 …`
fn read_ready(line: &str) -> Option<(Option<SocketAddr>, Option<SocketAddr>)> {
    let mut words = line.split_whitespace();
    words.find(|word| *word == "ready")?;
    let rest: Vec<&str> = words.collect();
    let field = |name: &str| {
        let value = rest.iter().find_map(|word| word.strip_prefix(name))?;
        value.trim_matches('"').parse().ok()
    };
    let fields = (field("member="), field("http="));
    (fields != (None, None)).then_some(fields)
}

/// The records of all processes of one test, shared by clones.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    records: Mutex<Vec<Record>>,
    changed: Condvar,
}

impl Journal {
    /// Adds a record for a process, and reads its outputs until they are closed.
    pub fn follow(
        &self,
        label: &str,
        stdout: impl Read + Send + 'static,
        stderr: impl Read + Send + 'static,
    ) -> usize {
        let mut records = self.lock();
        let index = records.len();
        records.push(Record {
            label: label.to_owned(),
            views: Vec::new(),
            grids: Vec::new(),
            ready: None,
            ready_count: 0,
            malformed: Vec::new(),
            lines: VecDeque::new(),
            dropped: 0,
            reader: BlockReader::default(),
            open_outputs: 2,
            started: Instant::now(),
        });
        drop(records);
        self.read(index, Output::Stdout, stdout);
        self.read(index, Output::Stderr, stderr);
        index
    }

    /// Calls `read` with one record. The journal is locked meanwhile.
    pub fn with<T>(&self, index: usize, read: impl FnOnce(&Record) -> T) -> T {
        read(&self.lock()[index])
    }

    /// Waits until `condition` returns something; it is called again whenever a process has printed
    /// a line or ended.
    ///
    /// # Panics
    /// After `bound`, with the logs of all members.
    #[track_caller]
    pub fn wait<T>(
        &self,
        bound: Duration,
        what: &str,
        mut condition: impl FnMut(&[Record]) -> Option<T>,
    ) -> T {
        let deadline = Instant::now() + bound;
        let mut records = self.lock();
        loop {
            if let Some(found) = condition(&records) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                drop(records);
                self.fail(&format!("timed out after {bound:?} waiting for {what}"));
            }
            let (again, _) = self
                .shared
                .changed
                .wait_timeout(records, left)
                .unwrap_or_else(PoisonError::into_inner);
            records = again;
        }
    }

    /// Panics with `text` and the logs of all members.
    #[track_caller]
    pub fn fail(&self, text: &str) -> ! {
        let mut page = text.to_owned();
        let records = self.lock();
        let newest = records.len().saturating_sub(ENDED_SHOWN_MAX);
        for (index, record) in records.iter().enumerate() {
            if index >= newest || !record.is_closed() {
                record.show(&mut page);
            }
        }
        drop(records);
        panic!("{page}");
    }

    fn read(&self, index: usize, output: Output, source: impl Read + Send + 'static) {
        let journal = self.clone();
        thread::spawn(move || {
            let mut source = BufReader::new(source);
            let mut bytes = Vec::new();
            while source.read_until(b'\n', &mut bytes).is_ok_and(|read| read > 0) {
                bytes.truncate(LINE_BYTES_MAX);
                let text = String::from_utf8_lossy(&bytes);
                let text = text.strip_suffix('\n').unwrap_or(&text).to_owned();
                journal.change(|records| records[index].take(output, text));
                bytes.clear();
            }
            journal.change(|records| records[index].open_outputs -= 1);
        });
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Record>)) {
        change(&mut self.lock());
        self.shared.changed.notify_all();
    }

    /// A panic while the lock is held leaves no partial change.
    fn lock(&self) -> MutexGuard<'_, Vec<Record>> {
        self.shared.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_line_is_distinguished_from_others_with_the_word() {
        let (member, http) = ("127.0.0.1:6900".parse().ok(), "[::1]:8080".parse().ok());
        let line =
            "2026-01-01T00:00:00Z  INFO convoke: ready member=127.0.0.1:6900 http=[::1]:8080";
        assert_eq!(read_ready(line), Some((member, http)));
        assert_eq!(read_ready("INFO ready http=[::1]:8080"), Some((None, http)));
        assert_eq!(read_ready("INFO mode ready name=tcpip"), None);
        assert_eq!(read_ready("INFO already member=127.0.0.1:6900"), None);
    }

    #[test]
    fn a_wait_ends_when_its_condition_holds() {
        let journal = Journal::default();
        let index = journal.follow("m1", &b"one\ntwo\n"[..], &b"three"[..]);
        let second = Duration::from_secs(5);
        journal.wait(second, "the end", |records| records[index].is_closed().then_some(()));
        journal.with(index, |record| {
            assert_eq!(record.text(Output::Stdout), "one\ntwo\n");
            assert_eq!(record.text(Output::Stderr), "three\n");
            assert_eq!(record.lines_since(2).count(), 1);
        });
    }

    #[test]
    fn a_timeout_prints_the_logs() {
        let journal = Journal::default();
        let index = journal.follow("the first member", &b"its log\n"[..], &b""[..]);
        journal.wait(Duration::from_secs(5), "the end", |records| {
            records[index].is_closed().then_some(())
        });
        let failed = thread::spawn(move || {
            journal.wait(Duration::from_millis(1), "what never comes", |_| None::<()>);
        });
        let text = failed.join().expect_err("it must fail");
        let text = text.downcast_ref::<String>().expect("a text");
        assert!(text.contains("what never comes"), "{text}");
        assert!(text.contains("the first member") && text.contains("its log"), "{text}");
    }
}
