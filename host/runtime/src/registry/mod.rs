//! How a component comes into force: checked step by step, and then put in place
//! of the one that judges, whole. Whatever it fails in, what judges stays.
//!
//! [`Registry::vet`] goes as far as a policy that has started and described
//! itself; nothing on this way runs where judgements do. [`Registry::rehearse`]
//! tries it with everybody's settings and the golden table; [`Registry::activate`]
//! does so again with those that are in force at that moment, and swaps. Each
//! step that was taken stands in a [`Passage`].

mod compiler;
mod golden;
mod signature;
mod steps;

use std::{io, sync::Arc, time::Duration};

use reprieve_core::ids::Digest;

use self::compiler::Compiler;
pub use self::{
    golden::{Golden, GoldenBroken, GoldenUnusable, MAX_GOLDEN_ROWS},
    signature::{
        MAX_SIGNATURE_BYTES, NoKey, SignatureRefused, Signed, TrustedKey, check_signature,
    },
    steps::{Passage, Progress, Step, StepFailed, StepTaken},
};
use crate::{
    Compiled, Current, Engine, Examined, Generation, GenerationRefused, LoadFailure, Policy, Terms,
};

/// What a component must pass before it judges.
#[derive(Clone, Debug)]
pub struct Standards {
    pub terms: Terms,
    pub keys: Vec<TrustedKey>,
    pub require_signature: bool,
    pub golden: Option<Arc<Golden>>,
    /// How long compiling may take. What goes on after it is thrown away.
    pub compile_budget: Duration,
}

impl Default for Standards {
    fn default() -> Self {
        Self {
            terms: Terms::default(),
            keys: Vec::new(),
            require_signature: false,
            golden: None,
            compile_budget: Duration::from_secs(60),
        }
    }
}

/// Bytes that want to become a policy. Nothing about them is trusted yet.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// What messages call where it comes from: a file, "uploaded".
    pub source: String,
    pub bytes: Arc<[u8]>,
    /// What it must be, if that is known.
    pub expected: Option<Digest>,
    /// What its signature file holds: see [`check_signature`].
    pub signature: Option<Vec<u8>>,
    /// It came with the program, and is as trusted as that.
    pub built_in: bool,
}

/// Why a component does not come into force.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error("cannot read {what}")]
    Unreadable { what: String, source: io::Error },
    #[error("{what} has more than {limit} bytes")]
    Oversized { what: String, limit: usize },
    #[error("it is sha256:{found}, and not sha256:{expected} as was asked for; fetch it again")]
    OtherDigest { found: Digest, expected: Digest },
    #[error(transparent)]
    Signature(#[from] SignatureRefused),
    #[error(transparent)]
    Load(#[from] LoadFailure),
    #[error(
        "it was not compiled within {budget:?}; raise policy.compile_budget if it is worth waiting for"
    )]
    CompileBudget { budget: Duration },
    #[error("an earlier component is still being compiled, past its time; wait for its end")]
    Compiling,
    #[error("the check ended before its time; the host is stopping, or has a defect")]
    Aborted,
    #[error(transparent)]
    Settings(#[from] GenerationRefused),
    #[error(transparent)]
    Golden(#[from] GoldenBroken),
    /// It could not be kept, so it must not judge: after a crash another would.
    #[error("it cannot be kept in the state folder, so it does not come into force")]
    NotKept { source: io::Error },
}

impl Refused {
    /// On which step it was refused.
    pub const fn step(&self) -> Step {
        match self {
            Self::Unreadable { .. } | Self::Oversized { .. } => Step::Fetch,
            Self::OtherDigest { .. } => Step::Digest,
            Self::Signature(_) => Step::Signature,
            Self::Load(failure) => match failure {
                LoadFailure::Empty
                | LoadFailure::TooLarge { .. }
                | LoadFailure::NotWasm { .. }
                | LoadFailure::CoreModule
                | LoadFailure::Truncated { .. }
                | LoadFailure::OtherVersion { .. }
                | LoadFailure::WasiImport { .. }
                | LoadFailure::UnknownImport { .. }
                | LoadFailure::NotGranted { .. } => Step::Imports,
                LoadFailure::Garbled { .. } | LoadFailure::WrongWorld => Step::Compile,
                LoadFailure::OtherShape { .. }
                | LoadFailure::NotStarted { .. }
                | LoadFailure::NotDescribed { .. }
                | LoadFailure::BadDescription { .. }
                | LoadFailure::TooMany { .. } => Step::Describe,
                LoadFailure::DefaultsRefused { .. } => Step::Settings,
            },
            Self::CompileBudget { .. } | Self::Compiling | Self::Aborted => Step::Compile,
            Self::Settings(_) => Step::Settings,
            Self::Golden(_) => Step::Golden,
            Self::NotKept { .. } => Step::Activate,
        }
    }
}

/// The way into force.
#[derive(Debug)]
pub struct Registry {
    engine: Engine,
    standards: Standards,
    compiler: Compiler,
}

impl Registry {
    pub fn new(engine: Engine, standards: Standards) -> Self {
        Self { engine, standards, compiler: Compiler::new() }
    }

    pub const fn engine(&self) -> &Engine {
        &self.engine
    }

    pub const fn standards(&self) -> &Standards {
        &self.standards
    }

    /// Everything up to a policy that has described itself. Runs in a tokio
    /// runtime; the work is done on its threads for what blocks. What has to be
    /// compiled is so one after the other.
    pub async fn vet(
        &self,
        candidate: Candidate,
        progress: &Progress,
    ) -> Result<Arc<Policy>, Refused> {
        // Up to 32 MiB of bytes are looked at where blocking is allowed.
        let (engine, standards, seen) =
            (self.engine.clone(), self.standards.clone(), progress.clone());
        let examined = tokio::task::spawn_blocking(move || {
            let examined = examine(&engine, &standards, candidate, &seen)?;
            Ok::<_, Refused>(engine.cached(examined))
        });
        // What was compiled before waits for no compiler.
        let (compiled, found) = match examined.await.map_err(|_ended| Refused::Aborted)?? {
            Ok(cached) => (cached, "compiled before"),
            Err(examined) => (self.compiled(examined).await?, "compiled"),
        };
        progress.took(Step::Compile, found);
        let (engine, terms) = (self.engine.clone(), self.standards.terms.clone());
        let started = tokio::task::spawn_blocking(move || engine.start(compiled, terms));
        let policy = started.await.map_err(|_ended| Refused::Aborted)??;
        progress.is_called(policy.label());
        progress.took(Step::Describe, policy.description().summary.clone());
        Ok(policy)
    }

    async fn compiled(&self, examined: Examined) -> Result<Compiled, Refused> {
        let engine = self.engine.clone();
        let compile = move || engine.compile(examined);
        Ok(self.compiler.run(self.standards.compile_budget, compile).await??)
    }

    /// Whether the first generation of a host may judge: what came of giving the
    /// policy everybody's settings. Blocks.
    pub fn first(
        &self,
        made: Result<Generation, GenerationRefused>,
        progress: &Progress,
    ) -> Result<Generation, Refused> {
        let first = self.would_judge(made, progress)?;
        progress.took(Step::Activate, format!("generation {}", first.number()));
        Ok(first)
    }

    /// Whether that generation may judge: what came of giving the policy everybody's
    /// settings, and the golden table. Blocks.
    pub fn would_judge(
        &self,
        made: Result<Generation, GenerationRefused>,
        progress: &Progress,
    ) -> Result<Generation, Refused> {
        self.passed(made?, progress)
    }

    /// Whether it would come into force now: with everybody's settings and the
    /// golden table. Changes nothing. Blocks.
    pub fn rehearse(
        &self,
        current: &Current,
        policy: &Arc<Policy>,
        progress: &Progress,
    ) -> Result<(), Refused> {
        let next = current.snapshot().with_policy(Arc::clone(policy))?;
        self.passed(next, progress).map(drop)
    }

    /// Puts it in force. `keep` writes down that it is; if that fails, nothing
    /// has changed. Blocks for as long as its sessions and the golden table take;
    /// judgements go on meanwhile.
    pub fn activate(
        &self,
        current: &Current,
        policy: &Arc<Policy>,
        progress: &Progress,
        keep: impl FnOnce() -> io::Result<()>,
    ) -> Result<Arc<Generation>, Refused> {
        let next = current.update(|in_force| {
            let next = in_force.with_policy(Arc::clone(policy))?;
            let next = self.passed(next, progress)?;
            keep().map_err(|source| Refused::NotKept { source })?;
            Ok::<_, Refused>(next)
        })?;
        progress.took(Step::Activate, format!("generation {}", next.number()));
        Ok(next)
    }

    fn passed(&self, next: Generation, progress: &Progress) -> Result<Generation, Refused> {
        progress.took(Step::Settings, "everybody's settings are taken");
        match &self.standards.golden {
            None => progress.took(Step::Golden, "there is no golden table"),
            Some(golden) => {
                golden.replay(&next)?;
                progress.took(Step::Golden, format!("{} rows", golden.len()));
            }
        }
        Ok(next)
    }
}

/// What its bytes show before they are compiled.
fn examine(
    engine: &Engine,
    standards: &Standards,
    candidate: Candidate,
    progress: &Progress,
) -> Result<Examined, Refused> {
    let Candidate { bytes, expected, signature, built_in, .. } = candidate;
    let (found, length) = (Digest::of(&bytes), bytes.len());
    progress.is(found, length);
    progress.took(Step::Fetch, format!("{length} bytes"));
    if let Some(expected) = expected.filter(|expected| *expected != found) {
        return Err(Refused::OtherDigest { found, expected });
    }
    progress.took(Step::Digest, format!("sha256:{found}"));
    if built_in {
        progress.took(Step::Signature, "built in");
    } else {
        let Standards { keys, require_signature, .. } = standards;
        let signed = check_signature(&bytes, signature.as_deref(), keys, *require_signature)?;
        progress.took(Step::Signature, signed.to_string());
    }
    let examined = engine.examine(bytes, &standards.terms.grants)?;
    progress.took(Step::Imports, examined.imports().join(", "));
    Ok(examined)
}
