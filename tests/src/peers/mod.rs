//! What other programs make of the same input, recorded, and what Convoke makes of it.

pub mod hazelcast;
