//! Real clients against members: the session stores of web frameworks, as the
//! pages for users show them, and client libraries. Each module is one promise to
//! users; each test is a sentence of it.

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
