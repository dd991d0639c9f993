//! Unauthenticated peers, random bytes and floods do not affect a cluster.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use convoke_tests::cluster::{AGREE_MAX, TIMEOUT};
use convoke_tests::{Cluster, Line, Member};
use rustix::process::Signal;

/// From exec to a joined cluster when other programs listen on the other candidates.
const JOIN_MAX: Duration = Duration::from_millis(1_500);

/// Connections of one host that send nothing: more than a member keeps open.
const IDLE_CONNECTIONS: usize = 300;

#[test]
fn a_candidate_that_accepts_and_never_responds_does_not_delay_joining() {
    let cluster = Cluster::exclusive();
    let others: Vec<TcpListener> = (0..8).map(|n| listen(cluster.spare_port(n))).collect();
    assert_joins_despite(&cluster, &others);
}

#[test]
fn an_http_server_at_a_candidate_does_not_delay_joining() {
    let cluster = Cluster::exclusive();
    let answer = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let others = [server_that_sends(cluster.spare_port(0), answer, 1)];
    assert_joins_despite(&cluster, &others);
}

#[test]
fn a_candidate_that_sends_first_or_endlessly_does_not_delay_joining() {
    let cluster = Cluster::exclusive();
    let others = [
        server_that_sends(cluster.spare_port(0), b"SSH-2.0-OpenSSH_9.9\r\n", 1),
        server_that_sends(cluster.spare_port(1), &[0xff; 4_096], 64),
        server_that_sends(cluster.spare_port(2), &[0; 4_096], 64),
    ];
    assert_joins_despite(&cluster, &others);
}

/// A member joins another one that is listed after the addresses of other programs.
#[track_caller]
fn assert_joins_despite(cluster: &Cluster, others: &[TcpListener]) {
    let first = cluster.start();
    cluster.agree([&first]);
    let addresses = others.iter().map(|other| other.local_addr().unwrap());
    let mut list: Vec<String> = addresses.map(|address| address.to_string()).collect();
    list.push(first.address().to_string());
    let second = cluster.start_tcpip(&list.join(","));
    cluster.agree([&first, &second]);
    let took = time_to_view_of(&second, 2);
    assert!(took <= JOIN_MAX, "it took {took:?}");
    // Each of them is called once more, and the first of them a third time.
    second.wait_for_calls(AGREE_MAX, others.len() as u64 + 1);
    assert_lines_repeat_at_most(&second, others.len());
}

/// From the start of a member until it logged a view of `size` members.
fn time_to_view_of(member: &Member, size: usize) -> Duration {
    member.record(|record| {
        let (at, _) = record.views.iter().find(|(_, view)| view.0.len() == size).unwrap();
        at.duration_since(member.started())
    })
}

#[test]
fn random_bytes_on_the_member_port_are_ignored() {
    let cluster = Cluster::new();
    let members = [cluster.start(), cluster.start()];
    let order = cluster.agree(&members);
    let before = ClusterState::of(&members);
    let mut random = Random(7);
    for round in 0..100 {
        let bytes = random.bytes(1 + round * 13);
        for address in &order {
            send_and_drain(*address, &bytes);
            UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().send_to(&bytes, address).unwrap();
        }
    }
    for member in &members {
        member.wait_for_status(
            TIMEOUT,
            "rejected connections and datagrams in the counters",
            |status| {
                let enough = status.counted(&["refused_callers"]) >= 100
                    && status.counted(&["foreign_datagrams"]) >= 100;
                enough.then_some(())
            },
        );
    }
    before.assert_unchanged(&members);
}

/// One host keeps hundreds of connections open and sends nothing; each one that is closed is
/// opened again. Members can still join, even from the same address.
#[test]
fn idle_connections_do_not_prevent_members_from_joining() {
    let cluster = Cluster::new();
    let first = cluster.start();
    let address = first.address();
    let connections = IdleConnections::open(address, IDLE_CONNECTIONS);
    let mut members = vec![first];
    for _ in 0..3 {
        members.push(cluster.start_tcpip(&address.to_string()));
        cluster.agree(&members);
    }
    drop(connections);
    for member in &members[1..] {
        let first_size = member.record(|record| record.views[0].1.0.len());
        assert!(first_size > 1, "it never founded a cluster");
    }
    members[0].wait_for_line(TIMEOUT, &["too many idle connections to the member port"]);
}

/// Invalid datagrams arrive faster than they can be read; streams, timers and signals are still
/// handled.
#[test]
fn members_can_join_and_leave_during_a_flood_of_datagrams() {
    let cluster = Cluster::new();
    let mut first = cluster.start();
    let address = first.address();
    let ended = Arc::new(AtomicBool::new(false));
    let floods: Vec<_> = (0..2)
        .map(|_| {
            let ended = Arc::clone(&ended);
            thread::spawn(move || {
                let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
                while !ended.load(Ordering::Relaxed) {
                    let _ = socket.send_to(&[7], address);
                }
            })
        })
        .collect();
    let second = cluster.start_tcpip(&address.to_string());
    cluster.agree([&first, &second]);
    first.signal(Signal::TERM);
    first.wait_exit(AGREE_MAX);
    cluster.agree([&second]);
    ended.store(true, Ordering::Relaxed);
    for flood in floods {
        flood.join().unwrap();
    }
    assert_eq!(second.record(|record| record.views.len()), 2, "joined, then alone");
}

/// Connections that are kept open and send nothing.
struct IdleConnections {
    ended: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl IdleConnections {
    fn open(address: SocketAddr, count: usize) -> Self {
        let connect = move || {
            let stream = TcpStream::connect(address).ok()?;
            stream.set_nonblocking(true).ok()?;
            Some(stream)
        };
        let is_open = |mut stream: &TcpStream| {
            stream.read(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
        };
        let mut streams: Vec<Option<TcpStream>> = (0..count).map(|_| connect()).collect();
        let ended = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&ended);
        let thread = thread::spawn(move || {
            while !until.load(Ordering::Relaxed) {
                for stream in &mut streams {
                    if !stream.as_ref().is_some_and(is_open) {
                        *stream = connect();
                    }
                }
                thread::sleep(Duration::from_millis(1));
            }
        });
        Self { ended, thread: Some(thread) }
    }
}

impl Drop for IdleConnections {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(thread::JoinHandle::join);
    }
}

#[test]
fn random_bytes_in_the_multicast_group_are_ignored() {
    let cluster = Cluster::new();
    let members = [cluster.start(), cluster.start()];
    cluster.agree(&members);
    let before = ClusterState::of(&members);
    // Bound to loopback, it also sends by loopback, as the members do.
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.set_multicast_ttl_v4(0).unwrap();
    let mut random = Random(8);
    for round in 0..100 {
        socket.send_to(&random.bytes(1 + round * 13), cluster.group()).unwrap();
    }
    for member in &members {
        member.wait_for_status(TIMEOUT, "malformed beacons in the counters", |status| {
            let malformed = &status.modes[0].more["multicast"]["malformed"];
            (malformed.as_u64() >= Some(100)).then_some(())
        });
        member.wait_for_lookups(AGREE_MAX, 2);
    }
    before.assert_unchanged(&members);
}

#[test]
fn a_flood_of_datagrams_causes_no_suspicion() {
    let cluster = Cluster::exclusive();
    let members = [cluster.start(), cluster.start(), cluster.start()];
    cluster.agree(&members);
    let before = ClusterState::of(&members);
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let noise = Random(9).bytes(600);
    for _ in 0..20_000 {
        // A full socket buffer drops it, on either side.
        let _ = socket.send_to(&noise, members[0].address());
    }
    members[0].wait_for_status(TIMEOUT, "the flood in the counters", |status| {
        (status.counted(&["foreign_datagrams"]) > 0).then_some(())
    });
    members[0].wait_for_lookups(AGREE_MAX, 3);
    before.assert_unchanged(&members);
}

#[test]
fn a_connection_that_sends_one_byte_at_a_time_is_closed() {
    let cluster = Cluster::new();
    let member = cluster.start();
    let mut stream = TcpStream::connect(member.address()).unwrap();
    let connected = Instant::now();
    let closed_after = loop {
        if stream.write_all(&[1]).is_err() {
            break connected.elapsed();
        }
        assert!(connected.elapsed() < TIMEOUT, "the connection stays open");
        thread::sleep(Duration::from_millis(50));
    };
    assert!(closed_after < Duration::from_secs(5), "it took {closed_after:?}");
}

#[test]
fn replayed_beacons_are_ignored() {
    let cluster = Cluster::new();
    let recorder = Recorder::of(cluster.group());
    let members = [cluster.start(), cluster.start()];
    let mut leaver = cluster.start();
    cluster.agree(members.iter().chain([&leaver]));
    leaver.signal(Signal::TERM);
    leaver.wait_exit(TIMEOUT);
    cluster.agree(&members);
    let recorded = recorder.recorded();
    assert!(recorded.len() > 3, "the beacons of three members");
    let before = ClusterState::of(&members);
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.set_multicast_ttl_v4(0).unwrap();
    for beacon in recorded.iter().chain(&recorded) {
        socket.send_to(beacon, cluster.group()).unwrap();
    }
    for member in &members {
        member.wait_for_status(TIMEOUT, "replays in the counters", |status| {
            let replayed = &status.modes[0].more["multicast"]["replayed"];
            (replayed.as_u64() > Some(0)).then_some(())
        });
        member.wait_for_lookups(AGREE_MAX, 2);
    }
    before.assert_unchanged(&members);
}

/// A socket that receives what is sent to a multicast group on loopback.
struct Recorder(UdpSocket);

impl Recorder {
    fn of(group: SocketAddr) -> Self {
        use rustix::net::{AddressFamily, SocketType, bind, socket, sockopt};
        let SocketAddr::V4(v4) = group else { panic!("an IPv4 group") };
        let descriptor = socket(AddressFamily::INET, SocketType::DGRAM, None).unwrap();
        sockopt::set_socket_reuseaddr(&descriptor, true).unwrap();
        sockopt::set_socket_reuseport(&descriptor, true).unwrap();
        bind(&descriptor, &group).unwrap();
        let socket = UdpSocket::from(descriptor);
        socket.join_multicast_v4(v4.ip(), &Ipv4Addr::LOCALHOST).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self(socket)
    }

    /// The datagrams that have arrived so far.
    fn recorded(&self) -> Vec<Vec<u8>> {
        let mut buffer = [0; 2_048];
        let mut all = Vec::new();
        while let Ok(length) = self.0.recv(&mut buffer) {
            all.push(buffer[..length].to_vec());
        }
        all
    }
}

#[test]
fn idle_http_connections_do_not_block_other_http_clients() {
    let cluster = Cluster::new();
    let member = cluster.start();
    let http = member.http();
    let idle: Vec<TcpStream> = (0..300).filter_map(|_| TcpStream::connect(http).ok()).collect();
    assert!(idle.len() > 100, "the member accepts connections");
    assert_eq!(member.get("/health/live").unwrap().status, 200);
}

/// The views of a cluster, to be compared before and after.
struct ClusterState {
    views: Vec<usize>,
    versions: Vec<(u64, u64)>,
}

impl ClusterState {
    fn of(members: &[Member]) -> Self {
        let version = |member: &Member| {
            member.wait_for_status(TIMEOUT, "a status of all", |status| {
                let view = (status.cluster.epoch, status.cluster.version);
                (status.cluster.size == members.len()).then_some(view)
            })
        };
        let views = |member: &Member| member.record(|record| record.views.len());
        Self {
            views: members.iter().map(views).collect(),
            versions: members.iter().map(version).collect(),
        }
    }

    #[track_caller]
    fn assert_unchanged(&self, members: &[Member]) {
        let now = Self::of(members);
        assert_eq!(now.views, self.views, "no view was logged in between");
        assert_eq!(now.versions, self.versions, "no view was published in between");
        for member in members {
            assert_lines_repeat_at_most(member, SAME_LINES_MAX);
        }
    }
}

/// Invalid traffic of one kind is logged once or twice, not once for each packet.
const SAME_LINES_MAX: usize = 2;

/// No line, compared without its digits, was logged more than `times` times.
#[track_caller]
fn assert_lines_repeat_at_most(member: &Member, times: usize) {
    let lines: Vec<String> = member.record(|record| {
        let text = |line: &Line| line.text.clone();
        record.lines().map(text).filter(|text| is_log_line(text)).collect()
    });
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for line in &lines {
        let words: String = line.chars().filter(|c| !c.is_ascii_digit()).collect();
        *counts.entry(words).or_default() += 1;
    }
    let repeated: Vec<_> = counts.iter().filter(|(_, count)| **count > times).collect();
    assert!(repeated.is_empty(), "logged too often: {repeated:#?}");
}

/// A line with a level, not one of a members block.
fn is_log_line(line: &str) -> bool {
    [" INFO ", " WARN ", "ERROR ", "DEBUG "].iter().any(|level| line.contains(level))
}

/// A listener whose connections the system accepts and that never sends anything.
fn listen(port: u16) -> TcpListener {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap()
}

/// A server that sends `text` to each client `times` times.
fn server_that_sends(port: u16, text: &'static [u8], times: usize) -> TcpListener {
    let listener = listen(port);
    let accepting = listener.try_clone().unwrap();
    // Runs until the test process ends.
    thread::spawn(move || {
        while let Ok((mut stream, _)) = accepting.accept() {
            let sent = (0..times).try_for_each(|_| stream.write_all(text));
            drop(sent);
        }
    });
    listener
}

/// Connects, sends `bytes`, and reads until the other side closes the connection.
fn send_and_drain(address: SocketAddr, bytes: &[u8]) {
    let mut stream = TcpStream::connect(address).unwrap();
    // The connection may be closed before everything is written.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    let mut answer = Vec::new();
    if let Err(error) = stream.take(1 << 20).read_to_end(&mut answer) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "it must close the connection");
    }
}

/// xorshift64*: the same sequence in each run.
struct Random(u64);

impl Random {
    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next()).collect()
    }

    fn next(&mut self) -> u8 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d).to_be_bytes()[0]
    }
}
