//! Members as processes on loopback. Each module is one promise to users; each
//! test is a sentence of it.

mod agreeing;
mod configuring;
mod enduring;
mod files;
mod hazelcast_files;
mod interfaces;
mod joining;
mod leaving;
mod noise;
mod ports;
mod racing;
mod refusing;
mod separation;
mod showing;
mod translating;
mod undecided;
