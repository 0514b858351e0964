//! `reprieve policy`: look at components, and replace the one that judges at a
//! running host.
//!
//! [`inspect`] needs no host; [`which`] finds out what is meant; [`progress`] tells
//! how far the host has come; [`prose`] is what people read.

mod in_force;
mod inspect;
mod progress;
mod prose;
mod which;

use clap::{Args, Subcommand};

pub(super) use self::in_force::candidate;
use super::author::{self, AuthorCommand};

/// Look at policies, and replace the one that judges.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
A policy is loaded, which checks it, and then activated: the next decision is made
by it. Whatever it fails in, what judges stays.

Examples:
  reprieve policy inspect ./my-policy.wasm
  reprieve policy load ./my-policy.wasm
  reprieve policy status
  reprieve policy activate my-policy --why 'fewer false restarts'
  reprieve policy rollback --why 'it restarts nobody'
  reprieve policy load ./my-policy.wasm --activate --why 'tried on staging'

Exit codes: 0 done; 1 the host refuses, and what judges stays, or its answer was lost:
then `status` tells; 2 the question was wrong.")]
pub(crate) struct PolicyArgs {
    #[command(subcommand)]
    command: PolicyCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum PolicyCommand {
    #[command(flatten)]
    Author(AuthorCommand),
    Inspect(inspect::InspectArgs),
    /// Check a component at the host, and keep it there. It does not judge yet.
    ///
    /// The host checks its digest and its signature, what it asks for, that it
    /// compiles, starts, takes everybody's settings and rules as the golden table
    /// says.
    #[command(after_help = "\
What is a file here is uploaded, with the signature in FILE.minisig (or the plain one
in FILE.ed25519) if there is one. Another
name is that of a component in the host's own `policy.folder`. `default` and the
other built-in policies are the host's own; ./default is a file.

Examples:
  reprieve policy load ./my-policy.wasm
  reprieve policy load ./my-policy.wasm --signature ./ours.minisig
  reprieve policy load my-policy              of the host's policy.folder
  reprieve policy load default --activate --why 'back to what we know'
  reprieve policy load ./my-policy.wasm --shadow --owner ana --for 24h \
           --hypothesis 'rules as the one in force, but for slow imports'")]
    Load(in_force::LoadArgs),
    /// Put a component in force that was loaded, or judged before. The next decision
    /// is made by it.
    #[command(after_help = "\
Examples:
  reprieve policy activate my-policy --why 'fewer false restarts'
  reprieve policy activate 9f86d081 --why '…'
                        the beginning of a digest is enough
  reprieve policy activate my-policy --expect 12 --why '…'
                        only if nobody changed the policy since `status` said 12")]
    Activate(in_force::ActivateArgs),
    /// Put the policy back in force that judged before this one.
    #[command(after_help = "\
An activation like any other. Right after a rollback another one is refused, because
somebody else may have meant the same; with --expect it brings the first policy back.

Examples:
  reprieve policy rollback --why 'it restarts nobody'
  reprieve policy rollback --expect 12 --why 'it was not the policy'")]
    Rollback(in_force::RollbackArgs),
    /// What judges, what is wanted, and why they differ.
    #[command(after_help = "\
Examples:
  reprieve policy status
  reprieve policy status --json | jq .passage.failed

Exit code: 0 if what is wanted judges, 1 if not, or if there is an alert about it. Alerts
about experiments are shown, too; `reprieve experiment status` tells them by its own.")]
    Status(in_force::StatusArgs),
}

pub(crate) async fn policy(args: &PolicyArgs) -> anyhow::Result<u8> {
    match &args.command {
        PolicyCommand::Author(command) => author::author(command).await,
        PolicyCommand::Inspect(args) => inspect::inspect(args),
        PolicyCommand::Load(args) => in_force::load(args).await,
        PolicyCommand::Activate(args) => in_force::activate(args).await,
        PolicyCommand::Rollback(args) => in_force::rollback(args).await,
        PolicyCommand::Status(args) => in_force::status(args).await,
    }
}
