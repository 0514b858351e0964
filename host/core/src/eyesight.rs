//! Can the host trust its own eyes, and how is a tenant's fleet?
//!
//! Two bounded memories of the last [`REACH`], kept in buckets of one second:
//! [`EyesightLog`] counts what the host saw and could not see, [`FleetGauge`] remembers
//! how many workspaces of one tenant were suspected at once. Both answer for the
//! windows that `wit/evidence.wit` (`surroundings`) speaks of: a second counts as
//! part of a window if any of it lies within.

mod fleet;
mod log;

pub use fleet::FleetGauge;
pub use log::EyesightLog;

use crate::time::{Millis, UnixMillis};

/// How far back windows may reach. Source: `wit/evidence.wit`.
pub const REACH: Millis = Millis::from_secs(300);

/// Seconds kept: a window as long as [`REACH`] touches one more than it is long.
const SECONDS: usize = 301;

fn second_of(at: UnixMillis) -> u64 {
    at.0 / 1000
}

/// Where a second is kept.
fn slot_of(second: u64) -> usize {
    // Less than SECONDS, so it fits.
    (second % SECONDS as u64) as usize
}

/// The first second of a window that reaches so far back.
fn first_second(reach: Millis, now: UnixMillis) -> u64 {
    second_of(now - reach.min(REACH))
}
