//! The other ground to tune on: what was decided already.
//!
//! Each point's settings judge the recorded evidence again. What is true is taken from
//! the record alone ([`incident`]): where it does not say, nothing is counted. The
//! search sees the earlier part of the log; what it recommends is then held against the
//! later part.
//!
//! Incidents are dealt out to groups, and a group takes the place that a run by one seed
//! has in a simulation: rates of groups vary as those of independent samples do, which
//! gives the intervals (random groups: Wolter, *Introduction to Variance Estimation*,
//! 2007, chapter 2).

mod incident;
mod tally;

use std::collections::BTreeSet;

use reprieve_core::{
    decision::{Decision, Outcome as Recorded},
    ids::Digest,
    judgement::{Attempt, Call, Verdict},
    supervision::MAX_LOOKS,
    time::{Millis, UnixMillis},
};
use reprieve_runtime::{Generation, Who, replay};

use self::incident::{Ending, Incident, incidents};
pub use self::tally::Tally;
use super::Outcome;
use crate::replay::NOT_ON_RECORD;

/// The most decisions of one log: they are kept, about a kilobyte each.
pub const MAX_DECISIONS: usize = 200_000;
/// The most groups that incidents are dealt out to.
const MAX_GROUPS: usize = 32;
/// The fewest incidents of which it is known how they ended.
const FEWEST_KNOWN: usize = 10;
/// So many of those are the search's, in percent; the later ones are not seen by it.
const EARLIER_PERCENT: usize = 60;

/// Decisions on record, as incidents whose ends are known or not.
#[derive(Debug)]
pub struct Record {
    earlier: Stretch,
    later: Stretch,
    workspaces: usize,
    decisions: usize,
    lasts: Millis,
    digest: Digest,
}

/// Which part of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// What is searched.
    Earlier,
    /// What the search does not see.
    Later,
}

#[derive(Debug)]
struct Stretch {
    incidents: Vec<Incident>,
    groups: usize,
    /// Of all its groups together.
    workspace_days: f64,
}

/// Why nothing can be tuned on a log.
#[derive(Debug, thiserror::Error)]
pub enum RecordRefused {
    #[error("it holds no decision")]
    Empty,
    #[error("it holds more than {MAX_DECISIONS} decisions; take a shorter time")]
    TooLong,
    #[error(
        "it tells of {known} incidents how they ended, and at least {FEWEST_KNOWN} are needed: by a \
         later sign of life, an end that the runtime reported, or a restart after a silence from \
         which nobody came back; take a longer log, or tune on a scenario"
    )]
    TooLittle { known: usize },
}

impl Record {
    pub fn of(decisions: Vec<Decision>) -> Result<Self, RecordRefused> {
        if decisions.len() > MAX_DECISIONS {
            return Err(RecordRefused::TooLong);
        }
        let ats = decisions.iter().map(|decision| decision.at);
        let (Some(begins), Some(ends)) = (ats.clone().min(), ats.max()) else {
            return Err(RecordRefused::Empty);
        };
        let who = |decision: &Decision| (decision.tenant.clone(), decision.workspace.clone());
        let workspaces = decisions.iter().map(who).collect::<BTreeSet<_>>().len();
        let ids: Vec<&str> = decisions.iter().map(|decision| decision.id.0.as_str()).collect();
        let (count, digest) = (decisions.len(), Digest::of(ids.join("\n").as_bytes()));

        let mut earlier = incidents(decisions);
        let is_known = |incident: &&Incident| incident.ending != Ending::Unknown;
        let known: Vec<UnixMillis> = earlier.iter().filter(is_known).map(Incident::began).collect();
        if known.len() < FEWEST_KNOWN {
            return Err(RecordRefused::TooLittle { known: known.len() });
        }
        let turn = known[known.len() * EARLIER_PERCENT / 100];
        let later = earlier.split_off(earlier.partition_point(|of| of.began() < turn));
        let stretch = |incidents: Vec<Incident>, lasts: Millis| Stretch {
            groups: incidents.iter().filter(is_known).count().clamp(1, MAX_GROUPS),
            incidents,
            workspace_days: lasts.0.max(1) as f64 / 86_400_000.0 * workspaces as f64,
        };
        Ok(Self {
            earlier: stretch(earlier, begins.age(turn)),
            later: stretch(later, turn.age(ends)),
            workspaces,
            decisions: count,
            lasts: begins.age(ends),
            digest,
        })
    }

    pub const fn workspaces(&self) -> usize {
        self.workspaces
    }

    pub const fn decisions(&self) -> usize {
        self.decisions
    }

    pub const fn lasts(&self) -> Millis {
        self.lasts
    }

    /// Of the decisions that it holds.
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// How many groups a part has.
    pub const fn groups(&self, part: Part) -> u64 {
        self.part(part).groups as u64
    }

    /// What settings come to on one group of a part.
    pub fn outcome(&self, part: Part, group: u64, candidate: &Generation) -> Outcome {
        let stretch = self.part(part);
        let days = stretch.workspace_days / stretch.groups as f64;
        let (mut false_restarts, mut unfound_ms) = (0_u64, 0_u64);
        let mut found_ms: Vec<u64> = Vec::new();
        for incident in stretch.of_group(group) {
            if incident.ending == Ending::Unknown {
                continue;
            }
            match incident.found(incident.judged_by(candidate).dead_at) {
                Found::Nothing => {}
                Found::Falsely => false_restarts += 1,
                Found::After(length) => {
                    unfound_ms += length.0;
                    found_ms.push(length.0);
                }
                Found::Never(length) => unfound_ms += length.0,
            }
        }
        let found = found_ms.len() as f64;
        let mean_s = found_ms.iter().sum::<u64>() as f64 / found / 1e3;
        Outcome {
            false_a_day: false_restarts as f64 / days,
            unfound_min_a_day: unfound_ms as f64 / 60_000.0 / days,
            detect_s: (found > 0.0).then_some(mean_s),
        }
    }

    /// What stands behind the outcomes of settings on a part.
    pub fn tally(&self, part: Part, candidate: &Generation) -> Tally {
        let mut tally = Tally::default();
        for incident in &self.part(part).incidents {
            tally.add(incident, &incident.judged_by(candidate));
        }
        tally
    }

    const fn part(&self, part: Part) -> &Stretch {
        match part {
            Part::Earlier => &self.earlier,
            Part::Later => &self.later,
        }
    }
}

impl Stretch {
    /// Dealt out in turn, so that each group is of the whole time.
    fn of_group(&self, group: u64) -> impl Iterator<Item = &Incident> {
        let nth = group as usize % self.groups;
        self.incidents.iter().skip(nth).step_by(self.groups)
    }
}

/// What a candidate says in an incident.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Judged {
    /// Its first DEAD.
    dead_at: Option<UnixMillis>,
    /// Decisions that it was asked for, until then.
    asked: u64,
    /// Of those, in which it asks for what nobody was asked then.
    missing: u64,
    failing: u64,
}

/// What a DEAD, or that there is none, is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// Nothing was to be found, or nothing is known.
    Nothing,
    Falsely,
    After(Millis),
    /// Until the restart on record, or the end of it.
    Never(Millis),
}

impl Incident {
    fn found(&self, dead_at: Option<UnixMillis>) -> Found {
        match (self.ending, dead_at) {
            (Ending::Unknown, _) | (Ending::LivedOn, None) => Found::Nothing,
            (Ending::LivedOn, Some(_)) => Found::Falsely,
            (Ending::DownSince(since), Some(at)) if at < since => Found::Falsely,
            (Ending::DownSince(since), Some(at)) => Found::After(since.age(at)),
            (Ending::DownSince(since), None) => Found::Never(since.age(self.until)),
        }
    }

    /// Which look a judgement is follows from what was ruled before it: it is the
    /// host's count, and is made anew. A decision that comes before the candidate would
    /// look again is no look of its.
    fn judged_by(&self, candidate: &Generation) -> Judged {
        let mut judged = Judged::default();
        let mut chain: Option<Chain> = None;
        for decision in &self.decisions {
            let Call::Judge { trigger, .. } = decision.call else { continue };
            let attempt = match &chain {
                Some(chain) if decision.at < chain.due => continue,
                Some(Chain { first, number, .. }) if *number < MAX_LOOKS => {
                    Attempt { number: *number, since_first: first.age(decision.at) }
                }
                Some(_) | None => Attempt::default(),
            };
            judged.asked += 1;
            let call = Call::Judge { trigger, attempt };
            let who =
                Who { tenant: decision.tenant.clone(), workspace: decision.workspace.clone() };
            let decided = replay(candidate, call, &who, &decision.evidence);
            if let Recorded::FellBack { failure, .. } = &decided.outcome {
                let is_missing = failure == NOT_ON_RECORD;
                judged.missing += u64::from(is_missing);
                judged.failing += u64::from(!is_missing);
                continue;
            }
            match decided.outcome.verdict() {
                Verdict::Dead => {
                    judged.dead_at = Some(decision.at);
                    return judged;
                }
                Verdict::Recheck(wait) => {
                    let first = decision.at - attempt.since_first;
                    let due = decision.at + wait;
                    chain = Some(Chain { first, number: attempt.number + 1, due });
                }
                Verdict::Alive | Verdict::Busy(_) => chain = None,
            }
        }
        judged
    }
}

/// Looks that the candidate wants, one after the other.
struct Chain {
    first: UnixMillis,
    number: u32,
    due: UnixMillis,
}

#[cfg(test)]
mod tests;
