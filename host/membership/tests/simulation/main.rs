//! Whole clusters of the real core in one thread, under virtual time.
//!
//! Everything random comes from one seed. A failing seed is printed; put it
//! into a test of its own under a name that says what it showed.

mod network;
mod scenarios;
mod world;
