//! Libraries of functions. They belong to no database, and are copied after all keys.

use serde::{Deserialize, Serialize};

use crate::client::text_of;
use crate::counts::Named;
use crate::options::Existing;
use crate::reply::Value;
use crate::source::Source;
use crate::target::{Target, unanswered};
use crate::trouble::Trouble;
use crate::value::Store;

/// Memory for all libraries of a server, in bytes.
const LIBRARIES_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Length of the name of a library in a summary, in bytes.
const NAME_BYTES_MAX: usize = 120;

/// A number of libraries, as a summary names it.
fn number(count: u64) -> String {
    let noun = if count == 1 { "library" } else { "libraries" };
    format!("{count} {noun} of functions")
}

/// A library, as `FUNCTION LIST` describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Library {
    name: Vec<u8>,
    source: Vec<u8>,
}

impl Library {
    fn parse(described: Value) -> Option<Self> {
        let (mut name, mut source) = (None, None);
        let mut parts = described.into_list()?.into_iter();
        while let (Some(field), Some(value)) = (parts.next(), parts.next()) {
            match field.text()? {
                b"library_name" => name = value.into_bytes(),
                b"library_code" => source = value.into_bytes(),
                _ => {}
            }
        }
        Some(Self { name: name?, source: source? })
    }

    fn shown_name(&self) -> String {
        convoke_text::escaped(&String::from_utf8_lossy(&self.name), NAME_BYTES_MAX)
    }
}

/// The libraries of a server; an error reply if it lists none.
async fn libraries(store: &mut impl Store) -> Result<Result<Vec<Library>, String>, Trouble> {
    let reply = store.call(b"", ["FUNCTION", "LIST", "WITHCODE"], LIBRARIES_BYTES_MAX).await?;
    match reply {
        Value::List(all) => {
            let all: Option<Vec<_>> = all.into_iter().map(Library::parse).collect();
            Ok(all.ok_or_else(|| "FUNCTION LIST returned what is no list of libraries".to_owned()))
        }
        Value::TooLarge => Ok(Err(format!("they exceed {} MiB", LIBRARIES_BYTES_MAX >> 20))),
        other => match unanswered(&other) {
            Some(_) => Err(Trouble::Lost(text_of(&other))),
            None => Ok(Err(text_of(&other))),
        },
    }
}

/// The libraries of the source. It has none if it does not know the command: they exist from Redis 7
/// on.
async fn of_source(source: &mut Source) -> Result<Result<Vec<Library>, String>, Trouble> {
    Ok(match libraries(source).await? {
        Err(text) if text.contains("unknown command") => Ok(Vec::new()),
        listed => listed,
    })
}

/// What was done with the libraries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Functions {
    copied: u64,
    /// Another library of that name existed in the cluster, and was not replaced.
    kept: Named,
    pub(crate) failed: Named,
}

impl Functions {
    /// Copies all libraries, those that were copied before included.
    pub(crate) async fn copy(
        source: &mut Source,
        target: &mut Target,
        existing: Existing,
    ) -> Result<Self, Trouble> {
        let mut done = Self::default();
        let all = match of_source(source).await? {
            Ok(all) => all,
            Err(why) => {
                done.failed.add(|| why);
                return Ok(done);
            }
        };
        if all.is_empty() {
            return Ok(done);
        }
        let known = libraries(target).await?.unwrap_or_default();
        for library in all {
            let name = library.shown_name();
            match known.iter().find(|other| other.name == library.name) {
                Some(other) if *other == library => {
                    done.copied += 1;
                    continue;
                }
                Some(_) if existing != Existing::Replace => {
                    done.kept.add(|| name);
                    continue;
                }
                _ => {}
            }
            // It replaces what an attempt whose reply was lost has loaded.
            let words = [&b"FUNCTION"[..], b"LOAD", b"REPLACE", &library.source];
            let reply = target.call(b"", words, LIBRARIES_BYTES_MAX).await?;
            if unanswered(&reply).is_some() {
                return Err(Trouble::Lost(text_of(&reply)));
            }
            match reply.error() {
                None => done.copied += 1,
                Some(why) => done.failed.add(|| format!("{name}: {why}")),
            }
        }
        Ok(done)
    }

    /// Counts those that would be copied.
    pub(crate) async fn count(source: &mut Source) -> Result<Self, Trouble> {
        let mut found = Self::default();
        match of_source(source).await? {
            Ok(all) => found.copied = all.len() as u64,
            Err(why) => found.failed.add(|| why),
        }
        Ok(found)
    }

    /// The summary, with `verb` for what was done with them.
    pub(crate) fn lines(&self, verb: &str) -> Vec<String> {
        let mut lines = Vec::new();
        if self.copied > 0 {
            lines.push(format!("{} {verb}", number(self.copied)));
        }
        if self.kept.count > 0 {
            let kept = number(self.kept.count);
            lines.push(format!("{kept} in the cluster with another source kept:"));
            lines.extend(self.kept.lines());
        }
        if self.failed.count > 0 {
            lines.push(format!("libraries of functions could not be {verb}:"));
            lines.extend(self.failed.lines());
        }
        lines
    }
}

/// What a comparison of the libraries has found.
#[derive(Clone, Debug, Default)]
pub(crate) struct FunctionsComparison {
    compared: u64,
    pub(crate) differing: Named,
}

impl FunctionsComparison {
    /// Compares the libraries of the source with those of the cluster.
    pub(crate) async fn of(source: &mut Source, target: &mut Target) -> Result<Self, Trouble> {
        let mut found = Self::default();
        let (all, known) = match (of_source(source).await?, libraries(target).await?) {
            (Ok(all), Ok(known)) => (all, known),
            (Err(why), _) | (_, Err(why)) => {
                found.differing.add(|| why);
                return Ok(found);
            }
        };
        for library in all {
            found.compared += 1;
            match known.iter().find(|other| other.name == library.name) {
                None => found.differing.add(|| format!("{}: missing", library.shown_name())),
                Some(other) if *other != library => {
                    found.differing.add(|| format!("{}: another source", library.shown_name()));
                }
                Some(_) => {}
            }
        }
        Ok(found)
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        match (self.differing.count, self.compared) {
            (0, 0) => Vec::new(),
            (0, compared) => vec![format!("compared {}: no difference", number(compared))],
            (count, compared) => {
                let first = format!("compared {}: {count} differ:", number(compared));
                std::iter::once(first).chain(self.differing.lines()).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Value {
        Value::Bytes(text.into())
    }

    #[test]
    fn a_library_is_found_in_what_describes_it() {
        let described = vec![
            bytes("library_name"),
            bytes("lib"),
            bytes("functions"),
            Value::List(vec![Value::List(vec![bytes("name"), bytes("f")])]),
            bytes("library_code"),
            bytes("#!lua name=lib"),
        ];
        let library = Library { name: "lib".into(), source: "#!lua name=lib".into() };
        assert_eq!(Library::parse(Value::List(described.clone())), Some(library));
        assert_eq!(Library::parse(Value::List(described[..4].to_vec())), None);
        assert_eq!(Library::parse(bytes("lib")), None);
    }

    #[test]
    fn a_summary_names_libraries_that_were_not_copied() {
        let mut done = Functions { copied: 2, ..Functions::default() };
        assert_eq!(done.lines("copied"), ["2 libraries of functions copied"]);
        done.kept.add(|| "old".into());
        done.failed.add(|| "new: ERR".into());
        assert_eq!(
            done.lines("copied")[1..],
            [
                "1 library of functions in the cluster with another source kept:",
                "  old",
                "libraries of functions could not be copied:",
                "  new: ERR"
            ]
        );
        assert_eq!(Functions::default().lines("copied"), Vec::<String>::new());
    }
}
