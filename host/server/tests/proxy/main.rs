//! The proxy in front of real servers on loopback, with a fleet that rules as a
//! test tells it to.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod failures;
mod passing;
mod refusals;
mod replies;
mod world;
