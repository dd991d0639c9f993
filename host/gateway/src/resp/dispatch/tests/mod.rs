//! Tests of commands as clients see them.

mod bits;
mod busy;
mod functions;
mod fuzz;
mod hyperloglogs;
mod lines;
mod permissions;
mod scripts;
mod sorting;
mod strings;
mod transactions;
