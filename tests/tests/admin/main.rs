//! The admin API: who is let in, what is refused, and what is kept on record.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test ends where it is surprised")]

mod desk;
mod experiments;
mod policies;
mod queue;
mod redaction;
mod rules;
mod settings;
mod stream;
mod tokens;
mod workspaces;
