//! Who runs workspaces. Each backend implements the ports `Probe` and
//! `Restarter` of `reprieve_core::ports` and reports ends unasked as
//! `RuntimeEvent`s; nothing above this folder knows how a run is made.
//!
//! - [`process`]: child processes described by the configuration

pub mod process;
