//! The arguments of commands, for `COMMAND DOCS`: clients such as redis-cli show them as hints.
//!
//! `syntax.txt` has a line for each command with arguments: its name, and the arguments, separated by
//! spaces.
//!
//! | form | argument |
//! |---|---|
//! | `name:t` | a value of a type: `s` string, `i` integer, `d` double, `p` pattern, `t` Unix time, `k` key; then comes the index of its key specification, if it has one |
//! | `TOKEN` or `name=TOKEN` | a word that is written as it is; in quotes if it is not in capital letters |
//! | `name(a\|b)` | one of several arguments |
//! | `name{a b}` | arguments that belong together |
//! | `TOKEN>argument` | an argument after a word |
//!
//! After an argument, `?` says that it is optional, `*` that it may be repeated, `+` that its token is
//! repeated as well, and `@` since which version of Redis there is such an argument.

use std::collections::HashMap;
use std::sync::LazyLock;

use convoke_grid::Reply;

use super::super::answer::Answer;

/// The types of values, by their letters.
const TYPES: [(char, &str); 6] = [
    ('s', "string"),
    ('i', "integer"),
    ('d', "double"),
    ('p', "pattern"),
    ('t', "unix-time"),
    ('k', "key"),
];
/// Arguments in arguments, at most.
const DEPTH_MAX: usize = 16;

/// The type of an argument.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// A value of one of [`TYPES`], with the index of the key specification.
    Value(&'static str, Option<i64>),
    /// Only its token.
    PureToken,
    OneOf(Vec<Argument>),
    Block(Vec<Argument>),
}

/// An argument of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Argument {
    name: String,
    kind: Kind,
    token: Option<String>,
    is_optional: bool,
    is_multiple: bool,
    has_multiple_token: bool,
    since: Option<&'static str>,
}

impl Argument {
    fn answer(&self) -> Answer {
        let (kind, parts) = match &self.kind {
            Kind::Value(name, _) => (*name, None),
            Kind::PureToken => ("pure-token", None),
            Kind::OneOf(parts) => ("oneof", Some(parts)),
            Kind::Block(parts) => ("block", Some(parts)),
        };
        let mut fields = vec![("name", Answer::word(&self.name)), ("type", Answer::word(kind))];
        if let Kind::Value(_, Some(spec)) = self.kind {
            fields.push(("key_spec_index", Answer::integer(spec)));
        }
        if let Some(token) = &self.token {
            fields.push(("token", Answer::word(token)));
        }
        if let Some(since) = self.since {
            fields.push(("since", Answer::word(since)));
        }
        let flags = [
            (self.is_optional, "optional"),
            (self.is_multiple, "multiple"),
            (self.has_multiple_token, "multiple_token"),
        ];
        let flags = flags.into_iter().filter(|(is_set, _)| *is_set);
        let flags: Vec<Reply> = flags.map(|(_, name)| Reply::Word(name.into())).collect();
        if !flags.is_empty() {
            fields.push(("flags", Answer::Reply(Reply::Set(flags))));
        }
        if let Some(parts) = parts {
            fields.push(("arguments", answers(parts)));
        }
        let named = |(name, value)| (Answer::word(name), value);
        Answer::Map(fields.into_iter().map(named).collect())
    }
}

fn answers(arguments: &[Argument]) -> Answer {
    Answer::List(arguments.iter().map(Argument::answer).collect())
}

/// The arguments of a command; `None` if it has none.
pub(crate) fn arguments_of(command: &str) -> Option<Answer> {
    SYNTAX.get(command).map(|arguments| answers(arguments))
}

/// The arguments of all commands that have some. A line that is malformed is left out.
static SYNTAX: LazyLock<HashMap<&'static str, Vec<Argument>>> = LazyLock::new(|| {
    let lines = lines().filter_map(|line| {
        let (name, text) = line.split_once(' ')?;
        let mut reader = Reader { rest: text, depth: 0 };
        let arguments = reader.list(' ')?;
        reader.rest.is_empty().then_some((name, arguments))
    });
    lines.collect()
});

fn lines() -> impl Iterator<Item = &'static str> {
    include_str!("syntax.txt").lines().filter(|line| !line.starts_with('#'))
}

/// Reads arguments.
struct Reader {
    rest: &'static str,
    depth: usize,
}

impl Reader {
    /// Consumes a character, if it is the next one.
    fn take(&mut self, wanted: char) -> bool {
        match self.rest.strip_prefix(wanted) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Consumes the text before the first character that `ends` it.
    fn until(&mut self, ends: impl Fn(char) -> bool) -> &'static str {
        let at = self.rest.find(ends).unwrap_or(self.rest.len());
        let (text, rest) = self.rest.split_at(at);
        self.rest = rest;
        text
    }

    /// Arguments with this separator.
    fn list(&mut self, separator: char) -> Option<Vec<Argument>> {
        self.depth += 1;
        let mut all = Vec::new();
        while self.depth <= DEPTH_MAX {
            all.push(self.argument()?);
            if !self.take(separator) {
                self.depth -= 1;
                return Some(all);
            }
        }
        None
    }

    /// A token: in quotes, or in capital letters.
    fn token(&mut self) -> Option<String> {
        let text = if self.take('\'') {
            let text = self.until(|end| end == '\'');
            self.take('\'').then_some(text)?
        } else {
            self.until(|c| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '-'))
        };
        (!text.is_empty()).then(|| text.to_owned())
    }

    fn argument(&mut self) -> Option<Argument> {
        let before = self.rest;
        let mut token = self.token();
        if token.is_some() && self.take('>') {
            let mut argument = self.argument()?;
            argument.token = token;
            return Some(argument);
        }
        let is_end = |c: Option<char>| c.is_none_or(|c| "?*+@ |)}".contains(c));
        let (name, kind) = if let Some(token) = &token
            && is_end(self.rest.chars().next())
        {
            (token.to_ascii_lowercase(), Kind::PureToken)
        } else {
            self.rest = before;
            token = None;
            let name = self.until(|c| "=(){}|?*+@ ".contains(c));
            if self.take('=') {
                token = Some(self.token()?);
                (name.to_owned(), Kind::PureToken)
            } else if self.take('(') {
                let parts = self.list('|')?;
                self.take(')').then(|| (name.to_owned(), Kind::OneOf(parts)))?
            } else if self.take('{') {
                let parts = self.list(' ')?;
                self.take('}').then(|| (name.to_owned(), Kind::Block(parts)))?
            } else {
                let (name, kind) = name.rsplit_once(':')?;
                let letter = kind.chars().next()?;
                let (_, of) = TYPES.into_iter().find(|(of, _)| *of == letter)?;
                let spec = kind.get(1..).filter(|spec| !spec.is_empty());
                let spec = spec.map(|spec| spec.parse().ok()).map_or(Some(None), |at| at.map(Some));
                (name.to_owned(), Kind::Value(of, spec?))
            }
        };
        let (is_optional, is_multiple) = (self.take('?'), self.take('*'));
        let has_multiple_token = self.take('+');
        let since = self.take('@').then(|| self.until(|c| !(c.is_ascii_digit() || c == '.')));
        Some(Argument { name, kind, token, is_optional, is_multiple, has_multiple_token, since })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{call, client_of, server_on, single_member_grid};
    use crate::trust::{Passwords, Trust};

    fn parsed(text: &'static str) -> Vec<Argument> {
        let mut reader = Reader { rest: text, depth: 0 };
        let all = reader.list(' ').unwrap_or_else(|| panic!("{text}"));
        assert_eq!(reader.rest, "", "{text}");
        all
    }

    /// The number of words of an argument, at least and at most; `None` if there is no bound.
    fn words(argument: &Argument) -> (usize, Option<usize>) {
        let (least, most) = match &argument.kind {
            Kind::PureToken => (0, Some(0)),
            Kind::Value(..) => (1, Some(1)),
            Kind::OneOf(parts) => {
                let all = parts.iter().map(words);
                all.reduce(|a, b| (a.0.min(b.0), a.1.zip(b.1).map(|(a, b)| a.max(b)))).unwrap()
            }
            Kind::Block(parts) => words_of(parts),
        };
        let token = usize::from(argument.token.is_some());
        let least = if argument.is_optional { 0 } else { token + least };
        (least, most.filter(|_| !argument.is_multiple).map(|most| token + most))
    }

    fn words_of(all: &[Argument]) -> (usize, Option<usize>) {
        let add = |sum: (usize, Option<usize>), more: (usize, Option<usize>)| {
            (sum.0 + more.0, sum.1.zip(more.1).map(|(a, b)| a + b))
        };
        all.iter().map(words).fold((0, Some(0)), add)
    }

    #[test]
    fn arguments_are_parsed_with_tokens_flags_and_parts() {
        let all =
            parsed("key:k1 GET? op='~' LIMIT>count:i?@6.2.0 c(NX|XX)?*+ ip:port:s d{a:s b:d}*");
        let names: Vec<&str> = all.iter().map(|one| &*one.name).collect();
        assert_eq!(names, ["key", "get", "op", "count", "c", "ip:port", "d"]);
        assert_eq!(all[0].kind, Kind::Value("key", Some(1)));
        assert_eq!((all[1].token.as_deref(), all[1].is_optional), (Some("GET"), true));
        assert_eq!((all[2].token.as_deref(), &all[2].kind), (Some("~"), &Kind::PureToken));
        assert_eq!((all[3].token.as_deref(), all[3].since), (Some("LIMIT"), Some("6.2.0")));
        assert!(all[4].is_multiple && all[4].has_multiple_token);
        assert!(matches!(&all[6].kind, Kind::Block(parts) if parts.len() == 2));
        for wrong in ["", "key", "key:x", "a(b:s", "a{b:s", "A>", "a:kx", "'a"] {
            let mut reader = Reader { rest: wrong, depth: 0 };
            assert_eq!(reader.list(' '), None, "{wrong}");
        }
    }

    /// The lines are in order, and their arguments are as many as the commands accept.
    #[tokio::test]
    async fn all_commands_with_arguments_have_a_line_that_fits_their_arity() {
        let names: Vec<&str> = lines().filter_map(|line| Some(line.split_once(' ')?.0)).collect();
        assert!(names.is_sorted(), "{names:?}");
        assert_eq!(SYNTAX.len(), lines().count(), "a line is malformed");
        let server = server_on(single_member_grid(), Passwords::default());
        let mut client = client_of(&server, Trust::Full);
        let Answer::List(listed) = call(&mut client, &[b"command", b"list"]).await else {
            panic!("a list")
        };
        let (mut seen, mut unfit) = (0, Vec::new());
        for name in listed {
            let Answer::Reply(Reply::Bytes(name)) = name else { panic!("{name:?}") };
            let info = call(&mut client, &[b"command", b"info", &name]).await;
            let Answer::List(info) = info else { panic!("{info:?}") };
            let Answer::List(info) = &info[0] else { panic!("{info:?}") };
            let Answer::Reply(Reply::Integer(arity)) = info[1] else { panic!("{info:?}") };
            let name = std::str::from_utf8(&name).unwrap();
            let Some(arguments) = SYNTAX.get(name) else {
                let is_container = matches!(&info[9], Answer::Set(parts) if !parts.is_empty());
                let own = 1 + i64::from(name.contains('|'));
                assert!(is_container || arity.abs() == own, "{name} has arguments");
                continue;
            };
            seen += 1;
            let own = 1 + usize::from(name.contains('|'));
            let (least, most) = words_of(arguments);
            let wanted = arity.unsigned_abs() as usize;
            let fits = if arity > 0 {
                (own + least, most.map(|most| own + most)) == (wanted, Some(wanted))
            } else {
                // Redis reports its own error for some commands with too few arguments.
                own + least >= wanted
                    && most.is_none_or(|most| most > least || own + least > wanted)
            };
            if !fits {
                unfit.push(format!("{name}: {} to {most:?}, and {arity}", own + least));
            }
        }
        assert_eq!(unfit, [""; 0]);
        assert_eq!(seen, SYNTAX.len(), "a line is of no command");
    }
}
