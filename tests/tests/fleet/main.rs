//! A host in front of real containers on a real Docker Engine of its own, on the
//! Engine's bad days.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it is surprised")]

mod bad_days;
mod by_hand;
mod health;
mod quiet;
mod stage;
