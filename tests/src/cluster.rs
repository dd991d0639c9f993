//! The cluster of one test.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tempfile::{NamedTempFile, TempDir};

use crate::journal::{Journal, Record};
use crate::launch::Launch;
use crate::member::{Member, READY_MAX};
use crate::permit::Permit;
use crate::ports;

/// Time limit until members that can find each other have agreed on a view, on a busy machine.
pub const AGREE_MAX: Duration = Duration::from_secs(15);

/// Default timeout for conditions that should hold almost immediately.
pub const TIMEOUT: Duration = READY_MAX;

/// Number of member ports of one cluster, and of HTTP ports, of RESP ports, and of Hazelcast ports.
const PORTS: u16 = 64;

/// A cluster name, ports and a multicast group that no other test uses, and the output of the
/// processes that are started with them.
#[derive(Debug)]
pub struct Cluster {
    journal: Journal,
    folder: TempDir,
    name: String,
    start_port: u16,
    http_port: u16,
    resp_port: u16,
    hazelcast_port: u16,
    group: Ipv4Addr,
    group_port: u16,
    members: AtomicU32,
    _permit: Permit,
}

impl Cluster {
    /// For a test that can run concurrently with others.
    #[must_use]
    pub fn new() -> Self {
        Self::with(Permit::shared())
    }

    /// For a test with many processes or tight time limits: no other test runs meanwhile.
    #[must_use]
    pub fn exclusive() -> Self {
        Self::with(Permit::exclusive())
    }

    fn with(permit: Permit) -> Self {
        let start_port = ports::block(4 * PORTS);
        Self {
            journal: Journal::default(),
            folder: TempDir::new().expect("a temporary folder"),
            name: format!("test-{}-{start_port}", std::process::id()),
            start_port,
            http_port: start_port + PORTS,
            resp_port: start_port + 2 * PORTS,
            hazelcast_port: start_port + 3 * PORTS,
            group: ports::group_v4(),
            group_port: start_port + PORTS - 1,
            members: AtomicU32::new(0),
            _permit: permit,
        }
    }

    /// A builder for a process of this cluster.
    pub fn launch(&self) -> Launch<'_> {
        let value = |value: &dyn ToString| Some(value.to_string());
        Launch::new(
            self,
            vec![
                ("--interfaces", value(&Ipv4Addr::LOCALHOST)),
                ("--auto-bind-http", None),
                ("--auto-bind-range", value(&(PORTS - 1))),
                ("--port", value(&self.http_port)),
                ("--start-port", value(&self.start_port)),
                ("--resp-port", value(&self.resp_port)),
                ("--hazelcast-port", value(&self.hazelcast_port)),
                ("--cluster-name", value(&self.name)),
                ("--mc-address", value(&self.group)),
                ("--mc-port", value(&self.group_port)),
            ],
        )
    }

    /// Starts a member with the mode multicast.
    #[track_caller]
    #[must_use]
    pub fn start(&self) -> Member {
        self.launch().start()
    }

    /// Starts a member with the mode tcpip and a list of addresses.
    #[track_caller]
    #[must_use]
    pub fn start_tcpip(&self, list: &str) -> Member {
        self.launch().mode(format!("tcpip:{list}")).start()
    }

    /// Starts `count` members one after the other, waiting for agreement each time. Returns them
    /// oldest first.
    #[track_caller]
    #[must_use]
    pub fn start_in_order(&self, count: usize) -> Vec<Member> {
        let mut members: Vec<Member> = Vec::new();
        for _ in 0..count {
            members.push(self.start());
            self.agree(&members);
        }
        members
    }

    /// Waits until the view of each of `members` has exactly these members in the same order.
    /// Returns their addresses, oldest first.
    #[track_caller]
    pub fn agree<'m>(&self, members: impl IntoIterator<Item = &'m Member>) -> Vec<SocketAddr> {
        self.agree_within(AGREE_MAX, members)
    }

    /// Like [`agree`](Self::agree), with another timeout.
    #[track_caller]
    pub fn agree_within<'m>(
        &self,
        bound: Duration,
        members: impl IntoIterator<Item = &'m Member>,
    ) -> Vec<SocketAddr> {
        let indices: Vec<usize> = members.into_iter().map(Member::index).collect();
        let what = format!("agreement of {} members", indices.len());
        self.journal.wait(bound, &what, |records| {
            let selected: Vec<&Record> = indices.iter().map(|&index| &records[index]).collect();
            agreement(&selected)
        })
    }

    /// The member port that this cluster's members try first.
    #[must_use]
    pub fn start_port(&self) -> u16 {
        self.start_port
    }

    /// The HTTP port that this cluster's members try first.
    #[must_use]
    pub fn http_port(&self) -> u16 {
        self.http_port
    }

    /// The RESP port that this cluster's members try first.
    #[must_use]
    pub fn resp_port(&self) -> u16 {
        self.resp_port
    }

    /// The multicast group and its port.
    #[must_use]
    pub fn group(&self) -> SocketAddr {
        (self.group, self.group_port).into()
    }

    /// A port of this cluster that no member uses by default: the `n`th from the end.
    #[must_use]
    pub fn spare_port(&self, n: u16) -> u16 {
        assert!(n < PORTS / 4, "spare ports are limited to {}", PORTS / 4);
        self.start_port + PORTS - 2 - n
    }

    /// The cluster's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The working directory of its processes.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes or atomically replaces a file in that folder: a member that is starting never reads
    /// a partial file.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder().join(name);
        let mut temporary = NamedTempFile::new_in(self.folder()).expect("the folder is writable");
        temporary.write_all(content.as_ref()).expect("the disk is not full");
        temporary.persist(&path).expect("the name is free, or a file's");
        path
    }

    /// The output of its processes.
    #[must_use]
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    pub(crate) fn next_number(&self) -> u32 {
        self.members.fetch_add(1, Ordering::Relaxed) + 1
    }
}

impl Default for Cluster {
    fn default() -> Self {
        Self::new()
    }
}

/// The addresses of these members in the order of their views, if all views are equal and have
/// exactly these members.
fn agreement(records: &[&Record]) -> Option<Vec<SocketAddr>> {
    let addresses: Option<Vec<SocketAddr>> =
        records.iter().map(|record| record.ready?.member).collect();
    let (mut expected, order) = (addresses?, records.first()?.view()?.addresses());
    for (record, address) in records.iter().zip(&expected) {
        let view = record.view()?;
        let marked: Vec<_> = view.0.iter().filter(|shown| shown.this).collect();
        let is_itself = matches!(marked[..], [this] if this.address == *address);
        if view.addresses() != order || !is_itself {
            return None;
        }
    }
    let mut shown = order.clone();
    expected.sort_unstable();
    shown.sort_unstable();
    (shown == expected).then_some(order)
}

#[cfg(test)]
mod tests {
    use std::{fs, thread};

    use super::*;

    #[test]
    fn a_file_that_is_replaced_is_never_read_partially() {
        let cluster = Cluster::new();
        let text = "a".repeat(1 << 16);
        let path = cluster.write("file", &text);
        thread::scope(|scope| {
            let writer = scope.spawn(|| (0..200).for_each(|_| drop(cluster.write("file", &text))));
            while !writer.is_finished() {
                assert_eq!(fs::read(&path).unwrap().len(), text.len());
            }
        });
    }
}
