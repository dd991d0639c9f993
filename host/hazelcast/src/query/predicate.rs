//! Predicates: how clients encode them, and what they match.

use std::collections::BTreeMap;

use super::like::Like;
use super::path::Path;
use super::pattern::Pattern;
use super::scalar::{Scalar, is_same_in_set};
use super::{
    Attribute, Entry, Error, OPERANDS_MAX, PREDICATE_DEPTH_MAX, PREDICATES_MAX, REGEXES_MAX, sql,
};
use crate::data::{Data, Input, Value, type_id};

/// The factory of predicates.
const FACTORY: i32 = -20;

/// Ids of classes of the factory. `instanceof` (8) requires the classes of clients.
mod class {
    pub(super) const SQL: i32 = 0;
    pub(super) const AND: i32 = 1;
    pub(super) const BETWEEN: i32 = 2;
    pub(super) const EQUAL: i32 = 3;
    pub(super) const GREATER_LESS: i32 = 4;
    pub(super) const LIKE: i32 = 5;
    pub(super) const ILIKE: i32 = 6;
    pub(super) const IN: i32 = 7;
    pub(super) const INSTANCE_OF: i32 = 8;
    pub(super) const NOT_EQUAL: i32 = 9;
    pub(super) const NOT: i32 = 10;
    pub(super) const OR: i32 = 11;
    pub(super) const REGEX: i32 = 12;
    pub(super) const FALSE: i32 = 13;
    pub(super) const TRUE: i32 = 14;
    pub(super) const PAGING: i32 = 15;
    pub(super) const PARTITION: i32 = 16;
    pub(super) const MULTI_PARTITION: i32 = 21;
}

/// The class of a builder of predicates in Java, which is not in the factory.
const BUILDER_CLASS: &str = "com.hazelcast.query.impl.PredicateBuilderImpl";

/// A condition on entries.
#[derive(Clone, Debug)]
pub struct Predicate {
    node: Node,
    /// Its number within the query.
    number: usize,
}

/// The types of the attributes that a query over several entries compares: whether each operand can
/// be converted to the type of one of them.
///
/// In Hazelcast the first entry decides that.
#[derive(Clone, Debug, Default)]
pub struct Types {
    /// By the numbers of predicates: why operands could not be converted, unless they could for
    /// another entry.
    compared: BTreeMap<usize, Option<Error>>,
}

impl Types {
    /// An error if the operands of a predicate could be converted for none of the entries.
    pub fn check(&self) -> Result<(), Error> {
        self.compared.values().flatten().next().map_or(Ok(()), |error| Err(error.clone()))
    }

    fn note_converted(&mut self, number: usize) {
        self.compared.insert(number, None);
    }

    fn note_error(&mut self, number: usize, error: Error) {
        self.compared.entry(number).or_insert(Some(error));
    }
}

#[derive(Clone, Debug)]
enum Node {
    Constant(bool),
    Equal(Path, Scalar<'static>),
    Compare {
        path: Path,
        operand: Scalar<'static>,
        is_less: bool,
        or_equal: bool,
    },
    Between {
        path: Path,
        from: Scalar<'static>,
        to: Scalar<'static>,
    },
    In(Path, Vec<Scalar<'static>>),
    /// Without an expression, it matches null.
    Like(Path, Option<Like>),
    Regex(Path, Option<Pattern>),
    /// With the depth of the predicates within.
    Not(Box<Predicate>, usize),
    And(Vec<Predicate>, usize),
    Or(Vec<Predicate>, usize),
}

/// What a client sends where a predicate is expected.
#[derive(Clone, Debug)]
pub struct Query {
    /// The predicate.
    pub predicate: Predicate,
    /// Keys, as blobs, to whose partitions the query is limited. Empty: all partitions.
    pub partition_keys: Vec<Vec<u8>>,
}

impl Query {
    /// Decodes a predicate of a client.
    pub fn decode(data: Data<'_>) -> Result<Self, Error> {
        let mut input = Input::new(data.bytes().get(4..).unwrap_or_default());
        let mut after_class = input;
        let mut partition_keys = Vec::new();
        if let Some(Some((FACTORY, class))) = after_class.class() {
            match class {
                class::PARTITION => {
                    partition_keys.push(take_key(&mut after_class)?);
                    input = after_class;
                }
                class::MULTI_PARTITION => {
                    return Err(Error::unsupported("a predicate for several partition keys"));
                }
                _ => {}
            }
        }
        let predicate = Builder::default().read(&mut input, 0)?;
        Ok(Self { predicate, partition_keys })
    }
}

/// The blob of an object.
fn take_key(input: &mut Input<'_>) -> Result<Vec<u8>, Error> {
    let start = input.rest();
    if input.object().is_none() {
        return Err(Error::unsupported("a partition key of this type"));
    }
    let bytes = start.get(..start.len() - input.rest().len()).unwrap_or_default();
    Ok([&[0; 4], bytes].concat())
}

impl Predicate {
    /// The predicate that matches all entries.
    #[must_use]
    pub const fn all() -> Self {
        Self { node: Node::Constant(true), number: 0 }
    }

    /// Whether it matches an entry. An error if an operand cannot be converted to the type of its
    /// attribute.
    pub fn matches(&self, entry: &Entry<'_>) -> Result<bool, Error> {
        let mut types = Types::default();
        let is_match = self.matches_among(entry, &mut types)?;
        types.check()?;
        Ok(is_match)
    }

    /// Whether it matches an entry, which is one of several: [`Types::check`] is to be called after
    /// the last one.
    pub fn matches_among(&self, entry: &Entry<'_>, types: &mut Types) -> Result<bool, Error> {
        let mut any = |entry: &Entry<'_>, path: &Path, test: Test<'_>| {
            any(entry, path, (self.number, &mut *types), test)
        };
        match &self.node {
            Node::Constant(value) => Ok(*value),
            Node::Equal(path, operand) => any(entry, path, &|value| {
                Ok(match value {
                    Scalar::Null => *operand == Scalar::Null,
                    value => value.equals(operand.converted(value)?.as_ref()),
                })
            }),
            Node::Compare { path, operand, is_less, or_equal } => any(entry, path, &|value| {
                if *value == Scalar::Null {
                    return Ok(false);
                }
                let order = value.compare(operand.converted(value)?.as_ref())?;
                Ok(*or_equal && order.is_eq()
                    || if *is_less { order.is_lt() } else { order.is_gt() })
            }),
            Node::Between { path, from, to } => any(entry, path, &|value| {
                if *value == Scalar::Null {
                    return Ok(false);
                }
                let (from, to) = (from.converted(value)?, to.converted(value)?);
                Ok(value.compare(&from)?.is_ge() && value.compare(&to)?.is_le())
            }),
            Node::In(path, operands) => any(entry, path, &|value| {
                let mut is_found = false;
                for operand in operands {
                    // Hazelcast converts all of them first.
                    let operand = operand.converted(value)?;
                    is_found = is_found || is_same_in_set(value, &operand);
                }
                Ok(is_found)
            }),
            Node::Like(path, like) => any(entry, path, &|value| {
                text(path, value).map(|text| match (text, like) {
                    (Some(text), Some(like)) => like.matches(text),
                    (text, like) => text.is_none() && like.is_none(),
                })
            }),
            Node::Regex(path, pattern) => any(entry, path, &|value| {
                text(path, value).map(|text| match (text, pattern) {
                    (Some(text), Some(pattern)) => pattern.matches(text),
                    (text, pattern) => text.is_none() && pattern.is_none(),
                })
            }),
            Node::Not(predicate, _) => {
                predicate.matches_among(entry, types).map(|is_match| !is_match)
            }
            Node::And(predicates, _) => {
                for predicate in predicates {
                    if !predicate.matches_among(entry, types)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Node::Or(predicates, _) => {
                for predicate in predicates {
                    if predicate.matches_among(entry, types)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
        }
    }

    const fn depth(&self) -> usize {
        match &self.node {
            Node::Not(_, depth) | Node::And(_, depth) | Node::Or(_, depth) => *depth + 1,
            _ => 0,
        }
    }
}

/// A text, or null.
fn text<'s>(path: &Path, value: &'s Scalar<'_>) -> Result<Option<&'s str>, Error> {
    match value {
        Scalar::Null => Ok(None),
        Scalar::Text(text) => Ok(Some(text)),
        _ => Err(Error::Cast(format!("attribute {:?} is not a text", path.name()).into())),
    }
}

/// Whether a value of an attribute passes a test.
type Test<'t> = &'t dyn Fn(&Scalar<'_>) -> Result<bool, Error>;

/// Whether one of the values of an attribute passes a test. None does if an operand cannot be converted
/// to the type of one of them, which is noted under the number of the predicate.
fn any(
    entry: &Entry<'_>,
    path: &Path,
    (number, types): (usize, &mut Types),
    test: Test<'_>,
) -> Result<bool, Error> {
    let (mut result, mut has_value) = (Ok(false), false);
    let is_missing = entry.read(path, &mut |attribute| {
        if result == Ok(false) {
            result = match &attribute {
                Attribute::Scalar(scalar) => {
                    has_value |= *scalar != Scalar::Null;
                    test(scalar)
                }
                Attribute::Structure => Ok(false),
                Attribute::Opaque(reason) => Err(Error::Attribute {
                    attribute: path.name().to_owned(),
                    reason: (*reason).into(),
                }),
            };
        }
    })?;
    // This null comes first.
    if is_missing && test(&Scalar::Null)? {
        return Ok(true);
    }
    match result {
        // Of all errors of a test, only conversions have this one.
        Err(error @ Error::Invalid(_)) => {
            types.note_error(number, error);
            Ok(false)
        }
        Ok(is_match) => {
            if has_value {
                types.note_converted(number);
            }
            Ok(is_match)
        }
        Err(error) => Err(error),
    }
}

/// Builds predicates within the limits of a query.
#[derive(Default)]
pub(super) struct Builder {
    predicates: usize,
    operands: usize,
    regexes: usize,
}

impl Builder {
    fn add(&mut self, node: Node) -> Result<Predicate, Error> {
        self.predicates += 1;
        if self.predicates > PREDICATES_MAX {
            return Err(Error::Limit { what: "predicates", limit: PREDICATES_MAX });
        }
        let predicate = Predicate { node, number: self.predicates };
        if predicate.depth() > PREDICATE_DEPTH_MAX {
            return Err(Error::Limit { what: "nested predicates", limit: PREDICATE_DEPTH_MAX });
        }
        Ok(predicate)
    }

    /// Without an expression, it matches null.
    fn pattern(&mut self, expression: Option<&str>) -> Result<Option<Pattern>, Error> {
        self.regexes += 1;
        if self.regexes > REGEXES_MAX {
            return Err(Error::Limit { what: "regular expressions", limit: REGEXES_MAX });
        }
        expression.map(Pattern::new).transpose()
    }

    fn add_operands(&mut self, count: usize) -> Result<(), Error> {
        self.operands = self.operands.saturating_add(count);
        if self.operands > OPERANDS_MAX {
            return Err(Error::Limit { what: "operands", limit: OPERANDS_MAX });
        }
        Ok(())
    }

    /// The predicate that `input` continues with.
    fn read(&mut self, input: &mut Input<'_>, depth: usize) -> Result<Predicate, Error> {
        const INCOMPLETE: Error = Error::Malformed("a predicate is incomplete");
        if depth > PREDICATE_DEPTH_MAX {
            return Err(Error::Limit { what: "nested predicates", limit: PREDICATE_DEPTH_MAX });
        }
        let mut header = *input;
        let class = match header.class() {
            Some(Some((FACTORY, class))) => class,
            Some(None) => return Err(Error::Malformed("a predicate is null")),
            Some(Some(_)) => {
                return Err(Error::unsupported("a predicate of a class of the client"));
            }
            None => {
                let type_id = input.i32().ok_or(INCOMPLETE)?;
                if type_id == type_id::DATA_SERIALIZABLE {
                    if input.bool().ok_or(INCOMPLETE)? {
                        return Err(INCOMPLETE);
                    }
                    if input.text() == Some(BUILDER_CLASS) {
                        return self.read_built(input, depth);
                    }
                }
                return Err(Error::unsupported("a predicate of a class of the client"));
            }
        };
        *input = header;
        match class {
            class::TRUE => self.add(Node::Constant(true)),
            class::FALSE => self.add(Node::Constant(false)),
            class::SQL => sql::parse(input.text().ok_or(INCOMPLETE)?, self),
            class::AND | class::OR => {
                let count = input.count().ok_or(INCOMPLETE)?;
                let mut predicates = Vec::new();
                for _ in 0..count {
                    predicates.push(self.read(input, depth + 1)?);
                }
                let within = predicates.iter().map(Predicate::depth).max().unwrap_or_default();
                self.add(match class {
                    class::AND => Node::And(predicates, within),
                    _ => Node::Or(predicates, within),
                })
            }
            class::NOT => {
                let predicate = self.read(input, depth + 1)?;
                self.not(predicate)
            }
            class::EQUAL | class::NOT_EQUAL => {
                let path = Path::new(input.text().ok_or(INCOMPLETE)?)?;
                let equal = Node::Equal(path, self.operand(input)?);
                let equal = self.add(equal)?;
                if class == class::EQUAL { Ok(equal) } else { self.not(equal) }
            }
            class::GREATER_LESS => {
                let path = Path::new(input.text().ok_or(INCOMPLETE)?)?;
                let operand = not_null(self.operand(input)?)?;
                let or_equal = input.bool().ok_or(INCOMPLETE)?;
                let is_less = input.bool().ok_or(INCOMPLETE)?;
                self.add(Node::Compare { path, operand, is_less, or_equal })
            }
            class::BETWEEN => {
                let path = Path::new(input.text().ok_or(INCOMPLETE)?)?;
                let to = not_null(self.operand(input)?)?;
                let from = not_null(self.operand(input)?)?;
                self.add(Node::Between { path, from, to })
            }
            class::IN => {
                let path = Path::new(input.text().ok_or(INCOMPLETE)?)?;
                let count = input.count().ok_or(INCOMPLETE)?;
                let mut operands = Vec::new();
                for _ in 0..count {
                    operands.push(self.operand(input)?);
                }
                self.add(Node::In(path, operands))
            }
            class::LIKE | class::ILIKE => {
                let path = Path::new(input.text().ok_or(INCOMPLETE)?)?;
                let expression = input.nullable_text().ok_or(INCOMPLETE)?;
                let like = expression.map(|text| Like::new(text, class == class::ILIKE));
                self.add(Node::Like(path, like.transpose()?))
            }
            class::REGEX => {
                let path = Path::new(input.text().ok_or(INCOMPLETE)?)?;
                let expression = input.nullable_text().ok_or(INCOMPLETE)?;
                let pattern = self.pattern(expression)?;
                self.add(Node::Regex(path, pattern))
            }
            class::INSTANCE_OF => Err(Error::unsupported("the predicate instanceof")),
            class::PAGING => Err(Error::invalid("a paging predicate is not allowed here")),
            class::PARTITION | class::MULTI_PARTITION => {
                Err(Error::unsupported("a partition predicate within another predicate"))
            }
            _ => Err(Error::unsupported("a predicate of this class")),
        }
    }

    /// What a `PredicateBuilder` has built: the first of its predicates.
    fn read_built(&mut self, input: &mut Input<'_>, depth: usize) -> Result<Predicate, Error> {
        const INCOMPLETE: Error = Error::Malformed("a predicate builder is incomplete");
        let _attribute = input.nullable_text().ok_or(INCOMPLETE)?;
        let mut built = None;
        for _ in 0..input.count().ok_or(INCOMPLETE)? {
            let predicate = self.read(input, depth + 1)?;
            built.get_or_insert(predicate);
        }
        built.ok_or_else(|| Error::invalid("a predicate builder has built no predicate"))
    }

    fn operand(&mut self, input: &mut Input<'_>) -> Result<Scalar<'static>, Error> {
        self.add_operands(1)?;
        let mut object = *input;
        let Some(value) = object.object() else {
            let type_id = input.i32().ok_or(Error::Malformed("an operand is incomplete"))?;
            return Err(Error::unsupported(format!("an operand of type {type_id}")));
        };
        *input = object;
        if let Value::Json(_) = value {
            return Err(Error::unsupported("a document as an operand"));
        }
        match Scalar::of(value)? {
            Attribute::Scalar(scalar) => Ok(scalar.into_owned()),
            _ => Err(Error::unsupported("an operand that cannot be compared")),
        }
    }

    pub(super) fn not(&mut self, predicate: Predicate) -> Result<Predicate, Error> {
        let depth = predicate.depth();
        self.add(Node::Not(Box::new(predicate), depth))
    }

    /// Adds to the conjunction, if the first one is one.
    pub(super) fn and(&mut self, first: Predicate, second: Predicate) -> Result<Predicate, Error> {
        let within = second.depth();
        self.add(match first.node {
            Node::And(mut predicates, depth) => {
                predicates.push(second);
                Node::And(predicates, depth.max(within))
            }
            node => {
                let first = Predicate { node, number: first.number };
                let within = within.max(first.depth());
                Node::And(vec![first, second], within)
            }
        })
    }

    /// Adds to the disjunction, if the first one is one.
    pub(super) fn or(&mut self, first: Predicate, second: Predicate) -> Result<Predicate, Error> {
        let within = second.depth();
        self.add(match first.node {
            Node::Or(mut predicates, depth) => {
                predicates.push(second);
                Node::Or(predicates, depth.max(within))
            }
            node => {
                let first = Predicate { node, number: first.number };
                let within = within.max(first.depth());
                Node::Or(vec![first, second], within)
            }
        })
    }

    pub(super) fn equal(
        &mut self,
        name: &str,
        operand: Scalar<'static>,
    ) -> Result<Predicate, Error> {
        self.add_operands(1)?;
        self.add(Node::Equal(canonical(name)?, operand))
    }

    pub(super) fn compare(
        &mut self,
        name: &str,
        operand: Scalar<'static>,
        is_less: bool,
        or_equal: bool,
    ) -> Result<Predicate, Error> {
        self.add_operands(1)?;
        self.add(Node::Compare { path: canonical(name)?, operand, is_less, or_equal })
    }

    pub(super) fn between(
        &mut self,
        name: &str,
        from: Scalar<'static>,
        to: Scalar<'static>,
    ) -> Result<Predicate, Error> {
        self.add_operands(2)?;
        self.add(Node::Between { path: canonical(name)?, from, to })
    }

    pub(super) fn is_in(
        &mut self,
        name: &str,
        operands: Vec<Scalar<'static>>,
    ) -> Result<Predicate, Error> {
        self.add_operands(operands.len())?;
        self.add(Node::In(canonical(name)?, operands))
    }

    pub(super) fn like(
        &mut self,
        name: &str,
        expression: Option<&str>,
        ignores_case: bool,
    ) -> Result<Predicate, Error> {
        let like = expression.map(|text| Like::new(text, ignores_case)).transpose()?;
        self.add(Node::Like(canonical(name)?, like))
    }

    pub(super) fn regex(
        &mut self,
        name: &str,
        expression: Option<&str>,
    ) -> Result<Predicate, Error> {
        let pattern = self.pattern(expression)?;
        self.add(Node::Regex(canonical(name)?, pattern))
    }
}

/// `this.name` is the attribute `name`. Clients of other predicates than SQL have done this.
fn canonical(name: &str) -> Result<Path, Error> {
    Path::new(name.strip_prefix("this.").unwrap_or(name))
}

fn not_null(operand: Scalar<'static>) -> Result<Scalar<'static>, Error> {
    if operand == Scalar::Null {
        return Err(Error::invalid("the operand of a comparison is null"));
    }
    Ok(operand)
}
