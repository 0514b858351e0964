//! Answers what a policy asks about one workspace.

use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;
use reprieve_core::{
    evidence::{Answer, ProbeFault, Question},
    ports::{LifeMark, Look, Report, RestartHistory, Signs, Witness},
    supervision,
    time::{Millis, UnixMillis},
};

use tracing::{Instrument as _, Span};

use super::{Supervisor, tally::fault_name, workspace::Workspace};
use crate::telemetry::traces::spans;

/// How long what a runtime showed unasked answers for a look. Longer than an event
/// waits for its turn, shorter than anybody waits to look again.
const REPORT_LASTS: Millis = Millis::from_secs(1);

#[derive(Debug)]
pub(super) struct WorkspaceWitness {
    supervisor: Supervisor,
    workspace: Arc<Workspace>,
    report: Option<Report>,
    seen: Mutex<Option<LifeMark>>,
}

/// What a runtime showed unasked of one run.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    pub(super) report: Report,
    pub(super) mark: Option<LifeMark>,
}

#[async_trait]
impl Witness for WorkspaceWitness {
    fn now(&self) -> UnixMillis {
        self.supervisor.now()
    }

    fn at_hand(&self, question: &Question, now: UnixMillis) -> Option<Answer> {
        let (id, ports) = (self.workspace.id(), &self.supervisor.0.ports);
        let signs = || ports.heartbeats.at_hand(id);
        let history = || ports.restarts.at_hand(id);
        match *question {
            Question::Look => self.reported(now),
            Question::Subject => Some(self.subject()),
            Question::Eyesight { since, until } => Some(self.eyesight(since, until, now)),
            Question::Fleet { within } => Some(self.fleet(within, now)),
            Question::NewestBeat | Question::NewestContact | Question::Intervals { .. } => {
                signs().map(|signs| self.told_by_signs(question, &signs, now))
            }
            Question::CurrentLife | Question::RestartCount { .. } => {
                history().map(|history| self.told_by_history(question, &history, now))
            }
            Question::Memory => ports.memory.at_hand(id, now).map(|note| Answer::Memory(Ok(note))),
        }
    }

    async fn fetch(&self, question: &Question) -> Answer {
        let (id, ports) = (self.workspace.id(), &self.supervisor.0.ports);
        let now = self.now();
        let answer = match *question {
            Question::Look => {
                return Answer::Look(self.look().await.map(|look| look.sighting));
            }
            Question::NewestBeat => match ports.heartbeats.fetch(id).await {
                Ok(signs) => self.told_by_signs(question, &signs, now),
                Err(fault) => Answer::NewestBeat(Err(fault)),
            },
            Question::NewestContact => match ports.heartbeats.fetch(id).await {
                Ok(signs) => self.told_by_signs(question, &signs, now),
                Err(fault) => Answer::NewestContact(Err(fault)),
            },
            Question::Intervals { .. } => match ports.heartbeats.fetch(id).await {
                Ok(signs) => self.told_by_signs(question, &signs, now),
                Err(fault) => Answer::Intervals(Err(fault)),
            },
            Question::CurrentLife => match ports.restarts.fetch(id).await {
                Ok(history) => self.told_by_history(question, &history, now),
                Err(fault) => Answer::CurrentLife(Err(fault)),
            },
            Question::RestartCount { .. } => match ports.restarts.fetch(id).await {
                Ok(history) => self.told_by_history(question, &history, now),
                Err(fault) => Answer::RestartCount(Err(fault)),
            },
            Question::Memory => Answer::Memory(ports.memory.fetch(id, now).await),
            Question::Subject => self.subject(),
            Question::Eyesight { since, until } => self.eyesight(since, until, now),
            Question::Fleet { within } => self.fleet(within, now),
        };
        if answer.is_fault() {
            self.supervisor.store_failed();
        }
        answer
    }
}

impl WorkspaceWitness {
    pub(super) fn new(supervisor: Supervisor, workspace: Arc<Workspace>) -> Self {
        Self { supervisor, workspace, report: None, seen: Mutex::default() }
    }

    /// The runtime has just shown it, and is not asked again at once.
    pub(super) fn after(shown: Shown, supervisor: Supervisor, workspace: Arc<Workspace>) -> Self {
        let (report, seen) = (Some(shown.report), Mutex::new(shown.mark));
        Self { supervisor, workspace, report, seen }
    }

    /// The run that was last seen.
    pub(super) fn seen(&self) -> Option<LifeMark> {
        self.seen.lock().clone()
    }

    fn reported(&self, now: UnixMillis) -> Option<Answer> {
        let report = self.report.as_ref()?;
        let age = report.at.age(now);
        (age <= REPORT_LASTS).then(|| Answer::Look(Ok(report.sighting)).aged(age))
    }

    fn subject(&self) -> Answer {
        Answer::Subject(Box::new(self.workspace.subject()))
    }

    fn eyesight(&self, since: Millis, until: Millis, now: UnixMillis) -> Answer {
        Answer::Eyesight(self.supervisor.0.surroundings.eyesight(since, until, now))
    }

    fn fleet(&self, within: Millis, now: UnixMillis) -> Answer {
        let gauges = &self.supervisor.0.surroundings;
        Answer::Fleet(gauges.fleet(&self.workspace.who, within, now))
    }

    fn told_by_signs(&self, question: &Question, signs: &Signs, now: UnixMillis) -> Answer {
        supervision::told_by_signs(question, signs, self.workspace.life(), now)
    }

    fn told_by_history(
        &self,
        question: &Question,
        history: &RestartHistory,
        now: UnixMillis,
    ) -> Answer {
        let (in_flight, revision_stale) = {
            let live = self.workspace.live.lock();
            (live.incident.is_in_flight(), live.incident.is_revision_stale())
        };
        supervision::told_by_history(question, history, in_flight, revision_stale, now)
    }

    /// Probes, and keeps the book on how well the host sees. A probe that is
    /// given up counts as a fault: the guard sees to it.
    pub(super) async fn look(&self) -> Result<Look, ProbeFault> {
        let inner = &self.supervisor.0;
        let spec = &self.workspace.spec;
        let span = spans::look(&spec.kind, &spec.id, &spec.tenant);
        let mut book =
            ProbeBook { witness: self, span: span.clone(), outcome: Some(ProbeFault::TimedOut) };
        let looking = async {
            match inner.probes.acquire().await {
                Ok(_permit) => inner.ports.probe.look(&spec.id).await,
                Err(_closed) => Err(ProbeFault::Overloaded),
            }
        };
        let looked = looking.instrument(span).await;
        book.outcome = looked.as_ref().err().copied();
        drop(book);
        if let Ok(look) = &looked {
            self.seen.lock().clone_from(&look.mark);
        }
        looked
    }
}

/// Enters how a probe ended, however it ended.
struct ProbeBook<'a> {
    witness: &'a WorkspaceWitness,
    span: Span,
    outcome: Option<ProbeFault>,
}

impl Drop for ProbeBook<'_> {
    fn drop(&mut self) {
        spans::looked(&self.span, self.outcome.map(fault_name));
        let supervisor = &self.witness.supervisor;
        supervisor.0.surroundings.probed(self.outcome.is_none(), supervisor.now());
        supervisor.0.tally.probed(self.outcome);
    }
}
