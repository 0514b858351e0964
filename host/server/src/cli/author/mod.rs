//! What somebody needs who writes a policy: `reprieve policy new`, `build`, `test`,
//! `check`, `bench`, `diff`, `sign`, `verify`. None of it needs a host.
//!
//! A *project* is a folder with a `Cargo.toml`; its component lies in it, named
//! after its package. Where a component is asked for, its project's folder will do.

mod bench;
mod build;
mod check;
mod diff;
mod new;
mod project;
mod sign;
mod test;

use clap::Subcommand;

pub(super) use self::{check::settings_in, project::Meant};

/// Subcommands of `reprieve policy` that need no host.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum AuthorCommand {
    New(new::NewArgs),
    Build(build::BuildArgs),
    Test(test::TestArgs),
    Check(check::CheckArgs),
    Bench(bench::BenchArgs),
    Diff(diff::DiffArgs),
    Keygen(sign::KeygenArgs),
    Sign(sign::SignArgs),
    Verify(sign::VerifyArgs),
}

pub(super) async fn author(command: &AuthorCommand) -> anyhow::Result<u8> {
    match command {
        AuthorCommand::New(args) => new::new(args),
        AuthorCommand::Build(args) => build::build(args),
        AuthorCommand::Test(args) => test::test(args),
        AuthorCommand::Check(args) => check::check(args).await,
        AuthorCommand::Bench(args) => bench::bench(args),
        AuthorCommand::Diff(args) => diff::diff(args),
        AuthorCommand::Keygen(args) => sign::keygen(args),
        AuthorCommand::Sign(args) => sign::sign(args),
        AuthorCommand::Verify(args) => sign::verify(args),
    }
}
