//! Each mode against a real source, with real members: names and pods that come
//! and go, a domain server that dies and returns, all modes in one cluster.

mod combined_modes;
mod dns;
mod domain;
mod kubernetes;
mod kubernetes_manifests;
