//! What the end-to-end tests share.
//!
//! [`Stage`] is a fleet on virtual time: the real supervisor, the real restart
//! machine, the real store (in memory) and the built policy component, over a
//! [`FakeRuntime`] that shows what a scenario tells it to show. A fault that a
//! real runtime cannot be made to show on demand is what it is for; where the
//! real thing can be had, tests use child processes.
//!
//! [`Program`] is the real program with real child processes,
//! [`engine::Engine`] a real Docker Engine of a test's own, and
//! [`control_plane::MockControlPlane`] a cloud's control plane.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it is surprised")]
#![allow(missing_debug_implementations, reason = "nobody prints a stage")]

pub mod control_plane;
mod courier;
pub mod engine;
pub mod page;
mod policies;
mod program;
mod python;
mod runtime;
mod stage;

pub use courier::FakeCourier;
pub use policies::{PolicyName, generation, policies_in};
pub use program::{Program, Running, outcome_of, reprieve};
pub use python::venvs;
pub use runtime::{FakeRuntime, Start};
pub use stage::{HALF, Stage, StageOptions, ws};
