//! A client: a connection to one member, or to the next one after it breaks.

use std::io::{self, ErrorKind};
use std::net::TcpStream as Blocking;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::fleet::Place;
use super::history::{Action, Answer, Outcome};
use crate::resp::{Value, decode, encode};

/// Timeout for connecting.
const CONNECT_MAX: Duration = Duration::from_secs(1);

/// Timeout for an answer, in addition to the time that the request itself waits. After it the
/// outcome is unknown, and the client uses another member.
pub(super) const ANSWER_MAX: Duration = Duration::from_secs(4);

/// Delay before a client that could not connect tries again.
const RETRY: Duration = Duration::from_millis(60);

/// Error codes that guarantee that nothing was executed.
const REFUSALS: [&str; 8] =
    ["CLUSTERDOWN", "TRYAGAIN", "NOREPLICAS", "OOM", "BUSY", "LOADING", "MASTERDOWN", "READONLY"];

/// A client.
#[derive(Debug)]
pub(super) struct Client {
    places: Arc<Vec<Place>>,
    /// The member that it uses.
    at: usize,
    /// Whether it switches to another member when this one fails.
    moves: bool,
    stream: Option<TcpStream>,
    input: Vec<u8>,
}

impl Client {
    pub(super) fn new(places: Arc<Vec<Place>>, at: usize, moves: bool) -> Self {
        Self { places, at, moves, stream: None, input: Vec::new() }
    }

    /// The member that it uses.
    pub(super) fn member(&self) -> u32 {
        u32::try_from(self.at).expect("few members")
    }

    /// Connects, unless it is connected. Returns false on failure.
    pub(super) async fn connect(&mut self) -> bool {
        if self.stream.is_some() {
            return true;
        }
        let place = self.places[self.at].clone();
        // A connection stays in the namespace in which it was opened.
        let connect = move || {
            place.inside(|| {
                let stream = Blocking::connect_timeout(&place.resp, CONNECT_MAX)?;
                stream.set_nodelay(true)?;
                stream.set_nonblocking(true)?;
                Ok::<_, io::Error>(stream)
            })
        };
        let connected = tokio::task::spawn_blocking(connect).await;
        match connected.map_err(io::Error::other).flatten().and_then(TcpStream::from_std) {
            Ok(stream) => {
                self.stream = Some(stream);
                self.input.clear();
                true
            }
            Err(_) => {
                self.switch_member();
                tokio::time::sleep(RETRY).await;
                false
            }
        }
    }

    /// Closes the connection and selects the next member.
    fn switch_member(&mut self) {
        self.stream = None;
        if self.moves {
            self.at = (self.at + 1) % self.places.len();
        }
    }

    /// Sends a command and waits for the answer, `wait` longer than the default timeout.
    ///
    /// # Errors
    /// If there is no answer; the outcome is unknown then.
    pub(super) async fn command(&mut self, args: &[&[u8]], wait: Duration) -> io::Result<Value> {
        let exchange = async {
            let stream = self.stream.as_mut().ok_or(ErrorKind::NotConnected)?;
            stream.write_all(&encode(args)).await?;
            loop {
                let decoded = decode(&self.input);
                let decoded = decoded.map_err(|why| io::Error::new(ErrorKind::InvalidData, why))?;
                if let Some((value, length)) = decoded {
                    self.input.drain(..length);
                    return Ok(value);
                }
                if stream.read_buf(&mut self.input).await? == 0 {
                    return Err(ErrorKind::UnexpectedEof.into());
                }
            }
        };
        let answer = timeout(ANSWER_MAX + wait, exchange).await;
        let answer = answer.unwrap_or_else(|_| Err(ErrorKind::TimedOut.into()));
        if answer.is_err() {
            self.switch_member();
        }
        answer
    }
}

/// Width of set elements, which must be equal in `SADD` and `SREM`.
const ELEMENT_WIDTH: usize = 16;

/// The request of an action; values are padded to `width` bytes.
pub(super) fn request(key: &str, action: &Action, width: usize) -> Vec<Vec<u8>> {
    let text = |value: u64| format!("{value:>width$}");
    let element = |value: u64| format!("{value:>ELEMENT_WIDTH$}");
    let seconds = |ms: u64| format!("{}.{:03}", ms / 1_000, ms % 1_000);
    let key = key.to_owned();
    let args = match action {
        Action::Set { value, ttl_ms: None } => vec!["SET".to_owned(), key, text(*value)],
        Action::Set { value, ttl_ms: Some(ttl) } => {
            vec!["SET".to_owned(), key, text(*value), "PX".to_owned(), ttl.to_string()]
        }
        Action::SetIfAbsent { value } => {
            vec!["SET".to_owned(), key, text(*value), "NX".to_owned()]
        }
        Action::Get => vec!["GET".to_owned(), key],
        Action::Delete => vec!["DEL".to_owned(), key],
        Action::GetDelete => vec!["GETDEL".to_owned(), key],
        Action::Increment => vec!["INCR".to_owned(), key],
        Action::Push { value } => vec!["RPUSH".to_owned(), key, text(*value)],
        Action::Pop => vec!["LPOP".to_owned(), key],
        Action::BlockingPop { timeout_ms } => {
            vec!["BLPOP".to_owned(), key, seconds(*timeout_ms)]
        }
        Action::PopMany { count, timeout_ms } => {
            let args = ["BLMPOP", &seconds(*timeout_ms), "1", &key, "LEFT", "COUNT"];
            let args = args.map(str::to_owned).into_iter();
            args.chain([count.to_string()]).collect()
        }
        Action::Move { to, timeout_ms } => {
            let args = ["BLMOVE", &key, to, "LEFT", "RIGHT", &seconds(*timeout_ms)];
            args.map(str::to_owned).into()
        }
        Action::List => ["LRANGE", &key, "0", "-1"].map(str::to_owned).into(),
        Action::Add { value } => vec!["SADD".to_owned(), key, element(*value)],
        Action::Remove { value } => vec!["SREM".to_owned(), key, element(*value)],
        Action::Members => vec!["SMEMBERS".to_owned(), key],
    };
    args.into_iter().map(String::into_bytes).collect()
}

/// How long an action may block.
pub(super) fn waits(action: &Action) -> Duration {
    match action {
        Action::BlockingPop { timeout_ms }
        | Action::PopMany { timeout_ms, .. }
        | Action::Move { timeout_ms, .. } => Duration::from_millis(*timeout_ms),
        _ => Duration::ZERO,
    }
}

/// The outcome of an action from its answer.
pub(super) fn outcome(action: &Action, answer: &io::Result<Value>) -> Outcome {
    let value = match answer {
        Err(error) => return Outcome::Unknown(error.to_string()),
        Ok(Value::Error(text)) => return failure(text),
        Ok(value) => value,
    };
    match read(action, value) {
        Some(answer) => Outcome::Done(answer),
        None => Outcome::Unexpected(format!("{value:?}")),
    }
}

fn failure(text: &str) -> Outcome {
    let code = text.split(' ').next().unwrap_or_default();
    if code == "INDETERMINATE" {
        Outcome::Unknown(text.to_owned())
    } else if REFUSALS.contains(&code) || text.starts_with("ERR max number of clients") {
        Outcome::Refused(text.to_owned())
    } else {
        Outcome::Unexpected(text.to_owned())
    }
}

fn read(action: &Action, value: &Value) -> Option<Answer> {
    let number = |value: &Value| -> Option<u64> {
        str::from_utf8(value.bytes()?).ok()?.trim_start().parse().ok()
    };
    let numbers =
        |all: &Value| Some(Answer::Values(all.list()?.iter().map(number).collect::<Option<_>>()?));
    match (action, value) {
        (Action::Set { .. }, value) => (*value == Value::ok()).then_some(Answer::Ok),
        (Action::SetIfAbsent { .. }, Value::Nil) => Some(Answer::Integer(0)),
        (Action::SetIfAbsent { .. }, value) => {
            (*value == Value::ok()).then_some(Answer::Integer(1))
        }
        (Action::Increment | Action::Push { .. }, Value::Integer(number)) => {
            (*number > 0).then_some(Answer::Integer(*number))
        }
        (Action::Delete | Action::Add { .. } | Action::Remove { .. }, Value::Integer(number)) => {
            matches!(number, 0 | 1).then_some(Answer::Integer(*number))
        }
        (
            Action::Get
            | Action::GetDelete
            | Action::Pop
            | Action::BlockingPop { .. }
            | Action::PopMany { .. }
            | Action::Move { .. },
            Value::Nil,
        ) => Some(Answer::Nil),
        (Action::Get | Action::GetDelete | Action::Pop | Action::Move { .. }, value) => {
            number(value).map(Answer::Value)
        }
        (Action::BlockingPop { .. }, Value::List(pair)) => match &pair[..] {
            [_, value] => number(value).map(Answer::Value),
            _ => None,
        },
        (Action::PopMany { .. }, Value::List(pair)) => match &pair[..] {
            [_, all] => numbers(all),
            _ => None,
        },
        (Action::List | Action::Members, all) => numbers(all),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(action: &Action) -> String {
        let args = request("k", action, 1);
        let args: Vec<_> = args.iter().map(|arg| String::from_utf8_lossy(arg)).collect();
        args.join(" ")
    }

    #[test]
    fn actions_become_requests() {
        let many = Action::PopMany { count: 3, timeout_ms: 1_050 };
        assert_eq!(args(&many), "BLMPOP 1.050 1 k LEFT COUNT 3");
        assert_eq!(args(&Action::Set { value: 1, ttl_ms: Some(7) }), "SET k 1 PX 7");
        let over = Action::Move { to: "l".to_owned(), timeout_ms: 10 };
        assert_eq!(args(&over), "BLMOVE k l LEFT RIGHT 0.010");
        assert_eq!(request("k", &Action::Push { value: 5 }, 3)[2], b"  5");
    }

    #[test]
    fn answers_become_outcomes() {
        let error = |text: &str| Ok(Value::Error(text.to_owned()));
        let of = |action: &Action, answer| outcome(action, &answer);
        assert_eq!(of(&Action::Get, Ok(Value::from(" 7"))), Outcome::Done(Answer::Value(7)));
        assert!(matches!(of(&Action::Get, error("TRYAGAIN x")), Outcome::Refused(_)));
        assert!(matches!(of(&Action::Get, error("INDETERMINATE x")), Outcome::Unknown(_)));
        assert!(matches!(of(&Action::Get, error("WRONGTYPE x")), Outcome::Unexpected(_)));
        assert!(matches!(of(&Action::Get, Ok(Value::from("x"))), Outcome::Unexpected(_)));
        let lost = Err(ErrorKind::TimedOut.into());
        assert!(matches!(of(&Action::Increment, lost), Outcome::Unknown(_)));
        let many = Action::PopMany { count: 2, timeout_ms: 1 };
        let pair = Value::List(vec![Value::from("k"), Value::List(vec![Value::from("1")])]);
        assert_eq!(of(&many, Ok(pair)), Outcome::Done(Answer::Values(vec![1])));
        assert_eq!(of(&Action::Delete, Ok(Value::Integer(1))), Outcome::Done(Answer::Integer(1)));
    }
}
