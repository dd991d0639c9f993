//! The commands of scripts; see README.md.

use std::fmt;
use std::time::Duration;

use convoke_grid::MapSettings;
use convoke_grid::map::MergePolicy;

/// The names of all commands.
const COMMANDS: &str = "add, advance, append, begin, clock, consume, copies, crash, del, delay, entries, get, group, \
     heal, join, leave, partition, pause, pending, put, read, safe, settle, start, state, table, \
     time, transactions, transfer, versions, watch, where";

#[derive(Debug, PartialEq)]
pub(crate) enum Command {
    Start(Start),
    Join {
        name: String,
        lite: bool,
        clock_ms: i64,
        maps: Vec<MapOption>,
    },
    Leave(String),
    Crash(Vec<String>),
    Pause(String, Duration),
    Partition([Vec<String>; 2]),
    Heal,
    /// Sets how long messages take.
    Delay(Duration),
    /// Sets the error of a machine's clock, in milliseconds.
    Clock(String, i64),
    Advance(Duration),
    Settle,
    /// Keys whose partitions are watched.
    Watch(Vec<String>),
    Where(Vec<String>),
    Table,
    Copies(String),
    Versions(String),
    State(String),
    Safe,
    Time,
    Transactions,
    /// A client's request; the script goes on before the reply if `begins`.
    Request {
        request: Request,
        begins: bool,
    },
}

/// The first command of a script.
#[derive(Debug, PartialEq)]
pub(crate) struct Start {
    pub(crate) names: Vec<String>,
    pub(crate) partitions: u16,
    pub(crate) min_members: u32,
    pub(crate) seed: u64,
    pub(crate) maps: Vec<MapOption>,
}

/// A setting of all maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MapOption {
    Backups(u8),
    AsyncBackups(u8),
    Merge(MergePolicy),
    Ttl(Duration),
}

impl MapOption {
    pub(crate) fn apply(self, settings: &mut MapSettings) {
        match self {
            Self::Backups(count) => settings.backups = count,
            Self::AsyncBackups(count) => settings.async_backups = count,
            Self::Merge(policy) => settings.merge = policy,
            Self::Ttl(ttl) => settings.ttl_ms = Some(ttl.as_millis() as u64),
        }
    }
}

/// A request of a client of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) member: String,
    pub(crate) what: What,
    /// The text in the script.
    text: String,
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Get(String),
    Put {
        key: String,
        value: String,
        ttl: Option<Duration>,
    },
    Delete(String),
    Add(String, i64),
    /// Reads keys in one transaction.
    Read(Vec<String>),
    /// Subtracts from one key and adds to another, in one transaction.
    Transfer {
        from: String,
        to: String,
        amount: i64,
    },
    /// Adds an entry with this number to a stream.
    Append {
        key: String,
        number: u64,
        value: String,
    },
    /// The entries of a stream.
    Entries(String),
    /// Creates the group of a stream.
    Group(String),
    /// Reads one entry as a consumer of the group.
    Consume {
        key: String,
        consumer: String,
    },
    /// The entries that are pending.
    Pending(String),
    /// The version of a key.
    Version(String),
}

impl Request {
    pub(crate) fn version(member: &str, key: &str) -> Self {
        Self { member: member.into(), what: What::Version(key.into()), text: String::new() }
    }
}

/// The words of a line that are not parsed yet.
struct Words<'a> {
    words: std::collections::VecDeque<&'a str>,
}

impl<'a> Words<'a> {
    /// The next word, which is not an option.
    fn next(&mut self, what: &str) -> Result<&'a str, String> {
        match self.words.front() {
            Some(word) if !word.contains('=') => {}
            _ => return Err(format!("{what} is missing")),
        }
        Ok(self.words.pop_front().unwrap_or_default())
    }

    /// All words up to the first option; at least one.
    fn names(&mut self, what: &str) -> Result<Vec<String>, String> {
        let mut names = vec![self.next(what)?.to_owned()];
        while let Ok(name) = self.next(what) {
            names.push(name.into());
        }
        Ok(names)
    }

    /// The next option as a name and a value.
    fn option(&mut self) -> Option<(&'a str, &'a str)> {
        let option = self.words.front()?.split_once('=')?;
        self.words.pop_front();
        Some(option)
    }

    /// Whether this is the next word, which is removed.
    fn has(&mut self, word: &str) -> bool {
        let has = self.words.front() == Some(&word);
        if has {
            self.words.pop_front();
        }
        has
    }
}

/// Parses a line.
pub(crate) fn parse(line: &str) -> Result<Command, String> {
    let mut words = Words { words: line.split_whitespace().collect() };
    let command = command(&mut words)?;
    match words.words.front() {
        None => Ok(command),
        Some(word) => Err(format!("left-over argument {word:?}")),
    }
}

fn command(words: &mut Words<'_>) -> Result<Command, String> {
    let begins = words.has("begin");
    let name = words.next("a command")?;
    if let Some(request) = request(name, words)? {
        return Ok(Command::Request { request, begins });
    }
    if begins {
        return Err(format!("{name:?} cannot follow \"begin\"; requests can"));
    }
    let member = "the name of a member";
    Ok(match name {
        "start" => Command::Start(start(words)?),
        "join" => join(words)?,
        "leave" => Command::Leave(words.next(member)?.into()),
        "crash" => Command::Crash(words.names(member)?),
        "pause" => Command::Pause(words.next(member)?.into(), duration(words.next("a duration")?)?),
        "partition" => {
            let all = words.names(member)?;
            let mut sides = all.split(|word| word == "|").map(<[String]>::to_vec);
            match (sides.next(), sides.next(), sides.next()) {
                (Some(one), Some(other), None) if !one.is_empty() && !other.is_empty() => {
                    Command::Partition([one, other])
                }
                _ => return Err("expected two sides, such as a | b c".into()),
            }
        }
        "heal" => Command::Heal,
        "delay" => Command::Delay(duration(words.next("a duration")?)?),
        "clock" => Command::Clock(words.next(member)?.into(), skew_ms(words.next("an error")?)?),
        "advance" => Command::Advance(duration(words.next("a duration")?)?),
        "settle" => Command::Settle,
        "watch" => Command::Watch(words.names("a key")?),
        "where" => Command::Where(words.names("a key")?),
        "table" => Command::Table,
        "copies" => Command::Copies(words.next("a key")?.into()),
        "versions" => Command::Versions(words.next("a key")?.into()),
        "state" => Command::State(words.next(member)?.into()),
        "safe" => Command::Safe,
        "time" => Command::Time,
        "transactions" => Command::Transactions,
        _ => return Err(format!("unknown command {name:?}; commands are {COMMANDS}")),
    })
}

/// The names of requests.
const REQUESTS: [&str; 11] = [
    "get", "put", "del", "add", "read", "transfer", "append", "entries", "group", "consume",
    "pending",
];

fn request(name: &str, words: &mut Words<'_>) -> Result<Option<Request>, String> {
    if !REQUESTS.contains(&name) {
        return Ok(None);
    }
    let text = format!("{name} {}", Vec::from(words.words.clone()).join(" "));
    let member = words.next("the name of a member")?.to_owned();
    let mut key = || words.next("a key").map(str::to_owned);
    let what = match name {
        "get" => What::Get(key()?),
        "del" => What::Delete(key()?),
        "put" => {
            let (key, value) = (key()?, words.next("a value")?.to_owned());
            let ttl = match words.option() {
                Some(("ttl", ttl)) => Some(duration(ttl)?),
                Some((option, _)) => return Err(unknown_option(option, "ttl")),
                None => None,
            };
            What::Put { key, value, ttl }
        }
        "add" => What::Add(key()?, number(words.next("an integer")?)?),
        "read" => What::Read(words.names("a key")?),
        "append" => {
            let (key, number) = (key()?, number(words.next("a number")?)?);
            What::Append { key, number, value: words.next("a value")?.to_owned() }
        }
        "entries" => What::Entries(key()?),
        "group" => What::Group(key()?),
        "consume" => What::Consume { key: key()?, consumer: words.next("a consumer")?.to_owned() },
        "pending" => What::Pending(key()?),
        _ => {
            let (from, to) = (key()?, key()?);
            What::Transfer { from, to, amount: number(words.next("an amount")?)? }
        }
    };
    Ok(Some(Request { member, what, text }))
}

fn start(words: &mut Words<'_>) -> Result<Start, String> {
    let names = words.names("the name of a member")?;
    let mut start = Start { names, partitions: 4, min_members: 0, seed: 1, maps: Vec::new() };
    while let Some((name, value)) = words.option() {
        match name {
            "partitions" => start.partitions = number(value)?,
            "min-members" => start.min_members = number(value)?,
            "seed" => start.seed = number(value)?,
            _ => start.maps.push(map_option(name, value, "partitions, min-members, seed, ")?),
        }
    }
    if start.partitions == 0 {
        return Err("partitions=0: expected at least 1".into());
    }
    Ok(start)
}

fn join(words: &mut Words<'_>) -> Result<Command, String> {
    let name = words.next("the name of a member")?.into();
    let lite = words.has("lite");
    let changes = words.has("change-maps");
    let (mut clock_ms, mut maps) = (0, Vec::new());
    while let Some((name, value)) = words.option() {
        match name {
            "clock" => clock_ms = skew_ms(value)?,
            _ if !changes => return Err(unknown_option(name, "clock; change-maps allows others")),
            _ => maps.push(map_option(name, value, "clock, ")?),
        }
    }
    Ok(Command::Join { name, lite, clock_ms, maps })
}

fn map_option(name: &str, value: &str, others: &str) -> Result<MapOption, String> {
    Ok(match name {
        "backups" => MapOption::Backups(number(value)?),
        "async-backups" => MapOption::AsyncBackups(number(value)?),
        "ttl" => MapOption::Ttl(duration(value)?),
        "merge" => MapOption::Merge(match value {
            "last-writer" => MergePolicy::LastWriter,
            "put-if-absent" => MergePolicy::PutIfAbsent,
            "higher-hits" => MergePolicy::HigherHits,
            "discard" => MergePolicy::Discard,
            _ => return Err(format!("unknown merge policy {value:?}")),
        }),
        _ => {
            return Err(unknown_option(
                name,
                &format!("{others}backups, async-backups, ttl, merge"),
            ));
        }
    })
}

fn unknown_option(name: &str, known: &str) -> String {
    format!("unknown option {name:?}; known are {known}")
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text:?} is no number, or out of range"))
}

fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (count, unit) = text.split_at(digits);
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => {
            return Err(format!("{text:?} is no duration; expected one such as 500ms, 3s, 2m, 1h"));
        }
    };
    Ok(Duration::from_millis(number::<u32>(count)?.into()) * unit_ms)
}

/// The error of a clock in milliseconds, such as +1h or -30s.
fn skew_ms(text: &str) -> Result<i64, String> {
    let sign = match text.as_bytes().first() {
        Some(b'+') => 1,
        Some(b'-') => -1,
        _ => return Err(format!("{text:?} is no error of a clock; expected one such as +1h, -3s")),
    };
    Ok(duration(&text[1..])?.as_millis() as i64 * sign)
}

#[test]
fn a_line_is_parsed_to_its_end() {
    let put = |ttl| What::Put { key: "k".into(), value: "v".into(), ttl };
    let request = |text: &str, what| Request { member: "a".into(), what, text: text.into() };
    for (line, expected) in [
        ("advance 250ms", Command::Advance(Duration::from_millis(250))),
        ("partition a | b c", Command::Partition([vec!["a".into()], vec!["b".into(), "c".into()]])),
        ("clock b -2m", Command::Clock("b".into(), -120_000)),
        ("put a k v", Command::Request { request: request("put a k v", put(None)), begins: false }),
        (
            "begin put a k v ttl=1h",
            Command::Request {
                request: request("put a k v ttl=1h", put(Some(Duration::from_secs(3_600)))),
                begins: true,
            },
        ),
        (
            "join d change-maps backups=2",
            Command::Join {
                name: "d".into(),
                lite: false,
                clock_ms: 0,
                maps: vec![MapOption::Backups(2)],
            },
        ),
    ] {
        assert_eq!(parse(line), Ok(expected), "{line}");
    }
}

#[test]
fn a_wrong_line_is_an_error_that_says_what_is_wrong() {
    for (line, expected) in [
        ("heal now", r#"left-over argument "now""#),
        ("put a k v w", r#"left-over argument "w""#),
        ("put a k v max=1s", r#"unknown option "max"; known are ttl"#),
        ("put a k", "a value is missing"),
        ("begin heal", r#""heal" cannot follow "begin"; requests can"#),
        ("begin", "a command is missing"),
        ("advance 3", r#""3" is no duration; expected one such as 500ms, 3s, 2m, 1h"#),
        ("clock a 1h", r#""1h" is no error of a clock; expected one such as +1h, -3s"#),
        ("partition a b", "expected two sides, such as a | b c"),
        ("partition a | b | c", "expected two sides, such as a | b c"),
        ("start a partitions=0", "partitions=0: expected at least 1"),
        ("start a backups=300", r#""300" is no number, or out of range"#),
        ("start a merge=both", r#"unknown merge policy "both""#),
        (
            "join d backups=2",
            r#"unknown option "backups"; known are clock; change-maps allows others"#,
        ),
    ] {
        assert_eq!(parse(line), Err(expected.into()), "{line}");
    }
    let unknown = parse("gte a key").expect_err("no such command");
    assert!(unknown.starts_with(r#"unknown command "gte"; commands are add, advance, append, "#));
}
