//! Paths: the names of attributes.

use super::{ATTRIBUTE_BYTES_MAX, Error};

/// The name of an attribute, parsed for each kind of value that has attributes.
#[derive(Clone, Debug)]
pub(super) struct Path {
    name: Box<str>,
    /// Whether it is read from the key.
    pub(super) is_of_key: bool,
    /// Whether it is `this` or `__key`.
    pub(super) is_whole: bool,
    /// Whether it is `this` with an index.
    pub(super) is_indexed_value: bool,
    json: Result<Vec<Step>, Error>,
    segments: Result<Vec<Segment>, Error>,
}

/// A step of a path in a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Name(Box<str>),
    /// `None` if it is not a number.
    Index(Option<usize>),
    Any,
}

/// A part of a path in an object with fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) field: Box<str>,
    pub(super) index: Index,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Index {
    None,
    Any,
    /// Negative ones are invalid where there is an array.
    At(i32),
}

impl Path {
    pub(super) fn new(name: &str) -> Result<Self, Error> {
        if name.len() > ATTRIBUTE_BYTES_MAX {
            return Err(Error::Limit {
                what: "bytes in the name of an attribute",
                limit: ATTRIBUTE_BYTES_MAX,
            });
        }
        let of_key = name.strip_prefix("__key.");
        let rest = of_key.unwrap_or(name);
        Ok(Self {
            name: name.into(),
            is_of_key: name == "__key" || of_key.is_some(),
            is_whole: matches!(name, "this" | "__key"),
            is_indexed_value: rest.starts_with("this[") && rest.ends_with(']'),
            json: check_brackets(rest).and_then(|()| steps(rest)),
            segments: check_brackets(rest).and_then(|()| segments(rest)),
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The path within the key or value.
    pub(super) fn within(&self) -> &str {
        self.name.strip_prefix("__key.").unwrap_or(&self.name)
    }

    pub(super) fn json_steps(&self) -> Result<&[Step], Error> {
        self.json.as_deref().map_err(Clone::clone)
    }

    pub(super) fn segments(&self) -> Result<&[Segment], Error> {
        self.segments.as_deref().map_err(Clone::clone)
    }
}

fn malformed(path: &str) -> Error {
    Error::invalid(format!("malformed attribute path {path:?}"))
}

/// The last `[` has a `]` after it and a name in front.
fn check_brackets(path: &str) -> Result<(), Error> {
    match (path.rfind('['), path.rfind(']')) {
        (None, None) => Ok(()),
        (Some(start), Some(end)) if 0 < start && start < end => Ok(()),
        _ => Err(malformed(path)),
    }
}

/// A step ends before `.` or `[`, or at `]`, which makes it an index. As in Hazelcast, any number of
/// `.` and `[` may precede it.
fn steps(path: &str) -> Result<Vec<Step>, Error> {
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        let start = rest.trim_start_matches(['.', '[']);
        let first = start.chars().next().ok_or_else(|| malformed(path))?.len_utf8();
        let end = start[first..].find(['.', '[', ']']).map_or(start.len(), |end| first + end);
        let step = &start[..end];
        steps.push(match (start[end..].starts_with(']'), step) {
            (false, _) => Step::Name(step.into()),
            (true, "any") => Step::Any,
            (true, _) => Step::Index(
                // A negative index is that of the first item.
                step.parse::<i32>().ok().map(|index| usize::try_from(index).unwrap_or(0)),
            ),
        });
        rest = start.get(end + 1..).unwrap_or_default();
    }
    Ok(steps)
}

fn segments(path: &str) -> Result<Vec<Segment>, Error> {
    path.split('.').map(|segment| parse_segment(segment).ok_or_else(|| malformed(path))).collect()
}

fn parse_segment(segment: &str) -> Option<Segment> {
    if segment.is_empty() {
        return None;
    }
    let (field, index) = match (segment.rfind('['), segment.rfind(']')) {
        (None, None) => (segment, Index::None),
        (Some(start), Some(end)) if 0 < start && start < end => {
            let index = match segment.get(start + 1..end)? {
                _ if segment.ends_with("[any]") => Index::Any,
                index => Index::At(index.parse().ok()?),
            };
            (segment.get(..start)?, index)
        }
        _ => return None,
    };
    Some(Segment { field: field.into(), index })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_names_and_indices() {
        let path = Path::new("__key.a[1].b[any]").unwrap();
        assert!(path.is_of_key && !path.is_whole);
        let name = |name: &str| Step::Name(name.into());
        assert_eq!(
            path.json_steps().unwrap(),
            [name("a"), Step::Index(Some(1)), name("b"), Step::Any]
        );
        let segment = |field: &str, index| Segment { field: field.into(), index };
        assert_eq!(
            path.segments().unwrap(),
            [segment("a", Index::At(1)), segment("b", Index::Any)]
        );
    }

    #[test]
    fn malformed_paths_are_errors() {
        for path in ["", "a.", ".a", "a..b", "a[", "a]", "a[x]", "[0]", "a]0["] {
            assert!(Path::new(path).unwrap().segments().is_err(), "{path:?}");
        }
        assert!(Path::new("a.[").unwrap().json_steps().is_err());
        assert!(Path::new(&"a".repeat(ATTRIBUTE_BYTES_MAX + 1)).is_err());
    }

    #[test]
    fn fuzz_query_path() {
        convoke_harness::check!(&["a.b[any].c[0]", "__key.x", "this[any]"], |bytes| {
            let Ok(text) = std::str::from_utf8(bytes) else { return };
            let Ok(path) = Path::new(text) else { return };
            assert!(path.json_steps().map_or(0, <[Step]>::len) <= text.len());
            assert!(path.segments().map_or(0, <[Segment]>::len) <= text.len() + 1);
        });
    }
}
