//! Whether a policy is still believed: the rule by which one that keeps failing
//! is put aside for another, and by which it comes back.
//!
//! A policy is *trusted* until it has failed [`TrustLimits::failures`] times
//! within [`TrustLimits::window`]. Then it is *distrusted*: another judges, and
//! every [`TrustLimits::probe_every`] one call is put to it as a probe. After a
//! good answer it is *on probation*: every call is put to it first, the first
//! failure makes it distrusted again, and [`TrustLimits::good_in_a_row`] good
//! answers make it trusted.
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
    /// How often a distrusted policy is tried.
    pub probe_every: Millis,
    /// Good answers on probation, one after the other, that make it trusted.
    pub good_in_a_row: u32,
}

impl TrustLimits {
    /// The most failures that are counted one by one.
    pub const MAX_FAILURES: u32 = 1_000;
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
}

#[derive(Clone, Debug)]
enum State {
    /// The newest failures, oldest first; fewer than it takes.
    Trusted {
        failures: VecDeque<UnixMillis>,
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
        Self { limits, state: State::Trusted { failures: VecDeque::new() } }
    }

    pub const fn trust(&self) -> Trust {
        match self.state {
            State::Trusted { .. } => Trust::Trusted,
            State::Distrusted { .. } => Trust::Distrusted,
            State::OnProbation { .. } => Trust::OnProbation,
        }
    }

    /// Who the next call is put to. A probe that is given out counts as under
    /// way: the next one comes `probe_every` later.
    pub fn turn(&mut self, now: UnixMillis) -> Turn {
        match &mut self.state {
            State::Trusted { .. } => Turn::Own,
            State::OnProbation { .. } => Turn::Probe,
            State::Distrusted { next_probe } if *next_probe <= now => {
                *next_probe = now + self.limits.probe_every;
                Turn::Probe
            }
            State::Distrusted { .. } => Turn::StandIn,
        }
    }

    /// A call that was put to the policy on that turn was answered as it should
    /// be. Returns the trust that it has now, if it changed.
    pub fn answered(&mut self, turn: Turn) -> Option<Trust> {
        let before = self.trust();
        // An answer to a call from before the trust was lost proves nothing.
        if turn == Turn::Probe {
            let good = match self.state {
                State::Trusted { .. } => return None,
                State::Distrusted { .. } => 1,
                State::OnProbation { good } => good + 1,
            };
            self.state = if good >= self.limits.good_in_a_row {
                State::Trusted { failures: VecDeque::new() }
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
        let TrustLimits { failures: limit, window, probe_every, .. } = self.limits;
        let put_aside = match &mut self.state {
            State::Trusted { failures } => {
                failures.retain(|at| at.age(now) < window);
                failures.push_back(now);
                failures.len() >= limit.clamp(1, TrustLimits::MAX_FAILURES) as usize
            }
            State::OnProbation { .. } => true,
            // The next probe is due when it was.
            State::Distrusted { .. } => false,
        };
        if put_aside {
            self.state = State::Distrusted { next_probe: now + probe_every };
        }
        self.changed(before)
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
    until: BTreeMap<Digest, UnixMillis>,
}

impl Spared {
    /// The most settings that are remembered. Whoever comes after that is asked
    /// about as ever.
    pub const MAX: usize = 1_024;

    pub const fn new(limits: &TrustLimits) -> Self {
        Self { probe_every: limits.probe_every, until: BTreeMap::new() }
    }

    /// Whether the policy is not to be asked about these settings now. One that is
    /// asked about them again is spared them until its answer is known.
    pub fn spares(&mut self, settings: Digest, now: UnixMillis) -> bool {
        match self.until.get_mut(&settings) {
            Some(until) if *until <= now => {
                *until = now + self.probe_every;
                false
            }
            Some(_) => true,
            None => false,
        }
    }

    /// The policy failed with these settings.
    pub fn failed(&mut self, settings: Digest, now: UnixMillis) {
        if self.until.len() >= Self::MAX {
            self.until.retain(|_, until| *until > now);
        }
        if self.until.len() < Self::MAX {
            self.until.insert(settings, now + self.probe_every);
        }
    }

    /// The policy answered as it should with these settings.
    pub fn answered(&mut self, settings: Digest) {
        self.until.remove(&settings);
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
        assert_eq!(record.answered(Turn::Probe), Some(Trust::OnProbation));
        assert_eq!(record.turn(at(201)), Turn::Probe);
        assert_eq!(record.failed(at(201)), Some(Trust::Distrusted));
        assert_eq!(record.turn(at(202)), Turn::StandIn);

        assert_eq!(record.turn(at(301)), Turn::Probe);
        assert_eq!(record.answered(Turn::Probe), Some(Trust::OnProbation));
        assert_eq!(record.answered(Turn::Probe), Some(Trust::Trusted));
        assert_eq!(record.turn(at(302)), Turn::Own);
        assert_eq!(record.failed(at(303)), None, "old failures are forgotten");
    }

    #[test]
    fn answers_to_calls_from_before_the_trust_was_lost_prove_nothing() {
        let mut record = distrusted();
        assert_eq!(record.answered(Turn::Own), None);
        assert_eq!(record.failed(at(5)), None);
        assert_eq!(record.turn(at(102)), Turn::Probe, "nor do late failures put the probe off");
    }

    #[test]
    fn settings_that_it_failed_with_are_put_to_it_now_and_then_until_it_answers() {
        let (good, bad) = (Digest::of(b"good"), Digest::of(b"bad"));
        let mut spared = Spared::new(&LIMITS);
        spared.failed(bad, at(0));
        for (ms, expected) in [(1, true), (99, true), (100, false), (101, true), (200, false)] {
            assert_eq!(spared.spares(bad, at(ms)), expected, "at {ms} ms");
            assert!(!spared.spares(good, at(ms)), "others are asked about as ever");
        }
        spared.answered(bad);
        assert!(!spared.spares(bad, at(201)));
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
