//! Incidents on record, and how each ended: as far as the log itself tells, and no
//! further.
//!
//! An incident is what was decided about one life between two signs of it. How it ended
//! is told by what came later: a sign of the same life (it lived on), an end that the
//! runtime reported, or a restart after a silence from which it had never come back.

use reprieve_core::{
    decision::{Decision, Outcome},
    evidence::{Answer, Beat},
    judgement::{Admission, Call, RestartCause},
    time::{Millis, UnixMillis},
};

/// What was decided between two signs of one life.
#[derive(Clone, Debug)]
pub(super) struct Incident {
    /// Judgements, in their order; there is one.
    pub(super) decisions: Vec<Decision>,
    pub(super) ending: Ending,
    /// The next life began, or the record ends.
    pub(super) until: UnixMillis,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// A later sign of that life is on record.
    LivedOn,
    DownSince(UnixMillis),
    Unknown,
}

impl Incident {
    pub(super) fn began(&self) -> UnixMillis {
        self.decisions.first().map(|decision| decision.at).unwrap_or_default()
    }
}

/// In the order in which they began.
pub(super) fn incidents(mut decisions: Vec<Decision>) -> Vec<Incident> {
    let end = decisions.iter().map(|decision| decision.at).max().unwrap_or_default();
    decisions.sort_by(|a, b| {
        let who = |of: &Decision| (of.tenant.clone(), of.workspace.clone());
        who(a).cmp(&who(b)).then(a.at.cmp(&b.at)).then(a.life.cmp(&b.life))
    });
    let mut found = Vec::new();
    let same = |a: &Decision, b: &Decision| a.tenant == b.tenant && a.workspace == b.workspace;
    for of_workspace in decisions.chunk_by(same) {
        let usual = longest_overcome(of_workspace);
        let lives: Vec<&[Decision]> = of_workspace.chunk_by(|a, b| a.life == b.life).collect();
        for (place, life) in lives.iter().enumerate() {
            let next = lives.get(place + 1).copied();
            found.extend(of_life(life, next, usual, end));
        }
    }
    found.sort_by_key(Incident::began);
    found
}

fn of_life(
    life: &[Decision],
    next: Option<&[Decision]>,
    usual: Option<Millis>,
    end: UnixMillis,
) -> Vec<Incident> {
    let mut signs: Vec<UnixMillis> =
        life.iter().flat_map(|decision| signs(decision, true)).collect();
    // What the next life is told of beats before it is about this one.
    signs.extend(next.into_iter().flatten().flat_map(signs_before));
    signs.sort_unstable();
    let until = next.map_or(end, began);
    let has_sign = |after: UnixMillis, until: UnixMillis| {
        let place = signs.partition_point(|sign| *sign <= after);
        signs.get(place).is_some_and(|sign| *sign <= until)
    };
    let groups = life.chunk_by(|a, b| !has_sign(a.at, b.at));
    let of_group = |group: &[Decision]| {
        let (first, last) = (group.first()?, group.last()?);
        let ending = if has_sign(last.at, UnixMillis(u64::MAX)) {
            Ending::LivedOn
        } else if let Some(since) = group.iter().filter_map(reported_end).min() {
            Ending::DownSince(since)
        } else if next.is_some() && silent_for_good(group, &signs, until, usual) {
            Ending::DownSince(first.at)
        } else {
            Ending::Unknown
        };
        let is_judged = |decision: &&Decision| matches!(decision.call, Call::Judge { .. });
        let decisions: Vec<Decision> = group.iter().filter(is_judged).cloned().collect();
        (!decisions.is_empty()).then_some(Incident { decisions, ending, until })
    };
    groups.filter_map(of_group).collect()
}

/// A verdict restarted it, after it had been silent for longer than it ever was and
/// came back.
fn silent_for_good(
    group: &[Decision],
    signs: &[UnixMillis],
    until: UnixMillis,
    usual: Option<Millis>,
) -> bool {
    let by_verdict = group.iter().any(|decision| {
        let is_asked = decision.call == Call::Admit { cause: RestartCause::DeadVerdict };
        let Outcome::Ruled { admission, .. } = decision.outcome else { return false };
        is_asked && admission == Admission::Admit
    });
    let silence = signs.last().map(|sign| sign.age(until));
    by_verdict && usual.zip(silence).is_some_and(|(usual, silence)| silence > usual)
}

/// When the runtime says that it ended.
fn reported_end(decision: &Decision) -> Option<UnixMillis> {
    decision.evidence.iter().find_map(|exchange| match &exchange.answer {
        Answer::Look(Ok(sighting)) if sighting.status.is_down() => {
            Some(decision.at - sighting.ended?)
        }
        _ => None,
    })
}

/// When the life of `next` began.
fn began(next: &[Decision]) -> UnixMillis {
    let told = next.iter().find_map(|decision| {
        decision.evidence.iter().find_map(|exchange| match &exchange.answer {
            Answer::CurrentLife(Ok(life)) => Some(decision.at - life.began?),
            _ => None,
        })
    });
    let first = next.first().map(|decision| decision.at).unwrap_or_default();
    told.unwrap_or(first).min(first)
}

/// When signs came that a decision tells of: of its own life, or of an earlier one.
fn signs(decision: &Decision, of_this_life: bool) -> impl Iterator<Item = UnixMillis> + '_ {
    decision.evidence.iter().filter_map(move |exchange| match &exchange.answer {
        Answer::NewestBeat(Ok(Some(Beat { age, this_life })))
        | Answer::NewestContact(Ok(Some(Beat { age, this_life })))
            if *this_life == of_this_life =>
        {
            Some(decision.at - *age)
        }
        _ => None,
    })
}

fn signs_before(decision: &Decision) -> impl Iterator<Item = UnixMillis> + '_ {
    signs(decision, false)
}

/// The longest silence of a workspace that a sign of the same life ended. None: the log
/// tells of none.
fn longest_overcome(of_workspace: &[Decision]) -> Option<Millis> {
    let told = of_workspace.iter().flat_map(|decision| &decision.evidence);
    let told = told.filter_map(|exchange| match &exchange.answer {
        Answer::Intervals(Ok(intervals)) => intervals.iter().max().copied(),
        _ => None,
    });
    let seen = of_workspace.chunk_by(|a, b| a.life == b.life).filter_map(|life| {
        let newest = life.iter().flat_map(|decision| signs(decision, true)).max()?;
        // Nobody looked between two signs: only what a decision saw is known.
        let overcome = life.iter().filter(|decision| decision.at < newest);
        overcome.filter_map(|decision| Some(signs(decision, true).max()?.age(decision.at))).max()
    });
    told.chain(seen).max()
}
