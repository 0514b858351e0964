//! Tables of judgements: evidence, and what a policy must rule on it.
//!
//! A [`Row`] is written by hand, as in `policy/tests/judgements.toml`, or it is a
//! decision on record. [`Judges`] puts rows to a policy, each by its own settings.
//! Whoever tests, compares or guards a policy does it with these.
//!
//! - [`written`]: a row as it stands in a file
//! - [`told`]: its evidence as a witness

mod told;
mod written;

use std::{
    collections::{HashMap, hash_map::Entry},
    fmt,
    sync::Arc,
};

use reprieve_core::{
    decision::{Decision, Outcome},
    evidence::Exchange,
    ids::Digest,
    judgement::{Admission, Call, Verdict},
    ports::Witness,
    settings::{self, Settings, SettingsBook},
};

pub use self::told::QuestionKind;
use self::told::Told;
use crate::{Decided, Generation, GenerationRefused, Owners, Who, judge};

/// Evidence, and what must be ruled on it.
#[derive(Clone, Debug)]
pub struct Row {
    /// A statement of fact, or a decision's id.
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

/// What a policy comes to, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Expected {
    pub ruled: Ruled,
    /// A reason's code.
    pub reason: String,
}

/// What either call of the contract gives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ruled {
    Verdict(Verdict),
    Admission(Admission),
}

/// Why something is no row.
#[derive(Debug, thiserror::Error)]
#[error("row {row:?}: {detail}")]
pub struct RowUnusable {
    pub row: String,
    pub detail: &'static str,
}

impl Row {
    /// A decision on record, as what a policy must decide again. By the settings
    /// that are in force for its workspace then.
    pub fn recorded(decision: Decision) -> Result<Self, RowUnusable> {
        let Decision { id, workspace, tenant, call, evidence, outcome, .. } = decision;
        let Some(expected) = Expected::of(&outcome) else {
            let detail = "no policy decided it: it fell back";
            return Err(RowUnusable { row: id.0, detail });
        };
        let by = By::Who(Who { tenant, workspace });
        Ok(Self { name: id.0, by, call, evidence: Evidence::Recorded(evidence), expected })
    }

    /// What is put to the policy.
    pub const fn call(&self) -> Call {
        self.call
    }

    pub const fn expected(&self) -> &Expected {
        &self.expected
    }

    /// The settings that it is put by. None: those that are in force for the
    /// workspace that the row names.
    pub const fn settings(&self) -> Option<&Settings> {
        match &self.by {
            By::Settings(settings) => Some(settings),
            By::Who(_) => None,
        }
    }

    /// The same row, put by the policy's defaults.
    #[must_use]
    pub fn by_default_settings(self) -> Self {
        Self { by: By::Settings(Settings::new()), ..self }
    }

    /// Answers what the row tells, for whoever judges by other means. None: the
    /// row is a decision on record.
    pub fn witness(&self) -> Option<Arc<dyn Witness>> {
        match &self.evidence {
            Evidence::Told(told) => Some(told.clone()),
            Evidence::Recorded(_) => None,
        }
    }

    /// Questions that the row forbids.
    pub fn never_asked(&self) -> &[QuestionKind] {
        match &self.evidence {
            Evidence::Told(told) => &told.never_asked,
            Evidence::Recorded(_) => &[],
        }
    }

    /// How the outcome is another than the row says. None: it is not.
    pub fn difference(&self, outcome: &Outcome) -> Option<String> {
        let got = match (Expected::of(outcome), outcome) {
            (Some(got), _) if got == self.expected => return None,
            (Some(got), _) => got.to_string(),
            (None, outcome) => format!("no answer ({})", why_none(outcome)),
        };
        Some(format!("{:?}: {got}, expected {}", self.name, self.expected))
    }

    fn put(&self, generation: &Generation, who: &Who) -> Decided {
        match &self.evidence {
            Evidence::Recorded(evidence) => judge::replay(generation, self.call, who, evidence),
            Evidence::Told(told) => {
                let witness: Arc<dyn Witness> = told.clone();
                judge::from_at_hand(generation, self.call, who, &witness)
            }
        }
    }
}

/// The code and the account of a failure.
pub fn why_none(outcome: &Outcome) -> String {
    match outcome {
        Outcome::FellBack { failure, detail } => format!("{failure}: {detail}"),
        Outcome::Judged { .. } | Outcome::Ruled { .. } => String::new(),
    }
}

/// Puts rows to one policy. A generation is kept for each of the settings that rows
/// name.
#[derive(Debug)]
pub struct Judges<'a> {
    /// For rows about workspaces of a host.
    in_force: &'a Generation,
    alone: HashMap<Digest, Generation>,
}

impl<'a> Judges<'a> {
    pub fn new(in_force: &'a Generation) -> Self {
        Self { in_force, alone: HashMap::new() }
    }

    /// Blocks for microseconds. The error: the policy does not take the settings
    /// that the row names.
    pub fn put(&mut self, row: &Row) -> Result<Decided, GenerationRefused> {
        let own = match &row.by {
            By::Who(who) => return Ok(row.put(self.in_force, who)),
            By::Settings(own) => own,
        };
        let by = match self.alone.entry(settings::digest(own)) {
            Entry::Occupied(made) => made.into_mut(),
            Entry::Vacant(place) => place.insert(alone(self.in_force, own.clone())?),
        };
        Ok(row.put(by, &nobody()))
    }
}

/// The same policy with these settings for everybody.
fn alone(generation: &Generation, fleet: Settings) -> Result<Generation, GenerationRefused> {
    let book = SettingsBook { fleet: fleet.into(), ..SettingsBook::default() };
    Generation::new(generation.number(), Arc::clone(generation.policy()), book, &Owners::new())
}

/// Whom a row is about that names nobody.
fn nobody() -> Who {
    let name = "golden";
    #[expect(clippy::expect_used, reason = "a constant that a test parses")]
    let (tenant, workspace) =
        (name.parse().expect("a valid name"), name.parse().expect("a valid name"));
    Who { tenant, workspace }
}

impl Expected {
    /// None: the policy gave no answer.
    pub fn of(outcome: &Outcome) -> Option<Self> {
        let (ruled, reason) = match outcome {
            Outcome::Judged { verdict, reason } => (Ruled::Verdict(*verdict), reason),
            Outcome::Ruled { admission, reason } => (Ruled::Admission(*admission), reason),
            Outcome::FellBack { .. } => return None,
        };
        Some(Self { ruled, reason: reason.code.clone() })
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.ruled, self.reason)
    }
}

impl fmt::Display for Ruled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
