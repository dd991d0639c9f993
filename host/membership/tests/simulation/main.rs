//! Whole clusters of the real core in one thread, under virtual time.
//!
//! Everything random comes from one seed. A failing seed is printed; once its fault is
//! mended, it goes into `seeds.txt` with a word on what it found, and runs in each test.

mod network;
mod scenarios;
mod world;
