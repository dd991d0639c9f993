//! Members whose address is translated on the way, as by containers and NAT.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use convoke_tests::Cluster;
use convoke_tests::cluster::AGREE_MAX;

/// Members that cannot be reached are missed within this.
const MISSED_MAX: Duration = Duration::from_secs(5);

#[test]
fn a_member_behind_a_translated_address_is_dialled_there() {
    let cluster = Cluster::new();
    let (public, bound) = (cluster.spare_port(0), cluster.spare_port(1));
    relay(public, bound);
    let outside = cluster.start_tcpip(&format!("127.0.0.1:{public}"));
    cluster.agree([&outside]);
    let inside = cluster
        .launch()
        .option("--start-port", bound.to_string())
        .option("--public-address", format!("127.0.0.1:{public}"))
        .mode("tcpip:127.0.0.1:1")
        .start();
    let shown: SocketAddr = (Ipv4Addr::LOCALHOST, public).into();
    for member in [&inside, &outside] {
        member.wait(AGREE_MAX, "two members, one at its public address", |record| {
            let view = record.view()?;
            (view.0.len() == 2 && view.at(shown).is_some()).then_some(())
        });
    }
    // Long enough for probes to fail if they went astray.
    thread::sleep(MISSED_MAX);
    let views = outside.record(|record| record.views.len());
    assert_eq!(views, 2, "it came and stayed");
}

/// Passes everything on, streams both ways and datagrams one way, until the
/// test's process ends.
fn relay(public: u16, bound: u16) {
    let target = SocketAddr::from((Ipv4Addr::LOCALHOST, bound));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, public)).unwrap();
    thread::spawn(move || {
        while let Ok((caller, _)) = listener.accept() {
            // Nobody there yet: the caller is hung up on.
            let Ok(callee) = TcpStream::connect(target) else { continue };
            for (from, to) in [(&caller, &callee), (&callee, &caller)] {
                pump(from.try_clone().unwrap(), to.try_clone().unwrap());
            }
        }
    });
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, public)).unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 2_048];
        while let Ok((length, _)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(&buffer[..length], target);
        }
    });
}

fn pump(mut from: TcpStream, mut to: TcpStream) {
    thread::spawn(move || {
        let copied = io::copy(&mut from, &mut to);
        let _ = to.shutdown(std::net::Shutdown::Write);
        drop(copied);
    });
}
