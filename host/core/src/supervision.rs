//! How a host supervises where the policy has no say: how often it looks, what it
//! makes of what it saw, and how it tells a policy what it knows.
//!
//! The supervisor of the server and the simulator both go by this, so what is
//! simulated is what happens.

use crate::{
    decision::Outcome,
    evidence::{Answer, Beat, Exchange, Life, ProbeFault, Question},
    ids::LifeId,
    judgement::Verdict,
    ports::{RestartHistory, Signs},
    time::{Millis, UnixMillis},
};

/// Looks in one chain of `recheck` verdicts. Beyond it the answer is BUSY: a
/// policy that never decides convicts nobody.
pub const MAX_LOOKS: u32 = 10;

/// How soon a caller may come back while a restart is under way.
pub const RETRY_WHILE_RESTARTING: Millis = Millis::from_secs(5);

/// How soon a workspace that could not be seen is judged again.
pub const BLIND_AGAIN: Millis = Millis::from_secs(10);

/// How often the host asks who has been silent for too long.
pub const SILENCE_TICK: Millis = Millis::from_secs(1);

/// Silent workspaces judged within one tick. More wait for the next: a fleet
/// that falls silent at once is no storm of probes.
pub const MAX_SILENT_PER_TICK: usize = 64;

/// How soon a workspace that was found alive although it is silent is judged
/// again: who cannot be seen is looked at until he is seen.
pub const SILENT_AGAIN: Millis = Millis::from_secs(30);

/// How often the host measures its own lateness.
pub const LAG_TICK: Millis = Millis(500);

/// Probes under way at once, of all workspaces. More wait: a daemon that is slow
/// already is not asked more than this.
pub const MAX_PROBES: usize = 64;

/// Deferrals are spread by a factor from this range, in per mille: enough to keep
/// restarts that were deferred together from beginning together.
pub const JITTER_PER_MILLE: std::ops::RangeInclusive<u64> = 900..=1100;

/// Spreads the attempts at delivery: a workspace that beats often must not use
/// up all of them within a second.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    failures: u32,
    not_before: UnixMillis,
}

impl Pace {
    /// After the first failed delivery; doubled after each further one.
    const BASE: Millis = Millis::from_secs(5);
    const CAP: Millis = Millis::from_secs(300);

    pub fn is_due(&self, now: UnixMillis) -> bool {
        now >= self.not_before
    }

    pub fn failed(&mut self, now: UnixMillis) {
        let doubled = Self::BASE.0.saturating_mul(1 << self.failures.min(16));
        self.not_before = now + Millis(doubled.min(Self::CAP.0));
        self.failures += 1;
    }

    pub fn succeeded(&mut self) {
        *self = Self::default();
    }
}

/// Whether a decision puts its workspace under suspicion: see `fleet.suspected` in
/// the contract. None: what was thought of it before stands.
pub fn suspicion(outcome: &Outcome, evidence: &[Exchange]) -> Option<bool> {
    let seen = evidence.iter().find_map(|exchange| match &exchange.answer {
        Answer::Look(Ok(sighting)) => Some(sighting),
        _ => None,
    });
    let explained = seen.is_some_and(|sighting| sighting.ended.is_some());
    match outcome {
        Outcome::Judged { verdict: Verdict::Dead | Verdict::Recheck(_), .. } => Some(!explained),
        Outcome::Judged { verdict: Verdict::Alive, .. } => Some(false),
        Outcome::Judged { verdict: Verdict::Busy(_), .. } => {
            seen.map(crate::evidence::Sighting::is_unexplained)
        }
        Outcome::Ruled { .. } | Outcome::FellBack { .. } => None,
    }
}

/// How the look of a decision went. None: the policy did not ask the runtime.
pub fn sight(evidence: &[Exchange]) -> Option<Result<(), ProbeFault>> {
    evidence.iter().find_map(|exchange| match &exchange.answer {
        Answer::Look(look) => Some(look.as_ref().map(|_| ()).map_err(|fault| *fault)),
        _ => None,
    })
}

/// What signs of life tell of the life that runs now. `question` is one of
/// [`Question::NewestBeat`], [`Question::NewestContact`], [`Question::Intervals`].
pub fn told_by_signs(question: &Question, signs: &Signs, life: LifeId, now: UnixMillis) -> Answer {
    let beat = |sign: Option<(UnixMillis, LifeId)>| {
        sign.map(|(at, of)| Beat { age: at.age(now), this_life: of == life })
    };
    match *question {
        Question::NewestContact => Answer::NewestContact(Ok(beat(signs.contact))),
        Question::Intervals { limit } => {
            // Intervals of an earlier life say nothing about this one.
            let of_this_life = signs.beat.is_some_and(|(_, of)| of == life);
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            let kept = signs.intervals.iter().take(if of_this_life { limit } else { 0 });
            Answer::Intervals(Ok(kept.copied().collect()))
        }
        _ => Answer::NewestBeat(Ok(beat(signs.beat))),
    }
}

/// What the record of restarts tells. `question` is one of
/// [`Question::CurrentLife`], [`Question::RestartCount`]. `in_flight`: this host
/// itself is about it.
pub fn told_by_history(
    question: &Question,
    history: &RestartHistory,
    in_flight: bool,
    revision_stale: bool,
    now: UnixMillis,
) -> Answer {
    if let Question::RestartCount { within } = *question {
        let recent = history.unasked.iter().filter(|began| began.age(now) <= within);
        return Answer::RestartCount(Ok(u32::try_from(recent.count()).unwrap_or(u32::MAX)));
    }
    Answer::CurrentLife(Ok(Life {
        in_flight: history.in_flight || in_flight,
        began: history.began.map(|began| began.age(now)),
        cause: history.cause,
        revision_stale,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_attempts_take_more_than_a_minute_and_a_success_forgets() {
        let mut pace = Pace::default();
        let mut now = UnixMillis(1_000);
        for wait_s in [5, 10, 20, 40, 80, 160, 300, 300] {
            assert!(pace.is_due(now));
            pace.failed(now);
            let due = now + Millis::from_secs(wait_s);
            assert!(!pace.is_due(UnixMillis(due.0 - 1)) && pace.is_due(due), "{wait_s} s");
            now = due;
        }
        pace.failed(now);
        pace.succeeded();
        assert!(pace.is_due(now));
    }
}
