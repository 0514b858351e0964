//! Lengths of time and points on the host's one clock.

use std::ops::{Add, Sub};

use serde::{Deserialize, Serialize};

/// An age or a length of time in milliseconds.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Millis(pub u64);

impl Millis {
    pub const ZERO: Self = Self(0);

    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1000))
    }

    pub const fn as_duration(self) -> std::time::Duration {
        std::time::Duration::from_millis(self.0)
    }

    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl std::fmt::Display for Millis {
    /// `850 ms`, `2.5 s`, `3 min`, `2 h`: the largest unit that loses nothing
    /// worth reading.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let tenths = |unit: u64| {
            let (whole, rest) = (self.0 / unit, self.0 % unit * 10 / unit);
            if rest == 0 { whole.to_string() } else { format!("{whole}.{rest}") }
        };
        match self.0 {
            0..1_000 => write!(f, "{} ms", self.0),
            1_000..120_000 => write!(f, "{} s", tenths(1_000)),
            120_000..7_200_000 => write!(f, "{} min", tenths(60_000)),
            _ => write!(f, "{} h", tenths(3_600_000)),
        }
    }
}

/// A point in time: milliseconds since the Unix epoch on the host's one clock.
///
/// That clock is read once at start and then advanced by the monotonic clock, so
/// it never runs backwards while the host lives, whatever happens to the wall
/// clock. Policies never see one; they see ages.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// How old this is at `now`; zero if it lies ahead, which only a wall clock
    /// set back between two runs of the host can cause.
    pub const fn age(self, now: Self) -> Millis {
        Millis(now.0.saturating_sub(self.0))
    }
}

impl Add<Millis> for UnixMillis {
    type Output = Self;

    fn add(self, length: Millis) -> Self {
        Self(self.0.saturating_add(length.0))
    }
}

/// No earlier than the epoch.
impl Sub<Millis> for UnixMillis {
    type Output = Self;

    fn sub(self, length: Millis) -> Self {
        Self(self.0.saturating_sub(length.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_read_like_a_person_would_say_them() {
        for (millis, text) in [
            (0, "0 ms"),
            (850, "850 ms"),
            (2_500, "2.5 s"),
            (60_000, "60 s"),
            (180_000, "3 min"),
            (9_000_000, "2.5 h"),
        ] {
            assert_eq!(Millis(millis).to_string(), text);
        }
    }

    #[test]
    fn what_lies_ahead_has_no_age() {
        assert_eq!(UnixMillis(10).age(UnixMillis(4)), Millis::ZERO);
    }
}
