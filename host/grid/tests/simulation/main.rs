//! Whole clusters of the real cores, membership and grid, in one thread and
//! under virtual time, with clients whose every write is remembered.
//!
//! Everything random comes from one seed. A failing seed is printed; once its fault is
//! mended, it goes into `seeds.txt` with a word on what it found, and runs in each test.

// The cluster beneath is the one that membership itself is proved with.
#[path = "../../../membership/tests/simulation/network.rs"]
mod network;
#[path = "../../../membership/tests/simulation/world.rs"]
#[allow(dead_code, reason = "shared: not all of it is used here")]
mod world;

mod oracle;
mod scenarios;
mod store;
mod transactions;
