//! What judges now: the generation in force, the one that stands in for it, and
//! those that still end what they began.

mod double;
mod trial;

use std::{
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use parking_lot::{Mutex, RwLock};
use reprieve_core::{
    experiment::Arm,
    ids::Digest,
    judgement::Call,
    ports::Witness,
    time::Millis,
    trust::{Trust, Turn},
};

pub use self::trial::{StoodIn, Trial, Tried};
use self::{double::DoubleJudgement, trial::Beside};
use crate::{Blame, Conduct, Decided, Generation, Instances, PolicyFailure, Who, judge};

/// One judgement in so many is judged again, in a fresh instance, where nobody
/// says otherwise.
pub const DOUBLE_JUDGEMENT: u32 = 1_000;

/// Former generations that are remembered while they drain. Each is held by
/// decisions that end within their deadline; older ones are not listed.
const MAX_DRAINING: usize = 1_000;

/// What judges. Replaced whole; a decision that took a snapshot keeps it to its
/// end.
#[derive(Debug)]
pub struct Current {
    in_force: RwLock<Placed>,
    /// The last good generation of another policy. Judges where the policy in
    /// force is not trusted.
    stand_in: RwLock<Option<Placed>>,
    draining: Mutex<Vec<Draining>>,
    /// Held by whoever makes the next one, so that none is made from one that is
    /// in force no more.
    writer: Mutex<()>,
    double: DoubleJudgement,
}

#[derive(Clone, Debug)]
struct Placed {
    generation: Arc<Generation>,
    /// What is tried beside it. No two of them take part in one workspace.
    trials: Arc<[Trial]>,
    since: Instant,
}

#[derive(Debug)]
struct Draining {
    generation: Weak<Generation>,
    since: Instant,
}

/// What a generation is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    InForce,
    StandIn,
    /// Some decisions that it began have not ended.
    Draining,
}

/// A generation that is alive.
#[derive(Clone, Debug)]
pub struct Alive {
    pub role: Role,
    pub number: u64,
    /// Name and version of its policy.
    pub policy: String,
    pub component: Digest,
    /// For how long it came, or comes, into force.
    pub age: Duration,
    /// Decisions and others that hold it, besides its role.
    pub references: usize,
    pub conduct: Conduct,
    pub instances: Instances,
}

impl Current {
    pub fn new(generation: Generation) -> Self {
        Self {
            in_force: RwLock::new(Placed::now(Arc::new(generation), Arc::default())),
            stand_in: RwLock::new(None),
            draining: Mutex::default(),
            writer: Mutex::new(()),
            double: DoubleJudgement::one_in(DOUBLE_JUDGEMENT),
        }
    }

    /// Judges one judgement in so many twice. 0: none.
    #[must_use]
    pub fn judging_twice(mut self, one_in: u32) -> Self {
        self.double = DoubleJudgement::one_in(one_in);
        self
    }

    /// Never waits for an update.
    pub fn snapshot(&self) -> Arc<Generation> {
        Arc::clone(&self.in_force.read().generation)
    }

    /// Who judges where the policy in force is not trusted.
    pub fn stand_in(&self) -> Option<Arc<Generation>> {
        self.stand_in.read().as_ref().map(|placed| Arc::clone(&placed.generation))
    }

    /// Makes the next generation from the one in force and puts it in its place.
    /// On an error everything stays as it is. What has to be so before the next
    /// generation decides (that it is on disk) belongs into `next`.
    ///
    /// One update at a time: blocks while others are under way, so call it where
    /// blocking is allowed.
    pub fn update<E>(
        &self,
        next: impl FnOnce(&Generation) -> Result<Generation, E>,
    ) -> Result<Arc<Generation>, E> {
        let _one_at_a_time = self.writer.lock();
        let now = self.in_force.read().clone();
        let next = Arc::new(next(&now.generation)?);
        let trials = now.trials.iter().map(|trial| trial.beside(&next, &now.generation));
        let placed = Placed::now(Arc::clone(&next), trials.collect());
        drop(now);
        let former = std::mem::replace(&mut *self.in_force.write(), placed);
        // Readers are let in already.
        self.appoint(&former, &next);
        self.retire(former.generation);
        Ok(next)
    }

    /// What is tried beside the generation in force.
    pub fn trials(&self) -> Arc<[Trial]> {
        Arc::clone(&self.in_force.read().trials)
    }

    /// After how long a silence the host shall ask about a workspace with these
    /// labels: as whoever acts for it says. None: never.
    pub fn silence_limit(&self, who: &Who, labels: &[(String, String)]) -> Option<Millis> {
        let placed = self.in_force.read().clone();
        let candidate = placed.trials.iter().find_map(|trial| {
            let acts = trial.experiment().acts(&who.workspace) == Arm::Candidate;
            trial.running().filter(|_| acts && trial.includes(who, labels))
        });
        candidate.unwrap_or(&placed.generation).silence_limit(who)
    }

    /// Begins, changes and ends trials, all at once: from the next decision on these
    /// are tried. Blocks like [`Self::update`].
    pub fn set_trials(&self, next: impl FnOnce(&Arc<Generation>, &[Trial]) -> Vec<Trial>) {
        let _one_at_a_time = self.writer.lock();
        let now = self.in_force.read().clone();
        let trials = next(&now.generation, &now.trials).into();
        self.in_force.write().trials = trials;
    }

    /// Decides by one generation, whole: by the one in force, or by the stand-in
    /// if the policy in force is not trusted. Without a stand-in such a policy is
    /// asked, but for those whose settings it failed with: for them the answer is
    /// BUSY. See [`Generation::decide`].
    ///
    /// Where an experiment's candidate acts, it decides, and the generation in force
    /// where it fails, or was stopped meanwhile.
    pub async fn decide(&self, call: Call, who: &Who, witness: &Arc<dyn Witness>) -> Decided {
        self.decide_and_try(call, who, witness).await.0
    }

    /// The same, with what experiment it was part of.
    pub async fn decide_and_try(
        &self,
        call: Call,
        who: &Who,
        witness: &Arc<dyn Witness>,
    ) -> (Decided, Option<Tried>) {
        let Placed { generation: control, trials, .. } = self.in_force.read().clone();
        let Some((nth, candidate)) = trial::of(&trials, who, witness) else {
            return (self.decide_by(control, call, who, witness).await, None);
        };
        let experiment = &trials[nth].experiment;
        let acts = experiment.acts(&who.workspace);
        let stood_in = if acts == Arm::Candidate {
            match put_to_candidate(candidate, call, who, witness).await {
                // It acts no more, not even on what it was asked before.
                Ok(_) if trials[nth].running().is_none() => {
                    return (self.decide_by(self.snapshot(), call, who, witness).await, None);
                }
                Ok(decided) => {
                    let (stood_in, beside) = (None, Beside::Control(control));
                    return (decided, Some(Tried { trials, nth, acts, stood_in, beside }));
                }
                Err(why) => Some(why),
            }
        } else {
            None
        };
        let is_compared = stood_in.is_none() && experiment.is_compared(&who.workspace);
        let beside = if is_compared { Beside::Candidate } else { Beside::Nobody };
        let decided = self.decide_by(control, call, who, witness).await;
        (decided, Some(Tried { trials, nth, acts, stood_in, beside }))
    }

    async fn decide_by(
        &self,
        generation: Arc<Generation>,
        call: Call,
        who: &Who,
        witness: &Arc<dyn Witness>,
    ) -> Decided {
        let turn = generation.policy().confidence().turn(witness.now());
        let stand_in = if turn == Turn::Own { None } else { self.stand_in() };
        let decided = match (turn, &stand_in) {
            (Turn::StandIn, Some(stand_in)) => {
                return put(stand_in, Turn::Own, call, who, witness).await;
            }
            (Turn::Own, _) | (Turn::Probe, Some(_)) => {
                put(&generation, turn, call, who, witness).await
            }
            (Turn::StandIn | Turn::Probe, None) => {
                put_or_spare(&generation, turn, call, who, witness).await
            }
        };
        if decided.blame.is_some()
            && turn == Turn::Probe
            && let Some(stand_in) = stand_in
        {
            return put(&stand_in, Turn::Own, call, who, witness).await;
        }
        self.double.judge(&generation, who, &decided, witness.now());
        decided
    }

    /// Every generation that is alive, the one in force first.
    pub fn alive(&self) -> Vec<Alive> {
        let in_force = self.in_force.read().clone();
        let mut alive = vec![in_force.alive(Role::InForce)];
        let stand_in = self.stand_in.read().clone();
        let stands_in = stand_in.as_ref().map(|placed| Arc::downgrade(&placed.generation));
        alive.extend(stand_in.map(|stand_in| stand_in.alive(Role::StandIn)));
        let mut draining = self.draining.lock();
        draining.retain(|former| former.generation.strong_count() > 0);
        alive.extend(draining.iter().filter_map(|former| {
            if stands_in.as_ref().is_some_and(|other| other.ptr_eq(&former.generation)) {
                return None;
            }
            let generation = former.generation.upgrade()?;
            let trials = Arc::default();
            Some(Placed { generation, trials, since: former.since }.alive(Role::Draining))
        }));
        alive
    }

    /// Chooses who stands in for the next generation.
    fn appoint(&self, former: &Placed, next: &Generation) {
        let component = next.policy().digest();
        let mut stand_in = self.stand_in.write();
        if former.generation.policy().digest() == component {
            // Other settings of the same policy: whoever stood in still does.
        } else if former.generation.policy().confidence().is_trusted() {
            *stand_in = Some(former.clone());
        } else if stand_in.as_ref().is_some_and(|s| s.generation.policy().digest() == component) {
            *stand_in = None;
        }
    }

    fn retire(&self, former: Arc<Generation>) {
        let mut draining = self.draining.lock();
        let since = Instant::now();
        draining.push(Draining { generation: Arc::downgrade(&former), since });
        // Its last reference may be this one; what it held goes before anybody
        // looks.
        drop(former);
        draining.retain(|former| former.generation.strong_count() > 0);
        if draining.len() > MAX_DRAINING {
            draining.remove(0);
        }
    }
}

impl Placed {
    fn now(generation: Arc<Generation>, trials: Arc<[Trial]>) -> Self {
        Self { generation, trials, since: Instant::now() }
    }

    fn alive(self, role: Role) -> Alive {
        let policy = self.generation.policy();
        // This very reference, and the role's own.
        let own = match role {
            Role::InForce | Role::StandIn => 2,
            Role::Draining => 1,
        };
        Alive {
            role,
            number: self.generation.number(),
            policy: policy.label().to_owned(),
            component: policy.digest(),
            age: self.since.elapsed(),
            references: Arc::strong_count(&self.generation).saturating_sub(own),
            conduct: policy.confidence().conduct(),
            instances: policy.instances(),
        }
    }
}

/// Puts a call to one generation and remembers how it did.
async fn put(
    generation: &Generation,
    turn: Turn,
    call: Call,
    who: &Who,
    witness: &Arc<dyn Witness>,
) -> Decided {
    let decided = generation.decide(call, who, witness).await;
    if decided.blame.is_some() || turn == Turn::Probe {
        let confidence = generation.policy().confidence();
        let changed = confidence.note(turn, decided.blame, witness.now());
        tell(generation, changed);
    }
    decided
}

/// The error is why the control is to decide.
async fn put_to_candidate(
    candidate: &Generation,
    call: Call,
    who: &Who,
    witness: &Arc<dyn Witness>,
) -> Result<Decided, StoodIn> {
    let turn = candidate.policy().confidence().turn(witness.now());
    if turn == Turn::StandIn {
        return Err(StoodIn::Distrusted);
    }
    let decided = put(candidate, turn, call, who, witness).await;
    if decided.blame == Some(Blame::Policy) { Err(StoodIn::Failed) } else { Ok(decided) }
}

/// The same with a policy that is not trusted, and that nobody stands in for.
async fn put_or_spare(
    generation: &Generation,
    turn: Turn,
    call: Call,
    who: &Who,
    witness: &Arc<dyn Witness>,
) -> Decided {
    let confidence = generation.policy().confidence();
    let settings = generation.settings_digest(who);
    if settings.is_some_and(|settings| confidence.spares(settings, witness.now())) {
        return judge::unasked(generation, call, who, &PolicyFailure::Distrusted);
    }
    let decided = put(generation, turn, call, who, witness).await;
    if let Some(settings) = settings {
        confidence.note_settings(settings, decided.blame, witness.now());
    }
    decided
}

/// Says that a policy is trusted, or is not, from now on.
fn tell(generation: &Generation, changed: Option<Trust>) {
    let Some(trust) = changed else { return };
    let (policy, number) = (generation.policy().label(), generation.number());
    let trust = trust.as_str();
    match changed {
        Some(Trust::Distrusted) => {
            tracing::error!(policy, generation = number, trust, "the policy keeps failing");
        }
        Some(Trust::OnProbation | Trust::Trusted) | None => {
            tracing::warn!(policy, generation = number, trust, "the policy answers again");
        }
    }
}
