//! Histories of real clients under faults, and whether they keep the promises of
//! `host/grid/README.md`.

pub mod check;
pub mod history;
pub mod random;
