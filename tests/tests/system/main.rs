//! Members as processes on loopback. Each module covers one guarantee to users;
//! each test states one aspect of it.

mod address_translation;
mod agreed_settings;
mod cluster_isolation;
mod concurrent_start;
mod config_files;
mod configuration;
mod hazelcast_config;
mod hostile_traffic;
mod interfaces;
mod invalid_options;
mod joining;
mod leave_and_failure;
mod port_allocation;
mod resilience;
mod status_output;
mod unresponsive_candidates;
