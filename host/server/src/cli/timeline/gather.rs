//! What is known of a fleet over a time, from either source.

use std::collections::{BTreeMap, BTreeSet};

use reprieve_core::{
    decision::{Decision, Outcome},
    evidence::{Answer, ProbeFault, Sighting, Status},
    ids::{LifeId, WorkspaceId},
    judgement::{Admission, RestartCause, Verdict},
    time::{Millis, UnixMillis},
};
use reprieve_lab::{Happening, RestartKind, Trouble, Truth, With};

use super::{Kind, Mark, Span, Zero};
use crate::cli::explain;

/// Marks and spans that are kept, the first. The others are counted.
const MAX_KEPT: usize = 200_000;
/// Signs of life that are so near are one that was told of twice: ages are measured
/// within a decision, and it is known only when that began and how long it took.
const SAME_SIGN: Millis = Millis(50);
/// Reasons whose meaning is told.
const MAX_REASONS: usize = 100;
/// A life that began so long before the first decision is none of its doing.
const BEFORE: Millis = Millis::from_secs(300);

/// What happened, workspace by workspace.
#[derive(Debug)]
pub(in crate::cli) struct Timeline {
    /// Whose it is: a policy, or a log.
    pub(super) name: String,
    pub(super) zero: Zero,
    /// Only this is wanted.
    pub(super) between: Option<(UnixMillis, UnixMillis)>,
    pub(super) lanes: BTreeMap<String, Lane>,
    /// What befell hosts, by host.
    pub(super) around: BTreeMap<String, Vec<Span>>,
    pub(super) reasons: BTreeMap<String, String>,
    /// When the first decision was made that tells how a life began.
    first: Option<UnixMillis>,
    kept: usize,
    /// From when on nothing was kept, and how much of it.
    pub(super) left_out: Option<(UnixMillis, u64)>,
}

/// One workspace.
#[derive(Debug, Default)]
pub(super) struct Lane {
    pub(super) tenant: Option<String>,
    pub(super) marks: Vec<Mark>,
    /// How it was in truth from each of them on, healthy before. Of a record: empty.
    pub(super) truths: Vec<(UnixMillis, Truth)>,
    pub(super) troubles: Vec<Span>,
    signs: BTreeSet<(Kind, UnixMillis)>,
    lives: BTreeSet<LifeId>,
}

impl Timeline {
    /// `between`: only what happens from the first until the second.
    pub(in crate::cli) fn new(
        name: String,
        zero: Zero,
        between: Option<(UnixMillis, UnixMillis)>,
    ) -> Self {
        Self {
            name,
            zero,
            between,
            lanes: BTreeMap::new(),
            around: BTreeMap::new(),
            reasons: BTreeMap::new(),
            first: None,
            kept: 0,
            left_out: None,
        }
    }

    /// Whether the truth is known.
    pub(super) const fn is_simulated(&self) -> bool {
        matches!(self.zero, Zero::Since(_))
    }

    /// Something in a simulated run.
    pub(in crate::cli) fn happened(&mut self, happening: &Happening<'_>) {
        match happening {
            Happening::Truth { at, workspace, truth } => self.truth(*at, workspace, *truth),
            Happening::Decided(decision) => self.decided(decision),
            Happening::Restart { at, workspace, kind } => {
                let RestartKind { cause, truth } = *kind;
                let is_false = cause == RestartCause::DeadVerdict && !truth.is_down();
                let told = format!(
                    "{} ({}); in truth it was {}",
                    if is_false { "false restart" } else { "restart" },
                    explain::cause_label(cause),
                    truth_name(truth)
                );
                let kind = if is_false { Kind::FalseRestart } else { Kind::Restart };
                self.mark(workspace, Mark { from: *at, at: *at, kind, told, id: None });
            }
            Happening::Beat { at, workspace } => self.sign(workspace, Kind::Beat, *at),
            Happening::Trouble { from, until, with, trouble } => {
                let span = Span { from: *from, until: *until, told: trouble_name(*trouble) };
                self.befell(*with, span);
            }
            // The truth says so.
            Happening::Up { .. } => {}
        }
    }

    /// A decision, of a run or on record, with what it tells of the workspace.
    pub(in crate::cli) fn decided(&mut self, decision: &Decision) {
        let (workspace, id) = (&decision.workspace, &decision.id.0);
        let judged = decision.at + decision.cost.total;
        let id = (!self.is_simulated()).then(|| id.clone());
        for exchange in &decision.evidence {
            match &exchange.answer {
                Answer::Look(seen) => {
                    let (kind, told) = probe(seen);
                    let (from, at) = (decision.at, judged);
                    self.mark(workspace, Mark { from, at, kind, told, id: id.clone() });
                }
                Answer::NewestBeat(Ok(Some(beat))) => {
                    self.sign(workspace, Kind::Beat, judged - beat.age);
                }
                Answer::NewestContact(Ok(Some(contact))) => {
                    self.sign(workspace, Kind::Contact, judged - contact.age);
                }
                Answer::CurrentLife(Ok(life)) if !self.is_simulated() => {
                    if let Some(began) = life.began {
                        self.life_began(decision, judged - began, life.cause);
                    }
                }
                Answer::Subject(_)
                | Answer::NewestBeat(_)
                | Answer::Intervals(_)
                | Answer::NewestContact(_)
                | Answer::CurrentLife(_)
                | Answer::RestartCount(_)
                | Answer::Memory(_)
                | Answer::Eyesight(_)
                | Answer::Fleet(_) => {}
            }
        }
        if let Outcome::Judged { reason, .. } | Outcome::Ruled { reason, .. } = &decision.outcome
            && self.reasons.len() < MAX_REASONS
        {
            self.reasons.entry(reason.code.clone()).or_insert_with(|| reason.meaning.clone());
        }
        let effect = decision.effect.as_deref().map(|effect| format!(" → {effect}"));
        let told = format!(
            "{}: {} ({}){}",
            explain::verdict(&decision.outcome),
            decision.outcome.reason_code(),
            explain::occasion_label(&decision.call),
            effect.unwrap_or_default()
        );
        let kind = ruled(&decision.outcome);
        self.mark(workspace, Mark { from: judged, at: judged, kind, told, id });
        if let Some(lane) = self.lanes.get_mut(workspace.as_str()) {
            lane.tenant.get_or_insert_with(|| decision.tenant.to_string());
        }
    }

    /// Everything has been gathered: what came late takes its place.
    pub(in crate::cli) fn sorted(mut self) -> Self {
        for lane in self.lanes.values_mut() {
            lane.marks.sort_by_key(|mark| (mark.at, mark.kind));
        }
        self
    }

    fn truth(&mut self, at: UnixMillis, workspace: &WorkspaceId, truth: Truth) {
        let known = self.lanes.get(workspace.as_str()).and_then(|lane| lane.truths.last());
        let (_, before) = known.copied().unwrap_or((at, Truth::Healthy));
        if before != truth && self.keeps(at) {
            self.lane(workspace).truths.push((at, truth));
        }
    }

    fn befell(&mut self, with: With<'_>, span: Span) {
        if !self.wants(span.from, span.until) || !self.keeps(span.from) {
            return;
        }
        let host = match with {
            With::Workspace(workspace) => return self.lane(workspace).troubles.push(span),
            With::Host(host) => format!("host {}", host + 1),
            With::AllHosts => "all hosts".to_owned(),
        };
        self.around.entry(host).or_default().push(span);
    }

    /// Of one life that began the first word counts.
    fn life_began(&mut self, decision: &Decision, at: UnixMillis, cause: Option<RestartCause>) {
        let first = *self.first.get_or_insert(decision.at);
        let is_new = self.lane(&decision.workspace).lives.insert(decision.life);
        if !is_new || at + BEFORE < first {
            return;
        }
        let life = explain::facts::life(decision.life);
        let told = match cause {
            Some(cause) => format!("restart ({}): {life} begins", explain::cause_label(cause)),
            None => format!("{life} begins, by somebody else's doing"),
        };
        let kind = Kind::Restart;
        self.mark(&decision.workspace, Mark { from: at, at, kind, told, id: None });
    }

    fn sign(&mut self, workspace: &WorkspaceId, kind: Kind, at: UnixMillis) {
        if !self.wants(at, at) {
            return;
        }
        let near = (kind, at - SAME_SIGN)..=(kind, at + SAME_SIGN);
        let lane = self.lane(workspace);
        if lane.signs.range(near).next().is_none() {
            lane.signs.insert((kind, at));
            let told = kind.symbol().1.to_owned();
            self.mark(workspace, Mark { from: at, at, kind, told, id: None });
        }
    }

    fn mark(&mut self, workspace: &WorkspaceId, mark: Mark) {
        if self.wants(mark.from, mark.at) && self.keeps(mark.at) {
            self.lane(workspace).marks.push(mark);
        }
    }

    fn wants(&self, from: UnixMillis, until: UnixMillis) -> bool {
        self.between.is_none_or(|(first, last)| until >= first && from <= last)
    }

    fn keeps(&mut self, at: UnixMillis) -> bool {
        if self.kept < MAX_KEPT {
            self.kept += 1;
            return true;
        }
        let (_, count) = self.left_out.get_or_insert((at, 0));
        *count += 1;
        false
    }

    fn lane(&mut self, workspace: &WorkspaceId) -> &mut Lane {
        self.lanes.entry(workspace.to_string()).or_default()
    }
}

fn probe(seen: &Result<Sighting, ProbeFault>) -> (Kind, String) {
    let sighting = match seen {
        Ok(sighting) => sighting,
        Err(fault) => return (Kind::Fault, format!("probe failed: {fault}")),
    };
    let kind = match sighting.status {
        Status::Running => Kind::Up,
        Status::Starting | Status::Restarting | Status::Paused => Kind::Between,
        Status::Stopped | Status::Missing => Kind::Down,
    };
    let ended = match sighting.ended {
        Some(ended) if kind == Kind::Down => format!(", ended {ended} before"),
        Some(_) | None => String::new(),
    };
    (kind, format!("probe: {}{ended}", status_name(sighting.status)))
}

const fn ruled(outcome: &Outcome) -> Kind {
    match outcome {
        Outcome::Judged { verdict, .. } => match verdict {
            Verdict::Alive => Kind::Alive,
            Verdict::Busy(_) => Kind::Busy,
            Verdict::Recheck(_) => Kind::Recheck,
            Verdict::Dead => Kind::Dead,
        },
        Outcome::Ruled { admission, .. } => match admission {
            Admission::Admit => Kind::Admit,
            Admission::Defer(_) => Kind::Defer,
            Admission::Drop => Kind::Drop,
        },
        Outcome::FellBack { .. } => Kind::FellBack,
    }
}

pub(super) const fn truth_name(truth: Truth) -> &'static str {
    match truth {
        Truth::Booting => "booting",
        Truth::Healthy => "healthy",
        Truth::Slow => "slow",
        Truth::Hung => "hung",
        Truth::Dead => "dead",
    }
}

const fn status_name(status: Status) -> &'static str {
    match status {
        Status::Running => "running",
        Status::Starting => "starting",
        Status::Restarting => "restarting",
        Status::Paused => "paused",
        Status::Stopped => "stopped",
        Status::Missing => "missing",
    }
}

fn trouble_name(trouble: Trouble) -> String {
    match trouble {
        Trouble::Pause => "stands still".to_owned(),
        Trouble::Cut => "cut off".to_owned(),
        Trouble::StoreFault => "stores fail".to_owned(),
        Trouble::Stall(fault) => format!("probes fail: {fault}"),
        Trouble::Lie(status) => format!("runtime shows {}", status_name(status)),
        Trouble::Mute => "beats not".to_owned(),
    }
}
