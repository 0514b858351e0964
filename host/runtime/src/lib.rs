//! Runs Reprieve policies: WebAssembly components that judge whether a
//! workspace is alive.
//!
//! In a minute:
//!
//! 1. An [`Engine`] compiles; [`Engine::load`] makes a checked [`Policy`] of a
//!    component's bytes, or says in one sentence why not ([`LoadFailure`]).
//! 2. A [`Generation`] is that policy with the settings of everybody, all of
//!    them accepted by the policy. It never changes; [`Current`] holds the one
//!    in force and replaces it whole.
//! 3. [`Generation::decide`] puts one [`Call`](reprieve_core::judgement::Call)
//!    and never fails: a policy that loops, traps or lies gives
//!    [`Outcome::FellBack`](reprieve_core::decision::Outcome), which counts as
//!    BUSY. What the policy asks is answered by a
//!    [`Witness`](reprieve_core::ports::Witness).
//! 4. [`replay`] runs a recorded decision again, bit by bit; a [`Deliberation`] is a
//!    decision in a time of its own, for simulators.
//!
//! `examples/embed.rs` is all of that in one file. No HTTP, no Docker, no WASI.

mod anatomy;
mod cache;
mod confidence;
mod contract;
mod current;
mod describe;
mod engine;
mod failure;
mod generation;
mod imports;
mod instance;
mod judge;
mod limits;
mod load;
mod pass;
mod policy;
mod pulse;
pub mod registry;
mod store;
pub mod table;
mod terms;
mod words;

pub use confidence::{Conduct, Confidence};
pub use current::{Alive, Current, DOUBLE_JUDGEMENT, Role, StoodIn, Trial, Tried};
pub use describe::Description;
pub use engine::{Engine, EngineOptions, Places, Timer};
pub use failure::{
    Blame, EngineFailure, GenerationRefused, LayerRefused, LoadFailure, MAX_LAYERS_REFUSED,
    PolicyFailure, Problem, SettingsRefused,
};
pub use generation::{Generation, LayerChange, Owners, Who};
pub use judge::{Decided, Deliberation, Next, judge_beside, replay, replay_afresh};
pub use limits::{
    Limits, MAX_CODE_BYTES, MAX_COMPONENT_BYTES, MAX_NOTE_BYTES, MAX_PROBLEM_BYTES, MAX_PROBLEMS,
    MAX_REASONS, MAX_SCHEMA_BYTES, MAX_SENTENCE_BYTES, MIN_CALLS_PER_INSTANCE,
};
pub use load::{Compiled, Examined};
pub use policy::{CheckedSettings, Instances, Policy};
pub use terms::{Grants, Interface, Isolation, NoInterface, Terms};
