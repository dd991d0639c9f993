//! Real clients against members: session stores of web frameworks, as shown in the documentation,
//! client libraries, Redis' tools and test suites. Each module covers one guarantee to users; each
//! test states one aspect of it.

mod browser;
mod client_libraries;
mod doc_examples;
mod installed;
mod process;
mod redis_tools;
#[path = "../data/safe.rs"]
mod safe;
mod upstream_suites;
mod web_sessions;
