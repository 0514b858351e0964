//! What can go wrong, one enum for each boundary.

use std::{path::PathBuf, time::Duration};

use reprieve_core::{
    causes::with_causes,
    evidence::Question,
    ids::{TenantId, WorkspaceId},
    settings::Layer,
    time::Millis,
};

/// Why there is no engine.
#[derive(Debug, thiserror::Error)]
pub enum EngineFailure {
    #[error("the WebAssembly engine cannot be set up on this machine")]
    Setup { source: wasmtime::Error },
    #[error("the engine's timer thread cannot be started")]
    Timer { source: std::io::Error },
    #[error(
        "the cache folder {path:?} cannot be used: {detail}; name a folder that only this user can write to"
    )]
    Cache { path: PathBuf, detail: String },
}

/// Why a file is not a policy that this host can run.
#[derive(Debug, thiserror::Error)]
pub enum LoadFailure {
    #[error("the policy file is empty; build it again with `cargo xtask policies`")]
    Empty,
    #[error("the policy file has {bytes} bytes, {limit} are allowed")]
    TooLarge { bytes: usize, limit: usize },
    #[error(
        "the policy file is not WebAssembly: it begins with {beginning:?}, not with \"\\0asm\""
    )]
    NotWasm { beginning: String },
    #[error(
        "the policy file is a core WebAssembly module; make a component of it with `wasm-tools component new`"
    )]
    CoreModule,
    #[error(
        "the policy file is cut off: it ends after {bytes} bytes, in the middle of a section; copy it again"
    )]
    Truncated { bytes: usize },
    #[error(
        "the policy file says it is WebAssembly of version {version}, which this host does not run; build a component"
    )]
    OtherVersion { version: String },
    #[error("the policy file is damaged, or uses WebAssembly features that this host does not run")]
    Garbled { source: wasmtime::Error },
    #[error(
        "the policy imports {name}, which is WASI; a policy has no world but its evidence: build it for wasm32-unknown-unknown, or stub WASI out"
    )]
    WasiImport { name: String },
    #[error(
        "the policy imports {name}, which this host does not offer; it offers reprieve:policy@0.1.0"
    )]
    UnknownImport { name: String },
    #[error(
        "the policy imports {name}, which it is not granted; it is granted {granted}; grant it with policy.grants, or build the policy without it"
    )]
    NotGranted { name: String, granted: String },
    #[error(
        "the component is no policy: it does not export reprieve:policy/guard@0.1.0; build it for the world reprieve:policy/policy"
    )]
    WrongWorld,
    #[error(
        "the policy was built for another shape of reprieve:policy@0.1.0; build it with the wit/ of this version"
    )]
    OtherShape { source: wasmtime::Error },
    #[error("the policy does not start")]
    NotStarted { source: PolicyFailure },
    #[error("the policy does not describe itself")]
    NotDescribed { source: PolicyFailure },
    #[error("the policy's description is not usable: {detail}")]
    BadDescription { detail: String },
    #[error("the policy does not open with its own defaults")]
    DefaultsRefused { source: SettingsRefused },
    #[error("{limit} policies are loaded already; drop generations that are no longer needed")]
    TooMany { limit: usize },
}

/// Why a policy gave no usable answer. None of these may lead to a restart.
#[derive(Debug, thiserror::Error)]
pub enum PolicyFailure {
    #[error("the policy trapped")]
    Trapped { source: wasmtime::Error },
    #[error("no instance of the policy could be made")]
    NoInstance { source: wasmtime::Error },
    #[error("the policy did not answer within {limit:?} of its own time")]
    Deadline { limit: Duration },
    #[error("the policy wanted more {what} than {limit}")]
    Limit { what: &'static str, limit: usize },
    #[error(
        "the policy kept {bytes} bytes of memory in {calls} calls: it leaks, or needs a larger limits.memory, or isolation = \"fresh\""
    )]
    Leaked { bytes: usize, calls: usize },
    #[error("the policy asked more than {limit} questions in one call")]
    HostCalls { limit: u32 },
    #[error("the policy wrote a note of {bytes} bytes, {limit} are allowed")]
    NoteTooLarge { bytes: usize, limit: usize },
    #[error("the policy asked for evidence while it was not judging")]
    AskedOutsideJudgement,
    #[error("{question:?} must be at hand and is not")]
    FactNotAtHand { question: Question },
    #[error("{question:?} is not in the record")]
    FactNotOnRecord { question: Question },
    #[error("the policy asked for something new in each of {limit} passes")]
    PassesExhausted { limit: u32 },
    #[error("no decision within {limit:?}")]
    DecisionDeadline { limit: Duration },
    #[error("the policy gave reason {index}, it declared {declared}")]
    ReasonOutOfRange { index: u16, declared: usize },
    #[error("the policy now refuses settings that it took before")]
    SettingsRefused,
    #[error(
        "the policy keeps failing, with these settings too, and there is no other to judge instead; it is asked now and then"
    )]
    Distrusted,
    #[error("no settings of workspace {workspace} in tenant {tenant} were checked")]
    SettingsUnchecked { tenant: TenantId, workspace: WorkspaceId },
}

/// Whose failure it was that a policy gave no usable answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    Policy,
    /// The host's or the world's: a fact that could not be had, no room.
    Host,
}

impl PolicyFailure {
    pub fn blame(&self) -> Blame {
        match self {
            Self::Trapped { .. }
            | Self::Deadline { .. }
            | Self::Limit { .. }
            | Self::Leaked { .. }
            | Self::HostCalls { .. }
            | Self::NoteTooLarge { .. }
            | Self::AskedOutsideJudgement
            | Self::PassesExhausted { .. }
            | Self::ReasonOutOfRange { .. }
            | Self::SettingsRefused
            | Self::Distrusted => Blame::Policy,
            Self::NoInstance { source } if source.is::<wasmtime::Trap>() => Blame::Policy,
            Self::NoInstance { .. }
            | Self::FactNotAtHand { .. }
            | Self::FactNotOnRecord { .. }
            | Self::DecisionDeadline { .. }
            | Self::SettingsUnchecked { .. } => Blame::Host,
        }
    }

    /// Stable, kebab-case: a label in metrics and the `failure` on record.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Trapped { .. } => "policy-trapped",
            Self::NoInstance { .. } => "policy-no-instance",
            Self::Deadline { .. } => "policy-deadline",
            Self::Limit { .. } => "policy-limit",
            Self::Leaked { .. } => "policy-leaks",
            Self::HostCalls { .. } => "host-calls-exhausted",
            Self::NoteTooLarge { .. } => "note-too-large",
            Self::AskedOutsideJudgement => "asked-outside-judgement",
            Self::FactNotAtHand { .. } => "fact-not-at-hand",
            Self::FactNotOnRecord { .. } => "fact-not-on-record",
            Self::PassesExhausted { .. } => "passes-exhausted",
            Self::DecisionDeadline { .. } => "decision-deadline",
            Self::ReasonOutOfRange { .. } => "reason-out-of-range",
            Self::SettingsRefused => "settings-refused",
            Self::Distrusted => "policy-distrusted",
            Self::SettingsUnchecked { .. } => "settings-unchecked",
        }
    }
}

/// What is wrong with a set of settings, in the policy's own words.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Problem {
    /// The key, or empty for the settings as a whole.
    pub path: String,
    /// With the value and the range that is allowed.
    pub message: String,
}

impl Problem {
    /// The key of the settings that the path begins with: "budget" of
    /// "budget.max[0]".
    pub fn key(&self) -> &str {
        self.path.split(['.', '[']).next().unwrap_or_default()
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.path.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.path, self.message)
        }
    }
}

/// Why settings do not become part of a generation.
#[derive(Debug, thiserror::Error)]
pub enum SettingsRefused {
    #[error("{}", listed(.0))]
    Problems(Vec<Problem>),
    #[error("the policy failed while it read the settings")]
    Failed(#[source] PolicyFailure),
    #[error("the policy wants to be asked after a silence of {limit}, at least {least} is allowed")]
    SilenceLimit { limit: Millis, least: Millis },
}

fn listed(problems: &[Problem]) -> String {
    match problems {
        [] => "the policy refuses the settings and does not say why".to_owned(),
        some => some.iter().map(Problem::to_string).collect::<Vec<_>>().join("; "),
    }
}

/// The most refused layers that are named at once. Checking ends there.
pub const MAX_LAYERS_REFUSED: usize = 16;

/// A layer whose effective settings the policy refuses.
#[derive(Debug)]
pub struct LayerRefused {
    /// The nearest layer of those that were merged; what is wrong may come from
    /// a weaker one.
    pub layer: Layer,
    pub reason: SettingsRefused,
}

impl std::fmt::Display for LayerRefused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.layer, with_causes(&self.reason))
    }
}

/// Why a generation does not come about. Whatever is in force stays.
#[derive(Debug, thiserror::Error)]
pub enum GenerationRefused {
    /// Whose settings, at most [`MAX_LAYERS_REFUSED`] of them.
    #[error("policy {policy} refuses {}", enumerated(refused))]
    Settings { policy: String, refused: Vec<LayerRefused> },
    #[error("workspace {workspace} has settings of its own, and nobody knows its tenant")]
    NoOwner { workspace: WorkspaceId },
}

fn enumerated(refused: &[LayerRefused]) -> String {
    let mut text = refused.iter().map(LayerRefused::to_string).collect::<Vec<_>>().join("; and ");
    if refused.len() >= MAX_LAYERS_REFUSED {
        text += "; nobody else's were checked";
    }
    text
}
