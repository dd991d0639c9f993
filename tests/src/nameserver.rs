//! Real DNS servers, from the Debian packages that `cargo xtask test` unpacks: each serves the same
//! zone on a host of a lab.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::lab::Host;
use crate::requirements::{below_target, skip};

/// Time limit until a server answers its first query.
const STARTED_MAX: Duration = Duration::from_secs(15);

/// Timeout of one such query.
const ANSWERED_MAX: Duration = Duration::from_millis(200);

/// The address of the authoritative server of a resolver.
const UPSTREAM: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 54);

/// The zone that all servers serve.
pub const ZONE: &str = "shop.test";

/// The program of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// dnsmasq: a forwarder with a few local records.
    Dnsmasq,
    /// Unbound: a recursive resolver that also serves a zone.
    Unbound,
    /// BIND's named: authoritative for the zone.
    Bind9,
    /// Knot DNS: authoritative only.
    Knot,
    /// Knot Resolver: queries a Knot DNS that is started with it.
    KnotResolver,
}

/// A running server. Dropping it stops it.
#[derive(Debug)]
pub struct NameServer {
    process: Child,
    folder: TempDir,
    /// The server that it queries.
    _upstream: Option<Box<Self>>,
}

impl Program {
    /// Debian's package, and the path of the program in it.
    fn package(self) -> (&'static str, &'static str) {
        match self {
            Self::Dnsmasq => ("dnsmasq-base", "usr/sbin/dnsmasq"),
            Self::Unbound => ("unbound", "usr/sbin/unbound"),
            Self::Bind9 => ("bind9", "usr/sbin/named"),
            Self::Knot => ("knot", "usr/sbin/knotd"),
            Self::KnotResolver => ("knot-resolver", "usr/sbin/kresd"),
        }
    }

    /// Whether it has to run in a chroot, because the paths of its modules are compiled in.
    fn has_root(self) -> bool {
        self == Self::KnotResolver
    }

    /// The folder of the unpacked package. `None` if there is none: the test is reported as
    /// skipped.
    #[track_caller]
    fn folder(self) -> Option<PathBuf> {
        let (package, _) = self.package();
        let mut folders = below_target(&Path::new("nameservers").join(package));
        let found = folders.find(|folder| folder.join("complete").is_file());
        if found.is_none() {
            skip(&format!(
                "Debian's {package} is not installed: `cargo xtask test` fetches it, or reports why apt-get cannot"
            ));
        }
        found
    }

    /// Writes its configuration to `folder`, which the server sees as `seen`, and returns its
    /// options.
    fn configure(self, at: Ipv4Addr, zone: &Zone, folder: &Path, seen: &Path) -> Vec<String> {
        let write = |name: &str, text: &str| {
            fs::write(folder.join(name), text).expect("the folder is writable");
            seen.join(name).display().to_string()
        };
        let here = seen.display();
        let (origin, file) = (&zone.origin, write("zone", &zone.text));
        match self {
            Self::Dnsmasq => {
                let fixed = "--keep-in-foreground --conf-file=/dev/null --no-hosts --no-resolv --bind-interfaces --user=root --pid-file= --local-ttl=2";
                let mut options: Vec<String> =
                    fixed.split_whitespace().map(str::to_owned).collect();
                options.push(format!("--listen-address={at}"));
                options.push(format!("--local=/{origin}/"));
                options.extend(zone.options_of_dnsmasq());
                options
            }
            Self::Unbound => {
                let conf = format!(
                    "server:\n interface: {at}\n access-control: 0.0.0.0/0 allow\n do-daemonize: no\n username: \"\"\n chroot: \"\"\n directory: \"{here}\"\n pidfile: \"\"\n use-syslog: no\n module-config: \"iterator\"\n local-zone: \"test.\" nodefault\nremote-control:\n control-enable: no\nauth-zone:\n name: \"{origin}\"\n zonefile: \"{file}\"\n for-downstream: yes\n for-upstream: yes\n"
                );
                vec!["-d".into(), "-c".into(), write("unbound.conf", &conf)]
            }
            Self::Bind9 => {
                let conf = format!(
                    "options {{ directory \"{here}\"; listen-on {{ {at}; }}; listen-on-v6 {{ none; }}; pid-file none; session-keyfile none; recursion no; dnssec-validation no; }};\ncontrols {{ }};\nzone \"{origin}\" {{ type primary; file \"{file}\"; }};\n"
                );
                vec!["-f".into(), "-c".into(), write("named.conf", &conf)]
            }
            Self::Knot => {
                let conf = format!(
                    "server:\n  rundir: {here}\n  listen: {at}@53\nlog:\n  - target: stderr\n    any: warning\ndatabase:\n  storage: {here}\nzone:\n  - domain: {origin}\n    file: {file}\n"
                );
                vec!["-c".into(), write("knot.conf", &conf)]
            }
            Self::KnotResolver => {
                // No query leaves the host: no root servers and no trust anchors.
                let conf = format!(
                    "net.ipv6 = false\nnet.listen('{at}', 53, {{ kind = 'dns' }})\ntrust_anchors.remove('.')\nfor _, name in ipairs {{ 'ta_update', 'ta_signal_query', 'priming', 'detect_time_skew', 'detect_time_jump' }} do modules.unload(name) end\npolicy.add(policy.suffix(policy.STUB('{UPSTREAM}'), policy.todnames {{ '{origin}.' }}))\ncache.size = 10 * MB\n"
                );
                vec!["-n".into(), "-c".into(), write("kresd.conf", &conf), here.to_string()]
            }
        }
    }
}

/// Records of one zone, one a line: name, type, data.
#[derive(Clone, Debug)]
pub struct Zone {
    origin: String,
    records: Vec<(String, String)>,
    text: String,
}

impl Zone {
    /// The zone [`ZONE`] with these records, and its SOA and NS records.
    #[must_use]
    pub fn new(lines: &str) -> Self {
        Self::of(ZONE, lines)
    }

    /// Another zone.
    #[must_use]
    pub fn of(origin: &str, lines: &str) -> Self {
        let mut text = format!(
            "$ORIGIN {origin}.\n$TTL 2\n@ SOA ns h 1 3600 600 86400 2\n@ NS ns\nns A 127.0.0.1\n"
        );
        let lines = lines.lines().map(str::trim).filter(|line| !line.is_empty());
        let records = lines.map(|line| {
            text.push_str(line);
            text.push('\n');
            let (name, data) = line.split_once(' ').expect("a name and its record");
            (name.to_owned(), data.to_owned())
        });
        let records = records.collect();
        Self { origin: origin.to_owned(), records, text }
    }

    /// The records as options of dnsmasq, except for what it does not support: delegations, and
    /// aliases of services.
    fn options_of_dnsmasq(&self) -> Vec<String> {
        let full = |name: &str| format!("{name}.{}", self.origin);
        let option = |(name, data): &(String, String)| {
            let words: Vec<&str> = data.split(' ').collect();
            let name = full(name);
            match words[..] {
                ["A" | "AAAA", address] => Some(format!("--host-record={name},{address}")),
                ["TXT", text] => Some(format!("--txt-record={name},{text}")),
                ["CNAME", to] if !to.starts_with('_') => {
                    Some(format!("--cname={name},{}", full(to)))
                }
                ["SRV", _, _, _, "."] => Some(format!("--srv-host={name}")),
                ["SRV", priority, weight, port, host] => {
                    Some(format!("--srv-host={name},{},{port},{priority},{weight}", full(host)))
                }
                _ => None,
            }
        };
        self.records.iter().filter_map(option).collect()
    }
}

impl NameServer {
    /// Starts one on port 53 of an address of `host`, and waits until it answers. `None` if its
    /// package is not installed. BIND listens only on addresses that are assigned to an interface,
    /// and so not on 127.0.0.2.
    ///
    /// # Panics
    /// If it does not answer in time.
    #[track_caller]
    #[must_use]
    pub fn start(program: Program, host: &Host, at: Ipv4Addr, zone: &Zone) -> Option<Self> {
        let root = program.folder()?;
        let upstream = match program {
            Program::KnotResolver => {
                Some(Box::new(Self::start(Program::Knot, host, UPSTREAM, zone)?))
            }
            _ => None,
        };
        let mut command = Command::new("ip");
        command.args(["netns", "exec", host.namespace(), "setpriv", "--pdeathsig", "KILL", "--"]);
        let folder = if program.has_root() {
            command.arg("chroot").arg(&root).arg(Path::new("/").join(program.package().1));
            TempDir::new_in(&root)
        } else {
            command.arg(root.join(program.package().1));
            command.env("LD_LIBRARY_PATH", libraries(&root));
            TempDir::new()
        };
        let folder = folder.expect("a temporary folder");
        let seen = match folder.path().strip_prefix(&root) {
            Ok(within) => Path::new("/").join(within),
            Err(_) => folder.path().to_owned(),
        };
        let options = program.configure(at, zone, folder.path(), &seen);
        let log = fs::File::create(folder.path().join("log")).expect("the folder is writable");
        let errors = log.try_clone().expect("a file has two handles");
        let process = command
            .args(options)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .spawn()
            .expect("`ip` is installed");
        let mut server = Self { process, folder, _upstream: upstream };
        let wait_for_answer = |deadline: Instant| {
            host.inside(|| {
                while Instant::now() < deadline {
                    if answers(at, &zone.origin).unwrap_or(false) {
                        return true;
                    }
                    thread::sleep(Duration::from_millis(20));
                }
                false
            })
        };
        if !wait_for_answer(Instant::now() + STARTED_MAX) {
            let _ = server.process.kill();
            let log = fs::read_to_string(server.folder.path().join("log")).unwrap_or_default();
            panic!("{program:?} does not answer at {at} within {STARTED_MAX:?}: {log}");
        }
        Some(server)
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The library folders of a package, for any architecture.
fn libraries(root: &Path) -> String {
    let folders = ["usr/lib", "lib"].map(|lib| root.join(lib));
    let all = folders.iter().flat_map(|lib| {
        let within = fs::read_dir(lib).into_iter().flatten().flatten().map(|entry| entry.path());
        within.filter(|path| path.is_dir())
    });
    let mut texts: Vec<String> = all.map(|path| path.display().to_string()).collect();
    texts.extend(folders.iter().map(|lib| lib.display().to_string()));
    texts.join(":")
}

/// Whether a query for the addresses of `ns` is answered, other than with an error because the zone
/// is not loaded yet.
fn answers(at: Ipv4Addr, origin: &str) -> io::Result<bool> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.set_read_timeout(Some(ANSWERED_MAX))?;
    socket.connect(SocketAddr::from((at, 53)))?;
    let mut query = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in ["ns"].into_iter().chain(origin.split('.')) {
        query.push(label.len() as u8);
        query.extend(label.bytes());
    }
    query.extend([0, 0, 1, 0, 1]);
    socket.send(&query)?;
    let mut answer = [0; 512];
    let length = socket.recv(&mut answer)?;
    // NOERROR, or NXDOMAIN of dnsmasq, which has no such name.
    Ok(length >= 12 && matches!(answer[3] & 15, 0 | 3))
}
