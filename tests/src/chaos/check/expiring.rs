//! Keys with a time to live. Each key is written by one client only, after the outcome of its
//! previous write is known, and read by all clients.

use super::{Case, Findings, phantoms};
use crate::chaos::history::{Action, Answer, Operation, Outcome};

/// Milliseconds by which a key may expire early, by the client's clock.
pub const EARLY_MS_MAX: u64 = 300;

/// Milliseconds by which a key may be read late, by the client's clock.
pub const LATE_MS_MAX: u64 = 500;

/// The fraction by which a time to live may be shorter or longer in addition: the cluster's clock
/// follows a clock that jumped gradually.
pub const SLEW_PERCENT_MAX: u64 = 5;

const NANOS_PER_MS: u64 = 1_000_000;

struct Write<'a> {
    index: usize,
    operation: &'a Operation,
    /// `None` for a deletion.
    value: Option<u64>,
    ttl_ms: Option<u64>,
}

impl Write<'_> {
    fn slew_ms(&self) -> u64 {
        self.ttl_ms.unwrap_or(0) * SLEW_PERCENT_MAX / 100
    }

    /// Whether it may have expired at `time`.
    fn may_have_expired(&self, time: u64) -> bool {
        self.ttl_ms.is_some_and(|ttl| {
            let least = ttl.saturating_sub(EARLY_MS_MAX + self.slew_ms());
            time >= self.operation.call + least * NANOS_PER_MS
        })
    }

    /// Whether it must have expired at `time`.
    fn must_have_expired(&self, time: u64) -> bool {
        self.ttl_ms.is_some_and(|ttl| {
            let most = ttl + LATE_MS_MAX + self.slew_ms();
            self.operation.is_done() && time > self.operation.ret + most * NANOS_PER_MS
        })
    }
}

pub(super) fn check(case: &Case<'_>, findings: &mut Findings) {
    let before = findings.violations.len();
    phantoms(case, findings);
    if findings.violations.len() > before {
        return;
    }
    let mut writes: Vec<Write<'_>> = Vec::new();
    for (index, operation) in case.operations() {
        let (value, ttl_ms) = match operation.action {
            Action::Set { value, ttl_ms } => (Some(value), ttl_ms),
            Action::Delete => (None, None),
            _ => continue,
        };
        if !matches!(operation.outcome, Outcome::Refused(_)) {
            writes.push(Write { index, operation, value, ttl_ms });
        }
    }
    let mut seen = Seen::default();
    for (index, operation) in case.operations() {
        let value = match (&operation.action, operation.answer()) {
            (Action::Get, Some(Answer::Value(value))) => Some(*value),
            (Action::Get, Some(Answer::Nil)) => None,
            _ => continue,
        };
        let read = (index, operation);
        match value {
            Some(value) => shown(case, &writes, &mut seen, read, value, findings),
            None => absent(case, &writes, &mut seen, read, findings),
        }
    }
}

/// The results of earlier reads.
#[derive(Default)]
struct Seen {
    /// Reads that found nothing: beginning, end, operation.
    nothing: Vec<(u64, u64, usize)>,
    /// Reads that found the value of a write: end, place of the write, operation.
    values: Vec<(u64, usize, usize)>,
}

/// The index of the last write that had ended when `read` began; earlier values have been replaced.
fn settled(writes: &[Write<'_>], read: &Operation) -> Option<usize> {
    writes.iter().rposition(|write| write.operation.precedes(read))
}

fn shown(
    case: &Case<'_>,
    writes: &[Write<'_>],
    seen: &mut Seen,
    (index, read): (usize, &Operation),
    value: u64,
    findings: &mut Findings,
) {
    let Some(at) = writes.iter().position(|write| write.value == Some(value)) else { return };
    let write = &writes[at];
    let mut wrong = |rule: &'static str, text: String, shown: &[usize]| {
        let all = [write.index].into_iter().chain(shown.iter().copied()).chain([index]);
        findings.violations.push(case.violation(rule, text, all.collect()));
    };
    if let Some(last) = settled(writes, read).filter(|&last| last > at) {
        let text = format!("{value} is there after a later write was acknowledged");
        wrong("overwritten value reappeared", text, &[writes[last].index]);
    } else if let Some((.., later)) =
        seen.values.iter().find(|&&(end, place, _)| end < read.call && place > at)
    {
        let text = format!("{value} is there after a later value had been read");
        wrong("overwritten value reappeared", text, &[*later]);
    } else if write.must_have_expired(read.call) {
        wrong("expired value read", format!("{value} is there after its time"), &[]);
    } else if write.operation.is_done()
        && let Some((.., nothing)) = seen
            .nothing
            .iter()
            .find(|&&(call, end, _)| call > write.operation.ret && end < read.call)
    {
        wrong(
            "removed value reappeared",
            format!("{value} is back after it was gone"),
            &[*nothing],
        );
    }
    seen.values.push((read.ret, at, index));
}

fn absent(
    case: &Case<'_>,
    writes: &[Write<'_>],
    seen: &mut Seen,
    (index, read): (usize, &Operation),
    findings: &mut Findings,
) {
    let last = settled(writes, read);
    // A read may find nothing if no write had ended before, or if one of the writes that it may
    // return is a deletion or may have expired.
    let from = last.unwrap_or(0);
    let may_be_gone = last.is_none()
        || writes[from..]
            .iter()
            .filter(|write| write.operation.call <= read.ret)
            .any(|write| write.value.is_none() || write.may_have_expired(read.ret));
    if !may_be_gone && let Some(last) = last {
        let write = &writes[last];
        let text = match write.ttl_ms {
            Some(ttl) => format!(
                "gone {} ms after a write with {ttl} ms to live had begun",
                (read.ret - write.operation.call) / NANOS_PER_MS
            ),
            None => "acknowledged value lost".to_owned(),
        };
        let rule = if write.ttl_ms.is_some() { "expired early" } else { "acknowledged write lost" };
        findings.violations.push(case.violation(rule, text, vec![write.index, index]));
    }
    seen.nothing.push((read.call, read.ret, index));
}
