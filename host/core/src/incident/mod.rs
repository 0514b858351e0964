//! The restart machine of one workspace.
//!
//! Sans-IO: what happened goes in, the [`Step`]s to be carried out come back, in
//! order, and the outcome of a step goes in again. The machine holds whatever
//! the policy says: one restart in flight, a verdict about an ended life is
//! void, a death is declared in one order, no settings revision is lost, and
//! nobody restarts what a person put to rest.
//!
//! ```text
//!            want / dead              admit                 begun
//!   Resting ────────────► Admitting ─────────► Beginning ─────────► Restarting
//!      ▲  ▲                  │ drop, defer         │ void              │ done
//!      │  └──────────────────┴─────────────────────┘                   ▼
//!      └──────────────────────────────────────────────────────────  Settling
//!                                 settled
//! ```
//! `Settling` admits new restarts as `Resting` does: whether one may begin so
//! soon is the policy's to rule.

mod by_hand;
mod steps;
#[cfg(test)]
mod tests;
mod words;

use std::collections::BTreeMap;

pub use self::{
    steps::{DropReason, Step, Void},
    words::{Standing, Wish, WorkspaceState, heeded},
};
use crate::{
    ids::{LifeId, Revision},
    judgement::{Admission, RestartCause},
    ports::{NotBegun, RestartFailure},
    time::{Millis, UnixMillis},
};

/// How soon the host judges again after a restart could not be begun or carried
/// out for reasons of its own.
pub const RETRY_AFTER_FAILURE: Millis = Millis::from_secs(10);

/// When a settings change that the policy dropped is put to it again: the newer
/// revision is not lost.
pub const REVISION_RETRY: Millis = Millis::from_secs(60);

/// How long what is queued waits for a sign of a new life. After it, ALIVE is
/// enough: a workspace that never beats is served too. As long as the platform
/// held back its own message after a restart.
pub const SIGN_CEILING: Millis = Millis::from_secs(60);

/// What a restart machine is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Resting,
    /// The policy is asked.
    Admitting {
        cause: RestartCause,
    },
    /// The runtime is looked at again, and the store begins the next life.
    Beginning {
        cause: RestartCause,
    },
    /// The one restart command is being carried out.
    Restarting {
        cause: RestartCause,
    },
    /// It was carried out; is the workspace back?
    Settling,
}

/// The restart machine of one workspace.
#[derive(Clone, Debug)]
pub struct Incident {
    standing: Standing,
    /// False for workspaces that no backend runs.
    restartable: bool,
    life: LifeId,
    wanted: Revision,
    running: Revision,
    phase: Phase,
    /// Wishes that wait, each not before its time.
    wishes: BTreeMap<RestartCause, UnixMillis>,
    /// The newest wish that came to nothing, and why.
    came_to_nothing: Option<(RestartCause, Wish)>,
    /// Down as far as we know: from a death until a sign of the new life.
    offline: bool,
    /// When this life began, until it gave its first sign.
    unseen_since: Option<UnixMillis>,
    /// The last judgement was not ALIVE.
    doubted: bool,
    stopping: bool,
}

impl Incident {
    pub fn new(
        standing: Standing,
        restartable: bool,
        life: LifeId,
        running: Revision,
        wanted: Revision,
    ) -> Self {
        Self {
            standing,
            restartable,
            life,
            wanted: wanted.max(running),
            running,
            phase: Phase::Resting,
            wishes: BTreeMap::new(),
            came_to_nothing: None,
            offline: life == LifeId::default(),
            unseen_since: None,
            doubted: false,
            stopping: false,
        }
    }

    pub const fn life(&self) -> LifeId {
        self.life
    }

    pub const fn standing(&self) -> Standing {
        self.standing
    }

    pub const fn phase(&self) -> Phase {
        self.phase
    }

    /// Restarts that are wanted, each not before its time.
    pub const fn wishes(&self) -> &BTreeMap<RestartCause, UnixMillis> {
        &self.wishes
    }

    pub const fn wanted_revision(&self) -> Revision {
        self.wanted
    }

    /// The running life was started with an older revision than the newest.
    pub fn is_revision_stale(&self) -> bool {
        self.wanted > self.running
    }

    /// A restart is being begun or carried out.
    pub const fn is_in_flight(&self) -> bool {
        matches!(self.phase, Phase::Beginning { .. } | Phase::Restarting { .. })
    }

    /// The newest life has not given its first sign yet.
    pub const fn is_unseen(&self) -> bool {
        self.unseen_since.is_some()
    }

    pub const fn is_settling(&self) -> bool {
        matches!(self.phase, Phase::Settling)
    }

    pub const fn state(&self) -> WorkspaceState {
        match self.standing {
            Standing::Removed => return WorkspaceState::Removed,
            Standing::Paused => return WorkspaceState::Paused,
            Standing::Hibernated if self.stopping => return WorkspaceState::Hibernating,
            Standing::Hibernated => return WorkspaceState::Hibernated,
            Standing::Wanted => {}
        }
        match self.phase {
            Phase::Restarting { .. } => WorkspaceState::Offline,
            Phase::Settling => WorkspaceState::Provisioning,
            Phase::Resting | Phase::Admitting { .. } | Phase::Beginning { .. } => {
                match (self.offline, self.doubted) {
                    (true, _) => WorkspaceState::Offline,
                    (false, true) => WorkspaceState::Degraded,
                    (false, false) => WorkspaceState::Online,
                }
            }
        }
    }

    /// A judgement about `life` said DEAD.
    pub fn dead(&mut self, life: LifeId, now: UnixMillis) -> (Wish, Vec<Step>) {
        if life != self.life {
            return (Wish::LifeEnded, vec![Step::Void(Void::LifeEnded { judged: life })]);
        }
        self.wish(RestartCause::DeadVerdict, now)
    }

    /// Somebody or something wants a restart.
    pub fn wish(&mut self, cause: RestartCause, now: UnixMillis) -> (Wish, Vec<Step>) {
        let waking = cause == RestartCause::Wake && self.standing == Standing::Hibernated;
        let allowed = self.restartable && (self.standing == Standing::Wanted || waking);
        if !allowed {
            return (Wish::NotAllowed(self.standing), vec![]);
        }
        if self.is_in_flight() {
            // Granted by the restart under way; but a revision newer than the one
            // being started stays wanted and is taken up after it.
            return (Wish::InFlight, vec![Step::Drop { cause, why: DropReason::InFlight }]);
        }
        self.wishes.insert(cause, now);
        self.came_to_nothing = None;
        (Wish::Taken, self.take_up(now))
    }

    /// How a wish stands that was taken up, once its steps have been carried out.
    pub fn came_of(&self, cause: RestartCause, now: UnixMillis) -> Wish {
        match (self.came_to_nothing, self.wishes.get(&cause)) {
            (Some((of, why)), _) if of == cause => why,
            (_, Some(not_before)) if *not_before > now => Wish::Waits { not_before: *not_before },
            (_, Some(_) | None) => Wish::Taken,
        }
    }

    /// The workspace's settings have this revision now.
    pub fn revise(&mut self, revision: Revision, now: UnixMillis) -> Vec<Step> {
        if revision <= self.wanted {
            return vec![];
        }
        self.wanted = revision;
        if self.restartable { self.take_up(now) } else { vec![] }
    }

    /// Takes up the most urgent wish whose time has come.
    pub fn take_up(&mut self, now: UnixMillis) -> Vec<Step> {
        if self.stopping || !matches!(self.phase, Phase::Resting | Phase::Settling) {
            return vec![];
        }
        if self.is_revision_stale() {
            self.wishes.entry(RestartCause::SettingsChanged).or_insert(now);
        } else {
            self.wishes.remove(&RestartCause::SettingsChanged);
        }
        let standing = self.standing;
        let allowed = self.wishes.iter().filter(|(cause, _)| match standing {
            Standing::Wanted => true,
            Standing::Hibernated => **cause == RestartCause::Wake,
            Standing::Paused | Standing::Removed => false,
        });
        let due = allowed.clone().find(|(_, not_before)| **not_before <= now);
        match due.map(|(cause, _)| *cause) {
            Some(cause) => {
                self.phase = Phase::Admitting { cause };
                vec![Step::Admit { cause, life: self.life }]
            }
            None => allowed.map(|(_, at)| *at).min().map(Step::TakeUpAt).into_iter().collect(),
        }
    }

    /// The policy ruled on the wish that was taken up.
    pub fn ruled(
        &mut self,
        cause: RestartCause,
        admission: Admission,
        now: UnixMillis,
    ) -> Vec<Step> {
        if self.phase != (Phase::Admitting { cause }) {
            return vec![];
        }
        match admission {
            Admission::Admit => {
                self.phase = Phase::Beginning { cause };
                match cause {
                    RestartCause::DeadVerdict => vec![Step::LookAgain],
                    RestartCause::Operator
                    | RestartCause::SettingsChanged
                    | RestartCause::Wake
                    | RestartCause::Dependency => vec![self.begin(cause)],
                }
            }
            Admission::Drop => {
                self.wishes.remove(&cause);
                self.came_to_nothing = Some((cause, Wish::Dropped));
                if cause == RestartCause::SettingsChanged {
                    self.wishes.insert(cause, now + REVISION_RETRY);
                }
                let mut steps = vec![Step::Drop { cause, why: DropReason::Policy }];
                steps.extend(self.rest(now));
                steps
            }
            Admission::Defer(wait) => self.defer(cause, now + wait, now),
        }
    }

    fn defer(&mut self, cause: RestartCause, until: UnixMillis, now: UnixMillis) -> Vec<Step> {
        if cause == RestartCause::DeadVerdict {
            // A verdict does not keep: it is asked for again, on fresh evidence.
            self.wishes.remove(&cause);
            let mut steps = vec![Step::JudgeAt(until)];
            steps.extend(self.rest(now));
            return steps;
        }
        self.wishes.insert(cause, until);
        self.rest(now)
    }

    /// Before a death is acted on: does the runtime still show the run that was
    /// judged?
    pub fn looked_again(&mut self, same_run: bool, now: UnixMillis) -> Vec<Step> {
        let Phase::Beginning { cause } = self.phase else { return vec![] };
        if same_run {
            return vec![self.begin(cause)];
        }
        self.wishes.remove(&cause);
        let mut steps = vec![Step::Void(Void::AnotherRun)];
        steps.extend(self.rest(now));
        steps
    }

    fn begin(&self, cause: RestartCause) -> Step {
        Step::Begin { of: self.life, cause, revision: self.wanted }
    }

    /// The store began the next life, or did not.
    pub fn begun(
        &mut self,
        begun: Result<(LifeId, Revision), NotBegun>,
        now: UnixMillis,
    ) -> Vec<Step> {
        let Phase::Beginning { cause } = self.phase else { return vec![] };
        match begun {
            Ok((life, revision)) => {
                self.life = life;
                self.running = revision;
                self.standing = Standing::Wanted;
                self.offline = true;
                self.unseen_since = Some(now);
                self.doubted = false;
                self.phase = Phase::Restarting { cause };
                self.wishes.clear();
                steps::declare_death(life, cause, revision)
            }
            Err(reason) => {
                self.wishes.remove(&cause);
                self.came_to_nothing = Some((cause, Wish::NotBegun(reason)));
                let mut steps = vec![Step::Void(Void::NotBegun(reason))];
                match reason {
                    NotBegun::LifeEnded { current, revision } => {
                        // Another host began it, with the settings that it knew.
                        self.life = current;
                        self.running = self.running.max(revision);
                        self.wanted = self.wanted.max(self.running);
                    }
                    NotBegun::InFlight => {}
                    NotBegun::StoreUnavailable => {
                        steps.push(Step::JudgeAt(now + RETRY_AFTER_FAILURE));
                    }
                }
                if self.is_revision_stale() {
                    // Not lost, and not asked for at once: what stood in its way still may.
                    self.wishes.insert(RestartCause::SettingsChanged, now + RETRY_AFTER_FAILURE);
                }
                steps.extend(self.rest(now));
                steps
            }
        }
    }

    /// The backend carried the restart out, or did not.
    pub fn carried_out(
        &mut self,
        life: LifeId,
        outcome: Result<(), &RestartFailure>,
        now: UnixMillis,
    ) -> Vec<Step> {
        let Phase::Restarting { cause } = self.phase else { return vec![] };
        if life != self.life {
            return vec![];
        }
        let mut steps = vec![Step::Finish { life }];
        self.phase = Phase::Settling;
        match outcome {
            // A runtime that did not answer in time may still carry it out.
            Ok(()) | Err(RestartFailure::TimedOut { .. }) => {
                // The first start is no restart.
                if life > LifeId::default().next() {
                    steps.push(Step::TellWorkspace { cause });
                }
                steps.push(Step::AskSettled);
            }
            Err(RestartFailure::NotOurs { .. } | RestartFailure::Refused { .. }) => {
                self.phase = Phase::Resting;
                steps.push(Step::JudgeAt(now + RETRY_AFTER_FAILURE));
            }
        }
        steps.extend(self.take_up(now));
        steps
    }

    /// The workspace gave a sign of `life`.
    pub fn sign(&mut self, life: LifeId) -> Vec<Step> {
        if life != self.life {
            return vec![];
        }
        let first = self.unseen_since.take().is_some();
        match self.phase {
            Phase::Settling => vec![Step::AskSettled],
            Phase::Resting if self.offline || first => {
                self.offline = false;
                vec![Step::Drain]
            }
            Phase::Resting
            | Phase::Admitting { .. }
            | Phase::Beginning { .. }
            | Phase::Restarting { .. } => vec![],
        }
    }

    /// A judgement about `life` said ALIVE: nothing is left to doubt.
    pub fn alive(&mut self, life: LifeId, now: UnixMillis) -> Vec<Step> {
        if life != self.life {
            return vec![];
        }
        self.doubted = false;
        match self.phase {
            Phase::Settling | Phase::Resting => {
                self.phase = Phase::Resting;
                self.offline = false;
                let mut steps = vec![match self.unseen_since {
                    Some(began) if began.age(now) < SIGN_CEILING => {
                        Step::JudgeAt(began + SIGN_CEILING)
                    }
                    Some(_) | None => Step::Drain,
                }];
                steps.extend(self.take_up(now));
                steps
            }
            Phase::Admitting { .. } | Phase::Beginning { .. } | Phase::Restarting { .. } => vec![],
        }
    }

    /// A judgement about `life` left room for doubt.
    pub fn doubt(&mut self, life: LifeId) {
        if life == self.life && matches!(self.phase, Phase::Resting) {
            self.doubted = true;
        }
    }

    /// Back to where wishes are taken up, with the timer for the next one.
    fn rest(&mut self, now: UnixMillis) -> Vec<Step> {
        self.phase = if self.offline && self.life != LifeId::default() {
            // The new life has not shown itself yet.
            Phase::Settling
        } else {
            Phase::Resting
        };
        self.take_up(now)
    }
}
