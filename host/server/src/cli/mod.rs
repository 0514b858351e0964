//! How people start and read Reprieve.
//!
//! One file a subcommand; [`output`] holds what all of them share: exit codes,
//! colours, errors. A subcommand gives an exit code: 0, what was asked for is so;
//! 1, the thing that was asked says no; 2, the question was wrong (arguments,
//! configuration, policy).

mod answer;
mod audit;
mod author;
mod check;
mod client;
mod connection;
mod context;
mod decisions;
mod events;
mod experiment;
mod explain;
mod follow;
mod history;
mod html;
mod logging;
mod output;
mod policy;
mod pool;
mod progress;
mod replay;
mod run;
mod scatter;
mod score;
mod settings;
mod simulate;
mod table;
mod timeline;
mod token;
mod tune;
mod unreached;
mod welcome;
mod workspaces;

use std::{
    io,
    process::ExitCode,
    time::{Duration, UNIX_EPOCH},
};

use anyhow::Context as _;
use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;
use reprieve_core::time::UnixMillis;

use self::client::Verb;
pub use self::{
    explain::explain,
    welcome::{Welcome, welcome},
};
use crate::{agent, config, demo};

/// What is still at work when the program has done what it was told may take so
/// long to end.
const LEFT_BEHIND: Duration = Duration::from_secs(1);

/// A proxy that looks at the evidence before it restarts anything.
///
/// Without a subcommand it runs its embedded configuration: the proxy on
/// 127.0.0.1:8484 in front of three test agents.
#[derive(Debug, Parser)]
#[command(
    name = "reprieve",
    version,
    after_help = "\
Examples:
  reprieve                              try it: three agents behind the proxy
  reprieve check --config reprieve.toml
  reprieve policy inspect ./my-policy.wasm
  reprieve policy load ./my-policy.wasm
  reprieve experiment start ./faster.toml
  reprieve run --config reprieve.toml
  reprieve run --docker                 containers with a label reprieve.workspace
  reprieve decisions --follow
  reprieve explain last
  reprieve settings show acme/ws-1
  reprieve replay decisions.jsonl --policy ./my-policy.wasm
  reprieve simulate fleet.toml --runs 100
  reprieve import --beats beats.csv --outages outages.jsonl --out mine.toml
  reprieve score ./scenarios --html score.html
  reprieve demo six-containers

Exit codes: 0 what was asked for is so; 1 the thing that was asked says no;
2 the question was wrong (arguments, configuration, policy)."
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::RunArgs),
    Check(check::CheckArgs),
    Policy(policy::PolicyArgs),
    Experiment(experiment::ExperimentArgs),
    Decisions(decisions::DecisionsArgs),
    Explain(decisions::ExplainArgs),
    Workspaces(workspaces::WorkspacesArgs),
    Settings(settings::SettingsArgs),
    Replay(replay::ReplayArgs),
    Simulate(simulate::SimulateArgs),
    Import(history::ImportArgs),
    Score(score::ScoreArgs),
    Tune(tune::TuneArgs),
    /// Restart a workspace now, whatever the policy rules.
    Restart(workspaces::VerbArgs),
    /// Stop restarting a workspace by itself, and answer its callers 503 `paused`.
    Pause(workspaces::VerbArgs),
    /// Take a paused workspace back.
    Resume(workspaces::VerbArgs),
    /// Stop a workspace until somebody calls it.
    Hibernate(workspaces::VerbArgs),
    /// Start a hibernated workspace.
    Wake(workspaces::VerbArgs),
    Token(token::TokenArgs),
    Audit(audit::AuditArgs),
    Context(context::ContextArgs),
    Demo(demo::DemoArgs),
    Agent(agent::AgentArgs),
    /// Print the JSON Schema of reprieve.toml.
    Schema,
    /// Print a completion script for a shell.
    #[command(after_help = "\
Examples:
  reprieve completions bash > /etc/bash_completion.d/reprieve
  reprieve completions zsh > ~/.zfunc/_reprieve")]
    Completions {
        shell: Shell,
    },
    /// Print the manual page.
    #[command(after_help = "\
Example:
  reprieve man | man -l -")]
    Man,
}

/// Reads the arguments and does what they say.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    output::finish(act(cli.command.unwrap_or_else(|| Command::Run(run::RunArgs::default()))))
}

fn act(command: Command) -> anyhow::Result<u8> {
    match command {
        Command::Run(args) => block_on(run::run(&args)),
        Command::Check(args) => check::check(&args),
        Command::Policy(args) => block_on(policy::policy(&args)),
        Command::Experiment(args) => block_on(experiment::experiment(&args)),
        Command::Decisions(args) => block_on(decisions::decisions(&args)),
        Command::Explain(args) => block_on(decisions::explain(&args, now())),
        Command::Workspaces(args) => block_on(workspaces::list(&args)),
        Command::Settings(args) => block_on(settings::settings(&args)),
        Command::Replay(args) => replay::replay(&args, now()),
        Command::Simulate(args) => simulate::simulate(&args),
        Command::Import(args) => history::import(&args),
        Command::Score(args) => score::score(&args),
        Command::Tune(args) => tune::tune(&args),
        Command::Restart(args) => block_on(workspaces::act(&args, Verb::Restart)),
        Command::Pause(args) => block_on(workspaces::act(&args, Verb::Pause)),
        Command::Resume(args) => block_on(workspaces::act(&args, Verb::Resume)),
        Command::Hibernate(args) => block_on(workspaces::act(&args, Verb::Hibernate)),
        Command::Wake(args) => block_on(workspaces::act(&args, Verb::Wake)),
        Command::Token(args) => block_on(token::token(&args)),
        Command::Audit(args) => block_on(audit::audit(&args)),
        Command::Context(args) => context::context(&args),
        Command::Demo(args) => block_on(async {
            let right = demo::run(args).await?;
            Ok(if right { output::OK } else { output::NO })
        }),
        Command::Agent(args) => block_on(async {
            logging::start(&config::LogConfig::default(), None);
            agent::run(args).await?;
            Ok(output::OK)
        }),
        Command::Schema => shown(format!("{:#}\n", config::schema()).as_bytes()),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "reprieve", &mut script);
            shown(&script)
        }
        Command::Man => {
            let mut page = Vec::new();
            clap_mangen::Man::new(Cli::command()).render(&mut page)?;
            shown(&page)
        }
    }
}

fn shown(bytes: &[u8]) -> anyhow::Result<u8> {
    let mut out = io::stdout().lock();
    io::Write::write_all(&mut out, bytes).map_err(output::NotPrinted::from)?;
    io::Write::flush(&mut out).map_err(output::NotPrinted::from)?;
    Ok(output::OK)
}

fn block_on(task: impl Future<Output = anyhow::Result<u8>>) -> anyhow::Result<u8> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.context("cannot start the threads of the program")?;
    let done = runtime.block_on(task);
    // A compiler or a read that hangs cannot be stopped, and is not waited for.
    runtime.shutdown_timeout(LEFT_BEHIND);
    done
}

/// The wall clock: only for "how long ago" in print.
fn now() -> UnixMillis {
    let since_epoch = UNIX_EPOCH.elapsed().unwrap_or_default();
    UnixMillis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_subcommand_says_what_it_does() {
        for command in Cli::command().get_subcommands() {
            assert!(command.get_about().is_some(), "{} has no help", command.get_name());
        }
    }
}
