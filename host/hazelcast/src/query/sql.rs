//! Predicates as texts: `age > 30 AND (name LIKE 'A%' OR NOT active)`.
//!
//! This is not SQL but Hazelcast's own small language, with its peculiarities: tokens are separated
//! by spaces, quotes are not needed, a name by itself is compared with `true`, and a list of `IN`
//! must not contain parentheses. From the highest precedence to the lowest: comparisons, `NOT`,
//! `AND`, `OR`.

use std::collections::HashMap;

use super::predicate::{Builder, Predicate};
use super::scalar::Scalar;
use super::{Error, TEXT_BYTES_MAX};

/// Maximum number of tokens.
const TOKENS_MAX: usize = 4096;

pub(super) fn parse(text: &str, builder: &mut Builder) -> Result<Predicate, Error> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(Error::Limit { what: "bytes in a predicate in SQL", limit: TEXT_BYTES_MAX });
    }
    let (unquoted, phrases) = take_phrases(text).ok_or_else(|| invalid(text))?;
    let aligned = align_lists(&unquoted).ok_or_else(|| invalid(text))?;
    let tokens = tokens(&aligned).ok_or_else(|| invalid(text))?;
    if tokens.len() > TOKENS_MAX {
        return Err(Error::Limit { what: "tokens in a predicate in SQL", limit: TOKENS_MAX });
    }
    Evaluator { text, phrases, stack: Vec::new(), builder }.run(postfix(tokens))
}

fn invalid(text: &str) -> Error {
    let text = text.chars().take(80).collect::<String>();
    Error::invalid(format!("{text:?} is not a valid predicate"))
}

/// Replaces texts in quotes with names: `$1` and so on.
fn take_phrases(text: &str) -> Option<(String, HashMap<String, String>)> {
    let (mut output, mut phrases) = (String::new(), HashMap::new());
    let mut rest = text;
    while let Some((before, quoted)) = rest.split_once('\'') {
        let end = end_of_phrase(quoted)?;
        let (phrase, after) = quoted.split_at(end);
        // Two quotes stand for one, unless there is nothing else.
        let phrase = if phrase.encode_utf16().count() > 2 {
            phrase.replace("''", "'")
        } else {
            phrase.into()
        };
        let name = format!("${}", phrases.len() + 1);
        output.push_str(before);
        output.push_str(&name);
        phrases.insert(name, phrase);
        rest = &after[1..];
    }
    output.push_str(rest);
    Some((output, phrases))
}

/// The next quote that is not one of two.
fn end_of_phrase(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = text.find('\'')?;
    while bytes.get(at + 1) == Some(&b'\'') {
        at = at + 2 + text.get(at + 2..)?.find('\'')?;
    }
    Some(at)
}

/// Makes each list of `IN` one token: without spaces, and apart from `IN`.
fn align_lists(text: &str) -> Option<String> {
    let (mut output, mut rest) = (String::new(), text);
    loop {
        let found =
            [" in ", " in(", " IN ", " IN("].iter().filter_map(|word| rest.find(word)).min();
        let Some(start) = found else { break };
        let (before, list) = rest.split_at(start + 3);
        output.push_str(before);
        if list.starts_with('(') {
            output.push(' ');
        }
        let open = list.find('(')?;
        let close = open + list.get(open..)?.find(')')?;
        output.push_str(&list[..open]);
        output.push_str(&list[open..=close].replace(' ', ""));
        rest = &list[close + 1..];
    }
    output.push_str(rest);
    Some(output)
}

/// Separated by spaces, and by operators.
fn tokens(text: &str) -> Option<Vec<String>> {
    let is_operator = |character: char| matches!(character, '(' | ')' | '=' | '<' | '>' | '!');
    let characters = text.chars().collect::<Vec<_>>();
    let mut spaced = String::with_capacity(text.len() * 2);
    let mut at = 0;
    while let Some(character) = characters.get(at).copied() {
        at += 1;
        if !is_operator(character) {
            spaced.push(character);
            continue;
        }
        spaced.push(' ');
        spaced.push(character);
        // The last character is not joined with an operator in front of it.
        let second = characters.get(at).copied().filter(|_| at + 1 < characters.len());
        if let Some(second) = second.filter(|c| is_operator(*c) && !matches!(c, '(' | ')')) {
            spaced.push(second);
            at += 1;
        }
        spaced.push(' ');
    }
    let trim = |token: &str| token.trim_matches(|character| character <= ' ').to_owned();
    let mut tokens =
        spaced.split(' ').map(trim).filter(|token| !token.is_empty()).collect::<Vec<_>>();
    // The AND of BETWEEN is dropped.
    if tokens.iter().any(|token| token == "between" || token == "BETWEEN") {
        let mut kept = Vec::with_capacity(tokens.len());
        let mut drop_in = None;
        for token in tokens {
            if drop_in == Some(0) {
                drop_in = None;
                // Only a token that is not dropped can be a BETWEEN.
                continue;
            }
            drop_in = drop_in.map(|count: usize| count - 1);
            if token.eq_ignore_ascii_case("between") {
                if drop_in.is_some() {
                    return None;
                }
                drop_in = Some(1);
            }
            kept.push(token);
        }
        if drop_in.is_some() {
            return None;
        }
        tokens = kept;
    }
    Some(tokens)
}

/// `None` for what is no operator.
fn precedence(token: &str) -> Option<u8> {
    Some(match token.to_lowercase().as_str() {
        "(" | ")" => 15,
        "not" => 8,
        "=" | ">" | "<" | ">=" | "<=" | "==" | "!=" | "<>" | "between" | "in" | "like"
        | "ilike" | "regex" => 10,
        "and" => 5,
        "or" => 3,
        _ => return None,
    })
}

/// Operators after their operands.
fn postfix(tokens: Vec<String>) -> Vec<String> {
    let (mut output, mut stack) = (Vec::with_capacity(tokens.len()), Vec::<String>::new());
    for token in tokens {
        let Some(of_token) = precedence(&token) else {
            output.push(token);
            continue;
        };
        let is_close = token == ")";
        while let Some(top) = stack.pop_if(|top| {
            top != "(" && (is_close || precedence(top).is_some_and(|of_top| of_token <= of_top))
        }) {
            output.push(top);
        }
        if is_close {
            stack.pop();
        } else {
            stack.push(token);
        }
    }
    output.extend(stack.into_iter().rev());
    output
}

enum Operand {
    Token(String),
    Predicate(Predicate),
}

struct Evaluator<'a> {
    text: &'a str,
    phrases: HashMap<String, String>,
    stack: Vec<Operand>,
    builder: &'a mut Builder,
}

impl Evaluator<'_> {
    fn invalid(&self) -> Error {
        invalid(self.text)
    }

    fn run(mut self, tokens: Vec<String>) -> Result<Predicate, Error> {
        let is_single = tokens.len() == 1;
        for token in tokens {
            if is_single || precedence(&token).is_none() {
                self.stack.push(Operand::Token(token));
                continue;
            }
            let predicate = self.apply(&token)?;
            self.stack.push(Operand::Predicate(predicate));
        }
        match (self.stack.pop(), self.stack.is_empty()) {
            (Some(Operand::Predicate(predicate)), true) => Ok(predicate),
            (Some(Operand::Token(token)), true) if is_single => self.is_true(&token),
            _ => Err(self.invalid()),
        }
    }

    fn apply(&mut self, operator: &str) -> Result<Predicate, Error> {
        match operator.to_lowercase().as_str() {
            "not" => {
                let operand = self.predicate()?;
                self.builder.not(operand)
            }
            "and" => {
                let (second, first) = (self.predicate()?, self.predicate()?);
                self.builder.and(first, second)
            }
            "or" => {
                let (second, first) = (self.predicate()?, self.predicate()?);
                self.builder.or(first, second)
            }
            "between" => {
                let (to, from) = (self.not_null()?, self.not_null()?);
                let name = self.token()?;
                self.builder.between(&name, scalar(from), scalar(to))
            }
            "in" => {
                let list = self.token()?;
                let name = self.name()?;
                // As Java splits a text, without empty items at the end.
                let list = list.trim_end_matches(',');
                let items = list.split(',').map(|item| {
                    scalar(self.phrases.get(item).map_or(item, String::as_str).to_owned())
                });
                let items = items.collect::<Vec<_>>();
                self.builder.is_in(name.strip_prefix('%').unwrap_or(&name), items)
            }
            "like" | "ilike" | "regex" => {
                let expression = self.value()?;
                let name = self.not_null()?;
                match operator.to_lowercase().as_str() {
                    "regex" => self.builder.regex(&name, expression.as_deref()),
                    like => self.builder.like(&name, expression.as_deref(), like == "ilike"),
                }
            }
            comparison => {
                let operand = self.value()?;
                let name = self.name()?;
                let name = name.strip_prefix('%').unwrap_or(&name);
                let value = operand.map(scalar);
                match comparison {
                    "=" | "==" => self.builder.equal(name, value.unwrap_or(Scalar::Null)),
                    "!=" | "<>" => {
                        let equal = self.builder.equal(name, value.unwrap_or(Scalar::Null))?;
                        self.builder.not(equal)
                    }
                    ">" | ">=" | "<" | "<=" => {
                        let value = value.ok_or_else(|| self.invalid())?;
                        let (is_less, or_equal) =
                            (comparison.starts_with('<'), comparison.ends_with('='));
                        self.builder.compare(name, value, is_less, or_equal)
                    }
                    _ => Err(self.invalid()),
                }
            }
        }
    }

    fn token(&mut self) -> Result<String, Error> {
        match self.stack.pop() {
            Some(Operand::Token(token)) => Ok(token),
            _ => Err(self.invalid()),
        }
    }

    /// A text, or null.
    fn value(&mut self) -> Result<Option<String>, Error> {
        let token = self.token()?;
        Ok(match self.phrases.get(&token) {
            Some(phrase) => Some(phrase.clone()),
            None if token.eq_ignore_ascii_case("null") => None,
            None => Some(token),
        })
    }

    fn not_null(&mut self) -> Result<String, Error> {
        self.value()?.ok_or_else(|| self.invalid())
    }

    fn name(&mut self) -> Result<String, Error> {
        self.not_null()
    }

    fn predicate(&mut self) -> Result<Predicate, Error> {
        if let Some(Operand::Predicate(_)) = self.stack.last() {
            return match self.stack.pop() {
                Some(Operand::Predicate(predicate)) => Ok(predicate),
                _ => Err(self.invalid()),
            };
        }
        let name = self.not_null()?;
        self.is_true(&name)
    }

    fn is_true(&mut self, name: &str) -> Result<Predicate, Error> {
        self.builder.equal(name, scalar("true".to_owned()))
    }
}

fn scalar(text: String) -> Scalar<'static> {
    Scalar::Text(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_follow_their_operands() {
        let postfix = |text: &str| postfix(tokens(text).unwrap()).join(" ");
        assert_eq!(postfix("a=1 or b>=2 and not c"), "a 1 = b 2 >= c not and or");
        assert_eq!(postfix("(a or b) and c"), "a b or c and");
        assert_eq!(postfix("a between 1 and 2 and b"), "a 1 2 between b and");
    }

    #[test]
    fn limits_are_errors() {
        let parse = |text: &str| parse(text, &mut Builder::default()).map(|_| ());
        let long = vec!["a = 1"; 1000].join(" and ");
        assert_eq!(parse(&long), Ok(()));
        assert!(matches!(parse(&vec!["a"; 9000].join(" ")), Err(Error::Limit { .. })));
        assert!(matches!(parse(&vec!["a regex x"; 33].join(" or ")), Err(Error::Limit { .. })));
        let deep = format!("{}a{}", "not (".repeat(100), ")".repeat(100));
        assert!(matches!(parse(&deep), Err(Error::Limit { .. })));
    }

    #[test]
    fn fuzz_query_sql() {
        let samples = [
            "age > 30 AND (name LIKE 'A%' OR NOT active)",
            "a in ('x', 'it''s') or b between 1 and 2",
            "a regex 'x+' and b != null",
        ];
        convoke_harness::check!(&samples, |bytes| {
            let Ok(text) = std::str::from_utf8(bytes) else { return };
            let _ = parse(text, &mut Builder::default());
        });
    }
}
