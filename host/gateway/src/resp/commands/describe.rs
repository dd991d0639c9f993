//! Commands that describe commands: `COMMAND`, and `HELP` of commands with subcommands.

use convoke_grid::Reply;
use convoke_grid::glob::Glob;

use super::super::answer::{Answer, CommandError};
use super::super::args::Args;
use super::super::client::Client;
use super::super::command::{Command, CommandTable, Keys};
use super::super::command_state::CommandResult;
use super::super::request::Request;
use super::facts::{Fact, fact};
use super::{key_specs, syntax};

/// A container command without a subcommand: a wrong number of arguments.
pub(crate) fn container(_: &mut Client, request: &Request<'_>) -> CommandResult {
    let name = String::from_utf8_lossy(request.get(0).unwrap_or_default()).to_ascii_lowercase();
    Err(CommandError::arity(&name))
}

/// `HELP` of a container command: its subcommands with their summaries.
pub(crate) fn help(_: &mut Client, table: &CommandTable, request: &Request<'_>) -> CommandResult {
    let container = request.get(0).and_then(|name| table.row(name));
    let container = container.ok_or(CommandError::SYNTAX)?;
    let line = |text: String| Answer::Reply(Reply::Word(text));
    let name = container.name.to_uppercase();
    let first = format!("{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:");
    let mut lines = vec![line(first)];
    for part in table.subcommands(container) {
        let (_, word) = part.name.split_once('|').unwrap_or_default();
        lines.push(line(word.to_uppercase()));
        lines.push(line(format!("    {}", part.summary)));
    }
    Ok(Answer::List(lines).into())
}

/// `MODULE LIST`: there are no modules.
pub(crate) fn module_list(_: &mut Client, _: &Request<'_>) -> CommandResult {
    Ok(Answer::List(Vec::new()).into())
}

/// `COMMAND LIST [FILTERBY MODULE name | ACLCAT category | PATTERN glob]`. There are no modules, so
/// `MODULE` matches nothing.
pub(crate) fn command_list(
    _: &mut Client,
    table: &CommandTable,
    request: &Request<'_>,
) -> CommandResult {
    let mut args = Args::new(request, 2);
    let mut fits: Box<dyn Fn(&Command) -> bool> = Box::new(|_| true);
    if args.remaining() > 0 {
        if !args.take_keyword("filterby") || args.remaining() != 2 {
            return Err(CommandError::SYNTAX);
        }
        if args.take_keyword("pattern") {
            let glob = Glob::new(&args.next()?.to_ascii_lowercase());
            fits = Box::new(move |command| glob.matches(command.name.as_bytes()));
        } else if args.take_keyword("aclcat") {
            let wanted = args.next()?.to_ascii_lowercase();
            fits = Box::new(move |command| {
                command.categories().iter().any(|category| category.as_bytes() == wanted)
            });
        } else if args.take_keyword("module") {
            fits = Box::new(|_| false);
        } else {
            return Err(CommandError::SYNTAX);
        }
    }
    let found = table.rows.iter().filter(|command| fits(command));
    Ok(Answer::List(found.map(|command| Answer::word(command.name)).collect()).into())
}

/// Commands that are not subcommands.
fn top_level_commands(table: &CommandTable) -> impl Iterator<Item = &'static Command> {
    table.rows.iter().filter(|command| !command.is_subcommand())
}

/// The rows of the commands that a request names, each as `command` or `command|subcommand`.
fn requested_rows<'r>(
    table: &'r CommandTable,
    request: &'r Request<'_>,
) -> impl Iterator<Item = Option<&'static Command>> + 'r {
    request.from(2).map(|name| table.row(name))
}

/// A command as `COMMAND INFO` describes it, with its subcommands.
fn info_entry(table: &CommandTable, command: &Command) -> Answer {
    let (first, last, step) = match command.keys {
        Keys::DestinationAndCounted | Keys::SortedAndStored | Keys::FirstAndStored(_) => (1, 1, 1),
        Keys::None | Keys::Counted(_) | Keys::CountedPairs(_) | Keys::Streams => (0, 0, 0),
        Keys::Every { first, last, step } => (first as i64, last, step as i64),
    };
    let fact = fact(command.name);
    let words = |text: fn(&Fact) -> &'static str| {
        let text = fact.map(text).unwrap_or_default();
        text.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>()
    };
    let set = |words: Vec<String>| {
        Answer::Reply(Reply::Set(words.into_iter().map(Reply::Word).collect()))
    };
    let bulks = |words: Vec<&str>| {
        Answer::Reply(Reply::Set(words.iter().map(|word| Reply::bytes(word.as_bytes())).collect()))
    };
    let categories = command.categories().into_iter().map(|name| format!("@{name}"));
    let flags = command.flag_names().into_iter().chain(words(|fact| fact.flags));
    let specs = key_specs::of(command);
    Answer::List(vec![
        Answer::word(command.name),
        Answer::integer(command.arity.into()),
        set(flags.map(str::to_owned).collect()),
        Answer::integer(first),
        Answer::integer(last),
        Answer::integer(step),
        set(categories.collect()),
        bulks(words(|fact| fact.tips)),
        Answer::Set(specs.iter().map(key_specs::KeySpec::answer).collect()),
        Answer::Set(table.subcommands(command).map(|part| info_entry(table, part)).collect()),
    ])
}

fn docs_entry(table: &CommandTable, command: &Command) -> (Answer, Answer) {
    let mut fields = vec![
        (Answer::word("summary"), Answer::word(command.summary)),
        (
            Answer::word("since"),
            Answer::word(fact(command.name).map_or("1.0.0", |fact| fact.since)),
        ),
        (Answer::word("group"), Answer::word(command.group.name())),
    ];
    if let Some(arguments) = syntax::arguments_of(command.name) {
        fields.push((Answer::word("arguments"), arguments));
    }
    let parts: Vec<_> = table.subcommands(command).map(|part| docs_entry(table, part)).collect();
    if !parts.is_empty() {
        fields.push((Answer::word("subcommands"), Answer::Map(parts)));
    }
    (Answer::word(command.name), Answer::Map(fields))
}

pub(crate) fn command(_: &mut Client, table: &CommandTable, _: &Request<'_>) -> CommandResult {
    Ok(Answer::List(top_level_commands(table).map(|row| info_entry(table, row)).collect()).into())
}

pub(crate) fn command_count(
    _: &mut Client,
    table: &CommandTable,
    _: &Request<'_>,
) -> CommandResult {
    Ok(Answer::count(top_level_commands(table).count()).into())
}

pub(crate) fn command_info(
    client: &mut Client,
    table: &CommandTable,
    request: &Request<'_>,
) -> CommandResult {
    if request.len() == 2 {
        return command(client, table, request);
    }
    let all = requested_rows(table, request)
        .map(|row| row.map_or(Answer::NIL, |row| info_entry(table, row)));
    Ok(Answer::List(all.collect()).into())
}

pub(crate) fn command_docs(
    _: &mut Client,
    table: &CommandTable,
    request: &Request<'_>,
) -> CommandResult {
    let all = if request.len() == 2 {
        top_level_commands(table).map(|row| docs_entry(table, row)).collect()
    } else {
        requested_rows(table, request).flatten().map(|row| docs_entry(table, row)).collect()
    };
    Ok(Answer::Map(all).into())
}

/// The keys of the command that a request names with its arguments.
fn requested_keys<'a>(
    table: &CommandTable,
    request: &Request<'a>,
) -> Result<key_specs::KeysAndFlags<'a>, CommandError> {
    let rest: Vec<&[u8]> = request.from(2).collect();
    let name = rest.first().copied().unwrap_or_default();
    let row = table.resolve(name, rest.get(1).copied());
    let command = row.map(|index| &table.rows[index]);
    let command = command.map_err(|_| CommandError::new("ERR Invalid command specified"))?;
    let specs = key_specs::of(command);
    if specs.is_empty() || specs.iter().all(|spec| spec.is_not_key()) {
        return Err(CommandError::new("ERR The command has no key arguments"));
    }
    if !command.takes(rest.len()) {
        return Err(CommandError::new("ERR Invalid number of arguments specified for command"));
    }
    let keys = key_specs::keys_and_flags(command, &rest);
    let may_be_none =
        fact(command.name).is_some_and(|fact| fact.flags.contains("no_mandatory_keys"));
    if keys.is_empty() && !may_be_none {
        return Err(CommandError::new("ERR Invalid arguments specified for command"));
    }
    Ok(keys)
}

pub(crate) fn command_getkeys(
    _: &mut Client,
    table: &CommandTable,
    request: &Request<'_>,
) -> CommandResult {
    let keys = requested_keys(table, request)?;
    Ok(Answer::List(keys.into_iter().map(|(key, _)| Answer::bytes(key)).collect()).into())
}

pub(crate) fn command_getkeysandflags(
    _: &mut Client,
    table: &CommandTable,
    request: &Request<'_>,
) -> CommandResult {
    let entry = |(key, flags): (&[u8], Vec<&str>)| {
        Answer::List(vec![Answer::bytes(key), key_specs::flags_answer(&flags)])
    };
    let keys = requested_keys(table, request)?;
    Ok(Answer::List(keys.into_iter().map(entry).collect()).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{call, client_of, server_on, single_member_grid};
    use crate::trust::{Passwords, Trust};

    fn list(answer: Answer) -> Vec<Answer> {
        match answer {
            Answer::List(all) | Answer::Set(all) => all,
            answer => panic!("{answer:?}"),
        }
    }

    /// The replies are those of Redis 7.0.
    #[tokio::test]
    async fn keys_have_the_flags_of_their_specifications() {
        let server = server_on(single_member_grid(), Passwords::default());
        let mut client = client_of(&server, Trust::Full);
        for (line, expected) in [
            ("set k1 v1", "k1 OW update"),
            ("set k1 v1 get", "k1 RW access update"),
            ("mset k1 v1 k2 v2", "k1 OW update, k2 OW update"),
            ("lmove k1 k2 left right", "k1 RW access delete, k2 RW insert"),
            ("sort k1 by w get g store k2", "k1 RO access, k2 OW update"),
            ("sort_ro k1 by w", "k1 RO access"),
            ("georadius k1 0 0 1 km store k2", "k1 RO access, k2 OW update"),
            ("eval x 2 k1 k2 a", "k1 RW access update, k2 RW access update"),
            ("bitfield_ro k1 get u8 0", "k1 RO access"),
        ] {
            let mut words: Vec<&[u8]> = vec![b"command", b"getkeysandflags"];
            words.extend(line.split(' ').map(str::as_bytes));
            let found = list(call(&mut client, &words).await).into_iter().map(|entry| {
                let entry = list(entry);
                let [Answer::Reply(Reply::Bytes(key)), Answer::Reply(Reply::Set(flags))] =
                    &entry[..]
                else {
                    panic!("{entry:?}")
                };
                let mut words = vec![String::from_utf8_lossy(key).into_owned()];
                words.extend(flags.iter().map(|flag| match flag {
                    Reply::Word(flag) => flag.clone(),
                    flag => panic!("{flag:?}"),
                }));
                words.join(" ")
            });
            assert_eq!(found.collect::<Vec<_>>().join(", "), expected, "{line}");
        }
    }

    #[tokio::test]
    async fn subcommands_appear_in_command_list_info_and_docs() {
        let server = server_on(single_member_grid(), Passwords::default());
        let mut client = client_of(&server, Trust::Full);
        let pattern: [&[u8]; 5] = [b"command", b"list", b"filterby", b"pattern", b"CLIENT|k*"];
        let listed = list(call(&mut client, &pattern).await);
        assert_eq!(listed, [Answer::word("client|kill")]);
        let category: [&[u8]; 5] = [b"command", b"list", b"filterby", b"aclcat", b"admin"];
        let admin = list(call(&mut client, &category).await);
        assert!(
            admin.contains(&Answer::word("config|set"))
                && !admin.contains(&Answer::word("client|id"))
        );

        let names: [&[u8]; 5] = [b"command", b"info", b"client|kill", b"client", b"client|no"];
        let infos = list(call(&mut client, &names).await);
        let kill = list(infos[0].clone());
        assert_eq!((&kill[0], &kill[1]), (&Answer::word("client|kill"), &Answer::integer(-3)));
        let set = |answer: &Answer| {
            let Answer::Reply(Reply::Set(all)) = answer else { panic!("{answer:?}") };
            all.iter().map(|one| format!("{one:?}")).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            set(&kill[2]),
            r#"Word("admin") Word("noscript") Word("loading") Word("stale")"#
        );
        assert!(set(&kill[6]).contains("@dangerous"));
        assert!(list(list(infos[1].clone())[9].clone()).contains(&infos[0]));
        assert_eq!(infos[2], Answer::NIL);

        let docs = call(&mut client, &[b"command", b"docs", b"client"]).await;
        let Answer::Map(docs) = docs else { panic!("{docs:?}") };
        let Answer::Map(fields) = &docs[0].1 else { panic!("{docs:?}") };
        let parts = fields.iter().find(|(name, _)| *name == Answer::word("subcommands"));
        let Some((_, Answer::Map(parts))) = parts else { panic!("{fields:?}") };
        assert!(parts.iter().any(|(name, _)| *name == Answer::word("client|kill")));
        let count = call(&mut client, &[b"command", b"count"]).await;
        assert_eq!(count, Answer::count(list(call(&mut client, &[b"command"]).await).len()));
    }
}
