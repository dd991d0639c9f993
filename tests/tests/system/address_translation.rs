//! Members behind a translated address, as in containers and behind NAT.

use std::net::{Ipv4Addr, SocketAddr};
use std::thread;
use std::time::Duration;

use convoke_tests::Cluster;
use convoke_tests::cluster::AGREE_MAX;
use convoke_tests::relay::relay;

/// Members that cannot be reached are removed within this time.
const REMOVED_MAX: Duration = Duration::from_secs(5);

#[test]
fn members_connect_to_a_member_at_its_public_address() {
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
    let advertised = local(public);
    for member in [&inside, &outside] {
        member.wait(AGREE_MAX, "two members, one at its public address", |record| {
            let view = record.view()?;
            (view.0.len() == 2 && view.at(advertised).is_some()).then_some(())
        });
    }
    // Long enough for failing probes to remove it.
    thread::sleep(REMOVED_MAX);
    let views = outside.record(|record| record.views.len());
    assert_eq!(views, 2, "it joined and was not removed");
}
