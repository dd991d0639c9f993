//! Script files: comments, commands, and the output that is expected below them.

/// The line between commands and their output.
const DIVIDER: &str = "----";

/// A part of a script.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// A comment or a blank line.
    Text(String),
    Step(Step),
}

/// Commands and their output.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// The line of the first command, from 1.
    pub(crate) line: usize,
    /// Commands in consecutive lines.
    pub(crate) commands: Vec<String>,
    /// Lines, each with its line end.
    pub(crate) output: String,
}

/// An error in a script, with the line.
pub(crate) type LineError = (usize, String);

/// Parses a script. Commands without output are an error, unless the outputs are about to be
/// written.
pub(crate) fn parse(text: &str, is_rewritten: bool) -> Result<Vec<Part>, LineError> {
    let is_text = |line: &str| line.trim().is_empty() || line.starts_with('#');
    let mut lines = (1..).zip(text.lines()).peekable();
    let mut parts = Vec::new();
    while let Some((first, line)) = lines.next() {
        if is_text(line) {
            parts.push(Part::Text(line.into()));
            continue;
        }
        if line == DIVIDER {
            return Err((first, format!("{DIVIDER} without a command above it")));
        }
        let mut commands = vec![line.to_owned()];
        while let Some((_, line)) = lines.next_if(|(_, l)| *l != DIVIDER && !is_text(l)) {
            commands.push(line.into());
        }
        let has_output = lines.next_if(|(_, line)| *line == DIVIDER).is_some();
        if !has_output && !is_rewritten {
            let text = format!("no {DIVIDER} and no output below {line:?}; REWRITE=1 writes them");
            return Err((first, text));
        }
        let mut output = String::new();
        while has_output && let Some((number, line)) = lines.next_if(|(_, l)| !l.trim().is_empty())
        {
            if line == DIVIDER {
                return Err((number, format!("a second {DIVIDER}; a blank line ends an output")));
            }
            output += line;
            output.push('\n');
        }
        parts.push(Part::Step(Step { line: first, commands, output }));
    }
    if !parts.iter().any(|part| matches!(part, Part::Step(_))) {
        return Err((1, "no command".into()));
    }
    Ok(parts)
}

/// The text of a script.
pub(crate) fn format(parts: &[Part]) -> String {
    let mut text = String::new();
    for (at, part) in parts.iter().enumerate() {
        match part {
            Part::Text(line) => text += &format!("{line}\n"),
            Part::Step(Step { commands, output, .. }) => {
                text += &format!("{}\n{DIVIDER}\n{output}", commands.join("\n"));
                // A blank line ends the output.
                let is_blank = |part: &Part| matches!(part, Part::Text(l) if l.trim().is_empty());
                if parts.get(at + 1).is_some_and(|next| !is_blank(next)) {
                    text.push('\n');
                }
            }
        }
    }
    text
}

#[test]
fn a_script_is_written_as_it_was_read() {
    let text = "# A comment.\nfirst\nsecond\n----\none\ntwo\n\n\n# Another one.\nthird 3\n----\n";
    let parts = parse(text, false).expect("a script");
    assert_eq!(format(&parts), text);
    let commands = vec!["first".into(), "second".into()];
    assert_eq!(parts[1], Part::Step(Step { line: 2, commands, output: "one\ntwo\n".into() }));
}

#[test]
fn outputs_may_be_missing_when_they_are_written() {
    let text = "first\nsecond\n\nthird\n# End.\n";
    let parts = parse(text, true).expect("a script");
    assert_eq!(format(&parts), "first\nsecond\n----\n\nthird\n----\n\n# End.\n");
    let error = r#"no ---- and no output below "first"; REWRITE=1 writes them"#;
    assert_eq!(parse(text, false), Err((1, error.into())));
}

#[test]
fn text_that_belongs_to_no_command_is_an_error() {
    for (text, line, error) in [
        ("# Nothing.\n", 1, "no command"),
        ("first\n----\nok\n\n----\n", 5, "---- without a command above it"),
        ("first\n----\nok\n----\n", 4, "a second ----; a blank line ends an output"),
        (
            "first\n----\nok\n\nleft over\n",
            5,
            r#"no ---- and no output below "left over"; REWRITE=1 writes them"#,
        ),
    ] {
        assert_eq!(parse(text, false), Err((line, error.into())));
    }
}
