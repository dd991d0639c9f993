//! Members whose address is translated on the way, as by containers and NAT.

use std::net::{Ipv4Addr, SocketAddr};
use std::thread;
use std::time::Duration;

use convoke_tests::Cluster;
use convoke_tests::cluster::AGREE_MAX;
use convoke_tests::relay::relay;

/// Members that cannot be reached are missed within this.
const MISSED_MAX: Duration = Duration::from_secs(5);

#[test]
fn a_member_behind_a_translated_address_is_dialled_there() {
    let cluster = Cluster::new();
    let (public, bound) = (cluster.spare_port(0), cluster.spare_port(1));
    let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    relay(local(public), local(bound));
    let outside = cluster.start_tcpip(&format!("127.0.0.1:{public}"));
    cluster.agree([&outside]);
    let inside = cluster
        .launch()
        .option("--start-port", bound.to_string())
        .option("--public-address", format!("127.0.0.1:{public}"))
        .mode("tcpip:127.0.0.1:1")
        .start();
    let shown = local(public);
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
