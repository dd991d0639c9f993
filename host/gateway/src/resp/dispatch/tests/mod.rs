//! Tests of commands as clients see them.

mod busy;
mod functions;
mod fuzz;
mod permissions;
mod scripts;
mod transactions;
