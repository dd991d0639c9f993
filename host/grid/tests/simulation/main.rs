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

mod caching;
mod exchange;
mod oracle;
mod scenarios;
mod store;
mod streams;
mod transactions;
