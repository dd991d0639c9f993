//! Compares the keys of the source with those of the cluster.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::client::Requests;
use crate::copy::select;
use crate::counts::{Named, name_of};
use crate::functions::FunctionsComparison;
use crate::meter::Meter;
use crate::reply::Value;
use crate::retry::{Backoff, Stop, repeat};
use crate::source::{Source, time_to_live};
use crate::target::Target;
use crate::trouble::Trouble;
use crate::value::digest::Digest;
use crate::value::reader::Unread;
use crate::value::{
    Kind, Piece, Store, deadlines_request, set_deadlines, whole_piece, whole_request,
};

/// Keys that `SCAN` is asked for at a time.
const PAGE_KEYS: usize = 512;
/// Largest difference between the times to live of a key, in milliseconds.
pub(crate) const TTL_MS_MAX: u64 = 2_000;
/// Memory for the values of a page, in bytes. Larger values are read in pieces.
const PAGE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Memory for the type and the time to live of all keys of a page, in bytes.
const FACTS_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How often a key that differs is compared again, in case it is changing.
const REPEATS_MAX: u32 = 2;
/// Time before that, in milliseconds.
const REPEAT_MS: u64 = 50;

/// What a comparison has found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Comparison {
    /// Keys of the source that have been compared.
    pub(crate) compared: u64,
    pub(crate) differing: Named,
    /// Keys that could not be compared.
    pub(crate) failed: Named,
    /// Keys that only the cluster has.
    pub(crate) surplus: Named,
    /// Libraries of functions.
    pub(crate) functions: FunctionsComparison,
}

impl Comparison {
    pub(crate) fn is_equal(&self) -> bool {
        let differing = self.differing.count + self.functions.differing.count;
        differing == 0 && self.failed.count == 0
    }

    pub(crate) fn lines(&self, seconds: f64) -> Vec<String> {
        let Self { compared, differing, failed, surplus, functions } = self;
        let mut lines = vec![match differing.count {
            0 => format!("verified in {seconds:.1} s: all of {compared} keys are equal"),
            count => format!("verified in {seconds:.1} s: {count} of {compared} keys differ:"),
        }];
        lines.extend(differing.lines());
        if failed.count > 0 {
            lines.push(format!("{} keys could not be compared:", failed.count));
            lines.extend(failed.lines());
        }
        if surplus.count > 0 {
            lines.push(format!("{} keys are in the cluster only:", surplus.count));
            lines.extend(surplus.lines());
        }
        lines.extend(functions.lines());
        lines
    }
}

/// Finds the keys of a database of the cluster that match the pattern and that none of the sources
/// has.
pub(crate) async fn find_surplus(
    sources: &mut [Source],
    target: &mut Target,
    (database, pattern): (u16, Option<&[u8]>),
    stop: &Stop,
    surplus: &mut Named,
) -> Result<(), Trouble> {
    target.select(database);
    for part in 0..target.parts() {
        let mut cursor = 0;
        loop {
            stop.check()?;
            let scan = async || target.scan(part, cursor, pattern, PAGE_KEYS).await;
            let (keys, next) = repeat(stop, scan).await?;
            let mut keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
            for source in &mut *sources {
                let known = async || {
                    source.select(database).await?;
                    facts(source, &keys).await
                };
                let known = repeat(stop, known).await?;
                let mut known = known.iter();
                keys.retain(|_| known.next().is_some_and(Option::is_none));
            }
            for key in keys {
                surplus.add(|| name_of(database, key));
            }
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
    }
    Ok(())
}

/// Type and time to live of a key; `None` if it does not exist.
type Facts = Option<(Kind, Option<Duration>)>;

async fn facts(store: &mut impl Store, keys: &[&[u8]]) -> Result<Vec<Facts>, Trouble> {
    let request = |key: &&'_ [u8]| {
        let mut requests = Requests::from([&b"TYPE"[..], key]);
        requests.push(&[&b"PTTL"[..], key]);
        requests
    };
    let requests: Vec<(&[u8], Requests)> = keys.iter().map(|key| (*key, request(key))).collect();
    let replies = store.call_each(&requests, FACTS_BYTES_MAX).await?;
    let facts = |replies: Vec<Value>| {
        let Some(Value::Simple(name)) = replies.first() else { return None };
        let (kind, ttl) = (Kind::parse(name)?, time_to_live(replies.get(1)?).ok()?);
        Some((kind, ttl))
    };
    Ok(replies.into_iter().map(facts).collect())
}

/// The values of keys, whose kinds are known; `None` for those that have to be read in pieces, or
/// are gone.
async fn values(
    store: &mut impl Store,
    keys: &[(&[u8], &Kind)],
) -> Result<Vec<Option<Piece>>, Trouble> {
    let requests: Vec<(&[u8], Requests)> = keys
        .iter()
        .map(|(key, kind)| (*key, whole_request(kind, key).unwrap_or_default()))
        .collect();
    let replies = store.call_each(&requests, PAGE_BYTES_MAX).await?;
    let mut pieces: Vec<Option<Piece>> = keys
        .iter()
        .zip(replies)
        .map(|((_, kind), replies)| whole_piece(kind, replies.into_iter().next()?))
        .collect();
    if store.can_expire_fields() {
        let requests: Vec<(&[u8], Requests)> = keys
            .iter()
            .zip(&pieces)
            .filter_map(|((key, _), piece)| match piece {
                Some(Piece::Fields(fields)) => Some((*key, deadlines_request(key, fields))),
                _ => None,
            })
            .collect();
        if !requests.is_empty() {
            let mut replies = store.call_each(&requests, PAGE_BYTES_MAX).await?.into_iter();
            for piece in &mut pieces {
                if let Some(Piece::Fields(fields)) = piece {
                    let reply = replies.next().and_then(|replies| replies.into_iter().next());
                    set_deadlines(fields, reply.unwrap_or(Value::Nil));
                }
            }
        }
    }
    Ok(pieces)
}

/// A key, and what differs of it, if anything does; an error if it cannot be compared.
type Difference<'k> = (&'k [u8], Option<Result<String, String>>);

/// What differs in what is known of a key before its value is read.
fn difference(source: &Facts, target: &Facts) -> Option<String> {
    match (source, target) {
        // It was deleted, or has expired.
        (None, _) => None,
        (Some(_), None) => Some("is missing in the cluster".to_owned()),
        (Some((source, _)), Some((target, _))) if source != target => Some(format!(
            "is one of the {target} in the cluster, and of the {source} in the source"
        )),
        (Some((_, source)), Some((_, target))) => match (source, target) {
            (Some(source), Some(target)) => {
                let difference = source.abs_diff(*target);
                let is_close = difference <= Duration::from_millis(TTL_MS_MAX);
                (!is_close).then(|| format!("expires {} ms apart", difference.as_millis()))
            }
            (Some(_), None) => Some("expires in the source only".to_owned()),
            (None, Some(_)) => Some("expires in the cluster only".to_owned()),
            (None, None) => None,
        },
    }
}

/// Compares all keys of a database of the source that match the pattern.
#[derive(Debug)]
pub(crate) struct Verifier<'a> {
    pub(crate) source: &'a mut Source,
    pub(crate) target: &'a mut Target,
    pub(crate) database: u16,
    pub(crate) pattern: Option<&'a [u8]>,
    pub(crate) stop: &'a Stop,
}

impl Verifier<'_> {
    pub(crate) async fn run(
        &mut self,
        comparison: &mut Comparison,
        meter: &mut Meter,
    ) -> Result<(), Trouble> {
        let (mut cursor, mut backoff) = (0, Backoff::new(self.stop));
        let before = comparison.clone();
        loop {
            self.stop.check()?;
            match select(self.source, self.database).await {
                Ok(false) => {}
                Ok(true) => {
                    meter.note("note: the source has restarted: its database is compared again");
                    (cursor, *comparison) = (0, before.clone());
                }
                Err(Trouble::Lost(why)) => {
                    backoff.wait(&why).await?;
                    continue;
                }
                Err(trouble) => return Err(trouble),
            }
            // A page that is repeated is counted once.
            let mut page = comparison.clone();
            match self.page(cursor, &mut page).await {
                Ok(next) => {
                    *comparison = page;
                    meter.show(comparison.compared);
                    backoff.reset();
                    cursor = next;
                    if cursor == 0 {
                        return Ok(());
                    }
                }
                Err(Trouble::Lost(why)) => backoff.wait(&why).await?,
                Err(trouble) => return Err(trouble),
            }
        }
    }

    async fn page(&mut self, cursor: u64, comparison: &mut Comparison) -> Result<u64, Trouble> {
        self.target.select(self.database);
        let (keys, next) = self.source.scan(cursor, self.pattern, PAGE_KEYS).await?;
        let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
        for (key, difference) in self.differences(&keys).await? {
            let mut difference = difference;
            for _ in 0..REPEATS_MAX {
                if difference.is_none() {
                    break;
                }
                sleep(Duration::from_millis(REPEAT_MS)).await;
                difference = self.differences(&[key]).await?.pop().and_then(|(_, is)| is);
            }
            comparison.compared += 1;
            match difference {
                None => {}
                Some(Ok(what)) => {
                    comparison.differing.add(|| format!("{} {what}", name_of(self.database, key)));
                }
                Some(Err(why)) => {
                    comparison.failed.add(|| format!("{}: {why}", name_of(self.database, key)));
                }
            }
        }
        Ok(next)
    }

    /// What differs of each key.
    async fn differences<'k>(&mut self, keys: &[&'k [u8]]) -> Result<Vec<Difference<'k>>, Trouble> {
        let started = Instant::now();
        let (sources, mut targets) =
            (facts(self.source, keys).await?, facts(self.target, keys).await?);
        // A page takes some time.
        let elapsed = started.elapsed();
        for (_, ttl) in targets.iter_mut().flatten() {
            *ttl = ttl.map(|ttl| ttl + elapsed);
        }
        let mut results: Vec<Difference<'k>> = Vec::new();
        let mut equal: Vec<(usize, &[u8], &Kind)> = Vec::new();
        for (at, key) in keys.iter().enumerate() {
            let difference = difference(&sources[at], &targets[at]);
            if let (None, Some((kind, _))) = (&difference, &sources[at]) {
                equal.push((at, key, kind));
            }
            results.push((key, difference.map(Ok)));
        }
        let pairs: Vec<(&[u8], &Kind)> = equal.iter().map(|(_, key, kind)| (*key, *kind)).collect();
        let of_source = values(self.source, &pairs).await?;
        let of_target = values(self.target, &pairs).await?;
        for ((at, key, kind), (source, target)) in equal.iter().zip(of_source.iter().zip(of_target))
        {
            let digest = |piece: &Piece| {
                let mut digest = Digest::default();
                digest.add(piece);
                digest.finish()
            };
            let is_equal = match (source, &target) {
                (Some(source), Some(target)) => Ok(digest(source) == digest(target)),
                _ => self.compare_in_pieces(key, kind).await?,
            };
            results[*at].1 = match is_equal {
                Ok(true) => None,
                Ok(false) => Some(Ok("has another value".to_owned())),
                Err(why) => Some(Err(why)),
            };
        }
        Ok(results)
    }

    async fn compare_in_pieces(
        &mut self,
        key: &[u8],
        kind: &Kind,
    ) -> Result<Result<bool, String>, Trouble> {
        let source = Digest::read(self.source, key, kind).await;
        let target = Digest::read(self.target, key, kind).await;
        match (source, target) {
            (Err(Unread::Trouble(trouble)), _) | (_, Err(Unread::Trouble(trouble))) => Err(trouble),
            // It was deleted, or has expired.
            (Err(Unread::Gone), _) => Ok(Ok(true)),
            (_, Err(Unread::Gone)) => Ok(Ok(false)),
            (Err(Unread::Failed(why)), _) | (_, Err(Unread::Failed(why))) => Ok(Err(why)),
            (Ok(source), Ok(target)) => Ok(Ok(source == target)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_and_times_to_live_are_compared_with_a_tolerance() {
        let facts = |kind: Kind, ms: Option<u64>| Some((kind, ms.map(Duration::from_millis)));
        let of = |source: &Facts, target: &Facts| difference(source, target);
        let hash = facts(Kind::Hash, Some(10_000));
        assert_eq!(of(&hash, &facts(Kind::Hash, Some(10_000 + TTL_MS_MAX))), None);
        assert!(of(&hash, &facts(Kind::Hash, Some(10_001 + TTL_MS_MAX))).is_some());
        assert_eq!(of(&hash, &facts(Kind::Hash, None)).unwrap(), "expires in the source only");
        assert_eq!(of(&facts(Kind::Hash, None), &hash).unwrap(), "expires in the cluster only");
        assert_eq!(of(&hash, &None).unwrap(), "is missing in the cluster");
        assert_eq!(of(&None, &hash), None);
        let text = "is one of the strings in the cluster, and of the hashes in the source";
        assert_eq!(of(&hash, &facts(Kind::String, Some(10_000))).unwrap(), text);
    }

    #[test]
    fn the_result_names_the_first_keys_that_differ() {
        let mut comparison = Comparison { compared: 3, ..Comparison::default() };
        assert_eq!(comparison.lines(1.0), ["verified in 1.0 s: all of 3 keys are equal"]);
        comparison.differing.add(|| "database 0, key a is missing".to_owned());
        let lines = comparison.lines(1.0);
        assert_eq!(lines[0], "verified in 1.0 s: 1 of 3 keys differ:");
        assert_eq!(lines[1], "  database 0, key a is missing");
    }
}
