//! Real clients against members: the session stores of web frameworks, as the
//! pages for users show them, and client libraries. Each module is one promise to
//! users; each test is a sentence of it.

mod browser;
mod installed;
mod page;
mod process;
#[path = "../data/safe.rs"]
mod safe;
mod scripts;
mod sessions;
mod suites;
mod tools;
