//! Errors that members report to clients.
