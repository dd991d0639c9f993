//! Address translation, as by containers and NAT: traffic to one address is forwarded to another.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;

/// The largest datagram that is forwarded, in bytes.
const DATAGRAM_MAX: usize = 2_048;

/// Forwards what is sent to `public`, streams both ways and datagrams one way, until the test
/// process ends. To be called [inside](crate::Host::inside) the host that translates.
///
/// # Panics
/// If `public` is in use.
pub fn relay(public: SocketAddr, target: SocketAddr) {
    let listener = TcpListener::bind(public).expect("the port is free");
    thread::spawn(move || {
        while let Ok((caller, _)) = listener.accept() {
            // The target does not listen yet: the connection is closed.
            let Ok(callee) = TcpStream::connect(target) else { continue };
            for (from, to) in [(&caller, &callee), (&callee, &caller)] {
                if let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) {
                    pump(from, to);
                }
            }
        }
    });
    let socket = UdpSocket::bind(public).expect("the port is free");
    thread::spawn(move || {
        let mut buffer = [0; DATAGRAM_MAX];
        while let Ok((length, _)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(&buffer[..length], target);
        }
    });
}

fn pump(mut from: TcpStream, mut to: TcpStream) {
    thread::spawn(move || {
        let copied = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
        drop(copied);
    });
}
