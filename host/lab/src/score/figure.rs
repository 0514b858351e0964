//! A mean over independent runs, and how sure it is.

use serde::Serialize;

/// A mean with its interval of confidence: 95 %, by Student's t.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Figure {
    pub mean: f64,
    pub low: f64,
    pub high: f64,
}

/// Student's t of 97.5 %, by degrees of freedom from 1. Above the table, values that are
/// a little too large: the intervals are rather too wide than too narrow.
const T: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
    2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056,
    2.052, 2.048, 2.045, 2.042,
];
const T_UP_TO_60: f64 = 2.042;
const T_ABOVE: f64 = 2.0;

impl Figure {
    /// Of one value a run. None: there is none. Of one alone, nothing is known of how
    /// far off it is: its interval is endless.
    pub fn of(values: &[f64]) -> Option<Self> {
        let n = values.len();
        if n == 0 {
            return None;
        }
        let mean = values.iter().sum::<f64>() / n as f64;
        if n == 1 {
            return Some(Self { mean, low: f64::NEG_INFINITY, high: f64::INFINITY });
        }
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let error = (squares / (n - 1) as f64 / n as f64).sqrt();
        let t = match n - 1 {
            freedom @ 1..=30 => T[freedom - 1],
            31..=60 => T_UP_TO_60,
            _ => T_ABOVE,
        };
        Some(Self { mean, low: mean - t * error, high: mean + t * error })
    }

    /// Of the differences of pairs: the same seed under both.
    pub fn of_pairs(a: &[f64], b: &[f64]) -> Option<Self> {
        let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
        Self::of(&differences)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: mean 5, s² = 20/3, t = 3.182.
    #[test]
    fn the_interval_is_students() {
        let figure = Figure::of(&[2.0, 4.0, 6.0, 8.0]).unwrap();
        let half = 3.182 * (20.0_f64 / 3.0 / 4.0).sqrt();
        assert!((figure.mean - 5.0).abs() < 1e-12);
        assert!((figure.high - 5.0 - half).abs() < 1e-9, "{figure:?}");
        assert!((5.0 - figure.low - half).abs() < 1e-9, "{figure:?}");
    }

    #[test]
    fn nothing_is_known_of_one_value_and_less_of_none() {
        assert_eq!(Figure::of(&[]), None);
        let one = Figure::of(&[3.0]).unwrap();
        assert_eq!((one.mean, one.low, one.high), (3.0, f64::NEG_INFINITY, f64::INFINITY));
        let same = Figure::of(&[3.0, 3.0]).unwrap();
        assert_eq!((same.low, same.high), (3.0, 3.0));
    }

    #[test]
    fn pairs_cancel_what_both_have() {
        let shared = [100.0, 1.0, 50.0, 20.0];
        let better: Vec<f64> = shared.iter().map(|value| value - 1.0).collect();
        let figure = Figure::of_pairs(&better, &shared).unwrap();
        assert!((figure.mean + 1.0).abs() < 1e-9 && figure.high < 0.0, "{figure:?}");
    }
}
