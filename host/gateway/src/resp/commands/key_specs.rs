//! Key specifications of `COMMAND INFO`: which arguments are keys, and what a command does with
//! them.
//!
//! Their text form is `flags|begin|find`: `RW access update|i1|r0,1,0`. `begin` is `i` and the index
//! of the first key, or `k` with a keyword and where it is searched, negative from the end. `find` is
//! `r` with the last key, the step and the limit, or `n` with the index of the number of keys, that of
//! the first key, and the step, both counted from the begin. `u` stands for unknown.

use convoke_grid::Reply;
use convoke_grid::op::integer;

use super::super::answer::Answer;
use super::super::command::{Command, Keys};
use super::facts::fact;

/// How the first key, or the number of keys, is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begin {
    Index(usize),
    Keyword(&'static str, i64),
    Unknown,
}

/// How the other keys are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Find {
    Range { last: i64, step: usize, limit: i64 },
    Counted { number: usize, first: usize, step: usize },
    Unknown,
}

/// A key specification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeySpec {
    flags: Vec<&'static str>,
    begin: Begin,
    find: Find,
}

/// Parses specifications; those that are malformed are left out.
pub(crate) fn parse(text: &'static str) -> Vec<KeySpec> {
    text.split(';').filter_map(parse_one).collect()
}

fn parse_one(text: &'static str) -> Option<KeySpec> {
    let mut parts = text.split('|');
    let flags = parts.next()?.split(' ').collect();
    let (begin, find) = (parts.next()?, parts.next()?);
    let begin = match begin.split_at_checked(1)? {
        ("i", index) => Begin::Index(index.parse().ok()?),
        ("k", rest) => {
            let (word, from) = rest.split_once(',')?;
            Begin::Keyword(word, from.parse().ok()?)
        }
        _ => Begin::Unknown,
    };
    let (kind, numbers) = find.split_at_checked(1)?;
    let numbers: Vec<i64> = numbers.split(',').filter_map(|number| number.parse().ok()).collect();
    let size = |number: i64| usize::try_from(number).ok();
    let numbers: Option<[i64; 3]> = numbers.try_into().ok();
    let find = match (kind, numbers) {
        ("r", Some([last, step, limit])) => Find::Range { last, step: size(step)?, limit },
        ("n", Some([number, first, step])) => {
            Find::Counted { number: size(number)?, first: size(first)?, step: size(step)? }
        }
        ("u", _) => Find::Unknown,
        _ => return None,
    };
    Some(KeySpec { flags, begin, find })
}

/// The specifications of a command: those of Redis, or else what follows from the table.
pub(crate) fn of(command: &Command) -> Vec<KeySpec> {
    if let Some(fact) = fact(command.name) {
        return parse(fact.keys);
    }
    let flags = || match (command.is(Command::WRITE), command.is(Command::READ)) {
        (true, _) => vec!["RW", "access", "update"],
        (false, _) => vec!["RO", "access"],
    };
    let counted = |at, step| KeySpec {
        flags: flags(),
        begin: Begin::Index(at),
        find: Find::Counted { number: 0, first: 1, step },
    };
    match command.keys {
        Keys::Every { first, last, step } => {
            // Counted from the first key, unless it is counted from the end.
            let last = if last < 0 { last } else { last - first as i64 };
            let find = Find::Range { last, step, limit: 0 };
            vec![KeySpec { flags: flags(), begin: Begin::Index(first), find }]
        }
        Keys::Counted(at) => vec![counted(at, 1)],
        Keys::CountedPairs(at) => vec![counted(at, 2)],
        // Options name more keys.
        Keys::SortedAndStored | Keys::FirstAndStored(_) => {
            vec![KeySpec { flags: flags(), begin: Begin::Unknown, find: Find::Unknown }]
        }
        Keys::DestinationAndCounted => {
            let flags = vec!["OW", "update"];
            let find = Find::Range { last: 0, step: 1, limit: 0 };
            vec![KeySpec { flags, begin: Begin::Index(1), find }, counted(2, 1)]
        }
        Keys::Streams => {
            // Behind the name of the group and of the consumer, which could be that word.
            let from = if command.is(Command::WRITE) { 4 } else { 1 };
            let find = Find::Range { last: -1, step: 1, limit: 2 };
            vec![KeySpec {
                flags: vec!["RO", "access"],
                begin: Begin::Keyword("STREAMS", from),
                find,
            }]
        }
        Keys::None => Vec::new(),
    }
}

fn set_of(words: &[&str]) -> Answer {
    let word = |word: &&str| Reply::Word((*word).to_owned());
    Answer::Reply(Reply::Set(words.iter().map(word).collect()))
}

impl KeySpec {
    /// As `COMMAND INFO` shows it.
    pub(crate) fn answer(&self) -> Answer {
        let number = |number: usize| Answer::integer(i64::try_from(number).unwrap_or(i64::MAX));
        let with = |kind: &str, spec: Vec<(&str, Answer)>| {
            let spec = spec.into_iter().map(|(name, value)| (Answer::word(name), value)).collect();
            Answer::Map(vec![
                (Answer::word("type"), Answer::word(kind)),
                (Answer::word("spec"), Answer::Map(spec)),
            ])
        };
        let begin = match self.begin {
            Begin::Index(index) => with("index", vec![("index", number(index))]),
            Begin::Keyword(word, from) => with(
                "keyword",
                vec![("keyword", Answer::word(word)), ("startfrom", Answer::integer(from))],
            ),
            Begin::Unknown => with("unknown", Vec::new()),
        };
        let find = match self.find {
            Find::Range { last, step, limit } => with(
                "range",
                vec![
                    ("lastkey", Answer::integer(last)),
                    ("keystep", number(step)),
                    ("limit", Answer::integer(limit)),
                ],
            ),
            Find::Counted { number: at, first, step } => with(
                "keynum",
                vec![
                    ("keynumidx", number(at)),
                    ("firstkey", number(first)),
                    ("keystep", number(step)),
                ],
            ),
            Find::Unknown => with("unknown", Vec::new()),
        };
        Answer::Map(vec![
            (Answer::word("flags"), set_of(&self.flags)),
            (Answer::word("begin_search"), begin),
            (Answer::word("find_keys"), find),
        ])
    }

    /// Whether the arguments are no keys, such as shard channels.
    pub(crate) fn is_not_key(&self) -> bool {
        self.flags.contains(&"not_key")
    }

    fn is_known(&self) -> bool {
        self.begin != Begin::Unknown && self.find != Find::Unknown
    }

    /// The indexes of the keys among the arguments; `None` if there are fewer than their number says.
    fn positions(&self, arguments: &[&[u8]]) -> Option<Vec<usize>> {
        let begin = match self.begin {
            Begin::Index(index) => index,
            Begin::Keyword(word, from) => {
                let is = |at: &usize| arguments[*at].eq_ignore_ascii_case(word.as_bytes());
                let found = if from < 0 {
                    let until = arguments.len().saturating_sub(from.unsigned_abs() as usize - 1);
                    (1..until.min(arguments.len())).rev().find(is)
                } else {
                    (from as usize..arguments.len()).find(is)
                };
                match found {
                    Some(at) => at + 1,
                    None => return Some(Vec::new()),
                }
            }
            Begin::Unknown => return Some(Vec::new()),
        };
        Some(match self.find {
            Find::Range { last, step, limit } => {
                let end = if last < 0 {
                    let rest = arguments.len().saturating_sub(begin) as i64;
                    // The limit says which part of the rest are keys.
                    let rest = if last == -1 && limit > 1 { rest / limit } else { rest + last + 1 };
                    begin.saturating_add(usize::try_from(rest).unwrap_or(0))
                } else {
                    begin.saturating_add(last as usize + 1)
                };
                (begin..end.min(arguments.len())).step_by(step.max(1)).collect()
            }
            Find::Counted { number, first, step } => {
                let count = arguments.get(begin + number).and_then(|text| integer(text));
                let count = usize::try_from(count?).ok()?;
                let keys = (begin + first..arguments.len()).step_by(step.max(1));
                let keys: Vec<usize> = keys.take(count).collect();
                if keys.len() < count {
                    return None;
                }
                keys
            }
            Find::Unknown => Vec::new(),
        })
    }

    /// What a command with these arguments does with its keys.
    fn flags_with(&self, arguments: &[&[u8]]) -> Vec<&'static str> {
        let mut flags: Vec<&str> =
            self.flags.iter().copied().filter(|flag| *flag != "variable_flags").collect();
        if flags.len() == self.flags.len() {
            return flags;
        }
        let name = arguments.first().map(|name| name.to_ascii_lowercase()).unwrap_or_default();
        let has = |word: &str| {
            let word = word.as_bytes();
            arguments.iter().skip(2).any(|argument| argument.eq_ignore_ascii_case(word))
        };
        if name == b"set" && !has("get") {
            flags = vec!["OW", "update"];
        } else if name == b"bitfield" && !has("set") && !has("incrby") {
            flags = vec!["RO", "access"];
        }
        flags
    }
}

/// Keys, each with what a command does with it.
pub(crate) type KeysAndFlags<'a> = Vec<(&'a [u8], Vec<&'static str>)>;

/// The keys of a command with these arguments, and what it does with them; none if the arguments are
/// malformed.
pub(crate) fn keys_and_flags<'a>(command: &Command, arguments: &[&'a [u8]]) -> KeysAndFlags<'a> {
    let specs = of(command);
    let is_key = |spec: &&KeySpec| !spec.is_not_key();
    if specs.iter().all(KeySpec::is_known) {
        let each = |spec: &KeySpec| {
            let flags = spec.flags_with(arguments);
            let keys = spec.positions(arguments)?.into_iter().map(|at| arguments[at]);
            Some(keys.map(|key| (key, flags.clone())).collect::<Vec<_>>())
        };
        let all: Option<Vec<_>> = specs.iter().filter(is_key).map(each).collect();
        return all.unwrap_or_default().concat();
    }
    // What is known follows from the table; such as `SORT`, whose options name more keys.
    let keys = command.keys_of(arguments);
    // The last specification is that of keys at which options store something.
    let spec = |at: usize| if at == 0 { specs.first() } else { specs.last() };
    let flags = |at: usize| spec(at).map_or_else(Vec::new, |spec| spec.flags.clone());
    keys.into_iter().enumerate().map(|(at, key)| (key, flags(at))).collect()
}

/// Flags as a reply.
pub(crate) fn flags_answer(flags: &[&str]) -> Answer {
    set_of(flags)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn spec(text: &'static str) -> KeySpec {
        parse_one(text).expect(text)
    }

    fn found(text: &'static str, line: &'static str) -> String {
        let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        let Some(positions) = spec(text).positions(&args) else { return "malformed".into() };
        let keys = positions.into_iter().map(|at| args[at]);
        keys.map(|key| String::from_utf8_lossy(key)).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn keys_are_found_by_index_number_and_keyword() {
        assert_eq!(found("RO|i1|r0,1,0", "get a"), "a");
        assert_eq!(found("OW|i1|r-1,2,0", "mset a 1 b 2"), "a b");
        assert_eq!(found("RW|i1|r-2,1,0", "blpop a b 0"), "a b");
        assert_eq!(found("RO|i2|n0,1,1", "zunionstore d 2 a b weights 1 2"), "a b");
        assert_eq!(found("RO|i2|n0,1,1", "zunionstore d 2 a"), "malformed");
        assert_eq!(found("RO|i2|n0,1,1", "zunionstore d 1443677133621497600 a"), "malformed");
        assert_eq!(found("RO|i2|n0,1,1", "zunionstore d x a"), "malformed");
        assert_eq!(found("RO|kSTREAMS,1|r-1,1,2", "xread count 2 streams a b 0 0"), "a b");
        assert_eq!(found("RO|kSTREAMS,1|r-1,1,2", "xread count 2"), "");
        assert_eq!(found("RO|u|u", "sort a"), "");
    }

    proptest! {
        #[test]
        fn any_arguments_have_keys_among_them(
            args in proptest::collection::vec("[0-9a-z-]{0,4}", 0..6),
            which in 0..5_usize,
        ) {
            let specs = ["RO|i1|r0,1,0", "OW|i1|r-1,2,0", "RO|i2|n0,1,1", "RO|kab,-2|r-1,1,2", "RO|kab,1|r-2,1,0"];
            let args: Vec<&[u8]> = args.iter().map(|arg| arg.as_bytes()).collect();
            let positions = spec(specs[which]).positions(&args).unwrap_or_default();
            prop_assert!(positions.iter().all(|at| *at < args.len()));
        }
    }
}
