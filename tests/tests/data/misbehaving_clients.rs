//! Malformed, excessive and unauthorized requests: at worst they cost a client its connection, and
//! do not affect other clients.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use convoke_tests::cluster::TIMEOUT;
use convoke_tests::resp::{Client, Value, encode, is_end};
use convoke_tests::{Cluster, Lab, Member};
use rustix::process::{Resource, getrlimit, setrlimit};

use crate::safe::wait_until_safe;

/// Memory in KiB that a client may cost by what it sends or does not read.
const HELD_KIB_MAX: u64 = 64 << 10;

/// Memory in KiB that an idle client may cost.
const IDLE_KIB_MAX: u64 = 16;

/// How long the memory of a member is observed.
const OBSERVED: Duration = Duration::from_secs(3);

/// How long an answer may take on a busy machine.
const ANSWERED_MAX: Duration = Duration::from_secs(5);

const NO_PASSWORD: &str = "NOAUTH Authentication required.";
const WRONG_PASSWORD: &str = "WRONGPASS invalid username-password pair or user is disabled.";

/// Checks that a client is served within [`ANSWERED_MAX`].
#[track_caller]
fn assert_served(client: &mut Client) {
    let started = Instant::now();
    assert_eq!(client.command("INCR served").unwrap().error(), None);
    assert_eq!(client.command("PING").unwrap(), Value::Simple("PONG".to_owned()));
    let took = started.elapsed();
    assert!(took < ANSWERED_MAX, "served after {took:?}");
}

/// How the member is to respond to bytes that are not a valid request.
#[derive(Clone, Copy, Debug)]
enum Expected {
    /// One error with these words, then the connection is closed.
    Ends(&'static str),
    /// One error with these words; the connection stays usable.
    Refused(&'static str),
    /// No answer, as in Redis; the connection stays usable.
    Ignored,
    /// Any number of errors; the connection may be closed.
    Anything,
}

#[test]
fn malformed_requests_are_answered_with_an_error_while_others_are_served() {
    use Expected::{Anything, Ends, Ignored, Refused};
    let long = |begin: &str| [begin.as_bytes(), &vec![b'1'; 70 << 10]].concat();
    let random = |seed: u64| {
        let mut state = seed;
        let byte = |_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[0]
        };
        (0..100_000).map(byte).collect::<Vec<u8>>()
    };
    let cases: Vec<(Vec<u8>, Expected)> = vec![
        (b"*1\r\n$-5\r\n".to_vec(), Ends("Protocol error: invalid bulk length")),
        (b"*1\r\n$x\r\n".to_vec(), Ends("Protocol error: invalid bulk length")),
        (b"*1\r\n$99999999999\r\n".to_vec(), Ends("Protocol error: invalid bulk length")),
        (b"*99999999999\r\n".to_vec(), Ends("Protocol error: invalid multibulk length")),
        (b"*9223372036854775808\r\n".to_vec(), Ends("Protocol error: invalid multibulk length")),
        (b"*one\r\n".to_vec(), Ends("Protocol error: invalid multibulk length")),
        (b"*1\r\n:5\r\n".to_vec(), Ends("Protocol error: expected '$', got ':'")),
        (b"GET \"a\r\n".to_vec(), Ends("Protocol error: unbalanced quotes in request")),
        (long(""), Ends("Protocol error: too big inline request")),
        (long("*"), Ends("Protocol error: too big mbulk count string")),
        (long("*1\r\n$"), Ends("Protocol error: too big bulk count string")),
        (b"$5\r\nabc\r\n".to_vec(), Refused("unknown command '$5'")),
        (b"*1\r\n$0\r\n\r\n".to_vec(), Refused("unknown command ''")),
        (b"*1\r\n$3\r\n\xff\0\r\r\n".to_vec(), Refused("unknown command")),
        (b"*1\r\n$3\r\nGET\r\n".to_vec(), Refused("wrong number of arguments")),
        (b"*-7\r\n".to_vec(), Ignored),
        (b"*0\r\n".to_vec(), Ignored),
        (b"\r\n\r\n\n".to_vec(), Ignored),
        (b"POST / HTTP/1.1\r\nHost: a\r\n\r\nSET a 1\r\n".to_vec(), Anything),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\nSET a 1\r\n".to_vec(), Anything),
        (b"*3\r\n$3\r\nSET\r\n*1\r\n$1\r\na\r\n".to_vec(), Anything),
        (vec![0; 100_000], Anything),
        (vec![0xff; 100_000], Anything),
        (random(0x2545_F491_4F6C_DD1D), Anything),
        (random(0x9E37_79B9_7F4A_7C15), Anything),
        ([b"*3\r\n$3\r\nSET\r\n".to_vec(), random(7)].concat(), Anything),
    ];
    let cluster = Cluster::new();
    let member = cluster.start();
    let mut other = member.client();
    let mut wrong = Vec::new();
    for (bytes, expected) in cases {
        let mut client = member.client();
        client.set_timeout(ANSWERED_MAX);
        // The connection may be closed before everything is written.
        let _ = client.send_bytes(&bytes);
        if let Err(what) = check_response(&mut client, expected) {
            let shown = bytes[..bytes.len().min(40)].escape_ascii();
            wrong.push(format!("\"{shown}\" ({} bytes), {expected:?}: {what}", bytes.len()));
        }
        assert_served(&mut other);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(other.command("EXISTS a").unwrap(), Value::Integer(0), "none of it was executed");
}

/// Checks how the member responds to a client that has sent an invalid request.
fn check_response(client: &mut Client, expected: Expected) -> Result<(), String> {
    let is_error = |answer: &Value, words: &str| answer.error().is_some_and(|e| e.contains(words));
    match expected {
        Expected::Ends(words) => match client.drain() {
            // A reset because of unread input may discard the error.
            Ok(answers) if answers.is_empty() => Ok(()),
            Ok(answers) if answers.len() == 1 && is_error(&answers[0], words) => Ok(()),
            other => Err(format!("{other:?}")),
        },
        Expected::Refused(words) => {
            let answer = client.receive().map_err(|error| error.to_string())?;
            if !is_error(&answer, words) {
                return Err(format!("{answer:?}"));
            }
            Ok(())
        }
        Expected::Ignored => match client.command("PING") {
            Ok(answer) if answer == Value::Simple("PONG".to_owned()) => Ok(()),
            other => Err(format!("{other:?}")),
        },
        Expected::Anything => loop {
            match client.receive() {
                Ok(answer) if answer.error().is_some() => {
                    // Each line is taken as an inline command and refused.
                    client.set_timeout(Duration::from_millis(300));
                }
                Err(error) if is_end(&error) || error.kind() == ErrorKind::TimedOut => {
                    return Ok(());
                }
                other => return Err(format!("{other:?}")),
            }
        },
    }
}

#[test]
fn announced_lengths_do_not_allocate_memory() {
    let cluster = Cluster::exclusive();
    let member = cluster.start();
    let mut other = member.client();
    assert_served(&mut other);
    let (before, _) = member.resident_kib();
    let mut clients = Vec::new();
    for announced in [
        // Above and at the limit of a value.
        "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$536870912\r\n",
        "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$67108864\r\n",
        "*1048576\r\n",
        "*1048576\r\n$67108864\r\n",
    ] {
        for _ in 0..50 {
            let mut client = member.client();
            client.send_bytes(announced.as_bytes()).unwrap();
            client.send_bytes(b"beginning").unwrap();
            clients.push(client);
        }
    }
    let started = Instant::now();
    let mut most = 0;
    while started.elapsed() < OBSERVED {
        assert_served(&mut other);
        most = most.max(member.resident_kib().0.saturating_sub(before));
    }
    println!("{most} KiB more for {} clients", clients.len());
    assert!(most < HELD_KIB_MAX, "{most} KiB more");
}

/// Raises the limit of open files as far as possible, and returns it.
fn raise_open_files() -> u64 {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

#[test]
fn ten_thousand_idle_clients_use_little_memory_and_others_are_served() {
    const CLIENTS: u64 = 10_000;
    /// Other files that the test process and the member have open.
    const OTHER_FILES: u64 = 500;
    let cluster = Cluster::exclusive();
    let count = CLIENTS.min(raise_open_files().saturating_sub(OTHER_FILES)) as usize;
    assert!(count >= 500, "this system allows only {count} connections in a process");
    let member = cluster.launch().option("--max-clients", "20000").start();
    let mut other = member.client();
    assert_served(&mut other);
    let (before, _) = member.resident_kib();
    let address = member.resp();
    let mut idle: Vec<Client> = Vec::with_capacity(count);
    for _ in 0..count {
        let mut client = Client::connect(address).unwrap();
        // Each sends one command, as real clients do.
        client.send(&[b"PING"]).unwrap();
        idle.push(client);
    }
    for client in &mut idle {
        assert_eq!(client.receive().unwrap(), Value::Simple("PONG".to_owned()));
    }
    assert_served(&mut other);
    assert_served(&mut member.client());
    let (after, _) = member.resident_kib();
    let each = after.saturating_sub(before) as f64 / count as f64;
    println!("{count} idle clients: {before} KiB before, {after} after, {each:.1} each");
    assert!(each < IDLE_KIB_MAX as f64, "{each:.1} KiB each");
    let last = idle.last_mut().unwrap();
    assert_served(last);
}

/// Whether the value is stored on the member that the client uses or on another one.
#[test]
fn a_client_that_does_not_read_uses_little_memory_and_others_are_served() {
    const REQUESTS: usize = 2_000;
    let cluster = Cluster::exclusive();
    let members = cluster.start_in_order(2);
    wait_until_safe(&cluster, &members);
    let mut others: Vec<Client> = members.iter().map(Member::client).collect();
    let value = vec![b'x'; 1 << 20];
    assert_eq!(others[0].call(&[b"SET", b"long", &value]).unwrap(), Value::ok());
    for client in &mut others {
        assert!(client.command("GET long").unwrap().bytes() == Some(&value));
    }
    let mut costs = Vec::new();
    for member in &members {
        let before: Vec<u64> = members.iter().map(|member| member.resident_kib().0).collect();
        let mut greedy = member.client();
        greedy.send_bytes(&encode(&[b"GET", b"long"]).repeat(REQUESTS)).unwrap();
        let started = Instant::now();
        let mut most = vec![0; members.len()];
        while started.elapsed() < OBSERVED {
            others.iter_mut().for_each(assert_served);
            for (at, member) in members.iter().enumerate() {
                most[at] = most[at].max(member.resident_kib().0.saturating_sub(before[at]));
            }
        }
        costs.push(most);
    }
    println!("KiB more, by the member that the client uses: {costs:?}");
    let is_little = costs.iter().flatten().all(|most| *most < HELD_KIB_MAX);
    assert!(is_little, "KiB more, by the member that the client uses: {costs:?}");
}

#[test]
fn clients_above_max_clients_are_rejected_as_in_redis() {
    let cluster = Cluster::new();
    let member = cluster.launch().option("--max-clients", "3").start();
    let mut clients: Vec<Client> = (0..3).map(|_| member.client()).collect();
    clients.iter_mut().for_each(assert_served);
    let mut one_more = member.client();
    let answers = one_more.drain().unwrap();
    assert_eq!(answers, [Value::Error("ERR max number of clients reached".to_owned())]);
    clients.iter_mut().for_each(assert_served);
    drop(clients.pop());
    let deadline = Instant::now() + TIMEOUT;
    while member.client().command("PING").is_ok_and(|answer| answer.error().is_some()) {
        assert!(
            Instant::now() < deadline,
            "no client is accepted after another one has disconnected"
        );
    }
}

#[test]
fn an_unauthenticated_client_cannot_run_commands() {
    let cluster = Cluster::new();
    let file = cluster.write("client-password", "open sesame\n").display().to_string();
    let member = cluster.launch().option("--client-password-file", file).start();
    let mut client = member.client();
    for line in ["GET a", "SET a 1", "CONFIG GET *", "SUBSCRIBE a", "CLIENT LIST", "PING"] {
        let answer = client.command(line).unwrap();
        assert_eq!(answer.error(), Some(NO_PASSWORD), "{line}");
    }
    for words in [&[&b"AUTH"[..], b"open"][..], &[b"AUTH", b""], &[b"AUTH", b"default", b"x"]] {
        let answer = client.call(words).unwrap();
        assert_eq!(answer.error(), Some(WRONG_PASSWORD), "{words:?}");
    }
    assert_eq!(client.command("GET a").unwrap().error(), Some(NO_PASSWORD));
    assert_eq!(client.call(&[b"AUTH", b"open sesame"]).unwrap(), Value::ok());
    assert_eq!(client.command("SET a 1").unwrap(), Value::ok());
    // Requests of an unauthenticated client are limited in size.
    let mut unauthenticated = member.client();
    unauthenticated.send_bytes(b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$20000\r\n").unwrap();
    let answers = unauthenticated.drain().unwrap();
    let refusal = "ERR Protocol error: unauthenticated bulk length".to_owned();
    assert_eq!(answers, [Value::Error(refusal)]);
    assert_eq!(client.command("GET a").unwrap(), Value::from("1"));
}

#[test]
fn a_read_only_user_can_read_and_cannot_write() {
    let cluster = Cluster::new();
    let settings = "client-password = \"all\"\nclient-read-only-password = \"look\"\n";
    let file = cluster.write("settings.toml", settings).display().to_string();
    let member = cluster.launch().option("--config", file).start();
    let (mut writer, mut reader) = (member.client(), member.client());
    assert_eq!(writer.command("AUTH all").unwrap(), Value::ok());
    assert_eq!(writer.command("SET a 1").unwrap(), Value::ok());
    assert_eq!(reader.command("AUTH default look").unwrap().error(), Some(WRONG_PASSWORD));
    assert_eq!(reader.command("AUTH readonly all").unwrap().error(), Some(WRONG_PASSWORD));
    assert_eq!(reader.command("AUTH readonly look").unwrap(), Value::ok());
    assert_eq!(reader.command("GET a").unwrap(), Value::from("1"));
    assert_eq!(reader.command("TTL a").unwrap(), Value::Integer(-1));
    for line in ["SET a 2", "DEL a", "INCR a", "EXPIRE a 1", "FLUSHALL", "CONFIG SET a b"] {
        let answer = reader.command(line).unwrap();
        let name = match line.split(' ').next().unwrap_or_default() {
            "CONFIG" => "config|set".to_owned(),
            name => name.to_lowercase(),
        };
        let refusal = format!("NOPERM this user has no permissions to run the '{name}' command");
        assert_eq!(answer.error(), Some(refusal.as_str()), "{line}");
    }
    assert_eq!(reader.command("GET a").unwrap(), Value::from("1"));
}

#[test]
fn client_idle_s_disconnects_idle_clients_but_not_subscribers() {
    let cluster = Cluster::new();
    let member = cluster.launch().option("--client-idle-s", "1").start();
    let (mut idle, mut subscriber) = (member.client(), member.client());
    assert_served(&mut idle);
    assert_eq!(subscriber.command("SUBSCRIBE news").unwrap().list().map(<[_]>::len), Some(3));
    idle.set_timeout(TIMEOUT);
    assert_eq!(idle.drain().unwrap(), [], "the connection is closed without an error");
    // A subscriber does not count as idle.
    assert_eq!(member.client().command("PUBLISH news late").unwrap(), Value::Integer(1));
    let message = [Value::from("message"), Value::from("news"), Value::from("late")];
    assert_eq!(subscriber.receive().unwrap().list(), Some(&message[..]));
}

#[test]
fn without_a_client_password_only_local_clients_are_served() {
    let cluster = Cluster::new();
    let Some(lab) = Lab::of(2) else { return };
    let open = cluster.launch().on(lab.host(0)).start();
    let closed = cluster.launch().on(lab.host(1)).option("--client-password", "secret").start();
    cluster.agree([&open, &closed]);
    assert_served(&mut open.client());
    let address = |of: usize, member: &Member| -> SocketAddr {
        let ip: Ipv4Addr = lab.host(of).address();
        (ip, member.resp().port()).into()
    };
    let (open, closed) = (address(0, &open), address(1, &closed));
    for host in lab.hosts() {
        let refused = host.inside(|| TcpStream::connect_timeout(&open, ANSWERED_MAX));
        let error = refused.expect_err("it listens on loopback only");
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}");
        let mut client = host
            .inside(|| Client::connect(closed))
            .expect("with a password it listens on all addresses");
        assert_eq!(client.command("GET a").unwrap().error(), Some(NO_PASSWORD));
        assert_eq!(client.command("AUTH secret").unwrap(), Value::ok());
        assert_eq!(client.command("GET a").unwrap(), Value::Nil);
    }
}
