//! What operators watch: `MONITOR`, `SLOWLOG` and `LATENCY`, of this member.

use std::fmt::Write as _;

use convoke_grid::Reply;

use super::super::answer::{Answer, CommandError};
use super::super::args::{Args, expect};
use super::super::client::Client;
use super::super::command::CommandTable;
use super::super::command_state::CommandResult;
use super::super::request::Request;
use super::super::slow_log::{LatencyEvent, SlowCommand};
use super::super::stats::CommandFigures;
use crate::clock::unix_ms;

/// Number of slow commands that `SLOWLOG GET` returns by default.
const SLOW_DEFAULT: usize = 10;
/// Height of the graph of an event, in lines.
const GRAPH_LINES: u64 = 4;
/// Number of samples in the graph of an event.
const GRAPH_COLUMNS: usize = 80;

pub(crate) fn monitor(client: &mut Client, _: &Request<'_>) -> CommandResult {
    client.server.monitors.add(&client.info);
    Ok(Answer::DONE.into())
}

pub(crate) fn slowlog_get(client: &mut Client, request: &Request<'_>) -> CommandResult {
    const WRONG: CommandError =
        CommandError::new("ERR count should be greater than or equal to -1");
    expect(request, "slowlog|get", 2..=3)?;
    let mut args = Args::new(request, 2);
    let count = match args.remaining() {
        0 => SLOW_DEFAULT,
        _ => match args.integer().map_err(|_| WRONG)? {
            -1 => usize::MAX,
            count => usize::try_from(count).map_err(|_| WRONG)?,
        },
    };
    let entry = |slow: &SlowCommand| {
        let arguments = slow.arguments.iter().map(|argument| Answer::bytes(argument)).collect();
        Answer::List(vec![
            number(slow.id),
            number(slow.unix_s),
            number(slow.time_us),
            Answer::List(arguments),
            Answer::word(&slow.peer),
            Answer::word(&slow.name),
        ])
    };
    Ok(Answer::List(client.server.stats.slow_log.commands(count).iter().map(entry).collect())
        .into())
}

pub(crate) fn slowlog_len(client: &mut Client, _: &Request<'_>) -> CommandResult {
    Ok(Answer::count(client.server.stats.slow_log.len()).into())
}

pub(crate) fn slowlog_reset(client: &mut Client, _: &Request<'_>) -> CommandResult {
    client.server.stats.slow_log.reset();
    Ok(Answer::DONE.into())
}

fn number(number: u64) -> Answer {
    Answer::integer(i64::try_from(number).unwrap_or(i64::MAX))
}

pub(crate) fn latest(client: &mut Client, _: &Request<'_>) -> CommandResult {
    let entry = |(name, event): (&str, LatencyEvent)| {
        let (at, ms) = event.samples.back().copied().unwrap_or_default();
        Answer::List(vec![Answer::word(name), number(at), number(ms), number(event.max_ms)])
    };
    Ok(Answer::List(client.server.stats.slow_log.events().into_iter().map(entry).collect()).into())
}

fn event(client: &Client, name: &[u8]) -> Option<LatencyEvent> {
    let events = client.server.stats.slow_log.events();
    events.into_iter().find(|(event, _)| event.as_bytes() == name).map(|(_, event)| event)
}

pub(crate) fn history(client: &mut Client, request: &Request<'_>) -> CommandResult {
    let event = event(client, request.get(2).unwrap_or_default()).unwrap_or_default();
    let sample = |(at, ms)| Answer::List(vec![number(at), number(ms)]);
    Ok(Answer::List(event.samples.into_iter().map(sample).collect()).into())
}

pub(crate) fn reset(client: &mut Client, request: &Request<'_>) -> CommandResult {
    let names: Vec<&[u8]> = request.from(2).collect();
    Ok(Answer::count(client.server.stats.slow_log.reset_events(&names)).into())
}

pub(crate) fn histogram(
    client: &mut Client,
    table: &CommandTable,
    request: &Request<'_>,
) -> CommandResult {
    // A container stands for its subcommands.
    let is_wanted = |figures: &&CommandFigures| {
        figures.calls > 0
            && (request.len() == 2
                || request.from(2).filter_map(|name| table.row(name)).any(|row| {
                    let name = figures.name;
                    name == row.name
                        || name.strip_prefix(row.name).is_some_and(|rest| rest.starts_with('|'))
                }))
    };
    let all = client.server.stats.commands();
    let entry = |figures: &CommandFigures| {
        let distribution = figures.distribution();
        let pairs = distribution.into_iter().map(|(us, count)| (number(us), number(count)));
        let fields = vec![
            (Answer::word("calls"), number(figures.calls)),
            (Answer::word("histogram_usec"), Answer::Map(pairs.collect())),
        ];
        (Answer::word(figures.name), Answer::Map(fields))
    };
    Ok(Answer::Map(all.iter().filter(is_wanted).map(entry).collect()).into())
}

pub(crate) fn doctor(client: &mut Client, _: &Request<'_>) -> CommandResult {
    let events = client.server.stats.slow_log.events();
    let min = client.server.stats.slow_log.latency_ms();
    if min == 0 {
        let text = "Latency events are not noted: CONFIG SET latency-monitor-threshold <milliseconds> sets the threshold of this member.\n";
        return Ok(Answer::verbatim(text).into());
    }
    if events.is_empty() {
        let text = format!("No command of this member has taken {min} ms or longer.\n");
        return Ok(Answer::verbatim(text).into());
    }
    let mut text = format!("Commands of this member that took {min} ms or longer, by event:\n\n");
    for (name, event) in events {
        let count = event.samples.len() as u64;
        let sum: u64 = event.samples.iter().map(|(_, ms)| ms).sum();
        let _ = writeln!(
            text,
            "{name}: {count} samples, {} ms on average, {} ms at most",
            sum / count.max(1),
            event.max_ms
        );
    }
    text.push_str(
        "\nSLOWLOG GET shows the commands. The time includes the replication to backups and the way to the member that holds the key.\n",
    );
    Ok(Answer::verbatim(text).into())
}

pub(crate) fn graph(client: &mut Client, request: &Request<'_>) -> CommandResult {
    let name = request.get(2).unwrap_or_default();
    let shown = String::from_utf8_lossy(&name[..name.len().min(128)]).into_owned();
    let event = event(client, name).ok_or_else(|| {
        CommandError(format!("ERR No samples available for event '{shown}'").into())
    })?;
    Ok(Answer::verbatim(draw(&shown, &event)).into())
}

/// The samples as columns, the latest on the right, each with its age below.
fn draw(name: &str, event: &LatencyEvent) -> String {
    let skipped = event.samples.len().saturating_sub(GRAPH_COLUMNS);
    let samples: Vec<(u64, u64)> = event.samples.iter().skip(skipped).copied().collect();
    let high = samples.iter().map(|(_, ms)| *ms).max().unwrap_or(0);
    let low = samples.iter().map(|(_, ms)| *ms).min().unwrap_or(0);
    let mut text =
        format!("{name} - high {high} ms, low {low} ms (all time high {} ms)\n", event.max_ms);
    text.push_str(&"-".repeat(GRAPH_COLUMNS));
    text.push('\n');
    for line in (0..GRAPH_LINES).rev() {
        for (_, ms) in &samples {
            let height = ms.saturating_sub(low) * GRAPH_LINES / (high - low).max(1);
            text.push(match height.cmp(&line) {
                std::cmp::Ordering::Greater => '|',
                std::cmp::Ordering::Equal => '_',
                std::cmp::Ordering::Less => ' ',
            });
        }
        text.push('\n');
    }
    let now_s = unix_ms() / 1_000;
    let ages: Vec<String> = samples.iter().map(|(at, _)| age(now_s.saturating_sub(*at))).collect();
    let lines = ages.iter().map(String::len).max().unwrap_or(0);
    text.push('\n');
    for line in 0..lines {
        text.extend(
            ages.iter().map(|age| age.as_bytes().get(line).map_or(' ', |c| char::from(*c))),
        );
        text.push('\n');
    }
    text
}

/// A time in seconds as a number with a unit.
fn age(s: u64) -> String {
    match s {
        0..60 => format!("{s}s"),
        60..3_600 => format!("{}m", s / 60),
        3_600..86_400 => format!("{}h", s / 3_600),
        _ => format!("{}d", s / 86_400),
    }
}

/// `HELP` of a container whose subcommands Redis documents with their arguments.
pub(crate) fn help(_: &mut Client, request: &Request<'_>) -> CommandResult {
    let name = String::from_utf8_lossy(request.get(0).unwrap_or_default()).to_uppercase();
    let lines: &[&str] = if name == "SLOWLOG" {
        &[
            "GET [<count>]",
            "    Returns slow commands, the latest first (default: 10; -1 for all).",
            "LEN",
            "    Returns the number of slow commands that are kept.",
            "RESET",
            "    Forgets the slow commands.",
            "HELP",
            "    Lists the subcommands.",
        ]
    } else {
        &[
            "DOCTOR",
            "    Returns a report on slow commands as text.",
            "GRAPH <event>",
            "    Returns the samples of an event as a graph of characters.",
            "HISTORY <event>",
            "    Returns the samples of an event.",
            "LATEST",
            "    Returns the latest sample of each event.",
            "RESET [<event> ...]",
            "    Forgets the samples of events, or of all.",
            "HISTOGRAM [COMMAND ...]",
            "    Returns how long the calls of commands took.",
            "HELP",
            "    Lists the subcommands.",
        ]
    };
    let first = format!("{name} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:");
    let word = |text: String| Answer::Reply(Reply::Word(text));
    let lines = lines.iter().map(|line| word((*line).to_owned()));
    Ok(Answer::List([word(first)].into_iter().chain(lines).collect()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_graph_shows_high_samples_as_high_columns() {
        let event = LatencyEvent { samples: [(1, 10), (2, 30), (3, 50)].into(), max_ms: 50 };
        let text = draw("command", &event);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "command - high 50 ms, low 10 ms (all time high 50 ms)");
        assert_eq!(&lines[2..6], ["  |", " _|", " ||", "_||"]);
    }

    #[test]
    fn ages_have_the_largest_unit() {
        assert_eq!([age(59), age(60), age(7_200), age(90_000)], ["59s", "1m", "2h", "1d"]);
    }
}
