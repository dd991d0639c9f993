//! Simulation of whole clusters of the real cores, membership and grid, in one thread and in
//! virtual time, with clients whose writes and reads are all checked.
//!
//! All randomness comes from one seed. A failing seed is printed. Once the fault is fixed, the seed
//! is added to `seeds.txt` with a note on what it found, and is run by each test.

// The simulated members and their network are those of the tests of membership.
#[path = "../../../membership/tests/simulation/network.rs"]
mod network;
#[path = "../../../membership/tests/simulation/world.rs"]
#[allow(dead_code, reason = "shared: not all of it is used here")]
mod world;

// The search for an order of operations is that of the chaos tests.
#[path = "../../../../tests/src/chaos/check/linear.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with a library")]
mod linear;

mod caching;
mod clients;
mod events;
mod exchange;
mod expiry;
mod faults;
mod locks;
mod models;
mod oracle;
mod scenarios;
mod store;
mod streams;
mod structures;
mod transactions;

/// The sources of scenarios, in which the names in `seeds.txt` are tests.
const SCENARIOS: &[&str] = &[
    include_str!("caching.rs"),
    include_str!("events.rs"),
    include_str!("exchange.rs"),
    include_str!("expiry.rs"),
    include_str!("locks.rs"),
    include_str!("scenarios.rs"),
    include_str!("streams.rs"),
    include_str!("structures.rs"),
    include_str!("transactions.rs"),
];
