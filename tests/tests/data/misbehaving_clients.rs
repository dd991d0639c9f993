//! What clients do by mistake or in malice: it costs them their connection, and
//! others nothing.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use convoke_tests::cluster::SOON;
use convoke_tests::resp::{Client, Value, encode, is_end};
use convoke_tests::{Cluster, Lab, Member};
use rustix::process::{Resource, getrlimit, setrlimit};

use crate::safe::wait_until_safe;

/// What a member may hold more, in KiB, whatever one client sends or does not
/// take.
const HELD_KIB_MAX: u64 = 64 << 10;

/// What a client may cost that says nothing, in KiB.
const IDLE_KIB_MAX: u64 = 16;

/// How long a member is looked at.
const LOOK: Duration = Duration::from_secs(3);

/// How long an answer may take on a machine that does much besides.
const ANSWERED_MAX: Duration = Duration::from_secs(5);

const NO_PASSWORD: &str = "NOAUTH Authentication required.";
const WRONG_PASSWORD: &str = "WRONGPASS invalid username-password pair or user is disabled.";

/// Whether a client is served, and soon.
#[track_caller]
fn is_served(client: &mut Client) {
    let asked = Instant::now();
    assert_eq!(client.ask("INCR served").unwrap().error(), None);
    assert_eq!(client.ask("PING").unwrap(), Value::Word("PONG".to_owned()));
    let took = asked.elapsed();
    assert!(took < ANSWERED_MAX, "served after {took:?}");
}

/// What is to come of bytes that are no request.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// One error with these words, and the end.
    Ends(&'static str),
    /// One error with these words; what follows is another request.
    Refused(&'static str),
    /// Nothing, as in Redis; what follows is another request.
    PassedOver,
    /// The end, or errors before it.
    Anything,
}

#[test]
fn what_is_no_request_is_answered_with_an_error_and_others_are_served_meanwhile() {
    use Fate::{Anything, Ends, PassedOver, Refused};
    let long = |begin: &str| [begin.as_bytes(), &vec![b'1'; 70 << 10]].concat();
    let noise = |seed: u64| {
        let mut state = seed;
        let byte = |_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[0]
        };
        (0..100_000).map(byte).collect::<Vec<u8>>()
    };
    let cases: Vec<(Vec<u8>, Fate)> = vec![
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
        (b"*-7\r\n".to_vec(), PassedOver),
        (b"*0\r\n".to_vec(), PassedOver),
        (b"\r\n\r\n\n".to_vec(), PassedOver),
        (b"POST / HTTP/1.1\r\nHost: a\r\n\r\nSET a 1\r\n".to_vec(), Anything),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\nSET a 1\r\n".to_vec(), Anything),
        (b"*3\r\n$3\r\nSET\r\n*1\r\n$1\r\na\r\n".to_vec(), Anything),
        (vec![0; 100_000], Anything),
        (vec![0xff; 100_000], Anything),
        (noise(0x2545_F491_4F6C_DD1D), Anything),
        (noise(0x9E37_79B9_7F4A_7C15), Anything),
        ([b"*3\r\n$3\r\nSET\r\n".to_vec(), noise(7)].concat(), Anything),
    ];
    let cluster = Cluster::new();
    let member = cluster.start();
    let mut other = member.client();
    let mut wrong = Vec::new();
    for (bytes, fate) in cases {
        let mut client = member.client();
        client.set_patience(ANSWERED_MAX);
        // The connection may end before all of it was taken.
        let _ = client.send_bytes(&bytes);
        if let Err(what) = comes_to(&mut client, fate) {
            let shown = bytes[..bytes.len().min(40)].escape_ascii();
            wrong.push(format!("\"{shown}\" ({} bytes), {fate:?}: {what}", bytes.len()));
        }
        is_served(&mut other);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(other.ask("EXISTS a").unwrap(), Value::Integer(0), "nothing of it was done");
}

/// What becomes of a client that has sent what is no request.
fn comes_to(client: &mut Client, fate: Fate) -> Result<(), String> {
    let says = |answer: &Value, words: &str| answer.error().is_some_and(|e| e.contains(words));
    match fate {
        Fate::Ends(words) => match client.drain() {
            // What was not read yet may take the last words with it.
            Ok(said) if said.is_empty() => Ok(()),
            Ok(said) if said.len() == 1 && says(&said[0], words) => Ok(()),
            other => Err(format!("{other:?}")),
        },
        Fate::Refused(words) => {
            let answer = client.receive().map_err(|error| error.to_string())?;
            if !says(&answer, words) {
                return Err(format!("{answer:?}"));
            }
            Ok(())
        }
        Fate::PassedOver => match client.ask("PING") {
            Ok(answer) if answer == Value::Word("PONG".to_owned()) => Ok(()),
            other => Err(format!("{other:?}")),
        },
        Fate::Anything => loop {
            match client.receive() {
                Ok(answer) if answer.error().is_some() => {
                    // Lines, each refused: it takes the client's word for them.
                    client.set_patience(Duration::from_millis(300));
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
fn what_is_announced_and_never_sent_takes_no_memory() {
    let cluster = Cluster::alone();
    let member = cluster.start();
    let mut other = member.client();
    is_served(&mut other);
    let (before, _) = member.resident_kib();
    let mut clients = Vec::new();
    for announced in [
        // More than a value may have, and as much.
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
    let looked = Instant::now();
    let mut most = 0;
    while looked.elapsed() < LOOK {
        is_served(&mut other);
        most = most.max(member.resident_kib().0.saturating_sub(before));
    }
    println!("{most} KiB more for {} clients", clients.len());
    assert!(most < HELD_KIB_MAX, "{most} KiB more");
}

/// As many open files as this process may have.
fn raise_open_files() -> u64 {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

#[test]
fn ten_thousand_idle_clients_cost_little_and_others_are_served() {
    const CLIENTS: u64 = 10_000;
    /// What the harness and the member have open besides.
    const BESIDES: u64 = 500;
    let cluster = Cluster::alone();
    let count = CLIENTS.min(raise_open_files().saturating_sub(BESIDES)) as usize;
    assert!(count >= 500, "this system lets a process have {count} connections only");
    let member = cluster.launch().option("--max-clients", "20000").start();
    let mut other = member.client();
    is_served(&mut other);
    let (before, _) = member.resident_kib();
    let address = member.resp();
    let mut idle: Vec<Client> = Vec::with_capacity(count);
    for _ in 0..count {
        let mut client = Client::connect(address).unwrap();
        // It says something once, as clients do.
        client.send(&[b"PING"]).unwrap();
        idle.push(client);
    }
    for client in &mut idle {
        assert_eq!(client.receive().unwrap(), Value::Word("PONG".to_owned()));
    }
    is_served(&mut other);
    is_served(&mut member.client());
    let (after, _) = member.resident_kib();
    let each = after.saturating_sub(before) as f64 / count as f64;
    println!("{count} idle clients: {before} KiB before, {after} after, {each:.1} each");
    assert!(each < IDLE_KIB_MAX as f64, "{each:.1} KiB each");
    let last = idle.last_mut().unwrap();
    is_served(last);
}

/// Wherever the value lies: at the member that is asked, or at another.
#[test]
fn a_client_that_takes_no_answers_costs_little_and_others_are_served() {
    const REQUESTS: usize = 2_000;
    let cluster = Cluster::alone();
    let members = cluster.start_in_order(2);
    wait_until_safe(&cluster, &members);
    let mut others: Vec<Client> = members.iter().map(Member::client).collect();
    let value = vec![b'x'; 1 << 20];
    assert_eq!(others[0].call(&[b"SET", b"long", &value]).unwrap(), Value::ok());
    for client in &mut others {
        assert!(client.ask("GET long").unwrap().bytes() == Some(&value));
    }
    let mut costs = Vec::new();
    for asked in &members {
        let before: Vec<u64> = members.iter().map(|member| member.resident_kib().0).collect();
        let mut greedy = asked.client();
        greedy.send_bytes(&encode(&[b"GET", b"long"]).repeat(REQUESTS)).unwrap();
        let looked = Instant::now();
        let mut most = vec![0; members.len()];
        while looked.elapsed() < LOOK {
            others.iter_mut().for_each(is_served);
            for (at, member) in members.iter().enumerate() {
                most[at] = most[at].max(member.resident_kib().0.saturating_sub(before[at]));
            }
        }
        costs.push(most);
    }
    println!("KiB more, by the member that is asked: {costs:?}");
    let is_little = costs.iter().flatten().all(|most| *most < HELD_KIB_MAX);
    assert!(is_little, "KiB more, by the member that is asked: {costs:?}");
}

#[test]
fn beyond_the_bound_a_client_is_turned_away_as_redis_does_it() {
    let cluster = Cluster::new();
    let member = cluster.launch().option("--max-clients", "3").start();
    let mut clients: Vec<Client> = (0..3).map(|_| member.client()).collect();
    clients.iter_mut().for_each(is_served);
    let mut one_more = member.client();
    let said = one_more.drain().unwrap();
    assert_eq!(said, [Value::Error("ERR max number of clients reached".to_owned())]);
    clients.iter_mut().for_each(is_served);
    drop(clients.pop());
    let deadline = Instant::now() + SOON;
    while member.client().ask("PING").is_ok_and(|answer| answer.error().is_some()) {
        assert!(Instant::now() < deadline, "nobody is let in for the one that went");
    }
}

#[test]
fn a_client_without_the_password_may_do_nothing() {
    let cluster = Cluster::new();
    let file = cluster.write("client-password", "open sesame\n").display().to_string();
    let member = cluster.launch().option("--client-password-file", file).start();
    let mut client = member.client();
    for line in ["GET a", "SET a 1", "CONFIG GET *", "SUBSCRIBE a", "CLIENT LIST", "PING"] {
        let answer = client.ask(line).unwrap();
        assert_eq!(answer.error(), Some(NO_PASSWORD), "{line}");
    }
    for words in [&[&b"AUTH"[..], b"open"][..], &[b"AUTH", b""], &[b"AUTH", b"default", b"x"]] {
        let answer = client.call(words).unwrap();
        assert_eq!(answer.error(), Some(WRONG_PASSWORD), "{words:?}");
    }
    assert_eq!(client.ask("GET a").unwrap().error(), Some(NO_PASSWORD));
    assert_eq!(client.call(&[b"AUTH", b"open sesame"]).unwrap(), Value::ok());
    assert_eq!(client.ask("SET a 1").unwrap(), Value::ok());
    // What such a client may send is little.
    let mut stranger = member.client();
    stranger.send_bytes(b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$20000\r\n").unwrap();
    let said = stranger.drain().unwrap();
    let refusal = "ERR Protocol error: unauthenticated bulk length".to_owned();
    assert_eq!(said, [Value::Error(refusal)]);
    assert_eq!(client.ask("GET a").unwrap(), Value::from("1"));
}

#[test]
fn a_client_that_may_only_look_looks_and_changes_nothing() {
    let cluster = Cluster::new();
    let settings = "client-password = \"all\"\nclient-read-only-password = \"look\"\n";
    let file = cluster.write("settings.toml", settings).display().to_string();
    let member = cluster.launch().option("--config", file).start();
    let (mut writer, mut reader) = (member.client(), member.client());
    assert_eq!(writer.ask("AUTH all").unwrap(), Value::ok());
    assert_eq!(writer.ask("SET a 1").unwrap(), Value::ok());
    assert_eq!(reader.ask("AUTH default look").unwrap().error(), Some(WRONG_PASSWORD));
    assert_eq!(reader.ask("AUTH readonly all").unwrap().error(), Some(WRONG_PASSWORD));
    assert_eq!(reader.ask("AUTH readonly look").unwrap(), Value::ok());
    assert_eq!(reader.ask("GET a").unwrap(), Value::from("1"));
    assert_eq!(reader.ask("TTL a").unwrap(), Value::Integer(-1));
    for line in ["SET a 2", "DEL a", "INCR a", "EXPIRE a 1", "FLUSHALL", "CONFIG SET a b"] {
        let answer = reader.ask(line).unwrap();
        let name = match line.split(' ').next().unwrap_or_default() {
            "CONFIG" => "config|set".to_owned(),
            name => name.to_lowercase(),
        };
        let refusal = format!("NOPERM this user has no permissions to run the '{name}' command");
        assert_eq!(answer.error(), Some(refusal.as_str()), "{line}");
    }
    assert_eq!(reader.ask("GET a").unwrap(), Value::from("1"));
}

#[test]
fn a_client_that_asks_nothing_is_cut_off_after_a_while_if_that_is_wished() {
    let cluster = Cluster::new();
    let member = cluster.launch().option("--client-idle-s", "1").start();
    let (mut idle, mut subscriber) = (member.client(), member.client());
    is_served(&mut idle);
    assert_eq!(subscriber.ask("SUBSCRIBE news").unwrap().list().map(<[_]>::len), Some(3));
    idle.set_patience(SOON);
    assert_eq!(idle.drain().unwrap(), [], "it ends without a word");
    // Who listens is not idle.
    assert_eq!(member.client().ask("PUBLISH news late").unwrap(), Value::Integer(1));
    let told = [Value::from("message"), Value::from("news"), Value::from("late")];
    assert_eq!(subscriber.receive().unwrap().list(), Some(&told[..]));
}

#[test]
fn without_a_client_password_only_clients_of_the_same_machine_are_served() {
    let cluster = Cluster::new();
    let Some(lab) = Lab::of(2) else { return };
    let open = cluster.launch().on(lab.host(0)).start();
    let closed = cluster.launch().on(lab.host(1)).option("--client-password", "secret").start();
    cluster.agree([&open, &closed]);
    is_served(&mut open.client());
    let place = |of: usize, member: &Member| -> SocketAddr {
        let address: Ipv4Addr = lab.host(of).address();
        (address, member.resp().port()).into()
    };
    let (open, closed) = (place(0, &open), place(1, &closed));
    for host in lab.hosts() {
        let refused = host.inside(|| TcpStream::connect_timeout(&open, ANSWERED_MAX));
        let error = refused.expect_err("nobody listens there");
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused, "{error}");
        let mut client = host.inside(|| Client::connect(closed)).expect("with one, it does");
        assert_eq!(client.ask("GET a").unwrap().error(), Some(NO_PASSWORD));
        assert_eq!(client.ask("AUTH secret").unwrap(), Value::ok());
        assert_eq!(client.ask("GET a").unwrap(), Value::Nil);
    }
}
