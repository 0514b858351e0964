//! Whether a policy is still believed: the rule by which one that keeps failing
//! is put aside for another, and by which it comes back.
//!
//! A policy is *trusted* until it has failed [`TrustLimits::failures`] times
//! within [`TrustLimits::window`]. Then it is *distrusted*: another judges, and
//! every [`TrustLimits::probe_every`] one call is put to it as a probe. After a
//! good answer it is *on probation*: every call is put to it first, the first
//! failure makes it distrusted again, and [`TrustLimits::good_in_a_row`] good
//! answers make it trusted. One that is put aside again and again is probed less and
//! less often.
//!
//! Where there is no other, a distrusted policy is no longer asked about those
//! whose settings it failed with ([`Spared`]), and about everybody else as ever.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::{
    ids::Digest,
    time::{Millis, UnixMillis},
};

/// When a policy is put aside, and what it takes to come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrustLimits {
    /// So many failures within `window` make a policy distrusted. At least 1.
    pub failures: u32,
    pub window: Millis,
    /// How often a distrusted policy is tried. Twice as long each time that it is
    /// put aside again within [`TrustLimits::FORGIVEN_AFTER`], up to 32 times.
    pub probe_every: Millis,
    /// Good answers on probation, one after the other, that make it trusted.
    pub good_in_a_row: u32,
}

impl TrustLimits {
    /// The most failures that are counted one by one.
    pub const MAX_FAILURES: u32 = 1_000;
    /// A policy that was trusted for so long is as good as one that never failed.
    pub const FORGIVEN_AFTER: Millis = Millis::from_secs(3_600);
    /// 10 s become 5 min at most: a policy that was mended is back before anybody has
    /// looked it up.
    const MAX_DOUBLINGS: u32 = 5;

    /// How long a policy is left alone that came back so often in vain.
    const fn pause(probe_every: Millis, relapses: u32) -> Millis {
        let doublings = if relapses < Self::MAX_DOUBLINGS { relapses } else { Self::MAX_DOUBLINGS };
        Millis(probe_every.0.saturating_mul(1 << doublings))
    }
}

impl Default for TrustLimits {
    /// A single failure may be a single odd workspace; ten within a minute are
    /// the policy. A distrusted one is tried three times before the 30 s are
    /// over after which a host asks again by itself.
    fn default() -> Self {
        Self {
            failures: 10,
            window: Millis::from_secs(60),
            probe_every: Millis::from_secs(10),
            good_in_a_row: 5,
        }
    }
}

/// How far a policy is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trust {
    Trusted,
    /// Another judges.
    Distrusted,
    /// It judges, and another does where it fails.
    OnProbation,
}

impl Trust {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trusted => "trusted",
            Self::Distrusted => "distrusted",
            Self::OnProbation => "on-probation",
        }
    }
}

/// Who a call is put to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// To the policy; what it answers stands.
    Own,
    /// To the policy, and to the stand-in if it fails.
    Probe,
    /// To the stand-in.
    StandIn,
}

/// What is remembered of one policy.
#[derive(Clone, Debug)]
pub struct TrustRecord {
    limits: TrustLimits,
    state: State,
    /// How often it was put aside again soon after it had come back.
    relapses: u32,
}

#[derive(Clone, Debug)]
enum State {
    Trusted {
        /// The newest failures, oldest first; fewer than it takes.
        failures: VecDeque<UnixMillis>,
        /// When it came back. None: it never was away.
        since: Option<UnixMillis>,
    },
    Distrusted {
        next_probe: UnixMillis,
    },
    OnProbation {
        good: u32,
    },
}

impl TrustRecord {
    pub const fn new(limits: TrustLimits) -> Self {
        let state = State::Trusted { failures: VecDeque::new(), since: None };
        Self { limits, state, relapses: 0 }
    }

    pub const fn trust(&self) -> Trust {
        match self.state {
            State::Trusted { .. } => Trust::Trusted,
            State::Distrusted { .. } => Trust::Distrusted,
            State::OnProbation { .. } => Trust::OnProbation,
        }
    }

    /// Who the next call is put to. A probe that is given out counts as under
    /// way: the next one comes a pause later.
    pub fn turn(&mut self, now: UnixMillis) -> Turn {
        let pause = self.pause();
        match &mut self.state {
            State::Trusted { .. } => Turn::Own,
            State::OnProbation { .. } => Turn::Probe,
            State::Distrusted { next_probe } if *next_probe <= now => {
                *next_probe = now + pause;
                Turn::Probe
            }
            State::Distrusted { .. } => Turn::StandIn,
        }
    }

    /// A call that was put to the policy on that turn was answered as it should
    /// be. Returns the trust that it has now, if it changed.
    pub fn answered(&mut self, turn: Turn, now: UnixMillis) -> Option<Trust> {
        let before = self.trust();
        // An answer to a call from before the trust was lost proves nothing.
        if turn == Turn::Probe {
            let good = match self.state {
                State::Trusted { .. } => return None,
                State::Distrusted { .. } => 1,
                State::OnProbation { good } => good + 1,
            };
            self.state = if good >= self.limits.good_in_a_row {
                State::Trusted { failures: VecDeque::new(), since: Some(now) }
            } else {
                State::OnProbation { good }
            };
        }
        self.changed(before)
    }

    /// The policy failed, or was caught in answering the same evidence in two
    /// ways. Returns the trust that it has now, if it changed.
    pub fn failed(&mut self, now: UnixMillis) -> Option<Trust> {
        let before = self.trust();
        let TrustLimits { failures: limit, window, .. } = self.limits;
        let relapses = match &mut self.state {
            State::Trusted { failures, since } => {
                failures.retain(|at| at.age(now) < window);
                failures.push_back(now);
                if failures.len() < limit.clamp(1, TrustLimits::MAX_FAILURES) as usize {
                    return None;
                }
                let soon = |since: UnixMillis| since.age(now) < TrustLimits::FORGIVEN_AFTER;
                if since.is_some_and(soon) { self.relapses.saturating_add(1) } else { 0 }
            }
            State::OnProbation { .. } => self.relapses.saturating_add(1),
            // The next probe is due when it was.
            State::Distrusted { .. } => return None,
        };
        self.relapses = relapses;
        self.state = State::Distrusted { next_probe: now + self.pause() };
        self.changed(before)
    }

    const fn pause(&self) -> Millis {
        TrustLimits::pause(self.limits.probe_every, self.relapses)
    }

    fn changed(&self, before: Trust) -> Option<Trust> {
        Some(self.trust()).filter(|trust| *trust != before)
    }
}

/// The settings that a distrusted policy failed with last, where nobody stands in
/// for it, and when it is asked about each again. A failing call may take all of
/// a policy's time limit, so those who cause it must not cost the others.
#[derive(Clone, Debug)]
pub struct Spared {
    probe_every: Millis,
    settings: BTreeMap<Digest, Sparing>,
}

#[derive(Clone, Copy, Debug)]
struct Sparing {
    until: UnixMillis,
    /// How often it was asked again in vain.
    tries: u32,
}

impl Spared {
    /// The most settings that are remembered. Whoever comes after that is asked
    /// about as ever.
    pub const MAX: usize = 1_024;

    pub const fn new(limits: &TrustLimits) -> Self {
        Self { probe_every: limits.probe_every, settings: BTreeMap::new() }
    }

    /// Whether the policy is not to be asked about these settings now. One that is
    /// asked about them again is spared them until its answer is known.
    pub fn spares(&mut self, settings: Digest, now: UnixMillis) -> bool {
        match self.settings.get_mut(&settings) {
            Some(Sparing { until, tries }) if *until <= now => {
                *tries = tries.saturating_add(1);
                *until = now + TrustLimits::pause(self.probe_every, *tries);
                false
            }
            Some(_) => true,
            None => false,
        }
    }

    /// The policy failed with these settings. If it is spared them already, it is
    /// asked again when it was to be.
    pub fn failed(&mut self, settings: Digest, now: UnixMillis) {
        if self.settings.len() >= Self::MAX {
            self.settings.retain(|_, one| one.until > now);
        }
        if self.settings.len() < Self::MAX {
            let first = Sparing { until: now + self.probe_every, tries: 0 };
            self.settings.entry(settings).or_insert(first);
        }
    }

    /// The policy answered as it should with these settings.
    pub fn answered(&mut self, settings: Digest) {
        self.settings.remove(&settings);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: TrustLimits = TrustLimits {
        failures: 3,
        window: Millis(1_000),
        probe_every: Millis(100),
        good_in_a_row: 2,
    };

    fn at(ms: u64) -> UnixMillis {
        UnixMillis(1_000_000 + ms)
    }

    fn distrusted() -> TrustRecord {
        let mut record = TrustRecord::new(LIMITS);
        for ms in [0, 1, 2] {
            record.failed(at(ms));
        }
        assert_eq!(record.trust(), Trust::Distrusted);
        record
    }

    #[test]
    fn a_policy_is_put_aside_when_it_failed_often_enough_within_the_window() {
        for (case, failures_ms, expected) in [
            ("never", &[][..], Trust::Trusted),
            ("twice", &[0, 1], Trust::Trusted),
            ("three times at once", &[0, 0, 0], Trust::Distrusted),
            ("just within the window", &[0, 1, 999], Trust::Distrusted),
            ("the first is past it", &[0, 1, 1_000], Trust::Trusted),
            ("now and then for ever", &[0, 600, 1_200, 1_800, 2_400], Trust::Trusted),
        ] {
            let mut record = TrustRecord::new(LIMITS);
            let changes: Vec<_> =
                failures_ms.iter().filter_map(|ms| record.failed(at(*ms))).collect();
            assert_eq!(record.trust(), expected, "{case}");
            assert_eq!(changes.is_empty(), expected == Trust::Trusted, "{case}: {changes:?}");
        }
    }

    #[test]
    fn a_distrusted_policy_is_tried_now_and_then_and_nothing_else() {
        let mut record = distrusted();
        for (ms, expected) in [
            (3, Turn::StandIn),
            (101, Turn::StandIn),
            (102, Turn::Probe),
            (103, Turn::StandIn),
            (201, Turn::StandIn),
            (202, Turn::Probe),
        ] {
            assert_eq!(record.turn(at(ms)), expected, "at {ms} ms");
        }
    }

    #[test]
    fn good_answers_bring_it_back_and_one_failure_ends_the_probation() {
        let mut record = distrusted();
        assert_eq!(record.turn(at(200)), Turn::Probe);
        assert_eq!(record.answered(Turn::Probe, at(200)), Some(Trust::OnProbation));
        assert_eq!(record.turn(at(201)), Turn::Probe);
        assert_eq!(record.failed(at(201)), Some(Trust::Distrusted));
        assert_eq!(record.turn(at(400)), Turn::StandIn, "it relapsed");

        assert_eq!(record.turn(at(401)), Turn::Probe);
        assert_eq!(record.answered(Turn::Probe, at(401)), Some(Trust::OnProbation));
        assert_eq!(record.answered(Turn::Probe, at(401)), Some(Trust::Trusted));
        assert_eq!(record.turn(at(402)), Turn::Own);
        assert_eq!(record.failed(at(403)), None, "old failures are forgotten");
    }

    #[test]
    fn the_more_often_it_relapses_the_longer_it_is_left_alone() {
        let (mut record, mut now) = (distrusted(), at(2));
        let due = |record: &TrustRecord| match record.state {
            State::Distrusted { next_probe } => next_probe,
            ref other => panic!("{other:?}"),
        };
        for pause in [100, 200, 400, 800, 1_600, 3_200, 3_200] {
            assert_eq!(due(&record), now + Millis(pause));
            now = due(&record);
            assert_eq!(record.turn(now), Turn::Probe);
            record.answered(Turn::Probe, now);
            assert_eq!(record.answered(Turn::Probe, now), Some(Trust::Trusted));
            for _ in 0..LIMITS.failures {
                record.failed(now);
            }
        }
        now = due(&record);
        record.answered(Turn::Probe, now);
        record.answered(Turn::Probe, now);
        now = now + TrustLimits::FORGIVEN_AFTER;
        for _ in 0..LIMITS.failures {
            record.failed(now);
        }
        assert_eq!(due(&record), now + Millis(100), "forgiven");
    }

    #[test]
    fn answers_to_calls_from_before_the_trust_was_lost_prove_nothing() {
        let mut record = distrusted();
        assert_eq!(record.answered(Turn::Own, at(4)), None);
        assert_eq!(record.failed(at(5)), None);
        assert_eq!(record.turn(at(102)), Turn::Probe, "nor do late failures put the probe off");
    }

    #[test]
    fn settings_that_it_failed_with_are_put_to_it_now_and_then_until_it_answers() {
        let (good, bad) = (Digest::of(b"good"), Digest::of(b"bad"));
        let mut spared = Spared::new(&LIMITS);
        spared.failed(bad, at(0));
        for (ms, expected) in [(1, true), (99, true), (100, false), (101, true), (299, true)] {
            assert_eq!(spared.spares(bad, at(ms)), expected, "at {ms} ms");
            assert!(!spared.spares(good, at(ms)), "others are asked about as ever");
        }
        spared.failed(bad, at(299));
        assert!(!spared.spares(bad, at(300)), "it was due; from now on twice as seldom");
        assert!(spared.spares(bad, at(699)));
        spared.answered(bad);
        assert!(!spared.spares(bad, at(700)));
    }

    #[test]
    fn no_more_settings_are_remembered_than_there_is_room_for() {
        let mut spared = Spared::new(&LIMITS);
        let settings = |number: usize| Digest::of(&number.to_le_bytes());
        for number in 0..=Spared::MAX {
            spared.failed(settings(number), at(0));
        }
        assert!(spared.spares(settings(0), at(1)));
        assert!(!spared.spares(settings(Spared::MAX), at(1)), "there was no room");
        spared.failed(settings(Spared::MAX), at(100));
        assert!(spared.spares(settings(Spared::MAX), at(101)), "those whose time is up make room");
    }

    proptest! {
        /// However often it fails, what is kept is bounded and probes are rare.
        #[test]
        fn a_policy_that_always_fails_is_asked_no_more_often_than_the_limits_say(
            steps in prop::collection::vec(0u64..50, 1..300)
        ) {
            let (mut record, mut now, mut asked, mut put_aside) =
                (TrustRecord::new(LIMITS), at(0), 0_u64, None);
            for step in steps {
                now = now + Millis(step);
                match record.turn(now) {
                    Turn::StandIn => continue,
                    Turn::Own => prop_assert!(put_aside.is_none()),
                    Turn::Probe => asked += 1,
                }
                if record.failed(now).is_some() {
                    put_aside = Some(now);
                }
            }
            let since = put_aside.map_or(0, |since| since.age(now).0);
            prop_assert!(asked <= since / LIMITS.probe_every.0, "{asked} probes in {since} ms");
        }
    }
}
