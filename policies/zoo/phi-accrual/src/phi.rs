//! Pekko's formula, turned so that a judgement needs no logarithm.
//!
//! With `y` the deviations by which a heartbeat is later than expected, and
//! `f(y) = y (1.5976 + 0.070566 y²)`, the logistic approximation of the normal
//! distribution (error below 0.00014), Pekko computes `e = exp(-f(y))` and
//! `phi = -log10(e / (1 + e))`, in two forms of which the other is the same number.
//! That is `log10(1 + exp(f(y)))`, and so phi reaches a threshold `t` where `f(y)`
//! reaches `ln(10^t - 1)`: one number for each set of settings, and basic operations
//! for the rest.

use core::f64::consts::LN_10;

use reprieve_policy::Millis;
use reprieve_zoo::real;

/// Halvings of 1024 deviations until less than a billionth of one is left.
const BISECTIONS: u32 = 40;
/// `f` of so many deviations is far above what a threshold of 100 asks.
const MOST_DEVIATIONS: f64 = 1024.0;

/// A threshold of phi, as `f(y)` has to reach it.
#[derive(Clone, Copy, Debug)]
pub struct Threshold(f64);

impl Threshold {
    pub fn of(phi: u32) -> Self {
        // ln(10^t - 1) is t ln 10 + ln(1 - 10^-t), which overflows nowhere.
        let mut mistake = 1.0;
        for _ in 0..phi {
            mistake /= 10.0;
        }
        Self(f64::from(phi) * LN_10 + real::ln(1.0 - mistake))
    }

    /// Whether a heartbeat that is so many deviations late is too late.
    pub fn is_reached(self, deviations: f64) -> bool {
        logit(deviations) >= self.0
    }

    /// How late a heartbeat is at the threshold, in deviations: rounded up.
    pub fn deviations(self) -> f64 {
        let (mut below, mut reached) = (-MOST_DEVIATIONS, MOST_DEVIATIONS);
        for _ in 0..=BISECTIONS {
            let middle = (below + reached) / 2.0;
            if self.is_reached(middle) { reached = middle } else { below = middle }
        }
        reached
    }
}

/// Grows with `y` over the whole line.
fn logit(y: f64) -> f64 {
    y * (1.5976 + 0.070566 * y * y)
}

/// Mean and standard deviation of the intervals between heartbeats.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct History {
    pub mean_ms: f64,
    pub deviation_ms: f64,
}

impl History {
    /// Pekko begins with two intervals around its estimate, a quarter below and a
    /// quarter above it; each new interval counts beside them until there are more
    /// than `max_sample_size`, and then the oldest goes.
    pub fn of(intervals: &[Millis], estimate: Millis, max_sample_size: u32) -> Self {
        let quarter_ms = estimate.0 / 4;
        let bootstrap = [
            estimate.saturating_add(Millis(quarter_ms)),
            estimate.saturating_sub(Millis(quarter_ms)),
        ];
        let newest_first = intervals.iter().chain(&bootstrap).take(max_sample_size as usize);
        // Whole numbers: the variance is exact and never below 0.
        let (mut count, mut sum, mut squares) = (0_u128, 0_u128, 0_u128);
        for interval in newest_first {
            // A century in milliseconds: squares of it can be added.
            let interval_ms = u128::from(interval.0.min(LONGEST_INTERVAL.0));
            count += 1;
            sum += interval_ms;
            squares += interval_ms * interval_ms;
        }
        let (n, variance_times_n2) = (count as f64, count * squares - sum * sum);
        Self { mean_ms: sum as f64 / n, deviation_ms: real::sqrt(variance_times_n2 as f64) / n }
    }
}

/// Longer intervals count as this.
const LONGEST_INTERVAL: Millis = Millis::from_secs(100 * 365 * 24 * 3_600);

#[cfg(test)]
mod tests {
    use super::*;

    /// As Pekko writes it, with the standard library.
    fn pekko(y: f64) -> f64 {
        let e = (-y * (1.5976 + 0.070566 * y * y)).exp();
        if y > 0.0 { -(e / (1.0 + e)).log10() } else { -(1.0 - 1.0 / (1.0 + e)).log10() }
    }

    #[test]
    fn a_threshold_is_reached_where_the_phi_of_pekko_reaches_it() {
        for phi in 1..=100 {
            let at = Threshold::of(phi).deviations();
            let nearly = 1e-6 * at.abs();
            assert!(pekko(at - nearly) < f64::from(phi), "before {at} deviations: {phi}");
            assert!(pekko(at + nearly) > f64::from(phi), "after {at} deviations: {phi}");
        }
    }

    #[test]
    fn the_threshold_is_that_of_the_standard_library() {
        for phi in 1..=300 {
            let expected = (10_f64.powi(phi as i32) - 1.0).ln();
            let Threshold(ours) = Threshold::of(phi);
            assert!((ours - expected).abs() < 1e-12 * expected, "{phi}: {ours}, not {expected}");
        }
    }

    #[test]
    fn a_heartbeat_in_time_reaches_no_threshold() {
        for tenths in -2_000..=20 {
            let y = f64::from(tenths) / 10.0;
            assert_eq!(Threshold::of(8).is_reached(y), pekko(y) >= 8.0, "{y}");
        }
        assert!((Threshold::of(8).deviations() - 5.226).abs() < 0.001, "as docs and README say");
    }

    #[test]
    fn mean_and_deviation_are_those_of_the_newest_intervals() {
        let ms = |list: &[u64]| list.iter().copied().map(Millis).collect::<Vec<_>>();
        let estimate = Millis(1_000);
        for (case, intervals, max, mean, deviation) in [
            ("none: the estimate", ms(&[]), 8, 1_000.0, 250.0),
            ("one beside it", ms(&[1_000]), 8, 1_000.0, (125_000_f64 / 3.0).sqrt()),
            ("the estimate is pushed out", ms(&[2_000; 8]), 8, 2_000.0, 0.0),
            ("half of it", ms(&[1_250; 7]), 8, 1_250.0, 0.0),
            ("fewer are asked for", ms(&[100, 300]), 2, 200.0, 100.0),
        ] {
            let history = History::of(&intervals, estimate, max);
            assert!((history.mean_ms - mean).abs() < 1e-9, "{case}: {history:?}");
            assert!((history.deviation_ms - deviation).abs() < 1e-9, "{case}: {history:?}");
        }
        let endless = History::of(&[Millis(u64::MAX); 8], Millis(u64::MAX), 8);
        assert!(endless.mean_ms.is_finite() && endless.deviation_ms.is_finite());
    }
}
