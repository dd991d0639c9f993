//! The DNS client: which servers are asked, in which order, and what their answers mean. The
//! messages are those of `hickory-proto`.
//!
//! [`Resolvers`] holds the [`Resolver`] of one mode: for the servers that a grant names, or else
//! for the system's. Who may look up what is not its concern; the capabilities check that.

mod answer;
mod conf;
mod fault;
mod hosts;
mod lookup_error;
mod name;
mod resolver;
mod server;
mod system;
#[cfg(test)]
mod tests;

pub(crate) use lookup_error::{LookupError, NegativeAnswer, Unusable};
pub(crate) use name::is_name;
pub(crate) use resolver::Resolver;
pub(crate) use system::Resolvers;
