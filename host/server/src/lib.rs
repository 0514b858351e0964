//! The Reprieve host as a program: a proxy in front of workspaces that judges
//! every failed forward, and what it needs around it.
//!
//! - [`proxy`]: requests in, answers out; knows the fleet only as a trait
//! - [`supervisor`]: gathers evidence, asks the policy, carries out what it rules
//! - [`policies`]: where policies come from, and which one judges
//! - [`backend`]: who runs workspaces: child processes
//! - [`settings`]: the policy's settings, changed while the host runs
//! - [`store`]: what survives the host: SQLite
//! - [`tables`]: files with rows that a policy must rule so
//! - [`admin`]: the operator's listener
//! - [`serve`]: how both listen, with TLS or without
//! - [`experiments`]: candidates that are tried on live traffic
//! - [`telemetry`]: metrics, read from what the others know
//! - [`config`] and [`cli`]: how people start and read all this
//! - [`agent`] and [`demo`]: a real A2A agent, and the stories played live
//!
//! The edges ([`proxy`], [`admin`], [`cli`]) never import each other; `cargo
//! xtask tidy` holds these walls.

pub mod admin;
pub mod agent;
pub mod backend;
mod cause;
pub mod cli;
pub mod clock;
pub mod config;
pub mod demo;
pub mod experiments;
#[cfg(test)]
mod logged;
pub mod policies;
pub mod proxy;
pub mod serve;
pub mod settings;
pub mod store;
pub mod supervisor;
pub mod tables;
pub mod telemetry;
mod tls;
pub mod wiring;
