//! Components that mean harm. Each is refused when it is loaded, where it can be;
//! otherwise its judgements count as BUSY, nothing of it is left running, and a
//! policy beside it in the same engine goes on answering right.
//!
//! They are built here, from `guest.wat`. What the policy `unruly` does on demand
//! is tested in `host/runtime/tests/misdeeds.rs`; here stands what no compiler of
//! a well-meant language would emit.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it is surprised")]

mod contained;
mod distrusted;
mod garbled;
mod guest;
mod refused;
mod swaps;
mod world;
