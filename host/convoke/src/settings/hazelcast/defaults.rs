//! Hazelcast's defaults, where they differ from those of Convoke.

pub(super) const CLUSTER_NAME: &str = "dev";
pub(super) const PORT: u16 = 5701;
pub(super) const GROUP: &str = "224.2.2.3";
pub(super) const GROUP_PORT: u16 = 54327;
