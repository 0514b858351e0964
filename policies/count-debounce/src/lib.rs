//! Change A of 2026-06-15: it counted the observations.
//!
//! "A workspace with a heartbeat within 15 s is *debounced*: two not-running
//! observations within 30 s are needed; a running observation resets the count;
//! a window older than 30 s starts afresh; no recent heartbeat: declared dead at
//! once" (story 3). Kept to show that the stories bite.

#![cfg_attr(target_arch = "wasm32", no_std)]

use reprieve_policy::{
    Attempt, Description, Evidence, Judgement, Millis, Policy, RestartCause, Ruling, Status,
    Trigger,
};

reprieve_policy::settings! {
    /// Settings of count-debounce.
    pub struct CountDebounce {
        /// A heartbeat at most this old asks for a second observation.
        recent_heartbeat: Millis = "15s" in "1s"..="24h",
        /// Two observations further apart than this are not counted together.
        observation_window: Millis = "30s" in "1s"..="24h",
        /// A workspace whose newest heartbeat is this old is dead.
        liveness_ttl: Millis = "3min" in "1s"..="24h",
    }
}

reprieve_policy::reasons! {
    /// Why count-debounce rules as it does.
    pub enum Reason {
        /// The probe says that it runs.
        Running = "running",
        /// The probe failed, which is read as running.
        ProbeError = "probe-error",
        /// A first observation that it does not run, with a recent heartbeat.
        FirstObservation = "first-observation",
        /// A second observation that it does not run, within `observation_window`.
        SecondObservation = "second-observation",
        /// It does not run, and there is no recent heartbeat.
        NotRunning = "not-running",
        /// Its newest heartbeat is older than `liveness_ttl`.
        Silent = "silent",
        /// Asked in a way that nobody asked in its day: nothing is looked at.
        Unasked = "unasked",
        /// Every restart is admitted.
        Always = "always",
    }
}

/// What the note holds after a first observation; its age is the host's to tell.
const FIRST_OBSERVATION: &[u8] = b"1";
/// What callers were told then.
const BUSY_RETRY_AFTER: Millis = Millis::from_secs(30);

impl CountDebounce {
    fn is_silent(&self, evidence: &impl Evidence) -> bool {
        matches!(evidence.newest_beat(), Ok(Some(beat)) if beat.age >= self.liveness_ttl)
    }

    fn not_running(&self, evidence: &impl Evidence) -> Judgement<Reason> {
        // A store that failed was read as "no recent heartbeat".
        let recent =
            matches!(evidence.newest_beat(), Ok(Some(beat)) if beat.age <= self.recent_heartbeat);
        if !recent {
            return Judgement::dead(Reason::NotRunning);
        }
        let second =
            matches!(evidence.note(), Ok(Some(note)) if note.age <= self.observation_window);
        if second {
            return Judgement::dead(Reason::SecondObservation);
        }
        evidence.write_note(FIRST_OBSERVATION);
        Judgement::busy(BUSY_RETRY_AFTER, Reason::FirstObservation)
    }
}

/// Forgets the first observation; writes nothing where there is none.
fn reset(evidence: &impl Evidence) {
    if let Ok(Some(_)) = evidence.note() {
        evidence.write_note(b"");
    }
}

impl Policy for CountDebounce {
    type Reason = Reason;

    const DESCRIPTION: Description = Description {
        name: "count-debounce",
        version: env!("CARGO_PKG_VERSION"),
        summary: "Change A of 2026-06-15: two observations that it does not run are a death.",
    };

    fn judge(&self, evidence: &impl Evidence, trigger: Trigger, _: Attempt) -> Judgement<Reason> {
        // The monitor of heartbeats was a separate loop that asked no runtime.
        if trigger == Trigger::HeartbeatExpired && self.is_silent(evidence) {
            return Judgement::dead(Reason::Silent);
        }
        // In its day nobody came back to a workspace by himself: a restart that
        // was carried out was over, and only requests asked.
        if matches!(trigger, Trigger::Settling | Trigger::Sweep) {
            return Judgement::alive(Reason::Unasked);
        }
        match evidence.look() {
            Err(_) => Judgement::alive(Reason::ProbeError),
            Ok(sighting) => match sighting.status {
                // Docker's flag `Running` is true in all three.
                Status::Running | Status::Restarting | Status::Paused => {
                    reset(evidence);
                    Judgement::alive(Reason::Running)
                }
                Status::Starting | Status::Stopped | Status::Missing => self.not_running(evidence),
            },
        }
    }

    fn admit(&self, _: &impl Evidence, _: RestartCause) -> Ruling<Reason> {
        Ruling::admit(Reason::Always)
    }

    fn silence_limit(&self) -> Option<Millis> {
        Some(self.liveness_ttl)
    }
}

reprieve_policy::export!(CountDebounce);

#[cfg(test)]
mod tests {
    use reprieve_policy::{FakeEvidence, ForwardFailure, ProbeFault, StoreFault};

    use super::*;

    const REFUSED: Trigger = Trigger::ForwardFailed(ForwardFailure::Refused);
    const FIRST: Judgement<Reason> = Judgement::busy(BUSY_RETRY_AFTER, Reason::FirstObservation);

    fn judged(evidence: &FakeEvidence) -> Judgement<Reason> {
        CountDebounce::default().judge(evidence, REFUSED, Attempt::FIRST)
    }

    fn noted(evidence: FakeEvidence, age_ms: u64) -> FakeEvidence {
        evidence.noted(FIRST_OBSERVATION, Millis(age_ms))
    }

    #[test]
    fn two_observations_within_the_window_are_a_death() {
        let stopped = || FakeEvidence::seen(Status::Stopped).beat(Millis(700));
        for (case, evidence, expected, written) in [
            ("first", stopped(), FIRST, Some(FIRST_OBSERVATION)),
            ("second", noted(stopped(), 100), Judgement::dead(Reason::SecondObservation), None),
            (
                "at the end",
                noted(stopped(), 30_000),
                Judgement::dead(Reason::SecondObservation),
                None,
            ),
            ("afresh", noted(stopped(), 30_001), FIRST, Some(FIRST_OBSERVATION)),
        ] {
            assert_eq!(judged(&evidence), expected, "{case}");
            assert_eq!(evidence.written().as_deref(), written, "{case}");
        }
    }

    #[test]
    fn a_running_observation_resets_the_count() {
        let evidence = noted(FakeEvidence::seen(Status::Running), 100);
        assert_eq!(judged(&evidence), Judgement::alive(Reason::Running));
        assert_eq!(evidence.written().as_deref(), Some(&b""[..]));
        let evidence = FakeEvidence::seen(Status::Running);
        judged(&evidence);
        assert_eq!(evidence.written(), None, "there was nothing to reset");
    }

    #[test]
    fn nobody_comes_back_by_himself() {
        for trigger in [Trigger::Settling, Trigger::Sweep] {
            let evidence = FakeEvidence::seen(Status::Starting);
            let judged = CountDebounce::default().judge(&evidence, trigger, Attempt::FIRST);
            assert_eq!(judged, Judgement::alive(Reason::Unasked));
        }
    }

    #[test]
    fn without_a_recent_heartbeat_not_running_is_a_death_at_once() {
        let dead = Judgement::dead(Reason::NotRunning);
        let faulty =
            FakeEvidence { newest_beat: Err(StoreFault), ..FakeEvidence::seen(Status::Stopped) };
        for (case, evidence, expected) in [
            ("never beat", FakeEvidence::seen(Status::Stopped), dead),
            ("stale", FakeEvidence::seen(Status::Missing).beat(Millis(15_001)), dead),
            ("starting", FakeEvidence::seen(Status::Starting).beat(Millis(15_001)), dead),
            ("the store fails", faulty, dead),
            ("recent", FakeEvidence::seen(Status::Starting).beat(Millis(15_000)), FIRST),
        ] {
            assert_eq!(judged(&evidence), expected, "{case}");
        }
    }

    #[test]
    fn a_probe_error_is_no_death() {
        let evidence = FakeEvidence::unseen(ProbeFault::TimedOut);
        assert_eq!(judged(&evidence), Judgement::alive(Reason::ProbeError));
    }

    #[test]
    fn silence_is_a_death() {
        let policy = CountDebounce::default();
        for (age_ms, expected) in [
            (179_999, Judgement::alive(Reason::Running)),
            (180_000, Judgement::dead(Reason::Silent)),
        ] {
            let evidence = FakeEvidence::seen(Status::Running).beat(Millis(age_ms));
            let judgement = policy.judge(&evidence, Trigger::HeartbeatExpired, Attempt::FIRST);
            assert_eq!(judgement, expected, "{age_ms} ms");
        }
    }
}
