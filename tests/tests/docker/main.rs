//! The Docker backend on a real Engine: what it sees, reports and begins.
//!
//! - [`situations`]: every state that a container can be in, and what the default
//!   policy rules on it
//! - [`reports`]: workspaces that come, go, end and are stopped by hand
//! - [`orders`]: each begins one run, whatever happens to the order
//!
//! `docker_faults.rs` is about ten thousand calls over a [`socket`] that lies.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it is surprised")]
#![allow(dead_code, reason = "some parts are for the test of faults")]

mod fixture;
mod orders;
mod reports;
mod ruling;
mod situations;
mod socket;
