//! A minimal browser that keeps cookies.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// A web process that cannot reach its member may retry for a while before it returns an error.
const ANSWER_MAX: Duration = Duration::from_secs(20);

/// The largest page that is read, in bytes.
const PAGE_BYTES_MAX: u64 = 1 << 20;

/// One user's browser. It sends requests to processes on loopback, and keeps one set of cookies for
/// all of them, as for one site behind a load balancer.
#[derive(Debug, Default)]
pub(crate) struct Browser {
    cookies: BTreeMap<String, String>,
}

/// A response.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Page {
    /// The status code.
    pub(crate) status: u16,
    /// The body.
    pub(crate) text: String,
}

impl Browser {
    /// Requests a page.
    ///
    /// # Errors
    /// If there is no response, or it is not HTTP.
    pub(crate) fn get(&mut self, port: u16, path: &str) -> io::Result<Page> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut stream = TcpStream::connect_timeout(&address, ANSWER_MAX)?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        stream.set_write_timeout(Some(ANSWER_MAX))?;
        // HTTP/1.0: the response is not chunked and ends with the connection.
        let mut request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n");
        let cookies: Vec<String> =
            self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if !cookies.is_empty() {
            let _ = write!(request, "Cookie: {}\r\n", cookies.join("; "));
        }
        request.push_str("\r\n");
        stream.write_all(request.as_bytes())?;
        let mut bytes = Vec::new();
        stream.take(PAGE_BYTES_MAX).read_to_end(&mut bytes)?;
        self.take(&String::from_utf8_lossy(&bytes))
            .ok_or_else(|| io::Error::other(format!("{address} does not speak HTTP")))
    }

    /// Whether it has a cookie: a response that deletes it has logged the user out.
    pub(crate) fn has_cookie(&self) -> bool {
        !self.cookies.is_empty()
    }

    fn take(&mut self, answer: &str) -> Option<Page> {
        let (head, text) = answer.split_once("\r\n\r\n")?;
        let mut lines = head.split("\r\n");
        let status = lines.next()?.strip_prefix("HTTP/")?.split(' ').nth(1)?.parse().ok()?;
        for line in lines {
            let (name, value) = line.split_once(':')?;
            if name.eq_ignore_ascii_case("set-cookie") {
                self.take_cookie(value.trim())?;
            }
        }
        Some(Page { status, text: text.to_owned() })
    }

    /// `name=value; Max-Age=60; Path=/`. An expired cookie is deleted.
    fn take_cookie(&mut self, cookie: &str) -> Option<()> {
        let (pair, attributes) = cookie.split_once(';').unwrap_or((cookie, ""));
        let (name, value) = pair.split_once('=')?;
        let attributes = attributes.to_ascii_lowercase();
        let is_expired = attributes.split(';').map(str::trim).any(|attribute| {
            attribute == "max-age=0" || attribute.starts_with("expires=thu, 01 jan 1970")
        });
        if is_expired {
            self.cookies.remove(name);
        } else {
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        Some(())
    }
}

#[test]
fn cookies_are_kept_until_they_are_deleted() {
    let mut browser = Browser::default();
    let set = "HTTP/1.1 200 OK\r\nSet-Cookie: sid=a=b; Path=/; Max-Age=60\r\n\r\nwords\n";
    assert_eq!(browser.take(set), Some(Page { status: 200, text: "words\n".to_owned() }));
    assert_eq!(browser.cookies["sid"], "a=b");
    browser.take("HTTP/1.1 503 Away\r\nVary: Cookie\r\n\r\n").unwrap();
    assert!(browser.has_cookie());
    for end in ["Max-Age=0", "expires=Thu, 01 Jan 1970 00:00:00 GMT"] {
        browser.take(set).unwrap();
        browser.take(&format!("HTTP/1.0 200 OK\r\nset-cookie: sid=; {end}\r\n\r\n")).unwrap();
        assert!(!browser.has_cookie(), "{end}");
    }
    assert_eq!(browser.take("+PONG\r\n"), None);
}
