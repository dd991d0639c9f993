//! What members hold together, asked for by RESP. Each module is one promise to
//! users; each test is a sentence of it.

mod bounds;
mod enduring;
mod keys;
mod load;
mod losing;
mod moving;
mod nodes;
mod ordering;
mod safe;
mod splitting;
mod storing;
mod subscribing;
mod transactions;
