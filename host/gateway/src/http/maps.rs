//! `/maps/{map}/{key}`: one entry of one map.
//!
//! The body is the value. `ETag` is the version of the entry; `If-Match` and `If-None-Match` make a
//! change conditional on it (RFC 9110, section 13). `Convoke-Ttl-Ms` and `Convoke-Max-Idle-Ms`
//! carry the lifetime of the entry, in requests and responses.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use convoke_grid::op::{GenericOp, KeyOp, Lifetime, OTHER_KIND, Op, PlainOp, PutAnswer, PutIf};
use convoke_grid::{KEY_BYTES_MAX, Map, OpError, Reply, Started, Version};

use super::body;
use super::failure::Failure;
use super::web::Web;

/// Time to live of an entry, in milliseconds.
pub(super) const TTL: HeaderName = HeaderName::from_static("convoke-ttl-ms");
/// Time that an entry lives without being accessed, in milliseconds.
pub(super) const MAX_IDLE: HeaderName = HeaderName::from_static("convoke-max-idle-ms");

type Target = Path<(String, String)>;

pub(super) async fn get(
    State(web): State<Arc<Web>>,
    Path((map, key)): Target,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let (key, view) = (key.as_bytes(), KeyOp::Generic(GenericOp::View));
    let ops = vec![Op::Key(key, view), Op::Key(key, KeyOp::Plain(PlainOp::Get))];
    let found = execute(&web, &map, key, Op::Batch { watched: Vec::new(), ops }).await?;
    let Reply::List(found) = found else { return Err(OpError::Malformed.into()) };
    let mut found = found.into_iter();
    let (view, value) = (found.next(), found.next());
    let value = match value {
        Some(Reply::Bytes(value)) => value,
        Some(Reply::Failed(error)) => return Err(error.into()),
        _ => return Err(Failure::NoSuchKey),
    };
    let Some(Reply::Map(fields)) = view else { return Err(Failure::NoSuchKey) };
    let field = |wanted: &str| {
        fields.iter().find_map(|(name, field)| match (name, field) {
            (Reply::Word(name), Reply::Integer(number)) if name == wanted => Some(*number),
            _ => None,
        })
    };
    let is_of_other_kind = fields.iter().any(|(name, field)| {
        let is_type = matches!(name, Reply::Word(name) if name == "type");
        is_type && matches!(field, Reply::Word(kind) if kind == OTHER_KIND)
    });
    if is_of_other_kind {
        return Err(OpError::WrongType.into());
    }
    let tag = tag(Version(field("version").unwrap_or(0).cast_unsigned()));
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let is_known = known
        .is_some_and(|known| known.split(',').any(|one| [tag.as_str(), "*"].contains(&one.trim())));
    let mut response = if is_known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, "application/octet-stream")], body::answer(&web, value)?)
            .into_response()
    };
    let headers = response.headers_mut();
    headers.extend(HeaderValue::from_str(&tag).map(|tag| (header::ETAG, tag)));
    if let Some(deadline_ms) = field("deadline-ms") {
        let now_ms = i64::try_from(web.grid.now_ms()).unwrap_or(i64::MAX);
        headers.insert(TTL, deadline_ms.saturating_sub(now_ms).max(0).into());
    }
    if let Some(period_ms) = field("max-idle-ms") {
        headers.insert(MAX_IDLE, period_ms.into());
    }
    Ok(response)
}

pub(super) async fn put(
    State(web): State<Arc<Web>>,
    Path((map, key)): Target,
    headers: HeaderMap,
    content: Body,
) -> Result<Response, Failure> {
    let lifetime = lifetime(&headers)?;
    let condition = condition(&headers)?;
    let (value, _permit) = body::read(&web, &headers, content).await?;
    let put = PlainOp::Put {
        kind: 0,
        value: &value,
        lifetime,
        condition: condition.unwrap_or(PutIf::Always),
        answer: PutAnswer::Version,
    };
    match execute(&web, &map, key.as_bytes(), Op::Key(key.as_bytes(), KeyOp::Plain(put))).await? {
        Reply::Integer(version) => {
            let tag = tag(Version(version.cast_unsigned()));
            Ok((StatusCode::NO_CONTENT, [(header::ETAG, tag)]).into_response())
        }
        _ => Err(Failure::Condition),
    }
}

pub(super) async fn delete(
    State(web): State<Arc<Web>>,
    Path((map, key)): Target,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let remove = match condition(&headers)? {
        None | Some(PutIf::Present) => GenericOp::Remove,
        Some(PutIf::Version(version)) => GenericOp::RemoveVersion(version),
        Some(_) => return Err(Failure::Malformed("If-None-Match cannot be used with DELETE")),
    };
    match execute(&web, &map, key.as_bytes(), Op::Key(key.as_bytes(), KeyOp::Generic(remove)))
        .await?
    {
        Reply::Integer(1) => Ok(StatusCode::NO_CONTENT.into_response()),
        _ => Err(Failure::NoSuchKey),
    }
}

/// Executes an operation in the partition of the key.
async fn execute(web: &Web, map: &str, key: &[u8], op: Op<'_>) -> Result<Reply, OpError> {
    if key.len() > KEY_BYTES_MAX {
        return Err(OpError::KeyTooLong);
    }
    let map: Arc<Map> = web.grid.open(map)?;
    let started = web.grid.start(&map, web.grid.partition_of(key), &op);
    drop(op);
    match started {
        Started::Now(reply) => reply,
        Started::Later(later) => later.await,
    }
}

/// Formats a version as an entity tag.
fn tag(version: Version) -> String {
    format!("\"{:016x}\"", version.0)
}

/// Parses an entity tag that [`tag`] formatted.
fn version(tag: &str) -> Option<Version> {
    let digits = tag.strip_prefix('"')?.strip_suffix('"')?;
    let are_digits = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    u64::from_str_radix(digits, 16).ok().filter(|_| are_digits).map(Version)
}

/// Whether a text is one strong entity tag (RFC 9110, section 8.8.3).
fn is_tag(text: &str) -> bool {
    let inner = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    inner.is_some_and(|inner| !inner.contains(['"', ',', ' ']))
}

/// Parses `If-Match` and `If-None-Match`.
fn condition(headers: &HeaderMap) -> Result<Option<PutIf<'static>>, Failure> {
    const ONE: Failure = Failure::Malformed(
        "invalid condition: expected If-Match with * or one ETag, or If-None-Match with *, and not both",
    );
    let text = |name| match headers.get(name).map(HeaderValue::to_str) {
        None => Ok(None),
        Some(Ok(text)) => Ok(Some(text.trim())),
        Some(Err(_)) => Err(ONE),
    };
    match (text(header::IF_MATCH)?, text(header::IF_NONE_MATCH)?) {
        (None, None) => Ok(None),
        (Some("*"), None) => Ok(Some(PutIf::Present)),
        // No entry has a tag of another form.
        (Some(tag), None) if is_tag(tag) => {
            let existing = version(tag).filter(|version| *version != Version::NONE);
            Ok(Some(PutIf::Version(existing.unwrap_or(Version(u64::MAX)))))
        }
        (None, Some("*")) => Ok(Some(PutIf::Absent)),
        _ => Err(ONE),
    }
}

fn lifetime(headers: &HeaderMap) -> Result<Lifetime, Failure> {
    const WRONG: Failure = Failure::Malformed(
        "Convoke-Ttl-Ms and Convoke-Max-Idle-Ms must be positive integers, in milliseconds",
    );
    let ms = |name| match headers.get(name) {
        None => Ok(None),
        Some(value) => {
            let number = value.to_str().ok().and_then(|text| text.trim().parse::<u64>().ok());
            number.filter(|number| (1..=MS_MAX).contains(number)).map(Some).ok_or(WRONG)
        }
    };
    Ok(match (ms(&TTL)?, ms(&MAX_IDLE)?) {
        (None, None) => Lifetime::Default,
        (ttl_ms, max_idle_ms) => Lifetime::Limited { ttl_ms, max_idle_ms },
    })
}

/// Maximum lifetime of an entry, in milliseconds.
const MS_MAX: u64 = i64::MAX as u64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_round_trip_as_entity_tags() {
        for number in [0, 1, u64::MAX] {
            assert_eq!(version(&tag(Version(number))), Some(Version(number)));
        }
        for wrong in ["", "\"", "\"\"", "abc", "W/\"1\"", "\"g\"", "\"+1\""] {
            assert_eq!(version(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn conditions_are_one_tag_or_an_asterisk() {
        let read = |pairs: &[(HeaderName, &'static str)]| {
            let value = |text| HeaderValue::from_static(text);
            condition(&pairs.iter().map(|(name, text)| (name.clone(), value(text))).collect())
        };
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&[(header::IF_MATCH, "*")]), Ok(Some(PutIf::Present)));
        assert_eq!(read(&[(header::IF_NONE_MATCH, "*")]), Ok(Some(PutIf::Absent)));
        let tagged = read(&[(header::IF_MATCH, "\"00000000000000ff\"")]);
        assert_eq!(tagged, Ok(Some(PutIf::Version(Version(255)))));
        for other in ["\"zz\"", "\"0000000000000000\""] {
            let tagged = read(&[(header::IF_MATCH, other)]);
            assert_eq!(tagged, Ok(Some(PutIf::Version(Version(u64::MAX)))), "{other}");
        }
        for wrong in ["zz", "W/\"1\"", "\"1\", \"2\"", "\""] {
            assert!(read(&[(header::IF_MATCH, wrong)]).is_err(), "{wrong}");
        }
        assert!(read(&[(header::IF_NONE_MATCH, "\"1\"")]).is_err());
        assert!(read(&[(header::IF_MATCH, "*"), (header::IF_NONE_MATCH, "*")]).is_err());
    }

    /// The headers of a request for an entry, all with the same value.
    #[test]
    fn fuzz_entry_headers() {
        let samples = [
            "*",
            "\"00000000000000ff\"",
            "W/\"1\"",
            " 60000 ",
            "9223372036854775807",
            "18446744073709551616",
            "\"0\", \"x",
        ];
        convoke_harness::check!(&samples, |bytes| {
            let Ok(value) = HeaderValue::from_bytes(bytes) else { return };
            let given = |names: &[HeaderName]| {
                names.iter().map(|name| (name.clone(), value.clone())).collect::<HeaderMap>()
            };
            match condition(&given(&[header::IF_MATCH])) {
                Ok(Some(PutIf::Version(known))) => {
                    assert_eq!(version(&tag(known)), Some(known));
                }
                Ok(found) => assert_eq!(found, Some(PutIf::Present)),
                Err(_) => {}
            }
            let absent = condition(&given(&[header::IF_NONE_MATCH]));
            assert!(absent.is_err() || absent == Ok(Some(PutIf::Absent)));
            assert!(condition(&given(&[header::IF_MATCH, header::IF_NONE_MATCH])).is_err());
            match lifetime(&given(&[TTL, MAX_IDLE])) {
                Ok(Lifetime::Limited { ttl_ms: Some(ttl_ms), max_idle_ms }) => {
                    assert!((1..=MS_MAX).contains(&ttl_ms));
                    assert_eq!(Some(ttl_ms), max_idle_ms);
                }
                Ok(other) => panic!("{other:?}"),
                Err(_) => {}
            }
        });
    }
}
