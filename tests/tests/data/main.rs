//! What members hold together, asked for by RESP. Each module is one promise to
//! users; each test is a sentence of it.

mod failover;
mod keys;
mod load;
mod memory_limits;
mod migration;
mod misbehaving_clients;
mod ordering;
mod pubsub;
mod redis_cluster;
mod safe;
mod split_brain;
mod storage;
mod transactions;
