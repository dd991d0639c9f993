//! Comparisons with the recorded results of other programs for the same input.

pub mod hazelcast;
