//! Each discovery mode with real members: DNS records and pods that are added and removed, a domain
//! server that fails and returns, all modes in one cluster.

mod combined_modes;
mod dns;
mod domain;
mod kubernetes;
mod kubernetes_manifests;
