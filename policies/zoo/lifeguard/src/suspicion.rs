//! How long a suspect has to refute: the longer, the fewer confirm the suspicion.

use reprieve_policy::Millis;
use reprieve_zoo::real;

use crate::Lifeguard;

/// memberlist counts the logarithm of the fleet's size in thousandths.
const SCALE: f64 = 1_000.0;
/// One tells of the suspicion first, and another is asked whether it is so: so many
/// fewer confirmations are expected than `suspicion_mult`.
const NOT_EXPECTED: u32 = 2;
/// The host itself and the suspect confirm nothing.
const NO_WITNESSES: u32 = 2;

/// The time of one suspicion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suspicion {
    /// So many confirmations make the time the shortest.
    pub expected: u32,
    pub shortest: Millis,
    pub longest: Millis,
}

impl Suspicion {
    /// In a fleet of so many.
    pub fn of(settings: &Lifeguard, workspaces: u32) -> Self {
        let expected = settings.suspicion_mult.saturating_sub(NOT_EXPECTED);
        let witnesses = workspaces.saturating_sub(NO_WITNESSES);
        let decades = real::ln(f64::from(workspaces.max(1))) / core::f64::consts::LN_10;
        let scale = (decades.max(1.0) * SCALE) as u64;
        let mult = u64::from(settings.suspicion_mult);
        let interval = settings.probe_interval.0;
        let shortest = mult.saturating_mul(scale).saturating_mul(interval) / SCALE as u64;
        let longest = shortest.saturating_mul(settings.suspicion_max_timeout_mult.into());
        Self {
            expected: if witnesses < expected { 0 } else { expected },
            shortest: Millis(shortest),
            longest: Millis(longest),
        }
    }

    /// With so many confirmations.
    pub fn timeout(self, confirmations: u32) -> Millis {
        // Where nobody can confirm, nobody is waited for.
        if confirmations >= self.expected {
            return self.shortest;
        }
        let share =
            real::ln(f64::from(confirmations) + 1.0) / real::ln(f64::from(self.expected) + 1.0);
        let (shortest, longest) = (self.shortest.0 as f64, self.longest.0 as f64);
        Millis((longest - share * (longest - shortest)) as u64).max(self.shortest)
    }
}

#[cfg(test)]
mod tests {
    use reprieve_policy::FromSettings as _;

    use super::*;

    #[test]
    fn the_time_is_that_of_memberlist() {
        // Its own tests have these: 2 s to 30 s with 3 confirmations expected.
        let suspicion = Suspicion { expected: 3, shortest: Millis(2_000), longest: Millis(30_000) };
        for (confirmations, expected_ms) in [(0, 30_000), (1, 16_000), (2, 7_810), (3, 2_000)] {
            assert!(
                suspicion.timeout(confirmations).0.abs_diff(expected_ms) <= 1,
                "{confirmations} confirmations: {:?}",
                suspicion.timeout(confirmations)
            );
        }
        assert_eq!(suspicion.timeout(4), Millis(2_000), "more than are expected");
    }

    #[test]
    fn the_time_grows_with_the_logarithm_of_the_fleet() {
        let settings = Lifeguard::default();
        for (workspaces, expected, shortest_ms, longest_ms) in [
            (0, 0, 4_000, 24_000),
            (1, 0, 4_000, 24_000),
            (3, 0, 4_000, 24_000),
            (4, 2, 4_000, 24_000),
            (10, 2, 4_000, 24_000),
            (100, 2, 8_000, 48_000),
            (500, 2, 10_792, 64_752),
            (10_000, 2, 16_000, 96_000),
        ] {
            let suspicion = Suspicion::of(&settings, workspaces);
            assert_eq!(suspicion.expected, expected, "{workspaces} workspaces");
            // memberlist cuts off, and so may fall a thousandth of a decade short.
            let near = |ours: Millis, theirs: u64| ours.0.abs_diff(theirs) <= theirs / 1_000;
            assert!(near(suspicion.shortest, shortest_ms), "{workspaces}: {suspicion:?}");
            assert!(near(suspicion.longest, longest_ms), "{workspaces}: {suspicion:?}");
        }
    }

    #[test]
    fn the_logarithms_are_those_of_the_standard_library() {
        for expected in 1..=98 {
            let suspicion =
                Suspicion { expected, shortest: Millis(4_000), longest: Millis(24_000) };
            for confirmations in 0..=expected {
                let share = f64::from(confirmations + 1).ln() / f64::from(expected + 1).ln();
                let theirs = (24_000.0 - share * 20_000.0).floor() as u64;
                let ours = suspicion.timeout(confirmations).0;
                assert!(ours.abs_diff(theirs) <= 1, "{confirmations} of {expected}: {ours}");
            }
        }
    }

    #[test]
    fn settings_at_their_ends_give_an_answer() {
        let widest = Lifeguard::open(
            r#"{"probe_interval": "1h", "suspicion_mult": 100, "suspicion_max_timeout_mult": 100}"#,
        )
        .expect("settings");
        let suspicion = Suspicion::of(&widest, u32::MAX);
        assert!(
            suspicion.shortest < suspicion.timeout(1) && suspicion.timeout(1) < suspicion.longest
        );
    }
}
