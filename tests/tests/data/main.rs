//! The data of a cluster, accessed over RESP. Each module covers one guarantee to users; each test
//! states one aspect of it.

mod client_caching;
mod failover;
mod import;
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
