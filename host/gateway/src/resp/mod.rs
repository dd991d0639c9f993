//! What Redis clients speak: RESP2 and RESP3.

pub mod encode;
pub mod request;
