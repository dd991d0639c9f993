//! Fake responses for tests, where there is no host.

use std::cell::RefCell;
use std::rc::Rc;

use super::{Error, Request, Response};

type Answer = Rc<dyn Fn(&Request) -> Result<Response, Error>>;

thread_local! {
    static ANSWER: RefCell<Option<Answer>> = const { RefCell::new(None) };
}

/// Runs `call` while `answer` computes the responses to all requests of this thread. For tests,
/// on targets other than WebAssembly only. Without it every request fails, since there is no
/// network.
///
/// ```
/// use convoke_mode_sdk::http::{Error, Request, Response, answered_by};
///
/// let status = answered_by(
///     |request| match request.url() {
///         "http://127.0.0.1:8500/" => Ok(Response::new(200, "hello")),
///         _ => Err(Error::Temporary("connection refused".to_owned())),
///     },
///     || Request::get("http://127.0.0.1:8500").query("a", "b").send(),
/// );
/// assert_eq!(status, Err(Error::Temporary("connection refused".to_owned())));
/// ```
pub fn answered_by<T>(
    answer: impl Fn(&Request) -> Result<Response, Error> + 'static,
    call: impl FnOnce() -> T,
) -> T {
    let _outer = Restored(ANSWER.replace(Some(Rc::new(answer))));
    call()
}

/// Restores the previous function, also if a test panics.
struct Restored(Option<Answer>);

impl Drop for Restored {
    fn drop(&mut self) {
        ANSWER.set(self.0.take());
    }
}

pub(super) fn exchange(request: &Request) -> Result<Response, Error> {
    // Not borrowed during the call, since the function may send requests itself.
    let answer = ANSWER.with_borrow(Option::clone);
    answer.map_or_else(
        || {
            let asked = request.describe();
            Err(Error::Other(format!("{asked}: there is no network outside of WebAssembly")))
        },
        |answer| answer(request),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_fake_every_request_fails() {
        let text = "GET http://a: there is no network outside of WebAssembly".to_owned();
        assert_eq!(Request::get("http://a").send(), Err(Error::Other(text)));
    }

    #[test]
    fn a_fake_applies_to_one_call() {
        let get = || Request::get("http://a").send().map(|answer| answer.status);
        let answer = |status| move |_: &Request| Ok(Response::new(status, ""));
        let (before, within, after) =
            answered_by(answer(200), || (get(), answered_by(answer(404), get), get()));
        assert_eq!((before, within, after), (Ok(200), Ok(404), Ok(200)));
        assert!(get().is_err());
    }
}
