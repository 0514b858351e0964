//! The way of a component into force, step by step, for whoever watches it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use reprieve_core::{causes::with_causes, ids::Digest};
use serde::Serialize;

use super::Refused;

/// One step on the way into force, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// Its bytes are here, no more than are looked at.
    Fetch,
    /// It is the component that was meant.
    Digest,
    /// Somebody whom the operator trusts vouches for it.
    Signature,
    /// It imports nothing but what it is granted.
    Imports,
    Compile,
    /// It really starts, and says what it is.
    Describe,
    /// It takes everybody's settings.
    Settings,
    /// It rules as the golden table says.
    Golden,
    /// It is kept on disk, and judges.
    Activate,
}

impl Step {
    /// In order.
    pub const ALL: [Self; 9] = [
        Self::Fetch,
        Self::Digest,
        Self::Signature,
        Self::Imports,
        Self::Compile,
        Self::Describe,
        Self::Settings,
        Self::Golden,
        Self::Activate,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fetch => "fetch",
            Self::Digest => "digest",
            Self::Signature => "signature",
            Self::Imports => "imports",
            Self::Compile => "compile",
            Self::Describe => "describe",
            Self::Settings => "settings",
            Self::Golden => "golden",
            Self::Activate => "activate",
        }
    }
}

/// A step that was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StepTaken {
    pub step: Step,
    pub took_us: u64,
    /// What it found: "signed by RW…", "132 rows".
    pub found: String,
}

/// The step that a component did not pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StepFailed {
    pub step: Step,
    pub why: String,
}

impl StepFailed {
    /// The refusal with its causes, in one sentence.
    pub fn of(refused: &Refused) -> Self {
        Self { step: refused.step(), why: with_causes(refused) }
    }
}

/// How far a component has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Passage {
    /// What messages call where it comes from.
    pub source: String,
    pub component: Option<Digest>,
    pub bytes: usize,
    /// Name and version, once it has described itself.
    pub policy: Option<String>,
    pub taken: Vec<StepTaken>,
    pub failed: Option<StepFailed>,
}

impl Passage {
    /// It judges, or did.
    pub fn is_active(&self) -> bool {
        self.failed.is_none() && self.taken.last().is_some_and(|last| last.step == Step::Activate)
    }
}

/// A passage under way, seen by who goes and who watches.
#[derive(Clone, Debug)]
pub struct Progress {
    passage: Arc<Mutex<Passage>>,
    since: Arc<Mutex<Instant>>,
}

impl Progress {
    pub fn new(source: &str) -> Self {
        let passage = Passage { source: source.to_owned(), ..Passage::default() };
        Self { passage: Arc::new(Mutex::new(passage)), since: Arc::new(Mutex::new(Instant::now())) }
    }

    pub fn passage(&self) -> Passage {
        self.passage.lock().clone()
    }

    pub(super) fn is(&self, component: Digest, bytes: usize) {
        let mut passage = self.passage.lock();
        (passage.component, passage.bytes) = (Some(component), bytes);
    }

    pub(super) fn is_called(&self, label: &str) {
        self.passage.lock().policy = Some(label.to_owned());
    }

    pub(super) fn took(&self, step: Step, found: impl Into<String>) {
        let now = Instant::now();
        let took = now - std::mem::replace(&mut *self.since.lock(), now);
        let taken = StepTaken { step, took_us: micros(took), found: found.into() };
        self.passage.lock().taken.push(taken);
    }

    /// Notes why it went no further.
    pub fn failed(&self, refused: &Refused) {
        self.passage.lock().failed = Some(StepFailed::of(refused));
    }
}

fn micros(took: Duration) -> u64 {
    u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
}
