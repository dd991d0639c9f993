//! `convoke members`: prints the view of the member on this host.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::output::say;
use crate::settings::Settings;

/// Time limit of the member's response, in milliseconds.
const ANSWER_MS_MAX: u64 = 3_000;
/// Largest answer, in bytes: enough for a view of 10,000 members.
const ANSWER_BYTES_MAX: u64 = 16 << 20;

/// Prints the view of the member with the HTTP port `--port`.
pub(crate) async fn run(settings: &Settings) -> Result<(), String> {
    let at = |ip: IpAddr| SocketAddr::new(ip, settings.port);
    let (mut loopback, other) = (at(Ipv4Addr::LOCALHOST.into()), at(Ipv6Addr::LOCALHOST.into()));
    let limit = Duration::from_millis(ANSWER_MS_MAX);
    let mut asked = tokio::time::timeout(limit, ask(loopback)).await;
    // A member with addresses of the other family only, on a host without this family.
    if !matches!(asked, Ok(Ok(_)))
        && let Ok(Ok(body)) = tokio::time::timeout(limit, ask(other)).await
    {
        (loopback, asked) = (other, Ok(Ok(body)));
    }
    let hint = "is a member running here, and is --port its HTTP port?";
    let body = match asked {
        Ok(Ok(body)) => body,
        Ok(Err(error)) => return Err(format!("no status from {loopback}: {error}; {hint}")),
        Err(_) => {
            return Err(format!("no status from {loopback} within {ANSWER_MS_MAX} ms; {hint}"));
        }
    };
    let status: Value = serde_json::from_str(&body)
        .map_err(|_| format!("the answer from {loopback} is not the status of a member; {hint}"))?;
    let Some(members) = status["cluster"]["members"].as_array() else {
        let why = status["refused"].as_str().map(|why| format!(": {why}")).unwrap_or_default();
        return Err(format!("the member at {loopback} is not in a cluster yet{why}"));
    };
    say!(
        "cluster {} view {}.{}",
        status["cluster"]["name"].as_str().unwrap_or_default(),
        status["cluster"]["epoch"],
        status["cluster"]["version"]
    );
    say!("{:<24} {:<24} {:<24} {:<16} {:<5} id", "address", "http", "name", "group", "lite");
    for member in members {
        let text = |key: &str| member[key].as_str().unwrap_or_default().to_owned();
        say!(
            "{:<24} {:<24} {:<24} {:<16} {:<5} {}{}",
            text("address"),
            text("http_address"),
            text("name"),
            text("group"),
            member["lite"],
            text("id"),
            if member["this"] == true { " this" } else { "" }
        );
    }
    Ok(())
}

/// A minimal HTTP client: the server is a member's own endpoint.
async fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"GET /status HTTP/1.0\r\nhost: localhost\r\n\r\n").await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
    let text = String::from_utf8_lossy(&answer);
    let body = text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
    body.ok_or_else(|| std::io::Error::other("the answer is not HTTP"))
}
