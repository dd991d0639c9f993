//! Commands on a few keys, compared with a model: strings, counters, lists, hashes and sets, with
//! Redis' rules for wrong types and empty values.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rand::RngExt as _;
use rand::rngs::StdRng;

use crate::Run;
use crate::commands::line;
use crate::server::{Client, Served, Value, is_timeout};

/// Commands of one model.
const STEPS: usize = 400;

/// Maximum length of a value that a command extends.
const VALUE_BYTES_MAX: usize = 64 * 1024 * 1024;

const KEYS: usize = 6;

const WRONG: &str = "WRONGTYPE";

#[derive(Clone, Debug)]
enum Held {
    Bytes(Vec<u8>),
    List(VecDeque<Vec<u8>>),
    Hash(BTreeMap<Vec<u8>, Vec<u8>>),
    Set(BTreeSet<Vec<u8>>),
}

#[derive(Default)]
struct Model {
    held: BTreeMap<Vec<u8>, Held>,
    /// Keys with a long time to live.
    lives: BTreeSet<Vec<u8>>,
}

/// The expected answer of a command.
#[derive(Debug)]
enum Expected {
    Exactly(Value),
    /// The same elements, in any order.
    AnyOrder(Vec<Value>),
    /// An error with this prefix.
    Error(&'static str),
    /// An integer in a range.
    Between(i64, i64),
}

impl Expected {
    fn fits(&self, answer: &Value) -> bool {
        match (self, answer) {
            (Self::Exactly(value), answer) => value == answer,
            (Self::Error(code), Value::Error(text)) => text.starts_with(code),
            (Self::Between(least, most), Value::Integer(number)) => {
                (*least..=*most).contains(number)
            }
            (Self::AnyOrder(all), Value::List(answers)) => {
                let key = |value: &Value| format!("{value:?}");
                let mut expected: Vec<String> = all.iter().map(key).collect();
                let mut answered: Vec<String> = answers.iter().map(key).collect();
                expected.sort();
                answered.sort();
                expected == answered
            }
            _ => false,
        }
    }
}

fn integer(number: i64) -> Expected {
    Expected::Exactly(Value::Integer(number))
}

fn count(count: usize) -> Expected {
    integer(i64::try_from(count).expect("few"))
}

fn bytes(bytes: Option<&[u8]>) -> Expected {
    Expected::Exactly(bytes.map_or(Value::Nil, |bytes| Value::Bytes(bytes.to_vec())))
}

fn list<'a>(all: impl IntoIterator<Item = &'a Vec<u8>>) -> Expected {
    Expected::Exactly(Value::List(all.into_iter().cloned().map(Value::Bytes).collect()))
}

fn ok() -> Expected {
    Expected::Exactly(Value::Word("OK".to_owned()))
}

/// The elements from `from` to `to`, both inclusive; negative positions count from the end, as in
/// Redis. `None` if the range is empty.
fn range(from: i64, to: i64, length: usize) -> Option<(usize, usize)> {
    let length = i64::try_from(length).ok()?;
    let place = |at: i64| if at < 0 { at.saturating_add(length).max(0) } else { at };
    let (from, to) = (place(from), if to < 0 { to.saturating_add(length) } else { to });
    let to = to.min(length - 1);
    if from > to || from >= length || to < 0 {
        return None;
    }
    Some((usize::try_from(from).ok()?, usize::try_from(to).ok()?))
}

fn index(at: i64, length: usize) -> Option<usize> {
    let length = i64::try_from(length).ok()?;
    let place = if at < 0 { at.checked_add(length)? } else { at };
    usize::try_from(place).ok().filter(|_| place < length)
}

macro_rules! held {
    ($name:ident, $kind:ident, $type:ty) => {
        /// The value of this type, if there is one; an error if it has another type.
        fn $name(&mut self, key: &[u8]) -> Result<Option<&mut $type>, Expected> {
            match self.held.get_mut(key) {
                None => Ok(None),
                Some(Held::$kind(value)) => Ok(Some(value)),
                Some(_) => Err(Expected::Error(WRONG)),
            }
        }
    };
}

impl Model {
    held!(plain, Bytes, Vec<u8>);
    held!(list, List, VecDeque<Vec<u8>>);
    held!(hash, Hash, BTreeMap<Vec<u8>, Vec<u8>>);
    held!(set, Set, BTreeSet<Vec<u8>>);

    fn remove(&mut self, key: &[u8]) -> bool {
        self.lives.remove(key);
        self.held.remove(key).is_some()
    }

    /// Removes the value if it is empty.
    fn remove_if_empty(&mut self, key: &[u8]) {
        let is_empty = match self.held.get(key) {
            Some(Held::List(list)) => list.is_empty(),
            Some(Held::Hash(hash)) => hash.is_empty(),
            Some(Held::Set(set)) => set.is_empty(),
            _ => false,
        };
        if is_empty {
            self.remove(key);
        }
    }

    /// Executes a command and returns the answer.
    fn apply(&mut self, args: &[Vec<u8>]) -> Expected {
        let key = args[1].clone();
        let expected = self.step(args).unwrap_or_else(|error| error);
        self.remove_if_empty(&key);
        expected
    }

    fn step(&mut self, args: &[Vec<u8>]) -> Result<Expected, Expected> {
        let key = args[1].clone();
        let name = str::from_utf8(&args[0]).expect("commands are text");
        let number = |at: usize| -> Result<i64, Expected> {
            let text = str::from_utf8(&args[at]).map_err(|_| Expected::Error("ERR"))?;
            text.parse().map_err(|_| Expected::Error("ERR"))
        };
        Ok(match name {
            "SET" => {
                self.remove(&key);
                self.held.insert(key, Held::Bytes(args[2].clone()));
                ok()
            }
            "GET" => bytes(self.plain(&key)?.map(|value| &value[..])),
            "STRLEN" => count(self.plain(&key)?.map_or(0, |value| value.len())),
            "APPEND" => {
                if let Some(value) = self.plain(&key)? {
                    value.extend_from_slice(&args[2]);
                    count(value.len())
                } else {
                    self.held.insert(key, Held::Bytes(args[2].clone()));
                    count(args[2].len())
                }
            }
            "GETRANGE" => {
                let (from, to) = (number(2)?, number(3)?);
                let value = self.plain(&key)?.map_or(&[][..], |value| &value[..]);
                let part =
                    range(from, to, value.len()).map_or(&[][..], |(from, to)| &value[from..=to]);
                bytes(Some(part))
            }
            "SETRANGE" => {
                let offset = usize::try_from(number(2)?).map_err(|_| Expected::Error("ERR"))?;
                let patch = &args[3];
                let before = self.plain(&key)?.map_or(0, |value| value.len());
                if patch.is_empty() {
                    return Ok(count(before));
                }
                let end = offset.checked_add(patch.len()).filter(|end| *end <= VALUE_BYTES_MAX);
                let end = end.ok_or(Expected::Error("ERR"))?;
                let slot = self.held.entry(key).or_insert_with(|| Held::Bytes(Vec::new()));
                let Held::Bytes(value) = slot else { return Err(Expected::Error(WRONG)) };
                if value.len() < end {
                    value.resize(end, 0);
                }
                value[offset..end].copy_from_slice(patch);
                count(value.len())
            }
            "INCRBY" | "DECRBY" => {
                let by = number(2)?;
                let by = if name == "INCRBY" { Some(by) } else { by.checked_neg() };
                let by = by.ok_or(Expected::Error("ERR"))?;
                let before = match self.plain(&key)? {
                    None => 0,
                    Some(value) => strict(value).ok_or(Expected::Error("ERR"))?,
                };
                let after = before.checked_add(by).ok_or(Expected::Error("ERR"))?;
                self.held.insert(key, Held::Bytes(after.to_string().into_bytes()));
                integer(after)
            }
            "DEL" => integer(i64::from(self.remove(&key))),
            "EXISTS" => integer(i64::from(self.held.contains_key(&key))),
            "TYPE" => {
                let arg = match self.held.get(&key) {
                    None => "none",
                    Some(Held::Bytes(_)) => "string",
                    Some(Held::List(_)) => "list",
                    Some(Held::Hash(_)) => "hash",
                    Some(Held::Set(_)) => "set",
                };
                Expected::Exactly(Value::Word(arg.to_owned()))
            }
            "EXPIRE" => {
                let seconds = number(2)?;
                let is_there = self.held.contains_key(&key);
                if is_there && seconds <= 0 {
                    self.remove(&key);
                } else if is_there {
                    self.lives.insert(key);
                }
                integer(i64::from(is_there))
            }
            "PERSIST" => integer(i64::from(self.lives.remove(&key))),
            "TTL" => match (self.held.contains_key(&key), self.lives.contains(&key)) {
                (false, _) => integer(-2),
                (true, false) => integer(-1),
                (true, true) => Expected::Between(1, 100_000),
            },
            "LPUSH" | "RPUSH" => {
                let _ = self.list(&key)?;
                let slot = self.held.entry(key).or_insert_with(|| Held::List(VecDeque::new()));
                let Held::List(list) = slot else { return Err(Expected::Error(WRONG)) };
                for element in &args[2..] {
                    if name == "LPUSH" {
                        list.push_front(element.clone());
                    } else {
                        list.push_back(element.clone());
                    }
                }
                count(list.len())
            }
            "LPOP" | "RPOP" => match self.list(&key)? {
                None => bytes(None),
                Some(list) => {
                    let taken = if name == "LPOP" { list.pop_front() } else { list.pop_back() };
                    bytes(taken.as_deref())
                }
            },
            "LLEN" => count(self.list(&key)?.map_or(0, |list| list.len())),
            "LRANGE" => {
                let (from, to) = (number(2)?, number(3)?);
                match self.list(&key)? {
                    None => list([]),
                    Some(all) => match range(from, to, all.len()) {
                        None => list([]),
                        Some((from, to)) => list(all.range(from..=to)),
                    },
                }
            }
            "LINDEX" => {
                let at = number(2)?;
                let all = self.list(&key)?;
                bytes(all.and_then(|all| Some(&all[index(at, all.len())?][..])))
            }
            "LSET" => {
                let at = number(2)?;
                let Some(all) = self.list(&key)? else { return Ok(Expected::Error("ERR")) };
                let Some(at) = index(at, all.len()) else { return Ok(Expected::Error("ERR")) };
                all[at] = args[3].clone();
                ok()
            }
            "LTRIM" => {
                let (from, to) = (number(2)?, number(3)?);
                if let Some(all) = self.list(&key)? {
                    *all = match range(from, to, all.len()) {
                        None => VecDeque::new(),
                        Some((from, to)) => all.range(from..=to).cloned().collect(),
                    };
                }
                ok()
            }
            "LREM" => {
                let wanted = number(2)?;
                let Some(all) = self.list(&key)? else { return Ok(integer(0)) };
                let most = usize::try_from(wanted.unsigned_abs()).unwrap_or(usize::MAX);
                let most = if wanted == 0 { usize::MAX } else { most };
                let mut places: Vec<usize> =
                    (0..all.len()).filter(|&at| all[at] == args[3]).collect();
                if wanted < 0 {
                    places.reverse();
                }
                places.truncate(most);
                let removed = places.len();
                let mut at = 0;
                all.retain(|_| {
                    at += 1;
                    !places.contains(&(at - 1))
                });
                count(removed)
            }
            "HSET" => {
                let _ = self.hash(&key)?;
                let slot = self.held.entry(key).or_insert_with(|| Held::Hash(BTreeMap::new()));
                let Held::Hash(hash) = slot else { return Err(Expected::Error(WRONG)) };
                let new = hash.insert(args[2].clone(), args[3].clone()).is_none();
                integer(i64::from(new))
            }
            "HGET" => bytes(self.hash(&key)?.and_then(|hash| hash.get(&args[2])).map(|v| &v[..])),
            "HDEL" => {
                let gone = self.hash(&key)?.and_then(|hash| hash.remove(&args[2]));
                integer(i64::from(gone.is_some()))
            }
            "HLEN" => count(self.hash(&key)?.map_or(0, |hash| hash.len())),
            "HINCRBY" => {
                let by = number(3)?;
                let before = match self.hash(&key)?.and_then(|hash| hash.get(&args[2])) {
                    None => 0,
                    Some(value) => strict(value).ok_or(Expected::Error("ERR"))?,
                };
                let after = before.checked_add(by).ok_or(Expected::Error("ERR"))?;
                let slot = self.held.entry(key).or_insert_with(|| Held::Hash(BTreeMap::new()));
                if let Held::Hash(hash) = slot {
                    hash.insert(args[2].clone(), after.to_string().into_bytes());
                }
                integer(after)
            }
            "HKEYS" => Expected::AnyOrder(match self.hash(&key)? {
                None => Vec::new(),
                Some(hash) => hash.keys().cloned().map(Value::Bytes).collect(),
            }),
            "SADD" => {
                let _ = self.set(&key)?;
                let slot = self.held.entry(key).or_insert_with(|| Held::Set(BTreeSet::new()));
                let Held::Set(set) = slot else { return Err(Expected::Error(WRONG)) };
                count(args[2..].iter().filter(|member| set.insert((*member).clone())).count())
            }
            "SREM" => {
                let set = self.set(&key)?;
                integer(i64::from(set.is_some_and(|set| set.remove(&args[2]))))
            }
            "SISMEMBER" => {
                let set = self.set(&key)?;
                integer(i64::from(set.is_some_and(|set| set.contains(&args[2]))))
            }
            "SCARD" => count(self.set(&key)?.map_or(0, |set| set.len())),
            "SMEMBERS" => Expected::AnyOrder(match self.set(&key)? {
                None => Vec::new(),
                Some(set) => set.iter().cloned().map(Value::Bytes).collect(),
            }),
            other => unreachable!("no command {other}"),
        })
    }
}

/// An integer in its canonical form.
fn strict(text: &[u8]) -> Option<i64> {
    let number: i64 = str::from_utf8(text).ok()?.parse().ok()?;
    (number.to_string().as_bytes() == text).then_some(number)
}

/// Commands: `k` a key, `v` a value, `i` an integer, `o` an offset, `t` a time to live.
const FORMS: &[&str] = &[
    "SET k v",
    "GET k",
    "STRLEN k",
    "APPEND k v",
    "GETRANGE k i i",
    "SETRANGE k o v",
    "INCRBY k i",
    "DECRBY k i",
    "DEL k",
    "EXISTS k",
    "TYPE k",
    "EXPIRE k t",
    "PERSIST k",
    "TTL k",
    "LPUSH k v",
    "RPUSH k v",
    "RPUSH k v v v",
    "LPOP k",
    "RPOP k",
    "LLEN k",
    "LRANGE k i i",
    "LINDEX k i",
    "LSET k i v",
    "LTRIM k i i",
    "LREM k i v",
    "HSET k v v",
    "HGET k v",
    "HDEL k v",
    "HLEN k",
    "HINCRBY k v i",
    "HKEYS k",
    "SADD k v",
    "SADD k v v",
    "SREM k v",
    "SISMEMBER k v",
    "SCARD k",
    "SMEMBERS k",
];

const EDGES: &[i64] = &[
    0,
    1,
    -1,
    2,
    -2,
    5,
    -5,
    100,
    -100,
    i64::MAX,
    i64::MAX - 1,
    i64::MIN,
    i64::MIN + 1,
    1 << 31,
    -(1 << 31),
    1 << 53,
];

const OFFSETS: &[i64] =
    &[0, 1, 5, 100, 5_000, -1, 67_108_864, 67_108_865, 536_870_912, i64::MAX, i64::MIN, 1 << 32];

fn command(random: &mut StdRng) -> Vec<Vec<u8>> {
    let form = FORMS[random.random_range(0..FORMS.len())];
    let arg = |part: &str, random: &mut StdRng| match part {
        "k" => format!("m{}", random.random_range(0..KEYS)),
        "v" if random.random_bool(0.2) => EDGES[random.random_range(0..EDGES.len())].to_string(),
        "v" if random.random_bool(0.05) => String::new(),
        "v" => format!("v{}", random.random_range(0..8)),
        "i" if random.random_bool(0.5) => random.random_range(-6..7_i64).to_string(),
        "i" => EDGES[random.random_range(0..EDGES.len())].to_string(),
        "o" => OFFSETS[random.random_range(0..OFFSETS.len())].to_string(),
        "t" => ["1000", "90000", "0", "-1", "-100"][random.random_range(0..5)].to_owned(),
        other => other.to_owned(),
    };
    form.split(' ').map(|part| arg(part, random).into_bytes()).collect()
}

pub(crate) fn compared(run: &mut Run) {
    let served = Served::start();
    while run.has_time() {
        let Ok(mut client) = Client::connect(served.resp) else {
            run.report.add("no more connections", "", "");
            return;
        };
        if client.call(&[b"FLUSHALL"]).is_err() {
            run.report.add("hang", "FLUSHALL is not answered", "");
            return;
        }
        let (mut model, mut done) = (Model::default(), Vec::new());
        for _ in 0..STEPS {
            if !run.has_time() {
                break;
            }
            run.report.count();
            let args = command(&mut run.random);
            done.push(line(&args));
            let input = |done: &[String]| done.join("\n    ");
            let expected = model.apply(&args);
            let answer = client.call(&args);
            run.report.take_panics(|| input(&done));
            match answer {
                Ok(answer) if expected.fits(&answer) => {}
                Ok(answer) => {
                    let shown: Vec<String> = [format!("{expected:?}"), format!("{answer:?}")]
                        .into_iter()
                        .map(|text| text.chars().take(400).collect())
                        .collect();
                    let text = format!("expected {}, answered {}", shown[0], shown[1]);
                    let kind = format!("{} differs", String::from_utf8_lossy(&args[0]));
                    let about = done
                        .iter()
                        .filter(|line| line.split(' ').nth(1) == str::from_utf8(&args[1]).ok());
                    let about: Vec<String> = about.cloned().collect();
                    run.report.add(&kind, &text, &input(&about));
                    break;
                }
                Err(error) if is_timeout(&error) => {
                    run.report.add("hang", "no answer", &input(&done));
                    return;
                }
                Err(error) => {
                    run.report.add("the connection ended", &error.to_string(), &input(&done));
                    break;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_redis() {
        assert_eq!(range(0, -1, 3), Some((0, 2)));
        assert_eq!(range(-100, 1, 3), Some((0, 1)));
        assert_eq!(range(1, 100, 3), Some((1, 2)));
        assert_eq!(range(2, 1, 3), None);
        assert_eq!(range(0, -100, 3), None);
        assert_eq!(range(i64::MIN, i64::MAX, 3), Some((0, 2)));
        assert_eq!(range(0, 0, 0), None);
        assert_eq!(index(-1, 3), Some(2));
        assert_eq!(index(-4, 3), None);
        assert_eq!(index(i64::MIN, 3), None);
    }

    #[test]
    fn empty_values_are_removed() {
        let mut model = Model::default();
        let args = |text: &str| text.split(' ').map(|w| w.as_bytes().to_vec()).collect::<Vec<_>>();
        assert!(model.apply(&args("RPUSH k v")).fits(&Value::Integer(1)));
        assert!(model.apply(&args("GET k")).fits(&Value::Error("WRONGTYPE x".to_owned())));
        assert!(model.apply(&args("LPOP k")).fits(&Value::Bytes(b"v".to_vec())));
        assert!(model.apply(&args("EXISTS k")).fits(&Value::Integer(0)));
    }
}
