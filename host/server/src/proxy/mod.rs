//! Requests in, answers out.

pub mod fleet;
