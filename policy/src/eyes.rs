//! Can the host trust its own eyes? If not, nobody is dead.

use reprieve_policy::{Evidence, Millis};

use crate::{Reason, Settings};

/// Failed probes are counted over so long.
const PROBE_WINDOW: Millis = Millis::from_secs(30);
/// Fewer probes than this are no share of anything.
const FEWEST_PROBES: u32 = 5;
/// Panic lasts so long after its cause is gone.
pub(crate) const PANIC_LINGERS_S: u64 = 5;
const PANIC_LINGERS: Millis = Millis::from_secs(PANIC_LINGERS_S);
/// A loop later than this has stale facts in its hands.
const LOOP_LAG_LIMIT: Millis = Millis::from_secs(5);
/// In smaller fleets a few deaths at once are nothing strange.
const SMALLEST_FLEET: u32 = 5;

/// Why the host cannot trust what it sees of anybody, now or until
/// `PANIC_LINGERS` ago.
pub(crate) fn at_fault(settings: &Settings, evidence: &impl Evidence) -> Option<Reason> {
    if evidence.eyesight_between(PANIC_LINGERS, Millis::ZERO).loop_lag > LOOP_LAG_LIMIT {
        return Some(Reason::PanicLate);
    }
    let failed = |seconds_ago| {
        let until = Millis::from_secs(seconds_ago);
        let seen = evidence.eyesight_between(PROBE_WINDOW.saturating_add(until), until);
        seen.probes >= FEWEST_PROBES
            && settings.panic_threshold.is_reached(seen.probe_faults, seen.probes)
    };
    (0..=PANIC_LINGERS_S).any(failed).then_some(Reason::PanicProbes)
}

/// Whether so many workspaces look dead at once that the cause is rather what
/// they share. Says nothing about a death that the runtime reported.
pub(crate) fn fleet_is_suspect(settings: &Settings, evidence: &impl Evidence) -> bool {
    let fleet = evidence.tenant_fleet(PANIC_LINGERS);
    fleet.workspaces >= SMALLEST_FLEET
        && settings.panic_threshold.is_reached(fleet.suspected, fleet.workspaces)
}

#[cfg(test)]
mod tests {
    use reprieve_policy::{Eyesight, FakeEvidence, Fleet};

    use super::*;

    #[test]
    fn probes_that_fail_are_a_panic_until_five_seconds_after() {
        let half_blind = Eyesight { probes: 10, probe_faults: 5, ..Eyesight::default() };
        for (seconds_ago, expected) in [
            (0, Some(Reason::PanicProbes)),
            (1, Some(Reason::PanicProbes)),
            (5, Some(Reason::PanicProbes)),
            (6, None),
        ] {
            let since = Millis::from_secs(30 + seconds_ago);
            let until = Millis::from_secs(seconds_ago);
            let evidence = FakeEvidence {
                eyesight_windows: vec![(since, until, half_blind)],
                ..FakeEvidence::default()
            };
            let panic = at_fault(&Settings::default(), &evidence);
            assert_eq!(panic, expected, "{seconds_ago} s ago");
        }
    }

    #[test]
    fn a_panic_needs_enough_faults_of_enough_probes() {
        for (probes, probe_faults, lag_ms, expected) in [
            (0, 0, 0, None),
            (4, 4, 0, None),
            (5, 2, 0, None),
            (5, 3, 0, Some(Reason::PanicProbes)),
            (6, 3, 0, Some(Reason::PanicProbes)),
            (100, 49, 5_000, None),
            (0, 0, 5_001, Some(Reason::PanicLate)),
        ] {
            let loop_lag = Millis(lag_ms);
            let eyesight = Eyesight { probes, probe_faults, loop_lag, store_faults: 0 };
            let evidence = FakeEvidence::default().eyesight(eyesight);
            let panic = at_fault(&Settings::default(), &evidence);
            assert_eq!(panic, expected, "{probe_faults} of {probes}, {lag_ms} ms late");
        }
    }

    #[test]
    fn a_fleet_is_suspect_from_five_workspaces_up() {
        for (workspaces, suspected, expected) in
            [(0, 0, false), (4, 4, false), (5, 2, false), (5, 3, true), (6, 3, true), (6, 2, false)]
        {
            let fleet = Fleet { workspaces, suspected, restarting: 0 };
            let evidence = FakeEvidence::default().fleet(fleet);
            let suspect = fleet_is_suspect(&Settings::default(), &evidence);
            assert_eq!(suspect, expected, "{suspected} of {workspaces}");
        }
    }
}
