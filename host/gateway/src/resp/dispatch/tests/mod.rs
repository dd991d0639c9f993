//! Tests of commands as clients see them.

mod busy;
mod clients;
mod functions;
mod fuzz;
mod permissions;
mod scripts;
mod stats;
mod tracking;
mod transactions;
