//! The process backend on real processes: what is promised at the top of
//! `backend/process/mod.rs`, one test for each promise.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it is surprised")]
#![allow(clippy::print_stdout, reason = "a host that is to be killed speaks to its killer")]

mod bench;
mod killed_host;
mod life;
