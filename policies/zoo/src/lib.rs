//! What the policies of the zoo share.
//!
//! A policy keeps no state and the host forgets its note with every restart. What
//! others count in memory of their own is therefore read from what the host keeps:
//!
//! - [`backoff`]: how many restarts followed each other, and how long that makes
//!   the next one wait
//! - [`notes`]: what is counted within one life
//! - [`signs`]: what answers a check where nobody sends one
//! - [`real`]: logarithm and square root, which `core` does not have

#![cfg_attr(target_arch = "wasm32", no_std)]

pub mod backoff;
pub mod notes;
pub mod real;
pub mod signs;

use reprieve_policy::Millis;

/// Timers of the host and ages that it measured may differ by so much. What is due
/// within it is due.
pub const TOLERANCE: Millis = Millis(100);

/// The contract holds `busy` to this and more.
pub const SHORTEST_BUSY: Millis = Millis(1_000);

/// Whether so long a wait is over.
pub const fn is_over(elapsed: Millis, wait: Millis) -> bool {
    elapsed.saturating_add(TOLERANCE).0 >= wait.0
}
