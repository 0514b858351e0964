//! What the workspace itself gave: heartbeats, and round trips that succeeded.

use reprieve_policy::{Beat, Evidence, Life, Millis, Sighting, StoreFault};

use crate::Settings;

/// So many of the newest heartbeat intervals tell the workspace's own cadence:
/// as many as the contract gives.
const CADENCE_INTERVALS: u32 = 8;

/// The age of the newest sign of this life. A sign of an earlier life tells
/// nothing about this one.
pub(crate) fn newest_of_this_life(evidence: &impl Evidence) -> Result<Option<Millis>, StoreFault> {
    let beat = of_this_life(evidence.newest_beat()?);
    let contact = of_this_life(evidence.newest_contact()?);
    Ok(newer(beat, contact))
}

fn of_this_life(sign: Option<Beat>) -> Option<Millis> {
    sign.filter(|sign| sign.this_life).map(|sign| sign.age)
}

/// The smaller age of those that are known.
fn newer(one: Option<Millis>, other: Option<Millis>) -> Option<Millis> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// Whether a sign of this age is so recent that a runtime which says "not
/// running" may be wrong.
pub(crate) fn is_recent(
    settings: &Settings,
    evidence: &impl Evidence,
    sign: Millis,
) -> Result<bool, StoreFault> {
    if sign <= settings.recent_heartbeat {
        return Ok(true);
    }
    if sign > settings.recent_heartbeat_max {
        return Ok(false);
    }
    let cadence = median(&evidence.intervals(CADENCE_INTERVALS)?);
    let widened = Millis(cadence.0.saturating_mul(3) / 2);
    Ok(sign <= widened)
}

/// The middle one, the upper of two: a single long or short interval does not
/// move it. Zero if there is none. Found by its rank, since for so few a sort is
/// more code than it is worth in a component.
fn median(intervals: &[Millis]) -> Millis {
    let rank = intervals.len() / 2;
    let is_middle = |candidate: &&Millis| {
        let below = intervals.iter().filter(|other| other < candidate).count();
        let up_to = intervals.iter().filter(|other| other <= candidate).count();
        (below..up_to).contains(&rank)
    };
    intervals.iter().find(is_middle).copied().unwrap_or_default()
}

/// Whether a workspace that runs gave no sign of life for `liveness_ttl`.
///
/// The life's beginning counts as a sign: before it could beat, it was not
/// silent. A workspace that never beat in any life may have no heartbeats to
/// give, and is not convicted for want of them. A store that cannot be read
/// convicts nobody.
pub(crate) fn is_silent(
    settings: &Settings,
    evidence: &impl Evidence,
    life: Life,
    sighting: Sighting,
) -> bool {
    let Ok(Some(beat)) = evidence.newest_beat() else {
        return false;
    };
    let Ok(contact) = evidence.newest_contact() else {
        return false;
    };
    let sign = newer(of_this_life(Some(beat)), of_this_life(contact));
    let begin = newer(life.began, sighting.uptime);
    newer(sign, begin).is_some_and(|age| age >= settings.liveness_ttl)
}

#[cfg(test)]
mod tests {
    use reprieve_policy::{FakeEvidence, Question};

    use super::*;

    fn secs(secs: &[u64]) -> Vec<Millis> {
        secs.iter().copied().map(Millis::from_secs).collect()
    }

    #[test]
    fn the_window_follows_the_workspaces_own_cadence() {
        for (case, intervals, sign_s, expected) in [
            ("no cadence known: the setting", &[][..], 15, true),
            ("no cadence known: past the setting", &[], 16, false),
            ("beats every 30 s: 45 s", &[30, 30, 30], 45, true),
            ("beats every 30 s: past 45 s", &[30, 30, 30], 46, false),
            ("a quick cadence does not narrow it", &[1, 1, 1], 15, true),
            ("one gap does not widen it", &[600, 5, 5, 5], 16, false),
            ("a slow cadence: at most the maximum", &[600, 600], 60, true),
            ("a slow cadence: past the maximum", &[600, 600], 61, false),
        ] {
            let evidence =
                FakeEvidence { intervals: Ok(secs(intervals)), ..FakeEvidence::default() };
            let recent = is_recent(&Settings::default(), &evidence, Millis::from_secs(sign_s));
            assert_eq!(recent, Ok(expected), "{case}");
        }
    }

    #[test]
    fn the_cadence_is_asked_only_where_it_matters() {
        for (sign_s, asked) in [
            (15, &[][..]),
            (16, &[Question::Intervals { limit: CADENCE_INTERVALS }]),
            (60, &[Question::Intervals { limit: CADENCE_INTERVALS }]),
            (61, &[]),
        ] {
            let evidence = FakeEvidence::default();
            let _ = is_recent(&Settings::default(), &evidence, Millis::from_secs(sign_s));
            assert_eq!(evidence.asked(), asked, "{sign_s} s");
        }
    }

    #[test]
    fn the_median_is_robust() {
        for (intervals, expected_s) in
            [(&[][..], 0), (&[7], 7), (&[5, 9], 9), (&[5, 100, 6], 6), (&[1, 90, 2, 3, 80], 3)]
        {
            let expected = Millis::from_secs(expected_s);
            assert_eq!(median(&secs(intervals)), expected, "{intervals:?}");
        }
    }
}
