//! Whole clusters of the real membership core in one thread, in virtual time.
//!
//! All randomness comes from one seed. A failing seed is printed; once its fault is fixed, the seed
//! is added to `seeds.txt` with a note, and runs in each test from then on.
//!
//! [`scenarios`] has promises that hold for every seed; [`scripts`] runs the scenario scripts in
//! `tests/scripts`, which show what members report in one situation.

mod network;
mod scenarios;
mod scripts;
mod world;

/// The sources of scenarios, in which the names in `seeds.txt` are tests.
const SCENARIOS: &[&str] = &[include_str!("scenarios.rs")];
