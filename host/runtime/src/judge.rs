//! Runs a judgement: restartable, never suspended.
//!
//! A pass is one synchronous guest call with the facts at hand, as of one
//! moment. Where the policy asks for a fact that is not at hand, the pass means
//! nothing: its result, its note and even its failure are thrown away, the
//! instance goes back, the fact is fetched, and the next pass begins. So an
//! instance is held for microseconds, however slow the world is. Only the first
//! missing fact of a pass is fetched: what the policy asked after it was asked
//! by way of a placeholder.

mod deliberation;

use std::{error::Error as _, sync::Arc, time::Duration};

use reprieve_core::{
    decision::{Cost, GenerationRef, Outcome},
    evidence::{Answer, Exchange, Question},
    judgement::{Attempt, Call, Reason},
    ports::Witness,
    time::UnixMillis,
};

pub use self::deliberation::{Deliberation, Next};
use crate::{
    Blame, CheckedSettings, Generation, Policy, PolicyFailure, Who,
    generation::InForce,
    instance::Ruled,
    pass::{self, Asked, Fetched, Pass},
    words,
};

/// The longest account of a failure that goes on record.
const MAX_DETAIL_BYTES: usize = 1 << 10;

/// What a call came to, with all that is needed to explain and replay it.
#[derive(Clone, Debug, PartialEq)]
pub struct Decided {
    pub generation: Arc<GenerationRef>,
    /// The call as it was put in the last pass: `since_first` has grown by what
    /// the fetched facts took. This is the one to record.
    pub call: Call,
    /// What the policy asked in the last pass, in order, each question once.
    pub evidence: Vec<Exchange>,
    /// None unless the policy wrote and the outcome stands. Empty: forget.
    pub memory_write: Option<Vec<u8>>,
    pub outcome: Outcome,
    /// Whose failure it was that the outcome is a fall-back. None: it is none.
    pub blame: Option<Blame>,
    pub cost: Cost,
}

/// A decision under way.
struct Inquiry<'a> {
    generation: &'a Generation,
    settings: &'a InForce,
    call: Call,
    witness: &'a Arc<dyn Witness>,
    asked_at: UnixMillis,
    /// As put in the newest pass.
    put: Call,
    evidence: Vec<Exchange>,
    fetched: Vec<Fetched>,
    passes: u32,
    guest: Duration,
}

/// One guest call, in one or another instance.
type Rule =
    fn(&Policy, &CheckedSettings, Call, Pass) -> (Result<Ruled, PolicyFailure>, Asked, Duration);

enum Step {
    Missing(Question),
    Ended(Result<Ending, PolicyFailure>),
}

struct Ending {
    outcome: Outcome,
    note: Option<Vec<u8>>,
}

pub(crate) async fn decide(
    generation: &Generation,
    call: Call,
    who: &Who,
    witness: &Arc<dyn Witness>,
) -> Decided {
    let mut inquiry = match Inquiry::new(generation, call, who, witness) {
        Ok(inquiry) => inquiry,
        Err(unchecked) => return *unchecked,
    };
    // Most judgements end in their first pass, and no timer is needed for it.
    let first = match generation.policy().engine().shared().calls.try_acquire() {
        Ok(_permit) => Some(inquiry.pass()),
        Err(_busy) => None,
    };
    let ended = match first {
        Some(Step::Ended(ended)) => ended,
        Some(Step::Missing(_)) | None => {
            let limit = generation.policy().limits().decision_deadline;
            let rest = tokio::time::timeout(limit, inquiry.rest(first)).await;
            rest.unwrap_or(Err(PolicyFailure::DecisionDeadline { limit }))
        }
    };
    inquiry.end(ended)
}

/// A decision that the policy was not asked for.
pub(crate) fn unasked(
    generation: &Generation,
    call: Call,
    who: &Who,
    failure: &PolicyFailure,
) -> Decided {
    Decided {
        generation: generation.reference(who),
        call,
        evidence: Vec::new(),
        memory_write: None,
        outcome: fell_back(failure),
        blame: Some(failure.blame()),
        cost: Cost::default(),
    }
}

/// Decides again from recorded evidence, in one pass, without waiting. A
/// question that is not on record falls back with `fact-not-on-record`.
pub fn replay(generation: &Generation, call: Call, who: &Who, evidence: &[Exchange]) -> Decided {
    let witness: Arc<dyn Witness> = Arc::new(Record(evidence.to_vec()));
    in_one_pass(generation, call, who, &witness, Inquiry::pass)
}

/// The same in an instance that has never been called: whatever the policy kept
/// between calls is not there.
pub fn replay_afresh(
    generation: &Generation,
    call: Call,
    who: &Who,
    evidence: &[Exchange],
) -> Decided {
    let witness: Arc<dyn Witness> = Arc::new(Record(evidence.to_vec()));
    in_one_pass(generation, call, who, &witness, Inquiry::pass_afresh)
}

/// Decides again beside the decision that this is the evidence of, in one pass and
/// without waiting. What only this policy asks is answered from what `witness` has at
/// hand now; if it would have to be fetched, the answer falls back with
/// `fact-not-on-record`.
pub fn judge_beside(
    generation: &Generation,
    call: Call,
    who: &Who,
    evidence: &[Exchange],
    witness: &Arc<dyn Witness>,
) -> Decided {
    let beside = Beside { record: Record(evidence.to_vec()), witness: Arc::clone(witness) };
    let witness: Arc<dyn Witness> = Arc::new(beside);
    in_one_pass(generation, call, who, &witness, Inquiry::pass)
}

/// Decides from what a witness has at hand, without waiting.
pub(crate) fn from_at_hand(
    generation: &Generation,
    call: Call,
    who: &Who,
    witness: &Arc<dyn Witness>,
) -> Decided {
    in_one_pass(generation, call, who, witness, Inquiry::pass)
}

fn in_one_pass<'a>(
    generation: &'a Generation,
    call: Call,
    who: &Who,
    witness: &'a Arc<dyn Witness>,
    pass: impl FnOnce(&mut Inquiry<'a>) -> Step,
) -> Decided {
    let mut inquiry = match Inquiry::new(generation, call, who, witness) {
        Ok(inquiry) => inquiry,
        Err(unchecked) => return *unchecked,
    };
    let _outside = generation.policy().outside().lock();
    let ended = match pass(&mut inquiry) {
        Step::Ended(ended) => ended,
        Step::Missing(question) => Err(PolicyFailure::FactNotOnRecord { question }),
    };
    inquiry.end(ended)
}

impl<'a> Inquiry<'a> {
    /// The error is the whole decision: nobody checked settings for `who`.
    fn new(
        generation: &'a Generation,
        call: Call,
        who: &Who,
        witness: &'a Arc<dyn Witness>,
    ) -> Result<Self, Box<Decided>> {
        let Some(settings) = generation.in_force(who) else {
            let (tenant, workspace) = (who.tenant.clone(), who.workspace.clone());
            let failure = PolicyFailure::SettingsUnchecked { tenant, workspace };
            return Err(Box::new(unasked(generation, call, who, &failure)));
        };
        Ok(Self {
            generation,
            settings,
            call,
            witness,
            asked_at: witness.now(),
            put: call,
            evidence: Vec::new(),
            fetched: Vec::new(),
            passes: 0,
            guest: Duration::ZERO,
        })
    }

    /// Everything after the first pass; that one too, if it has not run yet.
    async fn rest(&mut self, first: Option<Step>) -> Result<Ending, PolicyFailure> {
        let limit = self.generation.policy().limits().passes.max(1);
        let mut step = match first {
            Some(step) => step,
            None => self.pass_in_turn().await,
        };
        loop {
            match step {
                Step::Ended(ended) => return ended,
                Step::Missing(_) if self.passes >= limit => {
                    return Err(PolicyFailure::PassesExhausted { limit });
                }
                Step::Missing(question) => self.fetch(question).await?,
            }
            step = self.pass_in_turn().await;
        }
    }

    async fn pass_in_turn(&mut self) -> Step {
        // It is never closed; if it were, the pool's own bound still holds.
        let _permit = self.generation.policy().engine().shared().calls.acquire().await.ok();
        self.pass()
    }

    /// Asks the world, for as long as a fact may take. What cannot be had
    /// counts as a fault.
    async fn fetch(&mut self, question: Question) -> Result<(), PolicyFailure> {
        let Some(fault) = pass::fault(&question) else {
            return Err(PolicyFailure::FactNotAtHand { question });
        };
        let limit = self.generation.policy().limits().fact_deadline;
        let answer = match tokio::time::timeout(limit, self.witness.fetch(&question)).await {
            Ok(answer) if answer.fits(&question) => answer,
            Ok(other) => {
                tracing::error!(?question, ?other, "the witness answers another question");
                fault
            }
            Err(_elapsed) => fault,
        };
        self.fetched.push(Fetched { question, answer, at: self.witness.now() });
        Ok(())
    }

    fn pass(&mut self) -> Step {
        self.pass_in(Policy::rule)
    }

    fn pass_afresh(&mut self) -> Step {
        self.pass_in(Policy::rule_afresh)
    }

    fn pass_in(&mut self, rule: Rule) -> Step {
        let now = self.witness.now();
        self.passes += 1;
        self.put = later(self.call, self.asked_at, now);
        let pass = Pass::new(Arc::clone(self.witness), now, std::mem::take(&mut self.fetched));
        let (ruled, asked, took) =
            rule(self.generation.policy(), &self.settings.settings, self.put, pass);
        self.guest += took;
        self.evidence = asked.evidence;
        self.fetched = asked.fetched;
        if let Some(question) = asked.missing {
            return Step::Missing(question);
        }
        let ended = ruled.and_then(|ruled| self.outcome(ruled));
        Step::Ended(ended.map(|outcome| Ending { outcome, note: asked.note }))
    }

    fn outcome(&self, ruled: Ruled) -> Result<Outcome, PolicyFailure> {
        Ok(match ruled {
            Ruled::Judgement(judgement) => Outcome::Judged {
                verdict: words::verdict(judgement),
                reason: self.reason(judgement.reason)?,
            },
            Ruled::Ruling(ruling) => Outcome::Ruled {
                admission: words::admission(ruling),
                reason: self.reason(ruling.reason)?,
            },
        })
    }

    fn reason(&self, index: u16) -> Result<Arc<Reason>, PolicyFailure> {
        let reasons = &self.generation.policy().description().reasons;
        let reason = reasons.get(usize::from(index)).cloned();
        reason.ok_or(PolicyFailure::ReasonOutOfRange { index, declared: reasons.len() })
    }

    fn end(self, ended: Result<Ending, PolicyFailure>) -> Decided {
        let (outcome, memory_write, blame) = match ended {
            Ok(Ending { outcome, note }) => (outcome, note, None),
            Err(failure) => (fell_back(&failure), None, Some(failure.blame())),
        };
        Decided {
            generation: self.settings.reference(self.generation),
            call: self.put,
            evidence: self.evidence,
            memory_write,
            outcome,
            blame,
            cost: Cost {
                passes: self.passes,
                guest_us: u64::try_from(self.guest.as_micros()).unwrap_or(u64::MAX),
                total: self.asked_at.age(self.witness.now()),
            },
        }
    }
}

/// The same call, put later: only its chain has become older.
const fn later(call: Call, asked_at: UnixMillis, now: UnixMillis) -> Call {
    match call {
        Call::Judge { trigger, attempt: Attempt { number, since_first } } => {
            let since_first = since_first.saturating_add(asked_at.age(now));
            Call::Judge { trigger, attempt: Attempt { number, since_first } }
        }
        Call::Admit { .. } => call,
    }
}

fn fell_back(failure: &PolicyFailure) -> Outcome {
    let mut detail = failure.to_string();
    let mut source = failure.source();
    while let Some(cause) = source
        && detail.len() < MAX_DETAIL_BYTES
    {
        detail = format!("{detail}: {cause}");
        source = cause.source();
    }
    detail.truncate(detail.floor_char_boundary(MAX_DETAIL_BYTES));
    Outcome::FellBack { failure: failure.code().to_owned(), detail }
}

/// Evidence on record, as a witness that has nothing else.
struct Record(Vec<Exchange>);

#[async_trait::async_trait]
impl Witness for Record {
    /// Ages on record are as of the judgement, so no time passes.
    fn now(&self) -> UnixMillis {
        UnixMillis::default()
    }

    fn at_hand(&self, question: &Question, _now: UnixMillis) -> Option<Answer> {
        let exchange = self.0.iter().find(|exchange| exchange.question == *question);
        exchange.map(|exchange| exchange.answer.clone())
    }

    /// Never asked: a replay has one pass.
    async fn fetch(&self, question: &Question) -> Answer {
        pass::placeholder(question)
    }
}

/// Evidence on record, and for whatever is not there a witness.
struct Beside {
    record: Record,
    witness: Arc<dyn Witness>,
}

#[async_trait::async_trait]
impl Witness for Beside {
    /// Ages on record are as of the judgement, so no time passes.
    fn now(&self) -> UnixMillis {
        UnixMillis::default()
    }

    fn at_hand(&self, question: &Question, now: UnixMillis) -> Option<Answer> {
        let recorded = self.record.at_hand(question, now);
        recorded.or_else(|| self.witness.at_hand(question, self.witness.now()))
    }

    /// Never asked: there is one pass.
    async fn fetch(&self, question: &Question) -> Answer {
        pass::placeholder(question)
    }
}
