//! Ports and groups that no other test on this machine uses at the time.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::ops::Range;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

/// Ports that are handed out: below those that systems give to outgoing
/// connections, above those of well-known services.
const PORTS: Range<u32> = 10_000..32_000;

/// Ports between the beginnings of two processes that run at the same time.
const STRIDE: u32 = 3_989;

/// A block of `count` ports that follow each other, all free for TCP and UDP on
/// loopback a moment ago. Each call gives another one.
///
/// # Panics
/// If there is none left.
#[must_use]
pub fn block(count: u16) -> u16 {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    let room = PORTS.end - PORTS.start - u32::from(count);
    let offset = process::id().wrapping_mul(STRIDE);
    for _ in 0..room {
        let taken = TAKEN.fetch_add(u32::from(count), Ordering::Relaxed);
        let first = PORTS.start + offset.wrapping_add(taken) % room;
        let first = u16::try_from(first).expect("within the range above");
        if (first..first + count).all(is_free) {
            return first;
        }
    }
    panic!("no {count} free ports in a row within {PORTS:?}");
}

/// Whether both a stream and a datagram socket could be bound on loopback.
fn is_free(port: u16) -> bool {
    let place = (Ipv4Addr::LOCALHOST, port);
    TcpListener::bind(place).is_ok() && UdpSocket::bind(place).is_ok()
}

/// A multicast group of the range for use within an organisation (RFC 2365).
#[must_use]
pub fn group_v4() -> Ipv4Addr {
    let [a, b] = unique().to_be_bytes();
    Ipv4Addr::new(239, 195, a, b)
}

/// A number that this process hands out once, and others at the same time
/// hardly ever.
#[must_use]
pub fn unique() -> u16 {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let mixed = process::id().wrapping_mul(STRIDE).wrapping_add(count);
    u16::try_from(mixed % u32::from(u16::MAX)).expect("the remainder fits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_do_not_overlap() {
        let (first, second) = (block(30), block(30));
        assert!(first.abs_diff(second) >= 30, "{first} and {second}");
    }

    #[test]
    fn a_port_in_use_is_not_in_a_block() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, block(1))).unwrap();
        assert!(!is_free(taken.local_addr().unwrap().port()));
    }
}
