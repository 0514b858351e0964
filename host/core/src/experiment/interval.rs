//! Intervals of confidence of 95 %, for reports. Whoever looks at a report every
//! day should know that they hold for one look; what aborts an experiment is
//! [`sequential`](super::sequential), which may be looked at all the time.

use serde::{Deserialize, Serialize};

/// The standard normal deviate that 2.5 % exceed.
const Z: f64 = 1.959_964;

/// A figure and what it may be in truth.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    pub value: f64,
    pub low: f64,
    pub high: f64,
}

/// Of so many cases so many were hits: Wilson's score interval (1927), which does
/// well for small numbers and for proportions near 0. None without cases.
pub fn proportion(hits: u64, cases: u64) -> Option<Interval> {
    if cases == 0 {
        return None;
    }
    let (n, p) = (cases as f64, hits as f64 / cases as f64);
    let scale = 1.0 + Z * Z / n;
    let middle = (p + Z * Z / (2.0 * n)) / scale;
    let half = Z / scale * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    let low = if hits == 0 { 0.0 } else { (middle - half).max(0.0) };
    let high = if hits == cases { 1.0 } else { (middle + half).min(1.0) };
    Some(Interval { value: p, low, high })
}

/// So many events in so much exposure: Byar's approximation to the exact limits of
/// a Poisson rate (Breslow and Day, *Statistical Methods in Cancer Research* II,
/// 1987, p. 69). None without exposure.
pub fn rate(events: u64, exposure: f64) -> Option<Interval> {
    if exposure <= 0.0 {
        return None;
    }
    let limit = |n: f64, z: f64| n * (1.0 - 1.0 / (9.0 * n) + z / (3.0 * n.sqrt())).powi(3);
    let n = events as f64;
    let low = if events == 0 { 0.0 } else { limit(n, -Z) };
    let high = limit(n + 1.0, Z);
    Some(Interval { value: n / exposure, low: low / exposure, high: high / exposure })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(interval: Option<Interval>, (value, low, high): (f64, f64, f64)) {
        let interval = interval.unwrap();
        for (got, expected) in [(interval.value, value), (interval.low, low), (interval.high, high)]
        {
            assert!((got - expected).abs() < 0.03, "{got} instead of {expected}: {interval:?}");
        }
    }

    /// Against published tables: Wilson for 0 and 2 of 10; Poisson's exact limits
    /// for 0, 3 and 10 events.
    #[test]
    fn intervals_are_those_of_the_books() {
        close(proportion(0, 10), (0.0, 0.0, 0.2775));
        close(proportion(2, 10), (0.2, 0.0567, 0.5098));
        close(proportion(10, 10), (1.0, 0.7225, 1.0));
        assert_eq!(proportion(0, 0), None);
        close(rate(0, 1.0), (0.0, 0.0, 3.689));
        close(rate(3, 1.0), (3.0, 0.60, 8.76));
        close(rate(10, 10.0), (1.0, 0.48, 1.84));
        assert_eq!(rate(1, 0.0), None);
    }
}
