//! The cost of the sandbox: loading a built-in mode, and calling it. Measured in this process, with
//! the same host as in the binary.

use std::time::{Duration, Instant};

use convoke_discovery::{
    Backend, BeaconCipher, BeaconCiphers, BeaconRejection, DiscoveryHost, Grants, HostConfig,
    LocalMember, ModeSpec, Probed, Prober, Source,
};
use convoke_tests::binary::compiled_mode;

use crate::table::{Row, Table, Unit};

/// Repetitions of building an instance from the precompiled bytes.
const LOADS: usize = 50;
/// Calls of one instance.
const CALLS: usize = 1_000;

/// Adds both rows, measured with `tcpip`, which has the fewest imports and thus the least overhead
/// of its own.
pub(crate) fn measure(table: &mut Table) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let (loads, calls) = runtime.block_on(load_and_call());
    table.add(Row {
        what: "built-in mode: load + instantiate",
        unit: Unit::Microseconds,
        runs: loads,
        target: Some(2_000.0),
        others: "",
    });
    table.add(Row {
        what: "built-in mode: one lookup of an instance",
        unit: Unit::Microseconds,
        runs: calls,
        target: Some(50.0),
        others: "",
    });
}

async fn load_and_call() -> (Vec<f64>, Vec<f64>) {
    let host = DiscoveryHost::new(HostConfig {
        interfaces: Vec::new(),
        multicast_hops: 1,
        default_ports: vec![6900],
        cache_directory: None,
        state_directory: None,
        backend: Backend::Real,
        beacon_ciphers: BeaconCiphers::new(|_| Box::new(NoBeacons)),
        prober: Prober::new(|_| async { Probed::Closed }),
        on_own_thread: false,
    })
    .expect("the engine starts");
    let precompiled = std::fs::read(compiled_mode("tcpip")).expect("a readable file");
    let spec = ModeSpec {
        name: "tcpip".into(),
        source: Source::Builtin { name: "tcpip", precompiled: precompiled.leak() },
        digest: None,
        argument: "10.0.0.1-20:6900".into(),
        settings: Vec::new(),
        grants: Grants::default(),
    };
    let local = LocalMember {
        cluster_name: "development".into(),
        member_id: "bench".into(),
        addresses: Vec::new(),
        port: 6900,
        attributes: Vec::new(),
    };
    let mut loads = Vec::with_capacity(LOADS);
    let mut calls = Vec::with_capacity(CALLS);
    for _ in 0..LOADS {
        let start = Instant::now();
        let loaded = host.load(&spec).await.expect("the mode loads");
        let mut instance = host.open(&loaded, &local).await.expect("the mode is configured");
        loads.push(us(start.elapsed()));
        for _ in 0..CALLS / LOADS {
            let start = Instant::now();
            let snapshot = instance.discover().await.expect("the lookup succeeds");
            calls.push(us(start.elapsed()));
            assert_eq!(snapshot.candidates.len(), 20);
        }
    }
    (loads, calls)
}

fn us(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000_000.0
}

/// `tcpip` does not join multicast groups.
struct NoBeacons;

impl BeaconCipher for NoBeacons {
    fn seal(&mut self, _: &[u8], _: &mut Vec<u8>) -> Result<(), String> {
        Err("no beacons here".into())
    }

    fn open(&mut self, _: &[u8], _: &mut Vec<u8>) -> Result<(), BeaconRejection> {
        Err(BeaconRejection::Foreign)
    }
}
