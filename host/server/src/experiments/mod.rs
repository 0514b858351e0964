//! Experiments: a candidate is tried on live traffic beside what judges.
//!
//! - [`Experiments`]: start, and how each stands
//! - [`ending`] and [`promote`]: abort, promote, and what else ends one
//! - [`observer`] and [`book`]: what the supervisor tells of, counted by arm; a guardrail
//!   that is broken stops the candidate at once
//! - [`beside`]: what the arm that does not act would have judged
//! - [`watching`]: ends, guardrails, and what is written down now and then
//! - [`report`]: what is told of it
//!
//! The rules (arms, counts, guardrails) are `reprieve_core::experiment`; who decides
//! is found by the runtime (`reprieve_runtime::Current`). What an experiment is and
//! what became of it is on disk before anybody is told that it is so. The brake is the
//! exception: a candidate that is aborted stops at once, and is written down right after.

mod beside;
mod book;
mod ending;
mod observer;
mod page;
mod promote;
mod record;
mod report;
mod watching;

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::RwLock;
use reprieve_core::{
    causes::with_causes,
    evidence::StoreFault,
    experiment::{Experiment, Unsound},
    ids::ExperimentName,
    ports::Clock,
    time::{Millis, UnixMillis},
};
use reprieve_runtime::{Current, Generation, Policy, Trial};

pub use self::{
    observer::Observer,
    page::{Disagreement, MAX_DISAGREEMENTS, Page},
    record::{Act, Record, State},
    report::{
        ArmReport, ComparisonReport, CoursePart, CourseReport, DisagreementKind,
        DisagreementReport, ExperimentAct, ExperimentReport, GuardrailReport, IntervalReport,
        TimesReport,
    },
};
use crate::{
    policies::{Actor, Alert, Policies, PoliciesFailure},
    settings::{ChangeRefused, LiveSettings},
    store::{ExperimentStore, MAX_EXPERIMENTS},
    supervisor::Supervisor,
};

/// Experiments at once: each keeps a component in memory and a generation for
/// everybody with settings of his own.
pub const MAX_RUNNING: usize = 16;

/// The alert of an experiment that a guardrail aborted.
pub const ABORTED: &str = "experiment-aborted";
/// How long it lasts: until everybody has been at work once.
const ABORTED_LASTS: Millis = Millis::from_secs(86_400);
/// The alert of an experiment whose candidate cannot be tried.
pub const SUSPENDED: &str = "experiment-suspended";
/// Why an experiment that was being promoted when its host was killed is suspended.
const CUT_OFF: &str = "its promotion was cut off, and could not be ended when the host came \
                       back; promote it again, or abort it";
/// Why one that was stopped is suspended, and not over.
const NOT_WRITTEN: &str = "it is stopped, but that could not be written down yet; the host tries \
                           on, and the log says why it cannot";
/// All of them.
pub const ALERTS: [&str; 2] = [ABORTED, SUSPENDED];

/// Why an experiment does not begin, or cannot be ended so.
#[derive(Debug, thiserror::Error)]
pub enum ExperimentFailure {
    #[error(transparent)]
    Unsound(#[from] Unsound),
    #[error(
        "there was an experiment {0} already; a name is used once, because it decides who is in which arm: choose another one"
    )]
    NameTaken(ExperimentName),
    #[error("there is no experiment {0}")]
    Unknown(ExperimentName),
    #[error(
        "experiment {running} runs already on workspaces that this one targets: end it, or name other tenants or labels"
    )]
    Overlaps { running: ExperimentName },
    #[error("{limit} experiments run already; end one")]
    TooMany { limit: usize },
    #[error("experiment {name} is {state}, not running")]
    NotRunning { name: ExperimentName, state: &'static str },
    #[error("the candidate cannot be tried: {why}")]
    Candidate { why: String },
    #[error(
        "settings of an experiment that targets labels cannot be promoted, because no layer of settings has labels; apply them to the tenants or workspaces that you mean"
    )]
    LabelsNotPromoted,
    #[error(transparent)]
    Policy(#[from] PoliciesFailure),
    #[error(transparent)]
    Settings(#[from] ChangeRefused),
    #[error(
        "experiment {name} is stopped, but that cannot be written down yet: the host tries on, and goes on with it if it is killed before"
    )]
    NotWritten { name: ExperimentName, source: StoreFault },
    #[error(transparent)]
    Store(#[from] StoreFault),
}

/// What experiments need of a host.
pub struct ExperimentParts {
    pub current: Arc<Current>,
    pub policies: Policies,
    pub settings: LiveSettings,
    pub supervisor: Supervisor,
    pub observer: Arc<Observer>,
    pub store: Arc<ExperimentStore>,
    pub clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for ExperimentParts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExperimentParts").finish_non_exhaustive()
    }
}

/// The experiments of a host. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Experiments(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    parts: ExperimentParts,
    /// Held by whoever changes one.
    turn: tokio::sync::Mutex<()>,
    /// Every one on record.
    known: RwLock<BTreeMap<ExperimentName, Known>>,
}

#[derive(Clone, Debug)]
struct Known {
    record: Record,
    /// What was seen when it was started, gone on with or ended; meanwhile its book
    /// is written to.
    page: Page,
    /// What became of it, if that could not be written down yet.
    owed: Option<State>,
    /// Why this host could not go on with it.
    untried: Option<String>,
}

/// One experiment, as it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    pub record: Record,
    pub page: Page,
    /// Why nobody is tried now, though it runs.
    pub suspended: Option<String>,
}

impl Experiments {
    /// Goes on with what ran when the host ended. One whose candidate cannot be
    /// tried any more is suspended, and says so.
    pub async fn open(parts: ExperimentParts) -> Result<Self, ExperimentFailure> {
        let all = parts.store.all().await?;
        let known = RwLock::default();
        let own = Self(Arc::new(Inner { parts, turn: tokio::sync::Mutex::default(), known }));
        // What any of them tries stays on the shelf before the first goes on.
        for (record, page) in &all {
            own.know(record.clone(), page.clone());
        }
        for (record, page) in all {
            if !record.state.is_over() {
                own.go_on(record, page).await;
            }
        }
        Ok(own)
    }

    async fn go_on(&self, record: Record, page: Page) {
        let name = record.experiment.name.clone();
        if let State::Promoting(act) = &record.state {
            if let Err(error) = self.promoted(&record, act).await {
                tracing::error!(experiment = %name, %error, "cannot be promoted to its end");
            }
            return;
        }
        // What the last run of the host saw, but was killed before it wrote down
        // what follows.
        if let Some(breach) = page.breach.or_else(|| page.tally.breach()) {
            let page = Page { breach: Some(breach), ..page };
            self.abort_for(record, page).await;
            return;
        }
        match self.candidate(&record.experiment).await {
            Ok(policy) => self.begin(&record, policy, page).await,
            Err(error) => {
                tracing::error!(experiment = %name, %error, "suspended: its candidate cannot be tried");
                if let Some(known) = self.0.known.write().get_mut(&name) {
                    known.untried = Some(with_causes(&error));
                }
            }
        }
    }

    /// Begins an experiment. It is on disk before the candidate judges. Seen through,
    /// as whatever follows here, even if whoever asked for it goes away.
    pub async fn start(
        &self,
        experiment: Experiment,
        actor: &Actor,
    ) -> Result<Standing, ExperimentFailure> {
        let (own, actor) = (self.clone(), actor.clone());
        let starting = async move { own.do_start(experiment, &actor).await };
        self.0.parts.supervisor.see_through(starting).await
    }

    async fn do_start(
        &self,
        experiment: Experiment,
        actor: &Actor,
    ) -> Result<Standing, ExperimentFailure> {
        let _turn = self.0.turn.lock().await;
        let now = self.now();
        experiment.check(now)?;
        self.has_room_for(&experiment)?;
        let policy = self.candidate(&experiment).await?;
        self.rehearse(&experiment, policy.clone()).await?;
        let record = Record {
            experiment: experiment.clone(),
            started: Act::of(actor, now),
            state: State::Running,
        };
        let page = Page::new(&experiment);
        self.0.parts.store.write(&record, &page).await?;
        self.know(record.clone(), page.clone());
        self.begin(&record, policy, page).await;
        tracing::info!(experiment = %experiment.name, mode = experiment.mode.as_str(),
            share_bp = experiment.share_bp, by = actor.by, why = actor.why, "experiment started");
        self.standing(&experiment.name)
    }

    /// Every experiment on record, the newest first.
    pub fn list(&self) -> Vec<Standing> {
        let names: Vec<_> = self.0.known.read().keys().cloned().collect();
        let mut all: Vec<_> = names.iter().filter_map(|name| self.standing(name).ok()).collect();
        all.sort_by_key(|standing| std::cmp::Reverse(standing.record.started.at));
        all
    }

    pub fn standing(&self, name: &ExperimentName) -> Result<Standing, ExperimentFailure> {
        let known = self.0.known.read().get(name).cloned();
        let Known { record, page, owed, untried } =
            known.ok_or_else(|| ExperimentFailure::Unknown(name.clone()))?;
        let book = self.0.parts.observer.book(name);
        let page = book.map_or(page, |book| book.page());
        let suspended = match (&owed, &record.state) {
            (Some(owed), _) if owed.is_over() => Some(NOT_WRITTEN.to_owned()),
            (_, State::Running) => self.suspended(name).or(untried),
            (_, State::Promoting(_)) => Some(CUT_OFF.to_owned()),
            (_, State::Aborted(_) | State::Ended(_) | State::Promoted(_)) => None,
        };
        Ok(Standing { record, page, suspended })
    }

    /// What a person should look at now.
    pub fn alerts(&self) -> Vec<Alert> {
        let now = self.now();
        let alert = |standing: Standing| {
            let name = &standing.record.experiment.name;
            if let Some(why) = standing.suspended {
                let message = format!("experiment {name} is suspended: {why}");
                return Some(Alert { code: SUSPENDED, message });
            }
            match (&standing.record.state, standing.page.breach) {
                (State::Aborted(act), Some(breach)) if act.at.age(now) < ABORTED_LASTS => {
                    let message = format!("experiment {name} was aborted by a guardrail: {breach}");
                    Some(Alert { code: ABORTED, message })
                }
                _ => None,
            }
        };
        self.list().into_iter().filter_map(alert).collect()
    }

    fn now(&self) -> UnixMillis {
        self.0.parts.clock.now()
    }

    fn know(&self, record: Record, page: Page) {
        let name = record.experiment.name.clone();
        let mut known = self.0.known.write();
        known.insert(name, Known { record, page, owed: None, untried: None });
        forget_the_oldest(&mut known);
        drop(known);
        self.pin();
    }

    /// What is tried stays on the shelf.
    fn pin(&self) {
        let known = self.0.known.read();
        let tried = known.values().filter(|known| !known.record.state.is_over());
        let components = tried.filter_map(|known| known.record.experiment.candidate.component);
        self.0.parts.policies.pin(components.collect());
    }

    fn has_room_for(&self, experiment: &Experiment) -> Result<(), ExperimentFailure> {
        let known = self.0.known.read();
        if known.contains_key(&experiment.name) {
            return Err(ExperimentFailure::NameTaken(experiment.name.clone()));
        }
        let running = known.values().filter(|known| !known.record.state.is_over());
        let running: Vec<_> = running.map(|known| &known.record.experiment).collect();
        if running.len() >= MAX_RUNNING {
            return Err(ExperimentFailure::TooMany { limit: MAX_RUNNING });
        }
        match running.into_iter().find(|other| !other.target.excludes(&experiment.target)) {
            Some(other) => Err(ExperimentFailure::Overlaps { running: other.name.clone() }),
            None => Ok(()),
        }
    }

    /// The candidate's own component, if it has one.
    async fn candidate(
        &self,
        experiment: &Experiment,
    ) -> Result<Option<Arc<Policy>>, ExperimentFailure> {
        match experiment.candidate.component {
            Some(component) => Ok(Some(self.0.parts.policies.candidate(component).await?)),
            None => Ok(None),
        }
    }

    /// Whether the candidate takes everybody's settings. Changes nothing.
    async fn rehearse(
        &self,
        experiment: &Experiment,
        policy: Option<Arc<Policy>>,
    ) -> Result<(), ExperimentFailure> {
        let (current, experiment) = (Arc::clone(&self.0.parts.current), experiment.clone());
        let tried = tokio::task::spawn_blocking(move || {
            let trial = Trial::new(Arc::new(experiment), policy, &current.snapshot());
            trial.candidate().map(drop).map_err(str::to_owned)
        });
        let tried = tried.await.unwrap_or_else(|_ended| Err("the host is stopping".to_owned()));
        tried.map_err(|why| ExperimentFailure::Candidate { why })
    }

    /// From the next decision on it is tried.
    async fn begin(&self, record: &Record, policy: Option<Arc<Policy>>, page: Page) {
        let observer = Arc::clone(&self.0.parts.observer);
        let (experiment, since) = (Arc::new(record.experiment.clone()), record.started.at);
        self.set_trials(move |control, trials| {
            let trial = Trial::new(experiment, policy, control);
            observer.open(trial.clone(), since, page);
            trials.iter().cloned().chain([trial]).collect()
        })
        .await;
    }

    async fn set_trials(
        &self,
        next: impl FnOnce(&Arc<Generation>, &[Trial]) -> Vec<Trial> + Send + 'static,
    ) {
        let current = Arc::clone(&self.0.parts.current);
        let set = tokio::task::spawn_blocking(move || current.set_trials(next));
        if set.await.is_ok() {
            self.0.parts.supervisor.all_silence_limits_changed();
        }
    }

    fn suspended(&self, name: &ExperimentName) -> Option<String> {
        let trials = self.0.parts.current.trials();
        let trial = trials.iter().find(|trial| trial.experiment().name == *name)?;
        trial.candidate().err().map(str::to_owned)
    }
}

/// As on disk: the newest are kept, and whatever is not over.
fn forget_the_oldest(known: &mut BTreeMap<ExperimentName, Known>) {
    while known.len() > MAX_EXPERIMENTS as usize {
        let over = known.iter().filter(|(_, known)| known.record.state.is_over());
        let oldest = over.min_by_key(|(_, known)| known.record.started.at);
        let Some(oldest) = oldest.map(|(name, _)| name.clone()) else { return };
        known.remove(&oldest);
    }
}
