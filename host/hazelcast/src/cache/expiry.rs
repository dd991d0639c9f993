//! When the entries of a cache expire.

use super::java::{Object, Stream};
use crate::data::{Data, Identified, Input, Value, type_id};

/// Factory and class of Hazelcast's policy.
const HAZELCAST: (i32, i32) = (-13, 21);

const TIME_UNIT: &str = "java.util.concurrent.TimeUnit";

/// Names of the constants of `TimeUnit` with their milliseconds. Those before the third one are
/// shorter than a millisecond, which JCache does not permit.
const UNITS: [(&str, u64); 7] = [
    ("NANOSECONDS", 0),
    ("MICROSECONDS", 0),
    ("MILLISECONDS", 1),
    ("SECONDS", 1_000),
    ("MINUTES", 60_000),
    ("HOURS", 3_600_000),
    ("DAYS", 86_400_000),
];

/// When entries expire: `javax.cache.expiry.ExpiryPolicy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpiryPolicy {
    /// Lifetime of an entry that is created.
    pub creation: Lifetime,
    /// Lifetime from an access on. `None`: an access changes nothing.
    pub access: Option<Lifetime>,
    /// Lifetime from an update on. `None`: an update changes nothing.
    pub update: Option<Lifetime>,
}

/// A lifetime of entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifetime {
    /// They do not expire.
    Eternal,
    /// They expire after this many milliseconds; 0: at once.
    Ms(u64),
}

impl ExpiryPolicy {
    /// The policy that a factory makes: `expiry_policy_factory` of a configuration. `None` if it is
    /// not one of JCache's for a policy that [`decode`](Self::decode) knows.
    #[must_use]
    pub fn of_factory(factory: Data<'_>) -> Option<Self> {
        let stream = java(factory)?;
        let factory = stream.root()?;
        match factory.class_name()? {
            "javax.cache.configuration.FactoryBuilder$SingletonFactory" => {
                Self::of_object(factory.object("instance")??)
            }
            // Of the policies, only this one has a constructor without parameters.
            "javax.cache.configuration.FactoryBuilder$ClassFactory" => {
                (factory.text("className")? == "javax.cache.expiry.EternalExpiryPolicy")
                    .then_some(Self::ETERNAL)
            }
            _ => None,
        }
    }

    /// A policy: `expiry_policy` of a request. `None` if it is none of JCache's or Hazelcast's.
    #[must_use]
    pub fn decode(policy: Data<'_>) -> Option<Self> {
        if policy.type_id() == type_id::JAVA {
            return Self::of_object(java(policy)?.root()?);
        }
        let Value::Identified(Identified { factory_id, class_id, fields }) = Value::decode(policy)?
        else {
            return None;
        };
        if (factory_id, class_id) != HAZELCAST {
            return None;
        }
        let mut input = Input::new(fields);
        let creation = timed(&mut input)?;
        let (access, update) = (timed(&mut input)?, timed(&mut input)?);
        Some(Self { creation, access: Some(access), update: Some(update) })
    }

    const ETERNAL: Self = Self { creation: Lifetime::Eternal, access: None, update: None };

    fn of_object(policy: Object<'_, '_>) -> Option<Self> {
        let field = |name| lifetime(policy.object(name)?);
        let expiry = || field("expiryDuration")?;
        Some(match policy.class_name()? {
            "javax.cache.expiry.EternalExpiryPolicy" => Self::ETERNAL,
            "javax.cache.expiry.CreatedExpiryPolicy" => {
                Self { creation: expiry()?, ..Self::ETERNAL }
            }
            "javax.cache.expiry.AccessedExpiryPolicy" => {
                Self { creation: expiry()?, access: Some(expiry()?), update: None }
            }
            "javax.cache.expiry.ModifiedExpiryPolicy" => {
                Self { creation: expiry()?, access: None, update: Some(expiry()?) }
            }
            "javax.cache.expiry.TouchedExpiryPolicy" => {
                Self { creation: expiry()?, access: Some(expiry()?), update: Some(expiry()?) }
            }
            "com.hazelcast.cache.HazelcastExpiryPolicy" => Self {
                creation: field("create")??,
                access: field("access")?,
                update: field("update")?,
            },
            _ => return None,
        })
    }
}

/// The object in a blob of Java's serialization.
fn java(data: Data<'_>) -> Option<Stream<'_>> {
    if data.type_id() == type_id::JAVA { Stream::read(data.payload()) } else { None }
}

/// A `javax.cache.expiry.Duration`, or null. It is eternal if it has no unit.
fn lifetime(duration: Option<Object<'_, '_>>) -> Option<Option<Lifetime>> {
    let Some(duration) = duration else { return Some(None) };
    if duration.class_name()? != "javax.cache.expiry.Duration" {
        return None;
    }
    let amount = duration.number("durationAmount")?;
    let Some(unit) = duration.constant("timeUnit", TIME_UNIT)? else {
        return Some(Some(Lifetime::Eternal));
    };
    let (_, unit_ms) = UNITS.iter().find(|(name, _)| *name == unit)?;
    of_units(amount, *unit_ms).map(Some)
}

/// A lifetime in an object of Hazelcast: the amount, and the position of the unit.
fn timed(input: &mut Input<'_>) -> Option<Lifetime> {
    let (amount, unit) = (input.i64()?, input.i32()?);
    let (_, unit_ms) = UNITS.get(usize::try_from(unit).ok()?)?;
    of_units(amount, *unit_ms)
}

fn of_units(amount: i64, unit_ms: u64) -> Option<Lifetime> {
    let amount = u64::try_from(amount).ok()?;
    (unit_ms > 0).then(|| Lifetime::Ms(amount.saturating_mul(unit_ms)))
}
