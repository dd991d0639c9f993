//! Hosts and cables, made of network namespaces.
//!
//! One namespace is the switch room: two bridges, `left` and `right`, joined by
//! a trunk. Each host is a namespace with one cable, the first half of them to
//! the left bridge. A cable is pulled at the switch's end; pulling the trunk
//! splits the hosts in halves that notice nothing but silence. Nothing of this
//! exists outside of these namespaces, so nothing can leave them, and all of it
//! goes with them.

use std::fs::{self, File};
use std::io::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::ports;
use crate::requirements::skip;

/// Where `ip netns add` puts its names.
const NAMESPACES: &str = "/run/netns";

/// Where `ip netns exec` looks for files that a namespace has instead of those in `/etc`
/// (ip-netns(8)).
const FILES: &str = "/etc/netns";

/// How the names of ours begin; the id of the process that made it follows.
const PREFIX: &str = "convoke-lab-";

/// Hosts in one lab.
const HOSTS_MAX: usize = 64;

/// A network of its own. Dropping it removes it.
#[derive(Debug)]
pub struct Lab {
    hosts: Vec<Host>,
    /// Last, so that it goes after the hosts.
    switch: Arc<Namespace>,
}

/// One host. Clones are the same host.
#[derive(Clone, Debug)]
pub struct Host {
    namespace: Arc<Namespace>,
    number: usize,
}

/// A network namespace, deleted when dropped.
#[derive(Debug)]
struct Namespace {
    name: String,
}

impl Lab {
    /// A network of `count` hosts; none if this machine cannot make one, which
    /// is said aloud, and is a failure in continuous integration.
    ///
    /// # Panics
    /// If this machine can make namespaces and fails later, and when it cannot
    /// while `CI=true`.
    #[track_caller]
    #[must_use]
    pub fn of(count: usize) -> Option<Self> {
        assert!((1..=HOSTS_MAX).contains(&count), "1 to {HOSTS_MAX} hosts");
        sweep();
        let made: Result<Vec<Namespace>, String> = (0..=count).map(|_| Namespace::make()).collect();
        let mut namespaces = match made {
            Ok(namespaces) => namespaces.into_iter().map(Arc::new),
            Err(why) => {
                skip(&format!("needs network namespaces: {why}"));
                return None;
            }
        };
        let switch = namespaces.next().expect("one more than hosts");
        let hosts = namespaces.enumerate();
        let hosts: Vec<Host> =
            hosts.map(|(index, namespace)| Host { namespace, number: index + 1 }).collect();
        let lab = Self { hosts, switch };
        lab.lay_cables();
        Some(lab)
    }

    /// All hosts, left half first.
    #[must_use]
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// One host.
    #[must_use]
    pub fn host(&self, index: usize) -> &Host {
        &self.hosts[index]
    }

    /// Pulls a host's cable.
    pub fn unplug(&self, index: usize) {
        self.switch.ip(&[format!("link set p{} down", self.hosts[index].number)]);
    }

    /// Puts it back.
    pub fn plug_in(&self, index: usize) {
        self.switch.ip(&[format!("link set p{} up", self.hosts[index].number)]);
    }

    /// Splits the network in halves.
    pub fn split(&self) {
        self.switch.ip(&["link set trunk-left down".to_owned()]);
    }

    /// Joins them again.
    pub fn heal(&self) {
        self.switch.ip(&["link set trunk-left up".to_owned()]);
    }

    /// Takes a host's IPv4 address away; it keeps the other one.
    pub fn drop_address(&self, index: usize) {
        let host = &self.hosts[index];
        host.namespace.ip(&[format!("addr del {}/24 dev eth0", host.address())]);
    }

    /// Takes all addresses of a host's card away.
    pub fn drop_addresses(&self, index: usize) {
        self.hosts[index].namespace.ip(&["addr flush dev eth0".to_owned()]);
    }

    /// Gives a host a second card with this address, such as a container bridge has,
    /// that leads to nobody else.
    pub fn add_bridge(&self, index: usize, address: Ipv4Addr) {
        self.hosts[index].namespace.ip(&[
            "link add bridge0 type bridge".to_owned(),
            format!("addr add {address}/24 dev bridge0"),
            "link set bridge0 up".to_owned(),
        ]);
    }

    /// Gives a host one more address, in a network of this prefix length that all hosts are
    /// connected to.
    pub fn add_address(&self, index: usize, address: Ipv4Addr, prefix: u8) {
        self.hosts[index].namespace.ip(&[format!("addr add {address}/{prefix} dev eth0")]);
    }

    /// Takes away what [`add_address`](Self::add_address) gave.
    pub fn take_address(&self, index: usize, address: Ipv4Addr, prefix: u8) {
        self.hosts[index].namespace.ip(&[format!("addr del {address}/{prefix} dev eth0")]);
    }

    /// Gives a host's card one more IPv6 address, a link-local one perhaps, at once.
    pub fn add_address_v6(&self, index: usize, address: Ipv6Addr) {
        self.hosts[index].namespace.ip(&[format!("addr add {address}/64 dev eth0 nodad")]);
    }

    /// Breaks the TCP connections of a host to another one, at the first one only.
    ///
    /// # Panics
    /// If `ss` cannot, or there is none.
    pub fn break_streams(&self, from: usize, to: usize) {
        let to = self.hosts[to].address().to_string();
        let output = self.hosts[from].inside(|| {
            Command::new("ss")
                .args(["-H", "-K", "-tn", "state", "established", "dst", &to])
                .output()
        });
        let output = output.expect("`ss` is installed beside `ip`");
        assert!(output.status.success(), "`ss -K` failed: {output:?}");
        assert!(!output.stdout.is_empty(), "there was a connection to {to}");
    }

    /// A host throws away what comes from others to a port, of these protocols (`tcp`, `udp`), as
    /// a firewall does.
    pub fn close_port(&self, index: usize, port: u16, protocols: &[&str]) {
        let rule = |protocol| {
            format!("rule add pref 50 iif eth0 ipproto {protocol} dport {port} blackhole")
        };
        // The rule that gives a host its own addresses is the first; others may come before it
        // once it is a later one.
        let mut rules = vec!["rule add pref 100 lookup local".to_owned()];
        rules.push("rule del pref 0".to_owned());
        rules.extend(protocols.iter().map(rule));
        self.hosts[index].namespace.ip(&rules);
    }

    /// Takes that back.
    pub fn open_port(&self, index: usize, port: u16, protocols: &[&str]) {
        let rule = |protocol| {
            format!("rule del pref 50 iif eth0 ipproto {protocol} dport {port} blackhole")
        };
        let mut rules: Vec<String> = protocols.iter().map(rule).collect();
        rules.push("rule add pref 0 lookup local".to_owned());
        rules.push("rule del pref 100".to_owned());
        self.hosts[index].namespace.ip(&rules);
    }

    /// Gives a host another IPv4 address instead of its own, as by DHCP.
    pub fn change_address(&self, index: usize, address: Ipv4Addr) {
        let host = &self.hosts[index];
        host.namespace.ip(&[
            format!("addr del {}/24 dev eth0", host.address()),
            format!("addr add {address}/24 dev eth0"),
        ]);
    }

    /// Takes a host's card out and puts another one in, with the same addresses.
    pub fn replace_card(&self, index: usize) {
        self.hosts[index].namespace.ip(&["link del eth0".to_owned()]);
        self.switch.ip(&self.cable(index));
        self.hosts[index].configure();
    }

    /// Lets two hosts no longer reach each other, while both reach all others:
    /// what one sends to the other is thrown away.
    pub fn part(&self, one: usize, other: usize) {
        self.route("add", one, other);
    }

    /// Takes that back.
    pub fn reunite(&self, one: usize, other: usize) {
        self.route("del", one, other);
    }

    /// Lets a host send to `network` by another one, which throws it away: hosts
    /// that never answer.
    pub fn silence(&self, from: usize, network: &str, by: usize) {
        let by = self.hosts[by].address();
        self.hosts[from].namespace.ip(&[format!("route add {network} via {by}")]);
    }

    fn route(&self, verb: &str, one: usize, other: usize) {
        for (from, to) in [(one, other), (other, one)] {
            let to = self.hosts[to].address();
            self.hosts[from].namespace.ip(&[format!("route {verb} blackhole {to}/32")]);
        }
    }

    fn lay_cables(&self) {
        let mut room = vec!["link set lo up".to_owned()];
        room.push("link add trunk-left type veth peer name trunk-right".to_owned());
        for side in ["left", "right"] {
            // Ports forward at once, and multicast goes everywhere.
            room.push(format!(
                "link add {side} type bridge forward_delay 0 stp_state 0 mcast_snooping 0"
            ));
            room.push(format!("link set trunk-{side} master {side} up"));
            room.push(format!("link set {side} up"));
        }
        for index in 0..self.hosts.len() {
            room.extend(self.cable(index));
        }
        self.switch.ip(&room);
        for host in &self.hosts {
            host.configure();
        }
    }

    /// From the switch to a host.
    fn cable(&self, index: usize) -> [String; 2] {
        let host = &self.hosts[index];
        let (port, name) = (format!("p{}", host.number), host.namespace());
        let side = if index < self.hosts.len().div_ceil(2) { "left" } else { "right" };
        [
            format!("link add {port} type veth peer name eth0 netns {name}"),
            format!("link set {port} master {side} up"),
        ]
    }
}

impl Host {
    fn configure(&self) {
        self.namespace.ip(&[
            "link set lo up".to_owned(),
            format!("addr add {}/24 dev eth0", self.address()),
            format!("addr add {}/64 dev eth0 nodad", self.address_v6()),
            "link set eth0 up".to_owned(),
        ]);
    }

    /// Its IPv4 address.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        let number = u8::try_from(self.number).expect("few hosts");
        Ipv4Addr::new(10, 77, 0, number)
    }

    /// Its IPv6 address.
    #[must_use]
    pub fn address_v6(&self) -> Ipv6Addr {
        let number = u16::try_from(self.number).expect("few hosts");
        Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, number)
    }

    /// Its name for `ip netns exec`.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace.name
    }

    /// Gives it an `/etc/resolv.conf` of its own: of processes started from now on, and, when
    /// they have one already, with this text from now on.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn write_resolv_conf(&self, text: &str) {
        let folder = Path::new(FILES).join(self.namespace());
        fs::create_dir_all(&folder).expect("whoever makes namespaces may do this");
        fs::write(folder.join("resolv.conf"), text).expect("the folder is ours");
    }

    /// Calls `work` on a thread of its own inside of this host.
    ///
    /// # Panics
    /// If `work` does, or the namespace is gone.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let path = self.namespace.path();
        thread::scope(|scope| {
            let thread = scope.spawn(move || {
                let file = File::open(path).expect("the namespace is ours");
                move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
                    .expect("whoever made the namespace may enter it");
                work()
            });
            thread.join().unwrap_or_else(|panicked| std::panic::resume_unwind(panicked))
        })
    }
}

impl Namespace {
    fn make() -> Result<Self, String> {
        let name = format!("{PREFIX}{}-{}", std::process::id(), ports::unique());
        let output = Command::new("ip").args(["netns", "add", &name]).output();
        let output = output.map_err(|error| format!("`ip` cannot be started: {error}"))?;
        if output.status.success() {
            return Ok(Self { name });
        }
        let complaint = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
        Err(format!("`ip netns add` failed: {complaint}"))
    }

    fn path(&self) -> PathBuf {
        Path::new(NAMESPACES).join(&self.name)
    }

    /// Runs commands of `ip` in here, all of them in one process.
    #[track_caller]
    fn ip(&self, commands: &[String]) {
        let mut ip = Command::new("ip")
            .args(["-netns", &self.name, "-batch", "-"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("`ip` was there before");
        let mut stdin = ip.stdin.take().expect("stdin is piped");
        stdin.write_all(commands.join("\n").as_bytes()).expect("`ip` reads its commands");
        drop(stdin);
        let output = ip.wait_with_output().expect("`ip` ends");
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "`ip` failed: {complaint}\n{commands:#?}");
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.name]).output();
        let _ = fs::remove_dir_all(Path::new(FILES).join(&self.name));
        // Only when it is empty: it may not be ours.
        let _ = fs::remove_dir(FILES);
    }
}

/// Deletes what test processes that were killed have left behind.
fn sweep() {
    let entries = fs::read_dir(NAMESPACES).into_iter().flatten().flatten();
    for name in entries.filter_map(|entry| entry.file_name().into_string().ok()) {
        let process = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
            drop(Namespace { name });
        }
    }
}
