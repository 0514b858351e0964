//! The pure rules of the Reprieve host.
//!
//! Nothing here performs I/O, reads a clock or starts a task: `now` is a
//! parameter, and what must be asked of the world goes through the traits in
//! [`ports`]. So every rule is tested without a runtime, a socket or a sleep.
//!
//! - the words: [`ids`], [`time`], [`judgement`], [`evidence`], [`decision`]
//! - the rules: [`incident`] (one restart in flight, death declared in one
//!   order), [`reply`] (what a caller is told), [`queue`], [`liveness`] (who has
//!   been silent for too long), [`eyesight`], [`trust`] (is a policy still
//!   believed), [`experiment`] (is a candidate better), [`settings`] (layers),
//!   [`a2a`] (envelopes), [`card`] (agent cards), [`address`] (where a workspace
//!   may live), [`access`] (who may ask what), [`dependents`] (who follows a
//!   restart), [`reports`] (what was reported and not looked into),
//!   [`supervision`] (where the policy has no say)
//! - the edges: [`ports`], [`causes`] (errors in words)

pub mod a2a;
pub mod access;
pub mod address;
pub mod card;
pub mod causes;
pub mod decision;
pub mod dependents;
pub mod evidence;
pub mod experiment;
pub mod eyesight;
pub mod ids;
pub mod incident;
pub mod judgement;
pub mod liveness;
pub mod ports;
pub mod queue;
pub mod reply;
pub mod reports;
pub mod settings;
pub mod supervision;
pub mod time;
pub mod trust;
