//! One member on loopback that serves clients of Hazelcast, to try them by hand:
//!
//! ```sh
//! cargo run --release -p convoke-gateway --example hazelcast -- 5701 [password]
//! ```

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use convoke_gateway::hazelcast::{HazelcastSettings, Server};
use convoke_gateway::pubsub::PubSub;
use convoke_gateway::resp::server::{Cluster, ClusterNode, Endpoint};
use convoke_gateway::trust::Passwords;
use convoke_grid::{Grid, GridSettings, Host, KeyHasher, MapCatalog, Report};
use convoke_membership::{Member, MemberId, View};
use tokio::net::TcpListener;

/// Number of partitions, as in Hazelcast.
const PARTITIONS: u16 = 271;
/// Time between ticks of the grid.
const TICK: Duration = Duration::from_millis(10);

struct Process(Instant);

impl Host for Process {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }

    fn unix_ms(&self) -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
    }

    fn random(&self) -> u64 {
        u64::from(self.0.elapsed().subsec_nanos()).wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }

    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        tokio::spawn(task);
    }

    fn report(&self, _: Report) {}
}

struct Single {
    member: MemberId,
    port: u16,
}

impl Cluster for Single {
    fn nodes(&self) -> Vec<ClusterNode> {
        let ip = Ipv4Addr::LOCALHOST.into();
        vec![ClusterNode {
            id: "0".repeat(40),
            member: self.member,
            endpoint: None,
            hazelcast: Some(Endpoint { ip, hostname: None, port: self.port }),
            this: true,
            stores: true,
        }]
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let port: u16 = args.next().map_or(Ok(5701), |port| port.parse())?;
    let password = args.next().unwrap_or_default();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let listener = TcpListener::bind(address).await?;

    let member = MemberId::new_now();
    let settings = GridSettings {
        partitions: Some(PARTITIONS),
        min_members: 1,
        hasher: KeyHasher::new([7; 16]),
    };
    let host = Arc::new(Process(Instant::now()));
    let grid = Grid::new(member, host, settings, MapCatalog::default());
    let view = View::founded_by(Member {
        id: member,
        addresses: vec![address],
        name: "single".into(),
        group: "test".into(),
        lite: false,
        modes: String::new(),
        http: None,
        resp: None,
        hazelcast: None,
        generation: 1,
        age: 1,
    });
    grid.expect_view(&view);
    grid.handle_view(&view);
    let ticking = grid.clone();
    tokio::spawn(async move {
        loop {
            ticking.tick();
            tokio::time::sleep(TICK).await;
        }
    });

    let settings = HazelcastSettings {
        passwords: Passwords::new(password.as_bytes(), b""),
        ..HazelcastSettings::default()
    };
    let pubsub = PubSub::new(grid.clone());
    let server = Server::new(grid, pubsub, settings, Arc::new(Single { member, port }), port);
    server.serve(vec![listener]).await;
    Ok(())
}
