//! What the arms of one experiment did, and what follows from it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    Arm, Breach, Course, Guardrail, Guardrails, Mode,
    sequential::{Comparison, Proportion},
};
use crate::{
    ids::{LifeId, WorkspaceId},
    time::{Millis, UnixMillis},
};

/// A death that the control rules too within this time was seen early by the
/// candidate, not falsely.
const CONFIRMED_WITHIN: Millis = Millis::from_secs(300);
/// Of each workspace one event an hour counts as evidence: a crash loop is one
/// fault, not a hundred.
const ONCE_IN: Millis = Millis::from_secs(3_600);
const MILLIS_PER_HOUR: f64 = 3_600_000.0;

/// Counts of one arm.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ArmCounts {
    /// Calls that its policy was asked, as who acts or beside it.
    pub judged: u64,
    pub failed: u64,
    /// Lives that it ruled dead, or would have.
    pub dead: u64,
    /// Of those: lives that gave a sign afterwards.
    pub false_deaths: u64,
    pub restarts: u64,
    /// From the first look of a chain to DEAD.
    pub detections: Durations,
    /// From DEAD to the next life's first ALIVE.
    pub recoveries: Durations,
    /// Requests to its workspaces that were put into the queue.
    pub queued: u64,
    /// Of those: how long it took until each that was delivered was so.
    pub delays: Durations,
    /// Of those: given up after too many attempts, for their age, or by a person.
    pub lost: u64,
}

/// Everything that is known of one experiment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    mode: Mode,
    guardrails: Guardrails,
    counts: [ArmCounts; 2],
    /// Judgements that both arms gave from the same evidence.
    compared: Proportion,
    /// Judgements that the other arm could not give from that evidence.
    pub missing: u64,
    /// Judgements that the other arm was not asked for, for want of time.
    pub dropped: u64,
    failures: Comparison,
    /// By the arms that act, each among its own workspaces.
    deaths: Comparison,
    /// By one arm alone, among the workspaces that the control acts for and both
    /// judge.
    lone_deaths: Comparison,
    restarts: Comparison,
    false_deaths: Comparison,
    slow_recoveries: Comparison,
    /// The newest life of each workspace that some arm ruled dead.
    ruled: BTreeMap<WorkspaceId, Ruled>,
    /// When a workspace's event was last counted as evidence.
    counted: BTreeMap<Kind, BTreeMap<WorkspaceId, UnixMillis>>,
    /// Of a tally that an older version began: from when on this one counts.
    #[serde(default)]
    course: Course,
    /// Up to when the arms' exposure is counted. None: no host looks.
    #[serde(skip)]
    exposed_until: Option<UnixMillis>,
}

/// Events of which each workspace has one an hour at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Kind {
    Death,
    LoneDeath,
    FalseDeath,
    Restart,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Ruled {
    life: LifeId,
    acts: Arm,
    /// When each arm did.
    at: [Option<UnixMillis>; 2],
    refuted: bool,
}

impl Tally {
    pub fn new(mode: Mode, guardrails: Guardrails) -> Self {
        Self {
            mode,
            guardrails,
            counts: Default::default(),
            compared: guardrails.disagreement(),
            missing: 0,
            dropped: 0,
            failures: Comparison::default(),
            deaths: Comparison::default(),
            lone_deaths: Comparison::default(),
            restarts: Comparison::default(),
            false_deaths: Comparison::default(),
            slow_recoveries: Comparison::default(),
            ruled: BTreeMap::new(),
            counted: BTreeMap::new(),
            course: Course::default(),
            exposed_until: None,
        }
    }

    pub const fn counts(&self, arm: Arm) -> &ArmCounts {
        &self.counts[arm as usize]
    }

    /// What the arms did over time.
    pub const fn course(&self) -> &Course {
        &self.course
    }

    /// Judgements that both gave, and how many of them differ.
    pub const fn compared(&self) -> (u64, u64) {
        (self.compared.cases(), self.compared.hits())
    }

    /// Workspace-hours of each arm.
    pub const fn hours(&self, arm: Arm) -> f64 {
        match self.mode {
            Mode::Shadow => self.lone_deaths.exposure(arm),
            Mode::Canary | Mode::Ab => self.deaths.exposure(arm),
        }
    }

    /// Time has passed for so many workspaces of each arm. To be called every few
    /// seconds. Everybody who takes part in a shadow is in both arms.
    pub fn pass(&mut self, workspaces: [usize; 2], now: UnixMillis) {
        if let Some(since) = self.exposed_until.replace(now) {
            let hours = since.age(now).0 as f64 / MILLIS_PER_HOUR;
            for arm in Arm::ALL {
                let amount = workspaces[arm as usize] as f64 * hours;
                let both_judge = workspaces[Arm::Control as usize] as f64 * hours;
                self.lone_deaths.expose(arm, both_judge);
                let seen = if self.mode == Mode::Shadow { both_judge } else { amount };
                self.course.count(arm, now, |part| part.workspace_hours += seen);
                if self.mode != Mode::Shadow {
                    self.deaths.expose(arm, amount);
                    self.restarts.expose(arm, amount);
                    // Only where the other arm acts can it be seen to be wrong.
                    self.false_deaths.expose(arm.other(), amount);
                }
            }
        }
        let is_old =
            |ruled: &Ruled| ruled.at.into_iter().flatten().all(|at| at.age(now) > CONFIRMED_WITHIN);
        let old: Vec<_> = self.ruled.extract_if(.., |_, ruled| is_old(ruled)).collect();
        for (workspace, ruled) in old {
            self.lone_death(&workspace, ruled, now);
        }
        for counted in self.counted.values_mut() {
            counted.retain(|_, at| at.age(now) < ONCE_IN);
        }
    }

    /// An arm's policy was asked.
    pub fn judged(&mut self, arm: Arm, failed: bool, now: UnixMillis) {
        self.course.count(arm, now, |part| part.judged += 1);
        let counts = &mut self.counts[arm as usize];
        counts.judged += 1;
        self.failures.expose(arm, 1.0);
        if failed {
            counts.failed += 1;
            self.failures.event(arm);
        }
    }

    /// Both arms judged the same evidence.
    pub fn compared_both(&mut self, agree: bool) {
        self.compared.case(!agree);
    }

    /// An arm ruled a life dead, so long after it first looked: the one that acts
    /// for it, or the other one beside it.
    pub fn dead(
        &mut self,
        arm: Arm,
        acts: Arm,
        workspace: &WorkspaceId,
        life: LifeId,
        took: Millis,
        now: UnixMillis,
    ) {
        let unseen = Ruled { life, acts, at: [None; 2], refuted: false };
        let former = self.ruled.get(workspace).copied();
        let mut ruled = former.filter(|former| former.life == life).unwrap_or(unseen);
        if ruled.at[arm as usize].is_some() {
            return;
        }
        if let Some(former) = former.filter(|former| former.life != life) {
            self.lone_death(workspace, former, now);
        }
        ruled.at[arm as usize] = Some(now);
        self.ruled.insert(workspace.clone(), ruled);
        self.course.count(arm, now, |part| part.dead += 1);
        let counts = &mut self.counts[arm as usize];
        counts.dead += 1;
        counts.detections.add(took);
        if arm == acts
            && self.mode != Mode::Shadow
            && self.counts_as_evidence(Kind::Death, workspace, now)
        {
            self.deaths.event(arm);
        }
    }

    /// A life gave a sign of life.
    pub fn sign_of_life(&mut self, workspace: &WorkspaceId, life: LifeId, now: UnixMillis) {
        let Some(ruled) = self.ruled.get_mut(workspace) else { return };
        if ruled.life != life || ruled.refuted {
            return;
        }
        ruled.refuted = true;
        let ruled = *ruled;
        let Ruled { acts, at, .. } = ruled;
        self.lone_death(workspace, ruled, now);
        for arm in Arm::ALL.into_iter().filter(|arm| at[*arm as usize].is_some()) {
            self.counts[arm as usize].false_deaths += 1;
            self.course.count(arm, now, |part| part.false_deaths += 1);
            // Who acts ends the life, and with it the proof.
            if arm != acts
                && self.mode != Mode::Shadow
                && self.counts_as_evidence(Kind::FalseDeath, workspace, now)
            {
                self.false_deaths.event(arm);
            }
        }
    }

    /// A restart began that a verdict of that arm had asked for.
    pub fn restarted(&mut self, arm: Arm, workspace: &WorkspaceId, now: UnixMillis) {
        self.counts[arm as usize].restarts += 1;
        self.course.count(arm, now, |part| part.restarts += 1);
        if self.counts_as_evidence(Kind::Restart, workspace, now) {
            self.restarts.event(arm);
        }
    }

    /// A workspace is alive again, so long after it was ruled dead.
    pub fn recovered(&mut self, arm: Arm, took: Millis) {
        self.counts[arm as usize].recoveries.add(took);
        self.slow_recoveries.expose(arm, 1.0);
        if took > self.guardrails.slow_recovery {
            self.slow_recoveries.event(arm);
        }
    }

    /// A request to a workspace of that arm was put into the queue.
    pub fn queued(&mut self, arm: Arm) {
        self.counts[arm as usize].queued += 1;
    }

    /// A queued request to a workspace of that arm was delivered, so long after it was
    /// accepted.
    pub fn delayed(&mut self, arm: Arm, took: Millis) {
        self.counts[arm as usize].delays.add(took);
    }

    /// A queued request to a workspace of that arm was given up.
    pub fn lost(&mut self, arm: Arm) {
        self.counts[arm as usize].lost += 1;
    }

    /// The guardrail that the candidate broke, the worst first. None while there is
    /// too little to go by.
    pub fn breach(&self) -> Option<Breach> {
        let Guardrails { min_events, min_judgements, .. } = self.guardrails;
        if self.counts(Arm::Candidate).judged < min_judgements {
            return None;
        }
        // Asked at every decision: what has too few events is not weighed.
        let may_be =
            |guardrail: &Guardrail| self.events(*guardrail)[Arm::Candidate as usize] >= min_events;
        let broken = Guardrail::ALL.into_iter().filter(may_be).filter_map(|guardrail| {
            let evidence = self.evidence(guardrail)?;
            (evidence.evidence >= self.guardrails.threshold()).then_some(evidence)
        });
        broken.max_by(|one, other| one.evidence.total_cmp(&other.evidence))
    }

    /// Of each arm, that the guardrail goes by.
    fn events(&self, guardrail: Guardrail) -> [u64; 2] {
        let of = |comparison: &Comparison| Arm::ALL.map(|arm| comparison.events(arm));
        match guardrail {
            Guardrail::Failures => of(&self.failures),
            Guardrail::Deaths => {
                let [acting, lone] = [of(&self.deaths), of(&self.lone_deaths)];
                Arm::ALL.map(|arm| acting[arm as usize] + lone[arm as usize])
            }
            Guardrail::Restarts => of(&self.restarts),
            Guardrail::FalseDeaths => of(&self.false_deaths),
            Guardrail::SlowRecoveries => of(&self.slow_recoveries),
            Guardrail::Disagreement => [0, self.compared.hits()],
        }
    }

    /// What is known against the candidate by that guardrail. None: it is off.
    pub fn evidence(&self, guardrail: Guardrail) -> Option<Breach> {
        let exposure = |of: &Comparison| Arm::ALL.map(|arm| of.exposure(arm));
        let of = |comparison: &Comparison| (exposure(comparison), comparison.e_value());
        let (exposure, evidence) = match guardrail {
            Guardrail::Failures => of(&self.failures),
            Guardrail::Deaths => (Arm::ALL.map(|arm| self.hours(arm)), self.evidence_of_deaths()),
            Guardrail::Restarts => of(&self.restarts),
            Guardrail::FalseDeaths => of(&self.false_deaths),
            Guardrail::SlowRecoveries => of(&self.slow_recoveries),
            Guardrail::Disagreement => {
                self.guardrails.max_disagreement_bp?;
                ([0.0, self.compared.cases() as f64], self.compared.e_value())
            }
        };
        Some(Breach { guardrail, events: self.events(guardrail), exposure, evidence })
    }

    /// The average of two e-values is one.
    fn evidence_of_deaths(&self) -> f64 {
        let lone = self.lone_deaths.e_value();
        match self.mode {
            Mode::Shadow => lone,
            Mode::Canary | Mode::Ab => self.deaths.e_value().midpoint(lone),
        }
    }

    /// Nobody rules on that life any more, or it lives. A death that only one of the
    /// arms ruled is an event. Where the candidate acts, it ends the life before the
    /// control could follow: nothing can be learnt there.
    fn lone_death(&mut self, workspace: &WorkspaceId, ruled: Ruled, now: UnixMillis) {
        let lone = match ruled.at {
            [Some(_), None] => Arm::Control,
            [None, Some(_)] => Arm::Candidate,
            [Some(_), Some(_)] | [None, None] => return,
        };
        if ruled.acts == Arm::Control && self.counts_as_evidence(Kind::LoneDeath, workspace, now) {
            self.lone_deaths.event(lone);
        }
    }

    fn counts_as_evidence(&mut self, kind: Kind, workspace: &WorkspaceId, now: UnixMillis) -> bool {
        let counted = self.counted.entry(kind).or_default();
        if counted.get(workspace).is_some_and(|at| at.age(now) < ONCE_IN) {
            return false;
        }
        counted.insert(workspace.clone(), now);
        true
    }
}

/// How long something took, in classes that are a quarter wider each: the figures
/// that come out are exact to an eighth.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Durations {
    classes: BTreeMap<u16, u64>,
    count: u64,
}

const WIDER: f64 = 1.25;

impl Durations {
    pub fn add(&mut self, took: Millis) {
        let class = ((took.0.max(1) as f64).ln() / WIDER.ln()).round();
        // A u64 of milliseconds has fewer than 200 classes.
        *self.classes.entry(class as u16).or_default() += 1;
        self.count += 1;
    }

    pub const fn count(&self) -> u64 {
        self.count
    }

    /// What that part of all (0 to 1) did not exceed. None without any.
    pub fn quantile(&self, part: f64) -> Option<Millis> {
        let wanted = (part * self.count as f64).ceil().max(1.0) as u64;
        let mut seen = 0;
        let class = self.classes.iter().find(|(_, count)| {
            seen += **count;
            seen >= wanted
        });
        class.map(|(class, _)| Millis(WIDER.powi(i32::from(*class)).round() as u64))
    }
}
