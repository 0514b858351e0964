//! What went wrong in production, played on virtual time through the built
//! policy component. One file a story. Each story comes out right under the
//! default policy, and shows its damage under the policy of its own day: so it
//! bites.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it is surprised")]

mod by_hand;
mod cloud_instance;
mod crash_loop;
mod dependents;
mod false_after_pong;
mod frozen_and_slow;
mod one_change_four_restarts;
mod outage;
mod reported;
mod six_containers;
