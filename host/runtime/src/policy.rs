//! A checked policy: what it says of itself, and its warm instances.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use reprieve_core::{
    ids::Digest,
    judgement::Call,
    settings::{self, Settings},
    time::Millis,
};

use crate::{
    Confidence, Description, Engine, Isolation, Limits, MAX_PROBLEM_BYTES, MAX_PROBLEMS,
    PolicyFailure, Problem, SettingsRefused,
    contract::guard,
    engine::Place,
    instance::{Instance, Mould, Ruled},
    load,
    pass::{Asked, Pass},
};

/// The shortest silence that a policy may want to be asked about, as the
/// contract says.
const MIN_SILENCE_LIMIT: Millis = Millis::from_secs(1);

/// Settings that the policy took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckedSettings {
    pub canonical_json: String,
    pub digest: Digest,
    /// How long a silence may last before the host asks. None: for ever.
    pub silence_limit: Option<Millis>,
}

/// How many instances of a policy there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instances {
    /// Those that exist, at work and warm together.
    pub existing: usize,
    /// Those that are warm and wait for a call.
    pub idle: usize,
}

/// A component that this host can run.
pub struct Policy {
    digest: Digest,
    description: Description,
    label: String,
    imports: Vec<String>,
    mould: Mould,
    #[expect(clippy::vec_box, reason = "an instance is large, and changes hands with every call")]
    idle: Mutex<Vec<Box<Instance>>>,
    /// Held by calls from outside judgements, so that there is one at a time
    /// and the engine's room suffices.
    outside: Mutex<()>,
    confidence: Confidence,
    settings_checked: AtomicU64,
    engine: Engine,
    _place: Place,
}

impl std::fmt::Debug for Policy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Policy")
            .field("label", &self.label)
            .field("digest", &self.digest)
            .field("instances", &self.instances())
            .finish_non_exhaustive()
    }
}

impl Policy {
    pub(crate) fn new(
        engine: Engine,
        place: Place,
        digest: Digest,
        description: Description,
        imports: Vec<String>,
        mould: Mould,
        first: Instance,
    ) -> Self {
        let label = format!("{} {}", description.name, description.version);
        let idle = match mould.isolation {
            Isolation::Warm => vec![Box::new(first)],
            Isolation::Fresh => Vec::new(),
        };
        let (idle, outside) = (Mutex::new(idle), Mutex::new(()));
        let confidence = Confidence::new(mould.trust);
        Self {
            digest,
            description,
            label,
            imports,
            mould,
            idle,
            outside,
            confidence,
            settings_checked: AtomicU64::new(0),
            engine,
            _place: place,
        }
    }

    /// Of the component's bytes.
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    pub const fn description(&self) -> &Description {
        &self.description
    }

    /// Name and version: "default 0.1.0".
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The version of the contract that it was built for: "0.1.0".
    pub fn contract(&self) -> String {
        let component = self.mould.pre.instance_pre().component();
        load::contract_of(&self.engine, component).unwrap_or_default()
    }

    /// What it imports: `reprieve:policy/probe@0.1.0`, …
    pub fn imports(&self) -> &[String] {
        &self.imports
    }

    pub const fn limits(&self) -> &Limits {
        &self.mould.limits
    }

    pub const fn isolation(&self) -> Isolation {
        self.mould.isolation
    }

    /// How far it is believed, by what it did since it was loaded.
    pub const fn confidence(&self) -> &Confidence {
        &self.confidence
    }

    pub fn instances(&self) -> Instances {
        let idle = self.idle.lock().len();
        Instances { existing: self.mould.existing.load(Ordering::Relaxed), idle }
    }

    /// How many sets of settings it was asked about.
    pub fn settings_checked(&self) -> u64 {
        self.settings_checked.load(Ordering::Relaxed)
    }

    /// Lets go of the warm instances; the next calls start fresh ones.
    pub fn drop_idle(&self) {
        let idle = std::mem::take(&mut *self.idle.lock());
        drop(idle);
    }

    /// Opens a session with these settings. Blocks for microseconds.
    pub fn check_settings(&self, settings: &Settings) -> Result<CheckedSettings, SettingsRefused> {
        let canonical_json = settings::canonical_json(settings);
        let digest = Digest::of(canonical_json.as_bytes());
        let _outside = self.outside.lock();
        let _beating = self.engine.shared().pulse.beat();
        self.settings_checked.fetch_add(1, Ordering::Relaxed);
        let mut instance = self.take().map_err(SettingsRefused::Failed)?;
        let opened = instance.open(digest, &canonical_json).map_err(SettingsRefused::Failed)?;
        let session = match opened {
            Ok(session) => session,
            Err(problems) => {
                self.put_back(instance);
                return Err(SettingsRefused::Problems(bounded(problems)));
            }
        };
        let limit = instance.silence_limit(session).map_err(SettingsRefused::Failed)?.map(Millis);
        self.put_back(instance);
        match limit {
            Some(millis) if millis < MIN_SILENCE_LIMIT => {
                Err(SettingsRefused::SilenceLimit { limit: millis, least: MIN_SILENCE_LIMIT })
            }
            Some(_) | None => Ok(CheckedSettings { canonical_json, digest, silence_limit: limit }),
        }
    }

    pub(crate) const fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) const fn outside(&self) -> &Mutex<()> {
        &self.outside
    }

    /// One guest call, and how long it took. The instance goes back to the
    /// others before this returns, unless the call failed.
    pub(crate) fn rule(
        &self,
        settings: &CheckedSettings,
        call: Call,
        pass: Pass,
    ) -> (Result<Ruled, PolicyFailure>, Asked, Duration) {
        let began = Instant::now();
        let _beating = self.engine.shared().pulse.beat();
        let mut instance = match self.take() {
            Ok(instance) => instance,
            Err(failure) => return (Err(failure), pass.end(), began.elapsed()),
        };
        let (mut ruled, asked) = instance.rule(settings, call, pass);
        if self.mould.isolation == Isolation::Warm
            && ruled.is_ok()
            && let Some(leak) = instance.leak()
        {
            ruled = Err(leak);
        }
        match &ruled {
            Ok(_) => self.put_back(instance),
            Err(_failed) => drop(instance),
        }
        (ruled, asked, began.elapsed())
    }

    /// The same in an instance that has never been called, and never will be
    /// again.
    pub(crate) fn rule_afresh(
        &self,
        settings: &CheckedSettings,
        call: Call,
        pass: Pass,
    ) -> (Result<Ruled, PolicyFailure>, Asked, Duration) {
        let began = Instant::now();
        let _beating = self.engine.shared().pulse.beat();
        match Instance::start(&self.mould) {
            Ok(mut instance) => {
                let (ruled, asked) = instance.rule(settings, call, pass);
                (ruled, asked, began.elapsed())
            }
            Err(failure) => (Err(failure), pass.end(), began.elapsed()),
        }
    }

    fn take(&self) -> Result<Box<Instance>, PolicyFailure> {
        let idle = match self.mould.isolation {
            Isolation::Warm => self.idle.lock().pop(),
            Isolation::Fresh => None,
        };
        idle.map_or_else(|| Instance::start(&self.mould).map(Box::new), Ok)
    }

    fn put_back(&self, instance: Box<Instance>) {
        if self.mould.isolation == Isolation::Fresh || instance.is_worn() {
            return;
        }
        let mut idle = self.idle.lock();
        if idle.len() < self.engine.shared().max_idle {
            idle.push(instance);
        }
    }
}

fn bounded(problems: Vec<guard::Problem>) -> Vec<Problem> {
    let cut = |text: String| match text.len() {
        0..=MAX_PROBLEM_BYTES => text,
        _ => text[..text.floor_char_boundary(MAX_PROBLEM_BYTES)].to_owned(),
    };
    let problem = |problem: guard::Problem| Problem {
        path: cut(problem.path),
        message: cut(problem.message),
    };
    problems.into_iter().take(MAX_PROBLEMS).map(problem).collect()
}
