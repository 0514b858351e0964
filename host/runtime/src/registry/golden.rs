//! The golden table: judgements that a policy must give before it comes into
//! force, as the operator wrote or recorded them.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use reprieve_core::{
    decision::{Decision, Outcome},
    evidence::{
        Answer, Beat, Exchange, Eyesight, Fleet, Life, Note, ProbeFault, Question, Sighting,
        Status, StoreFault, Subject,
    },
    ids::{Digest, TenantId, WorkspaceId},
    judgement::{Admission, Attempt, Call, RestartCause, Trigger, Verdict},
    ports::Witness,
    settings::{self, Settings, SettingsBook},
    time::{Millis, UnixMillis},
};
use serde::Deserialize;

use crate::{Generation, GenerationRefused, Owners, Who, judge};

/// The most rows of a golden table.
pub const MAX_GOLDEN_ROWS: usize = 10_000;
/// The most rows that are named when a policy rules otherwise.
const MAX_NAMED: usize = 5;

/// Judgements that a policy must give.
#[derive(Clone, Debug, Default)]
pub struct Golden(Vec<GoldenRow>);

/// One of them.
#[derive(Clone, Debug)]
pub struct GoldenRow {
    pub name: String,
    by: By,
    call: Call,
    evidence: Evidence,
    expected: Expected,
}

/// By whose settings.
#[derive(Clone, Debug)]
enum By {
    /// Those that the row names; none: the policy's defaults.
    Settings(Settings),
    /// Those that are in force for that workspace.
    Who(Who),
}

#[derive(Clone, Debug)]
enum Evidence {
    Told(Arc<Told>),
    Recorded(Vec<Exchange>),
}

#[derive(Clone, Debug, PartialEq)]
struct Expected {
    ruled: Ruled,
    reason: String,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Ruled {
    Verdict(Verdict),
    Admission(Admission),
}

/// Why there is no golden table.
#[derive(Debug, thiserror::Error)]
pub enum GoldenUnusable {
    #[error("row {row:?}: {detail}")]
    Row { row: String, detail: &'static str },
    #[error("it has {rows} rows, 1 to {MAX_GOLDEN_ROWS} are allowed")]
    Rows { rows: usize },
}

/// A policy that does not rule as the golden table says.
#[derive(Debug, thiserror::Error)]
pub enum GoldenBroken {
    #[error(
        "it rules {count} of {rows} rows of the golden table otherwise: {}{}",
        differing.join("; "),
        if *count > differing.len() { "; and more" } else { "" }
    )]
    Differs { count: usize, rows: usize, differing: Vec<String> },
    #[error("row {row:?} of the golden table cannot be judged")]
    Settings { row: String, source: GenerationRefused },
}

impl Golden {
    pub fn new(rows: Vec<GoldenRow>) -> Result<Self, GoldenUnusable> {
        match rows.len() {
            1..=MAX_GOLDEN_ROWS => Ok(Self(rows)),
            rows => Err(GoldenUnusable::Rows { rows }),
        }
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts every row to the policy of `next`, by the settings of `next` where a
    /// row is about a workspace of this host. Blocks for microseconds a row.
    pub fn replay(&self, next: &Generation) -> Result<(), GoldenBroken> {
        let (mut differing, mut count) = (Vec::new(), 0);
        let mut written: HashMap<Digest, Generation> = HashMap::new();
        for row in &self.0 {
            let decided = match &row.by {
                By::Who(who) => row.put(next, who),
                By::Settings(own) => {
                    let of_row = settings::digest(own);
                    let by = match written.entry(of_row) {
                        Entry::Occupied(made) => made.into_mut(),
                        Entry::Vacant(place) => {
                            let made = alone(next, own.clone()).map_err(|source| {
                                GoldenBroken::Settings { row: row.name.clone(), source }
                            })?;
                            place.insert(made)
                        }
                    };
                    row.put(by, &nobody())
                }
            };
            if let Some(difference) = row.difference(&decided) {
                count += 1;
                if differing.len() < MAX_NAMED {
                    differing.push(difference);
                }
            }
        }
        match count {
            0 => Ok(()),
            _ => Err(GoldenBroken::Differs { count, rows: self.0.len(), differing }),
        }
    }
}

/// That policy with these settings for everybody.
fn alone(next: &Generation, fleet: Settings) -> Result<Generation, GenerationRefused> {
    let book = SettingsBook { fleet: fleet.into(), ..SettingsBook::default() };
    Generation::new(next.number(), Arc::clone(next.policy()), book, &Owners::new())
}

/// Whom a row is about that names nobody.
fn nobody() -> Who {
    let name = "golden";
    #[expect(clippy::expect_used, reason = "a constant that a test parses")]
    let (tenant, workspace) =
        (name.parse().expect("a valid name"), name.parse().expect("a valid name"));
    Who { tenant, workspace }
}

impl GoldenRow {
    /// A decision on record, as what a policy must decide again. By the settings
    /// that are in force for its workspace then.
    pub fn recorded(decision: Decision) -> Result<Self, GoldenUnusable> {
        let Decision { id, workspace, tenant, call, evidence, outcome, .. } = decision;
        let (ruled, reason) = match outcome {
            Outcome::Judged { verdict, reason } => (Ruled::Verdict(verdict), reason),
            Outcome::Ruled { admission, reason } => (Ruled::Admission(admission), reason),
            Outcome::FellBack { .. } => {
                let detail = "no policy decided it: it fell back";
                return Err(GoldenUnusable::Row { row: id.0, detail });
            }
        };
        let expected = Expected { ruled, reason: reason.code.clone() };
        let by = By::Who(Who { tenant, workspace });
        Ok(Self { name: id.0, by, call, evidence: Evidence::Recorded(evidence), expected })
    }

    /// What is put to the policy.
    pub const fn call(&self) -> Call {
        self.call
    }

    /// The settings that it is put by. None: those that are in force for the
    /// workspace that the row names.
    pub const fn settings(&self) -> Option<&Settings> {
        match &self.by {
            By::Settings(settings) => Some(settings),
            By::Who(_) => None,
        }
    }

    fn put(&self, generation: &Generation, who: &Who) -> Outcome {
        let decided = match &self.evidence {
            Evidence::Recorded(evidence) => judge::replay(generation, self.call, who, evidence),
            Evidence::Told(told) => {
                let witness: Arc<dyn Witness> = told.clone();
                judge::from_at_hand(generation, self.call, who, &witness)
            }
        };
        decided.outcome
    }

    /// How the outcome is another than the row says. None: it is not.
    pub fn difference(&self, outcome: &Outcome) -> Option<String> {
        let (ruled, reason) = match outcome {
            Outcome::Judged { verdict, reason } => (Ruled::Verdict(*verdict), &reason.code),
            Outcome::Ruled { admission, reason } => (Ruled::Admission(*admission), &reason.code),
            Outcome::FellBack { failure, detail } => {
                return Some(format!("{:?}: no answer ({failure}: {detail})", self.name));
            }
        };
        let Expected { ruled: expected, reason: because } = &self.expected;
        (ruled != *expected || reason != because).then(|| {
            format!("{:?}: {ruled} ({reason}), expected {expected} ({because})", self.name)
        })
    }
}

impl std::fmt::Display for Ruled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Verdict(Verdict::Alive) => f.write_str("alive"),
            Self::Verdict(Verdict::Busy(wait)) => write!(f, "busy for {wait}"),
            Self::Verdict(Verdict::Dead) => f.write_str("dead"),
            Self::Verdict(Verdict::Recheck(wait)) => write!(f, "recheck after {wait}"),
            Self::Admission(Admission::Admit) => f.write_str("admit"),
            Self::Admission(Admission::Drop) => f.write_str("drop"),
            Self::Admission(Admission::Defer(wait)) => write!(f, "defer for {wait}"),
        }
    }
}

/// A row as it is written, in the form of the default policy's own table
/// (`policy/tests/judgements.toml`).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    settings: Option<Settings>,
    tenant: Option<TenantId>,
    workspace: Option<WorkspaceId>,
    trigger: Option<Trigger>,
    #[serde(default)]
    attempt: Attempt,
    cause: Option<RestartCause>,
    #[serde(default)]
    evidence: WrittenEvidence,
    #[serde(default)]
    eyesight_windows: Vec<Window>,
    /// For the policy's own tests: what it must not ask.
    #[serde(default)]
    never_asked: Vec<String>,
    verdict: Option<Verdict>,
    admission: Option<Admission>,
    reason: String,
}

/// A row's evidence. Absent answers are those of a healthy workspace.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WrittenEvidence {
    look: Option<Result<Sighting, ProbeFault>>,
    newest_beat: Option<Result<Beat, StoreFault>>,
    newest_contact: Option<Result<Beat, StoreFault>>,
    intervals: Option<Result<Vec<Millis>, StoreFault>>,
    current_life: Option<Result<Life, StoreFault>>,
    restart_count: Option<Result<u32, StoreFault>>,
    memory: Option<Result<Note, StoreFault>>,
    eyesight: Option<Eyesight>,
    fleet: Option<Fleet>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
struct Window {
    since: Millis,
    until: Millis,
    #[serde(flatten)]
    seen: Eyesight,
}

impl<'de> Deserialize<'de> for GoldenRow {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::written(Written::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl GoldenRow {
    fn written(written: Written) -> Result<Self, GoldenUnusable> {
        let Written { name, settings, tenant, workspace, trigger, attempt, cause, .. } = written;
        let unusable = |detail| GoldenUnusable::Row { row: name.clone(), detail };
        let by = match (tenant, workspace, settings) {
            (None, None, own) => By::Settings(own.unwrap_or_default()),
            (Some(tenant), Some(workspace), None) => By::Who(Who { tenant, workspace }),
            _ => return Err(unusable("has either settings, or a tenant and a workspace")),
        };
        let call = match (trigger, cause) {
            (Some(trigger), None) => Call::Judge { trigger, attempt },
            (None, Some(cause)) => Call::Admit { cause },
            _ => return Err(unusable("has either a trigger or a cause")),
        };
        let ruled = match (written.verdict, written.admission, call) {
            (Some(verdict), None, Call::Judge { .. }) => Ruled::Verdict(verdict),
            (None, Some(admission), Call::Admit { .. }) => Ruled::Admission(admission),
            _ => {
                return Err(unusable("has a verdict if it has a trigger, an admission if a cause"));
            }
        };
        let who = match &by {
            By::Settings(_) => nobody(),
            By::Who(who) => who.clone(),
        };
        let never_look = written.never_asked.iter().any(|question| question == "look");
        let told =
            Told { who, written: written.evidence, windows: written.eyesight_windows, never_look };
        let expected = Expected { ruled, reason: written.reason };
        Ok(Self { name, by, call, evidence: Evidence::Told(Arc::new(told)), expected })
    }

    /// Answers what the row tells, for whoever judges by other means. None: the
    /// row is a decision on record.
    pub fn witness(&self) -> Option<Arc<dyn Witness>> {
        match &self.evidence {
            Evidence::Told(told) => Some(told.clone()),
            Evidence::Recorded(_) => None,
        }
    }
}

/// A row's evidence as a witness that has all of it at hand.
#[derive(Debug)]
struct Told {
    who: Who,
    written: WrittenEvidence,
    windows: Vec<Window>,
    never_look: bool,
}

impl Told {
    fn answer(&self, question: &Question) -> Answer {
        let told = self.written.clone();
        match question {
            Question::Subject => Answer::Subject(Box::new(Subject {
                id: self.who.workspace.to_string(),
                tenant: self.who.tenant.to_string(),
                kind: "process".to_owned(),
                labels: Vec::new(),
            })),
            Question::Look => {
                Answer::Look(told.look.unwrap_or(Ok(Sighting::bare(Status::Running))))
            }
            Question::NewestBeat => Answer::NewestBeat(told.newest_beat.transpose()),
            Question::NewestContact => Answer::NewestContact(told.newest_contact.transpose()),
            Question::Intervals { .. } => {
                Answer::Intervals(told.intervals.unwrap_or(Ok(Vec::new())))
            }
            Question::CurrentLife => {
                Answer::CurrentLife(told.current_life.unwrap_or(Ok(Life::default())))
            }
            Question::RestartCount { .. } => {
                Answer::RestartCount(told.restart_count.unwrap_or(Ok(0)))
            }
            Question::Memory => Answer::Memory(told.memory.transpose()),
            Question::Eyesight { since, until } => {
                let window = self.windows.iter().find(|w| (w.since, w.until) == (*since, *until));
                let seen = window.map_or(told.eyesight.unwrap_or_default(), |window| window.seen);
                Answer::Eyesight(seen)
            }
            Question::Fleet { .. } => {
                let alone = Fleet { workspaces: 1, ..Fleet::default() };
                Answer::Fleet(told.fleet.unwrap_or(alone))
            }
        }
    }
}

#[async_trait::async_trait]
impl Witness for Told {
    /// The ages of a row are as of its judgement, so no time passes.
    fn now(&self) -> UnixMillis {
        UnixMillis::default()
    }

    fn at_hand(&self, question: &Question, _now: UnixMillis) -> Option<Answer> {
        let forbidden = self.never_look && *question == Question::Look;
        (!forbidden).then(|| self.answer(question))
    }

    async fn fetch(&self, question: &Question) -> Answer {
        self.answer(question)
    }
}
