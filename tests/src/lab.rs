//! Networks of several hosts, made of network namespaces.
//!
//! One namespace is the switch: two bridges, `left` and `right`, connected by a trunk. Each host is
//! a namespace with one link, the first half of them to the left bridge. A link is set down at the
//! switch's end, and setting the trunk down splits the hosts in halves: the hosts see no change of
//! link state. All of it exists only within these namespaces, so no traffic can leave them, and it
//! is removed with them.

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

/// The folder of the names of `ip netns add`.
const NAMESPACES: &str = "/run/netns";

/// The folder of files that `ip netns exec` mounts over those in `/etc` (ip-netns(8)).
const FILES: &str = "/etc/netns";

/// Prefix of the names of our namespaces, followed by the id of the process that created it.
const PREFIX: &str = "convoke-lab-";

/// Hosts in one lab.
const HOSTS_MAX: usize = 64;

/// An isolated network. Dropping it removes it.
#[derive(Debug)]
pub struct Lab {
    hosts: Vec<Host>,
    /// Last, so that it is dropped after the hosts.
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
    /// Creates a network of `count` hosts. `None` if this machine cannot create namespaces: the
    /// test is reported as skipped.
    ///
    /// # Panics
    /// If the set-up fails later, or namespaces cannot be created and `CI=true`.
    #[track_caller]
    #[must_use]
    pub fn of(count: usize) -> Option<Self> {
        assert!((1..=HOSTS_MAX).contains(&count), "1 to {HOSTS_MAX} hosts");
        remove_stale_namespaces();
        let created: Result<Vec<Namespace>, String> =
            (0..=count).map(|_| Namespace::create()).collect();
        let mut namespaces = match created {
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
        lab.connect_hosts();
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

    /// Sets a host's link down.
    pub fn unplug(&self, index: usize) {
        self.switch.ip(&[format!("link set p{} down", self.hosts[index].number)]);
    }

    /// Sets it up again.
    pub fn plug_in(&self, index: usize) {
        self.switch.ip(&[format!("link set p{} up", self.hosts[index].number)]);
    }

    /// Splits the network into halves.
    pub fn split(&self) {
        self.switch.ip(&["link set trunk-left down".to_owned()]);
    }

    /// Reconnects the halves.
    pub fn heal(&self) {
        self.switch.ip(&["link set trunk-left up".to_owned()]);
    }

    /// Removes a host's IPv4 address; it keeps its IPv6 address.
    pub fn drop_address(&self, index: usize) {
        let host = &self.hosts[index];
        host.namespace.ip(&[format!("addr del {}/24 dev eth0", host.address())]);
    }

    /// Removes all addresses of a host's interface.
    pub fn drop_addresses(&self, index: usize) {
        self.hosts[index].namespace.ip(&["addr flush dev eth0".to_owned()]);
    }

    /// Adds a second interface with this address to a host, like a container bridge, which leads to
    /// no other host.
    pub fn add_bridge(&self, index: usize, address: Ipv4Addr) {
        self.hosts[index].namespace.ip(&[
            "link add bridge0 type bridge".to_owned(),
            format!("addr add {address}/24 dev bridge0"),
            "link set bridge0 up".to_owned(),
        ]);
    }

    /// Adds an address to a host, in a network of this prefix length that all hosts are connected
    /// to.
    pub fn add_address(&self, index: usize, address: Ipv4Addr, prefix: u8) {
        self.hosts[index].namespace.ip(&[format!("addr add {address}/{prefix} dev eth0")]);
    }

    /// Removes what [`add_address`](Self::add_address) added.
    pub fn remove_address(&self, index: usize, address: Ipv4Addr, prefix: u8) {
        self.hosts[index].namespace.ip(&[format!("addr del {address}/{prefix} dev eth0")]);
    }

    /// Adds an IPv6 address to a host's interface, without duplicate address detection.
    pub fn add_address_v6(&self, index: usize, address: Ipv6Addr) {
        self.hosts[index].namespace.ip(&[format!("addr add {address}/64 dev eth0 nodad")]);
    }

    /// Destroys the TCP connections from one host to another, on the first one only.
    ///
    /// # Panics
    /// If `ss` fails, or there is no connection.
    pub fn break_streams(&self, from: usize, to: usize) {
        let to = self.hosts[to].address().to_string();
        let output = self.hosts[from].inside(|| {
            Command::new("ss")
                .args(["-H", "-K", "-tn", "state", "established", "dst", &to])
                .output()
        });
        let output = output.expect("`ss` is installed with `ip`");
        assert!(output.status.success(), "`ss -K` failed: {output:?}");
        assert!(!output.stdout.is_empty(), "there was a connection to {to}");
    }

    /// Drops incoming packets to a port of a host, of these protocols (`tcp`, `udp`), like a
    /// firewall.
    pub fn block_port(&self, index: usize, port: u16, protocols: &[&str]) {
        let rule = |protocol| {
            format!("rule add pref 50 iif eth0 ipproto {protocol} dport {port} blackhole")
        };
        // The rule for local addresses has the highest priority; it is moved behind the new ones.
        let mut rules = vec!["rule add pref 100 lookup local".to_owned()];
        rules.push("rule del pref 0".to_owned());
        rules.extend(protocols.iter().map(rule));
        self.hosts[index].namespace.ip(&rules);
    }

    /// Allows the packets again.
    pub fn unblock_port(&self, index: usize, port: u16, protocols: &[&str]) {
        let rule = |protocol| {
            format!("rule del pref 50 iif eth0 ipproto {protocol} dport {port} blackhole")
        };
        let mut rules: Vec<String> = protocols.iter().map(rule).collect();
        rules.push("rule add pref 0 lookup local".to_owned());
        rules.push("rule del pref 100".to_owned());
        self.hosts[index].namespace.ip(&rules);
    }

    /// Replaces the IPv4 address of a host, as DHCP may do.
    pub fn change_address(&self, index: usize, address: Ipv4Addr) {
        let host = &self.hosts[index];
        host.namespace.ip(&[
            format!("addr del {}/24 dev eth0", host.address()),
            format!("addr add {address}/24 dev eth0"),
        ]);
    }

    /// Replaces the interface of a host by a new one with the same addresses.
    pub fn replace_interface(&self, index: usize) {
        self.hosts[index].namespace.ip(&["link del eth0".to_owned()]);
        self.switch.ip(&self.link(index));
        self.hosts[index].configure();
    }

    /// Drops the packets between two hosts; both still reach all others.
    pub fn disconnect(&self, one: usize, other: usize) {
        self.route("add", one, other);
    }

    /// Delivers them again.
    pub fn reconnect(&self, one: usize, other: usize) {
        self.route("del", one, other);
    }

    /// Routes `network` from one host through another one, which drops the packets, so that its
    /// hosts never answer.
    pub fn blackhole(&self, from: usize, network: &str, by: usize) {
        let by = self.hosts[by].address();
        self.hosts[from].namespace.ip(&[format!("route add {network} via {by}")]);
    }

    fn route(&self, verb: &str, one: usize, other: usize) {
        for (from, to) in [(one, other), (other, one)] {
            let to = self.hosts[to].address();
            self.hosts[from].namespace.ip(&[format!("route {verb} blackhole {to}/32")]);
        }
    }

    fn connect_hosts(&self) {
        let mut commands = vec!["link set lo up".to_owned()];
        commands.push("link add trunk-left type veth peer name trunk-right".to_owned());
        for side in ["left", "right"] {
            // Ports forward immediately, and multicast is flooded.
            commands.push(format!(
                "link add {side} type bridge forward_delay 0 stp_state 0 mcast_snooping 0"
            ));
            commands.push(format!("link set trunk-{side} master {side} up"));
            commands.push(format!("link set {side} up"));
        }
        for index in 0..self.hosts.len() {
            commands.extend(self.link(index));
        }
        self.switch.ip(&commands);
        for host in &self.hosts {
            host.configure();
        }
    }

    /// The commands that connect a host to the switch.
    fn link(&self, index: usize) -> [String; 2] {
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

    /// Sets the `/etc/resolv.conf` of processes that are started on this host from now on, and its
    /// content for those that already have one.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn write_resolv_conf(&self, text: &str) {
        let folder = Path::new(FILES).join(self.namespace());
        fs::create_dir_all(&folder).expect("creating namespaces requires root");
        fs::write(folder.join("resolv.conf"), text).expect("the folder is writable");
    }

    /// Calls `work` on a new thread within the namespace of this host.
    ///
    /// # Panics
    /// If `work` panics, or the namespace does not exist any more.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let path = self.namespace.path();
        thread::scope(|scope| {
            let thread = scope.spawn(move || {
                let file = File::open(path).expect("the namespace exists");
                move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
                    .expect("the namespace can be entered");
                work()
            });
            thread.join().unwrap_or_else(|panicked| std::panic::resume_unwind(panicked))
        })
    }
}

impl Namespace {
    fn create() -> Result<Self, String> {
        let name = format!("{PREFIX}{}-{}", std::process::id(), ports::unique());
        let output = Command::new("ip").args(["netns", "add", &name]).output();
        let output = output.map_err(|error| format!("`ip` cannot be started: {error}"))?;
        if output.status.success() {
            return Ok(Self { name });
        }
        let stderr = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
        Err(format!("`ip netns add` failed: {stderr}"))
    }

    fn path(&self) -> PathBuf {
        Path::new(NAMESPACES).join(&self.name)
    }

    /// Runs `ip` commands in this namespace, in one process.
    #[track_caller]
    fn ip(&self, commands: &[String]) {
        let mut ip = Command::new("ip")
            .args(["-netns", &self.name, "-batch", "-"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("`ip` is installed");
        let mut stdin = ip.stdin.take().expect("stdin is piped");
        stdin.write_all(commands.join("\n").as_bytes()).expect("`ip` reads its commands");
        drop(stdin);
        let output = ip.wait_with_output().expect("`ip` ends");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "`ip` failed: {stderr}\n{commands:#?}");
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.name]).output();
        let _ = fs::remove_dir_all(Path::new(FILES).join(&self.name));
        // Fails if it is not empty: others may use it.
        let _ = fs::remove_dir(FILES);
    }
}

/// Deletes the namespaces of test processes that were killed.
fn remove_stale_namespaces() {
    let entries = fs::read_dir(NAMESPACES).into_iter().flatten().flatten();
    for name in entries.filter_map(|entry| entry.file_name().into_string().ok()) {
        let process = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
            drop(Namespace { name });
        }
    }
}
