//! What judges now: the generation in force, the one that stands in for it, and
//! those that still end what they began.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::{Mutex, RwLock};
use reprieve_core::{
    ids::Digest,
    judgement::Call,
    ports::Witness,
    time::UnixMillis,
    trust::{Trust, Turn},
};

use crate::{Conduct, Decided, Generation, Instances, PolicyFailure, Who, judge};

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
            in_force: RwLock::new(Placed::now(Arc::new(generation))),
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
        let next = Arc::new(next(&self.snapshot())?);
        let placed = Placed::now(Arc::clone(&next));
        let former = std::mem::replace(&mut *self.in_force.write(), placed);
        // Readers are let in already.
        self.appoint(&former, &next);
        self.retire(former.generation);
        Ok(next)
    }

    /// Decides by one generation, whole: by the one in force, or by the stand-in
    /// if the policy in force is not trusted. Without a stand-in such a policy is
    /// asked, but for those whose settings it failed with: for them the answer is
    /// BUSY. See [`Generation::decide`].
    pub async fn decide(&self, call: Call, who: &Who, witness: &Arc<dyn Witness>) -> Decided {
        let generation = self.snapshot();
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
            Some(Placed { generation, since: former.since }.alive(Role::Draining))
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
    fn now(generation: Arc<Generation>) -> Self {
        Self { generation, since: Instant::now() }
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

/// Judges some judgements again, off their way, to find a policy that keeps state
/// between calls or rolls dice.
#[derive(Debug)]
struct DoubleJudgement {
    one_in: u32,
    judgements: AtomicU64,
    /// One at a time; who would be the next meanwhile is left out.
    under_way: Arc<AtomicBool>,
}

impl DoubleJudgement {
    fn one_in(one_in: u32) -> Self {
        Self { one_in, judgements: AtomicU64::new(0), under_way: Arc::default() }
    }

    fn judge(&self, generation: &Arc<Generation>, who: &Who, first: &Decided, now: UnixMillis) {
        if self.one_in == 0 || first.blame.is_some() {
            return;
        }
        let nth = self.judgements.fetch_add(1, Ordering::Relaxed) + 1;
        if !nth.is_multiple_of(u64::from(self.one_in))
            || self.under_way.swap(true, Ordering::AcqRel)
        {
            return;
        }
        let (under_way, generation) = (Arc::clone(&self.under_way), Arc::clone(generation));
        let (who, first) = (who.clone(), first.clone());
        tokio::task::spawn_blocking(move || {
            let contradicts = contradicts(&generation, &who, &first);
            // Before it is counted: whoever sees the count may be the next.
            under_way.store(false, Ordering::Release);
            if let Some(contradicts) = contradicts {
                tell(&generation, generation.policy().confidence().note_check(contradicts, now));
            }
        });
    }
}

/// Judges again. None: the host failed, which says nothing about the policy.
fn contradicts(generation: &Generation, who: &Who, first: &Decided) -> Option<bool> {
    let second = judge::replay_afresh(generation, first.call, who, &first.evidence);
    if second.blame == Some(crate::Blame::Host) && !asked_otherwise(&second) {
        return None;
    }
    let contradicts = second.outcome != first.outcome || second.memory_write != first.memory_write;
    if contradicts {
        tracing::error!(
            policy = generation.policy().label(),
            generation = generation.number(),
            workspace = %who.workspace,
            first = ?first.outcome,
            second = ?second.outcome,
            "the policy judges the same evidence in two ways; it keeps state or rolls dice"
        );
    }
    Some(contradicts)
}

/// It asked for something that it did not ask for the first time.
fn asked_otherwise(second: &Decided) -> bool {
    second.outcome.reason_code() == "fact-not-on-record"
}
