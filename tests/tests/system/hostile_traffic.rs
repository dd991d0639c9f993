//! Strangers on the network change nothing.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use convoke_tests::cluster::{AGREE_MAX, SOON};
use convoke_tests::{Cluster, Line, Member};
use rustix::process::Signal;

/// From exec to a joined cluster when strangers sit on other candidates.
const JOIN_BESIDE_STRANGERS_MAX: Duration = Duration::from_millis(1_500);

/// Connections of one host that send nothing: more than a member keeps waiting.
const IDLE_CONNECTIONS: usize = 300;

#[test]
fn a_stranger_that_accepts_and_never_speaks_delays_nobody() {
    let cluster = Cluster::alone();
    let strangers: Vec<TcpListener> = (0..8).map(|n| listen(cluster.spare_port(n))).collect();
    joins_beside(&cluster, &strangers);
}

#[test]
fn an_http_server_on_a_candidate_delays_nobody() {
    let cluster = Cluster::alone();
    let answer = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let strangers = [speaker(cluster.spare_port(0), answer, 1)];
    joins_beside(&cluster, &strangers);
}

#[test]
fn a_stranger_that_speaks_first_or_without_end_delays_nobody() {
    let cluster = Cluster::alone();
    let strangers = [
        speaker(cluster.spare_port(0), b"SSH-2.0-OpenSSH_9.9\r\n", 1),
        speaker(cluster.spare_port(1), &[0xff; 4_096], 64),
        speaker(cluster.spare_port(2), &[0; 4_096], 64),
    ];
    joins_beside(&cluster, &strangers);
}

/// A member joins another one that is listed behind strangers.
#[track_caller]
fn joins_beside(cluster: &Cluster, strangers: &[TcpListener]) {
    let first = cluster.start();
    cluster.agree([&first]);
    let places = strangers.iter().map(|stranger| stranger.local_addr().unwrap());
    let mut list: Vec<String> = places.map(|place| place.to_string()).collect();
    list.push(first.address().to_string());
    let second = cluster.start_tcpip(&list.join(","));
    cluster.agree([&first, &second]);
    let took = joined_at(&second, 2);
    assert!(took <= JOIN_BESIDE_STRANGERS_MAX, "it took {took:?}");
    // Each of them once more, and the first of them a third time.
    second.wait_for_calls(AGREE_MAX, strangers.len() as u64 + 1);
    repeats_itself_at_most(&second, strangers.len());
}

/// From the start of a member until it showed `size` members.
fn joined_at(member: &Member, size: usize) -> Duration {
    member.record(|record| {
        let (at, _) = record.views.iter().find(|(_, view)| view.0.len() == size).unwrap();
        at.duration_since(member.started())
    })
}

#[test]
fn random_bytes_on_the_member_port_change_nothing() {
    let cluster = Cluster::new();
    let members = [cluster.start(), cluster.start()];
    let order = cluster.agree(&members);
    let before = Noted::of(&members);
    let mut random = Random(7);
    for round in 0..100 {
        let bytes = random.bytes(1 + round * 13);
        for address in &order {
            shout(*address, &bytes);
            UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().send_to(&bytes, address).unwrap();
        }
    }
    for member in &members {
        member.wait_for_status(SOON, "callers and datagrams that are counted", |status| {
            let enough = status.counted(&["refused_callers"]) >= 100
                && status.counted(&["foreign_datagrams"]) >= 100;
            enough.then_some(())
        });
    }
    before.still_holds(&members);
}

/// One host keeps hundreds of connections open and sends nothing; each that ends is opened
/// again. Members, even of the same address, are served all the same.
#[test]
fn idle_connections_that_are_opened_again_and_again_keep_no_member_out() {
    let cluster = Cluster::new();
    let first = cluster.start();
    let address = first.address();
    let crowd = Crowd::at(address, IDLE_CONNECTIONS);
    let mut members = vec![first];
    for _ in 0..3 {
        members.push(cluster.start_tcpip(&address.to_string()));
        cluster.agree(&members);
    }
    drop(crowd);
    for member in &members[1..] {
        let first_size = member.record(|record| record.views[0].1.0.len());
        assert!(first_size > 1, "it never had a cluster of its own");
    }
    members[0].wait_for_line(SOON, &["too many idle connections to the member port"]);
}

/// Datagrams of no use come faster than they can be read: streams, timers and signals have
/// their turn all the same.
#[test]
fn a_flood_of_datagrams_delays_neither_joining_nor_leaving_for_long() {
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
struct Crowd {
    ended: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Crowd {
    fn at(address: SocketAddr, count: usize) -> Self {
        let open = move || {
            let stream = TcpStream::connect(address).ok()?;
            stream.set_nonblocking(true).ok()?;
            Some(stream)
        };
        let is_open = |mut stream: &TcpStream| {
            stream.read(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
        };
        let mut streams: Vec<Option<TcpStream>> = (0..count).map(|_| open()).collect();
        let ended = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&ended);
        let thread = thread::spawn(move || {
            while !until.load(Ordering::Relaxed) {
                for stream in &mut streams {
                    if !stream.as_ref().is_some_and(is_open) {
                        *stream = open();
                    }
                }
                thread::sleep(Duration::from_millis(1));
            }
        });
        Self { ended, thread: Some(thread) }
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(thread::JoinHandle::join);
    }
}

#[test]
fn random_bytes_in_the_multicast_group_change_nothing() {
    let cluster = Cluster::new();
    let members = [cluster.start(), cluster.start()];
    cluster.agree(&members);
    let before = Noted::of(&members);
    // Bound to loopback, it also sends by loopback, as the members do.
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.set_multicast_ttl_v4(0).unwrap();
    let mut random = Random(8);
    for round in 0..100 {
        socket.send_to(&random.bytes(1 + round * 13), cluster.group()).unwrap();
    }
    for member in &members {
        member.wait_for_status(SOON, "noise that is counted", |status| {
            let noise = &status.modes[0].more["multicast"]["malformed"];
            (noise.as_u64() >= Some(100)).then_some(())
        });
        member.wait_for_looks(AGREE_MAX, 2);
    }
    before.still_holds(&members);
}

#[test]
fn a_flood_of_datagrams_makes_nobody_suspect() {
    let cluster = Cluster::alone();
    let members = [cluster.start(), cluster.start(), cluster.start()];
    cluster.agree(&members);
    let before = Noted::of(&members);
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let noise = Random(9).bytes(600);
    for _ in 0..20_000 {
        // A full buffer drops it, here as there.
        let _ = socket.send_to(&noise, members[0].address());
    }
    members[0].wait_for_status(SOON, "a flood that is counted", |status| {
        (status.counted(&["foreign_datagrams"]) > 0).then_some(())
    });
    members[0].wait_for_looks(AGREE_MAX, 3);
    before.still_holds(&members);
}

#[test]
fn a_caller_that_speaks_a_byte_at_a_time_is_hung_up_on() {
    let cluster = Cluster::new();
    let member = cluster.start();
    let mut stream = TcpStream::connect(member.address()).unwrap();
    let called = Instant::now();
    let hung_up = loop {
        if stream.write_all(&[1]).is_err() {
            break called.elapsed();
        }
        assert!(called.elapsed() < SOON, "it listens for ever");
        thread::sleep(Duration::from_millis(50));
    };
    assert!(hung_up < Duration::from_secs(5), "it took {hung_up:?}");
}

#[test]
fn recorded_beacons_that_are_sent_again_change_nothing() {
    let cluster = Cluster::new();
    let recorder = Recorder::of(cluster.group());
    let members = [cluster.start(), cluster.start()];
    let mut leaver = cluster.start();
    cluster.agree(members.iter().chain([&leaver]));
    leaver.signal(Signal::TERM);
    leaver.wait_exit(SOON);
    cluster.agree(&members);
    let recorded = recorder.recorded();
    assert!(recorded.len() > 3, "the beacons of three members");
    let before = Noted::of(&members);
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.set_multicast_ttl_v4(0).unwrap();
    for beacon in recorded.iter().chain(&recorded) {
        socket.send_to(beacon, cluster.group()).unwrap();
    }
    for member in &members {
        member.wait_for_status(SOON, "replays that are counted", |status| {
            let replayed = &status.modes[0].more["multicast"]["replayed"];
            (replayed.as_u64() > Some(0)).then_some(())
        });
        member.wait_for_looks(AGREE_MAX, 2);
    }
    before.still_holds(&members);
}

/// Takes part in a multicast group on loopback, as anybody may.
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

    /// What the system has kept for it until now.
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
fn idle_http_connections_keep_nobody_out() {
    let cluster = Cluster::new();
    let member = cluster.start();
    let http = member.http();
    let idle: Vec<TcpStream> = (0..300).filter_map(|_| TcpStream::connect(http).ok()).collect();
    assert!(idle.len() > 100, "the member takes connections");
    assert_eq!(member.get("/health/live").unwrap().status, 200);
}

/// What a cluster looked like before the noise.
struct Noted {
    views: Vec<usize>,
    versions: Vec<(u64, u64)>,
}

impl Noted {
    fn of(members: &[Member]) -> Self {
        let version = |member: &Member| {
            member.wait_for_status(SOON, "a status of all", |status| {
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
    fn still_holds(&self, members: &[Member]) {
        let now = Self::of(members);
        assert_eq!(now.views, self.views, "no view was shown meanwhile");
        assert_eq!(now.versions, self.versions, "no view was made meanwhile");
        for member in members {
            repeats_itself_at_most(member, SAME_LINES_MAX);
        }
    }
}

/// Noise of one kind is worth a line or two, not one for each piece of it.
const SAME_LINES_MAX: usize = 2;

/// No line comes again and again, whatever its numbers say.
#[track_caller]
fn repeats_itself_at_most(member: &Member, times: usize) {
    let lines: Vec<String> = member.record(|record| {
        let text = |line: &Line| line.text.clone();
        record.lines().map(text).filter(|text| is_an_event(text)).collect()
    });
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for line in &lines {
        let words: String = line.chars().filter(|c| !c.is_ascii_digit()).collect();
        *counts.entry(words).or_default() += 1;
    }
    let often: Vec<_> = counts.iter().filter(|(_, count)| **count > times).collect();
    assert!(often.is_empty(), "said again and again: {often:#?}");
}

/// A line of the log, not of a block.
fn is_an_event(line: &str) -> bool {
    [" INFO ", " WARN ", "ERROR ", "DEBUG "].iter().any(|level| line.contains(level))
}

/// Accepts connections, as the system does for it, and never speaks.
fn listen(port: u16) -> TcpListener {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap()
}

/// Says the same thing to whoever connects, `times` times over.
fn speaker(port: u16, text: &'static [u8], times: usize) -> TcpListener {
    let listener = listen(port);
    let accepting = listener.try_clone().unwrap();
    // Ends with the test's process: a socket that nobody connects to any more.
    thread::spawn(move || {
        while let Ok((mut stream, _)) = accepting.accept() {
            let said = (0..times).try_for_each(|_| stream.write_all(text));
            drop(said);
        }
    });
    listener
}

/// Connects, says something, and listens until the other side has had enough.
fn shout(address: SocketAddr, bytes: &[u8]) {
    let mut stream = TcpStream::connect(address).unwrap();
    // It may hang up before all is said.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    stream.set_read_timeout(Some(SOON)).unwrap();
    let mut answer = Vec::new();
    if let Err(error) = stream.take(1 << 20).read_to_end(&mut answer) {
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "it must hang up");
    }
}

/// xorshift64*: noise that is the same in each run.
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
