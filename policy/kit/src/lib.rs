//! What every Reprieve policy written in Rust shares.
//!
//! A policy is its settings with the rules that they tune: pure functions of the
//! [`Evidence`]. An author declares the settings ([`settings!`]) and the reasons
//! ([`reasons!`]), implements [`Policy`], and ends with [`export!`], which makes it
//! a component. The rules are tested natively, over a [`FakeEvidence`].
//!
//! - the words of the contract in `wit/`: [`words`], [`evidence`]
//! - what an author writes: [`policy`], [`settings`](mod@settings)
//! - the shell around it, on wasm32 alone: `shell` (the bindings) and `heap`
//!   (a small allocator, and what a panic does)
//!
//! # A whole policy
//!
//! ```
//! #![cfg_attr(target_arch = "wasm32", no_std)]
//!
//! use reprieve_policy::{
//!     Attempt, Description, Evidence, Judgement, Millis, Policy, RestartCause, Ruling, Status,
//!     Trigger,
//! };
//!
//! reprieve_policy::settings! {
//!     /// Settings of twice-gone.
//!     pub struct TwiceGone {
//!         /// After what looks like death, the runtime is asked again after so long.
//!         pub reprobe_delay: Millis = "2s" in "10ms"..="1min",
//!         /// A restart begins at most so often within ten minutes.
//!         pub restart_budget: u32 = 5 in 1..=100,
//!     }
//! }
//!
//! reprieve_policy::reasons! {
//!     /// Why twice-gone rules as it does.
//!     pub enum Reason {
//!         /// The runtime does not say that it is gone.
//!         Here = "here",
//!         /// A restart is being carried out at this moment, or may be.
//!         InFlight = "in-flight",
//!         /// The probe failed: that tells about the host's eyes alone.
//!         Unseen = "unseen",
//!         /// The runtime says that it is gone.
//!         Gone = "gone",
//!         /// Fewer than `restart_budget` restarts began within ten minutes.
//!         WithinBudget = "within-budget",
//!         /// `restart_budget` restarts began within ten minutes.
//!         OverBudget = "over-budget",
//!     }
//! }
//!
//! const RETRY_AFTER: Millis = Millis::from_secs(30);
//! const BUDGET_WINDOW: Millis = Millis::from_secs(600);
//!
//! impl Policy for TwiceGone {
//!     type Reason = Reason;
//!
//!     const DESCRIPTION: Description = Description {
//!         name: "twice-gone",
//!         version: "0.1.0",
//!         summary: "Restarts what is gone at two looks.",
//!     };
//!
//!     fn judge(&self, evidence: &impl Evidence, _: Trigger, attempt: Attempt) -> Judgement<Reason> {
//!         if evidence.current_life().is_ok_and(|life| !life.in_flight) {
//!             match evidence.look().map(|sighting| sighting.status) {
//!                 Err(_) => Judgement::alive(Reason::Unseen),
//!                 Ok(Status::Stopped | Status::Missing) if attempt.is_first() => {
//!                     Judgement::recheck(self.reprobe_delay, Reason::Gone)
//!                 }
//!                 Ok(Status::Stopped | Status::Missing) => Judgement::dead(Reason::Gone),
//!                 Ok(_) => Judgement::alive(Reason::Here),
//!             }
//!         } else {
//!             Judgement::busy(RETRY_AFTER, Reason::InFlight)
//!         }
//!     }
//!
//!     fn admit(&self, evidence: &impl Evidence, _: RestartCause) -> Ruling<Reason> {
//!         match evidence.restart_count(BUDGET_WINDOW) {
//!             Ok(restarts) if restarts < self.restart_budget => Ruling::admit(Reason::WithinBudget),
//!             Ok(_) | Err(_) => Ruling::defer(RETRY_AFTER, Reason::OverBudget),
//!         }
//!     }
//! }
//!
//! reprieve_policy::export!(TwiceGone);
//!
//! // What follows stands in a module of tests.
//! use reprieve_policy::{FakeEvidence, FromSettings as _, ProbeFault};
//!
//! let policy = TwiceGone::open(r#"{"reprobe_delay": "500ms"}"#).expect("settings");
//! let judged = |evidence: &FakeEvidence, attempt| policy.judge(evidence, Trigger::Sweep, attempt);
//!
//! // A failed probe is no death, at whichever look.
//! let unseen = FakeEvidence::unseen(ProbeFault::TimedOut);
//! assert_eq!(judged(&unseen, Attempt::nth(1)), Judgement::alive(Reason::Unseen));
//!
//! // Gone is dead at the second look.
//! let gone = FakeEvidence::seen(Status::Missing);
//! let again = Judgement::recheck(Millis(500), Reason::Gone);
//! assert_eq!(judged(&gone, Attempt::FIRST), again);
//! assert_eq!(judged(&gone, Attempt::nth(1)), Judgement::dead(Reason::Gone));
//!
//! // While a restart is under way, the runtime is not even asked.
//! let in_flight = FakeEvidence::seen(Status::Missing).in_flight();
//! assert_eq!(judged(&in_flight, Attempt::nth(1)), Judgement::busy(RETRY_AFTER, Reason::InFlight));
//! assert_eq!(in_flight.looks(), 0);
//!
//! let restless = FakeEvidence::default().restarted(5);
//! let ruling = policy.admit(&restless, RestartCause::DeadVerdict);
//! assert_eq!(ruling, Ruling::defer(RETRY_AFTER, Reason::OverBudget));
//!
//! // What is wrong with settings names the place, the value and the range.
//! let problems = TwiceGone::open(r#"{"restart_budget": 0}"#).expect_err("no budget");
//! assert_eq!(problems[0].path, "restart_budget");
//! assert_eq!(problems[0].message, "0 is out of range; allowed is 1 to 100");
//! ```
//!
//! # What it weighs
//!
//! A component carries what its policy uses of the kit, and no more. Built as those
//! of this repository are (`opt-level = "z"`, link-time optimisation,
//! `panic = "abort"`), the small policy `second-look` in `policies/examples/rust`
//! weighs 21 kB: 12 kB of code, about half of which reads settings and says what is
//! wrong with them, 2 kB of texts, and 7 kB of the component's own description,
//! which comes with the contract in every language.
//!
//! # On wasm32
//!
//! There the crate is `no_std` and brings its own panic handler and
//! allocator, so a policy starts with
//! `#![cfg_attr(target_arch = "wasm32", no_std)]`. Without that line its build ends
//! with "found duplicate lang item `panic_impl`".

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
pub use settings::{FromSettings, Percent, Problem};
pub use words::{
    Admission, Attempt, ForwardFailure, Judgement, Millis, RestartCause, Ruling, Trigger, Verdict,
};
