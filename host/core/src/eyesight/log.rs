//! What the host saw, and what it could not see.

use super::{REACH, SECONDS, first_second, second_of, slot_of};
use crate::{
    evidence::Eyesight,
    time::{Millis, UnixMillis},
};

/// What one second brought.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    second: u64,
    seen: Eyesight,
}

/// Counts probes and faults of the last [`REACH`], over all workspaces.
#[derive(Clone, Debug)]
pub struct EyesightLog {
    buckets: Box<[Bucket]>,
}

impl Default for EyesightLog {
    fn default() -> Self {
        Self { buckets: vec![Bucket::default(); SECONDS].into() }
    }
}

impl EyesightLog {
    pub fn new() -> Self {
        Self::default()
    }

    /// A probe ended: with a sighting, or in a fault.
    pub fn record_probe(&mut self, now: UnixMillis, ok: bool) {
        let seen = self.at(now);
        seen.probes = seen.probes.saturating_add(1);
        seen.probe_faults = seen.probe_faults.saturating_add(u32::from(!ok));
    }

    /// One of the host's own stores failed.
    pub fn record_store_fault(&mut self, now: UnixMillis) {
        let seen = self.at(now);
        seen.store_faults = seen.store_faults.saturating_add(1);
    }

    /// The host's loop was late by so much.
    pub fn record_lag(&mut self, now: UnixMillis, lag: Millis) {
        let seen = self.at(now);
        seen.loop_lag = seen.loop_lag.max(lag);
    }

    /// What was seen from `since` ago until `until` ago (0: now). Nothing, if
    /// the window lies wholly before [`REACH`] or ends before it begins.
    pub fn between(&self, since: Millis, until: Millis, now: UnixMillis) -> Eyesight {
        let mut total = Eyesight::default();
        if until > REACH || until > since {
            return total;
        }
        for second in first_second(since, now)..=first_second(until, now) {
            let bucket = self.buckets[slot_of(second)];
            if bucket.second == second {
                total.probes = total.probes.saturating_add(bucket.seen.probes);
                total.probe_faults = total.probe_faults.saturating_add(bucket.seen.probe_faults);
                total.store_faults = total.store_faults.saturating_add(bucket.seen.store_faults);
                total.loop_lag = total.loop_lag.max(bucket.seen.loop_lag);
            }
        }
        total
    }

    /// The count of the second that `now` lies in, begun afresh if the slot
    /// still holds an older one.
    fn at(&mut self, now: UnixMillis) -> &mut Eyesight {
        let second = second_of(now);
        let bucket = &mut self.buckets[slot_of(second)];
        if bucket.second != second {
            *bucket = Bucket { second, seen: Eyesight::default() };
        }
        &mut bucket.seen
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: UnixMillis = UnixMillis(1_000_000);

    fn ago(millis: u64) -> UnixMillis {
        UnixMillis(NOW.0 - millis)
    }

    #[test]
    fn a_window_counts_every_second_that_it_touches() {
        for (case, at, since_ms, until_ms, counted) in [
            ("now", ago(0), 30_000, 0, true),
            ("just within", ago(30_000), 30_000, 0, true),
            ("in another second, before", ago(30_001), 30_000, 0, false),
            ("after the end", ago(4_000), 30_000, 5_000, false),
            ("at the end", ago(5_000), 30_000, 5_000, true),
            ("as far as memory reaches", ago(300_000), 300_000, 0, true),
            ("further than memory reaches", ago(301_000), 600_000, 0, false),
            ("a window that ends before it begins", ago(0), 0, 1_000, false),
            ("a window before memory", ago(300_000), 900_000, 600_000, false),
        ] {
            let mut log = EyesightLog::new();
            log.record_probe(at, false);
            let seen = log.between(Millis(since_ms), Millis(until_ms), NOW);
            assert_eq!(seen.probe_faults, u32::from(counted), "{case}");
        }
    }

    #[test]
    fn counts_add_up_and_the_longest_lag_stands() {
        let mut log = EyesightLog::new();
        log.record_probe(ago(9_000), true);
        log.record_probe(ago(1_000), false);
        log.record_store_fault(ago(1_000));
        log.record_lag(ago(2_000), Millis(700));
        log.record_lag(ago(1_000), Millis(300));
        let expected =
            Eyesight { probes: 2, probe_faults: 1, store_faults: 1, loop_lag: Millis(700) };
        assert_eq!(log.between(Millis::from_secs(10), Millis::ZERO, NOW), expected);
    }

    proptest! {
        #[test]
        fn it_agrees_with_counting_a_list(
            steps in prop::collection::vec((0u64..40_000, any::<bool>()), 1..120),
            since_ms in 0u64..400_000,
            until_ms in 0u64..400_000,
        ) {
            let (mut log, mut list, mut now) = (EyesightLog::new(), Vec::new(), UnixMillis(500_000));
            for (step, ok) in steps {
                now = now + Millis(step);
                log.record_probe(now, ok);
                list.push((now, ok));
            }
            let reach = |ms: u64| (now.0 - ms.min(REACH.0)) / 1000;
            let inside = |at: UnixMillis| {
                until_ms <= since_ms
                    && until_ms <= REACH.0
                    && (reach(since_ms)..=reach(until_ms)).contains(&(at.0 / 1000))
            };
            let within: Vec<_> = list.iter().filter(|(at, _)| inside(*at)).collect();
            let seen = log.between(Millis(since_ms), Millis(until_ms), now);
            prop_assert_eq!(seen.probes as usize, within.len());
            prop_assert_eq!(seen.probe_faults as usize, within.iter().filter(|(_, ok)| !ok).count());
        }
    }
}
