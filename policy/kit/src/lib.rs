//! What every Reprieve policy written in Rust shares.
//!
//! A policy is a value that implements [`Policy`]: pure rules over one trait,
//! [`Evidence`]. `reprieve_policy::export!(MyPolicy)` makes it a component; the
//! rules themselves are tested natively, over a [`FakeEvidence`].
//!
//! - the words of the contract in `wit/`: [`words`], [`evidence`]
//! - what an author writes: [`policy`], with [`settings`] to read JSON settings
//! - the shell around it, on wasm32 alone: `shell` (the bindings) and `heap`
//!   (a small allocator)
//!
//! On wasm32 the crate is `no_std` and brings its own panic handler and
//! allocator, so a policy starts with
//! `#![cfg_attr(target_arch = "wasm32", no_std)]`.

#![cfg_attr(target_arch = "wasm32", no_std)]

extern crate alloc;

pub mod evidence;
#[cfg(not(target_arch = "wasm32"))]
mod fake;
#[cfg(target_arch = "wasm32")]
mod heap;
pub mod policy;
pub mod settings;
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod shell;
pub mod words;

pub use evidence::{
    Beat, Evidence, Eyesight, Fleet, Health, Life, Note, ProbeFault, Sighting, Status, StoreFault,
    Subject,
};
#[cfg(not(target_arch = "wasm32"))]
pub use fake::{FakeEvidence, Question, Trace};
pub use policy::{Description, Policy, Reason};
pub use settings::{Percent, Problem, Reader, Setting, Written};
pub use words::{
    Admission, Attempt, ForwardFailure, Judgement, Millis, RestartCause, Ruling, Trigger, Verdict,
};
