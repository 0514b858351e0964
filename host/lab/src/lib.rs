//! The laboratory: what would have happened, and what will.
//!
//! In a minute:
//!
//! 1. A [`Contender`] is a policy with settings, loaded by a [`Lab`]: the component
//!    that would judge in production, run by the same runtime.
//! 2. [`simulate()`] runs a [`Scenario`], a fleet with its mishaps, under virtual time
//!    and a seeded generator. The restart machine, the watch over silences, the
//!    gauges of eyesight and of the fleet are those of `reprieve-core`; only what
//!    they would ask of the world is simulated. Since the simulator knows what is
//!    true, each restart is right or false: [`Measures`].
//! 3. [`replay`] runs decisions on record again: by the same generation every
//!    difference is an error, by another it is the answer to "what would change?".
//!
//! 4. [`score`] puts figures with intervals on runs by many seeds, and tells who is
//!    better in both: sooner with the dead, and kinder to the living.
//! 5. [`tune`] looks for the settings whose price is lowest.
//! 6. [`history`] makes a scenario of what somebody recorded of their own fleet.
//!
//! Nothing here reads a clock, starts a task or performs I/O: whoever calls it reads
//! the files and prints. The same seed gives the same bytes.

mod chance;
mod contender;
pub mod history;
pub mod replay;
mod scenario;
pub mod score;
mod simulation;
pub mod tune;
mod units;

pub use chance::{Chance, Draws, Seed};
pub use contender::{Contender, ContenderRefused, Lab};
pub use scenario::{MAX_WORKSPACES, Open, Scenario, ScenarioRefused};
pub use simulation::{
    Fault, Happening, Measures, Property, RestartKind, Run, RunOptions, START, Samples, Trouble,
    Truth, Violation, With, simulate,
};
pub use units::{Between, Length, Share};
