//! `reprieve experiment`: try a policy or settings on live traffic, and read what
//! became of it.
//!
//! [`definition`] is the file that says what is tried; [`prose`] and [`page`] are what
//! people read of it, with the plots of [`plot`].

mod course;
mod definition;
mod page;
mod plot;
mod prose;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use bytes::Bytes;
use clap::{Args, Subcommand};
use http::{HeaderMap, Method, header};
use reprieve_core::{ids::ExperimentName, time::Millis};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub(super) use self::definition::{Definition, length};
use super::{
    answer::AnswerArgs,
    client::{AdminClient, Content},
    decisions,
    output::{self, GOOD},
    policy,
};
use crate::experiments::ExperimentReport;

/// Disagreements of a report that are explained, the newest.
const MAX_EXPLAINED: usize = 20;

/// Try a policy, or settings, on live traffic.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
A candidate judges beside what is in force (`shadow`), or for a share of the
workspaces (`canary`, `ab`). Guardrails abort it; only a person promotes it.

Examples:
  reprieve experiment start faster.toml
  reprieve experiment list
  reprieve experiment status faster
  reprieve experiment report faster --html faster.html
  reprieve experiment abort faster --why 'the fleet is being moved'
  reprieve experiment promote faster --why 'finds the dead in 2 s, none falsely'

The definition, with docs/experiments.md for the rest:
  name = 'faster'
  owner = 'ana'
  hypothesis = 'a shorter settle finds more of the dead, and no living'
  mode = 'shadow'
  share = '100%'
  for = '7d'
  [candidate]
  settings = { settle = '30s' }

Exit codes: 0 what was asked for is so; 1 the host refuses, and nothing has changed,
or an experiment was aborted or is suspended; 2 the question was wrong.")]
pub(crate) struct ExperimentArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// Start what a definition says. It is on disk before the candidate judges.
    #[command(after_help = "\
A candidate's component that is a file, seen from the definition, is uploaded.

Examples:
  reprieve experiment start faster.toml
  reprieve experiment start faster.toml --for 24h")]
    Start(StartArgs),
    /// Every experiment on record, the newest first.
    #[command(after_help = "\
Example:
  reprieve experiment list --json | jq -r '.experiments[].name'")]
    List(ListArgs),
    /// How one stands.
    #[command(after_help = "\
Example:
  reprieve experiment status faster

Exit code: 1 if it was aborted, or nobody is tried though it runs.")]
    Status(NamedArgs),
    /// What the arms did, and where they disagreed.
    #[command(after_help = "\
Examples:
  reprieve experiment report faster
  reprieve experiment report faster --json | jq .report.guardrails
  reprieve experiment report faster --html faster.html")]
    Report(ReportArgs),
    /// End one. What is in force judges alone from the next decision on.
    #[command(after_help = "\
Example:
  reprieve experiment abort faster --why 'the fleet is being moved'

It cannot be taken back: start it anew under another name.")]
    Abort(EndArgs),
    /// Put the candidate in force.
    #[command(after_help = "\
Its component for the fleet; its settings for the tenants that were targeted, or for
the fleet.

Example:
  reprieve experiment promote faster --why 'finds the dead in 2 s, none falsely'")]
    Promote(EndArgs),
}

#[derive(Args, Clone, Debug)]
struct StartArgs {
    /// The definition, in TOML.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// How long it runs, in the place of what the definition says.
    #[arg(long = "for", value_name = "LENGTH", value_parser = length)]
    runs_for: Option<Millis>,
    /// Why, for whoever reads the audit log.
    #[arg(long, value_name = "TEXT", default_value = "")]
    why: String,
    #[command(flatten)]
    common: AnswerArgs,
}

#[derive(Args, Clone, Debug)]
struct ListArgs {
    #[command(flatten)]
    common: AnswerArgs,
}

#[derive(Args, Clone, Debug)]
struct NamedArgs {
    /// Which.
    name: ExperimentName,
    #[command(flatten)]
    common: AnswerArgs,
}

#[derive(Args, Clone, Debug)]
struct ReportArgs {
    /// Which.
    name: ExperimentName,
    /// A page of its own that needs nothing else, written to this file.
    #[arg(long, value_name = "FILE", conflicts_with = "json")]
    html: Option<PathBuf>,
    #[command(flatten)]
    common: AnswerArgs,
}

#[derive(Args, Clone, Debug)]
struct EndArgs {
    /// Which.
    name: ExperimentName,
    /// Why, for whoever reads the report.
    #[arg(long, value_name = "TEXT")]
    why: String,
    #[command(flatten)]
    common: AnswerArgs,
}

/// A report, and what explains its newest disagreements.
#[derive(Clone, Debug, Serialize)]
struct Explained {
    report: ExperimentReport,
    /// In plain sentences, by decision: the newest disagreements.
    explained: BTreeMap<String, String>,
    /// Why some of them are not among those.
    unexplained: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Listed {
    experiments: Vec<ExperimentReport>,
}

pub(crate) async fn experiment(args: &ExperimentArgs) -> anyhow::Result<u8> {
    match &args.command {
        Command::Start(args) => start(args).await,
        Command::List(args) => list(args).await,
        Command::Status(args) => status(args).await,
        Command::Report(args) => report(args).await,
        Command::Abort(args) => end(args, "abort").await,
        Command::Promote(args) => end(args, "promote").await,
    }
}

async fn start(args: &StartArgs) -> anyhow::Result<u8> {
    let mut definition = Definition::read(&args.file, args.runs_for, super::now())?;
    let client = args.common.admin.client()?;
    if let Some(policy) = definition.policy.take() {
        let beside = args.file.parent().unwrap_or(Path::new("")).join(&policy);
        let found = if beside.is_file() { beside } else { PathBuf::from(policy) };
        definition.component = Some(policy::candidate(&client, &found, &args.why).await?);
    }
    let started = begin(&client, &definition, &args.why).await?;
    args.common.show(&started, |started| told(started, prose::started))
}

/// Asks the host to start it.
pub(super) async fn begin(
    client: &AdminClient,
    definition: &Definition,
    why: &str,
) -> anyhow::Result<Value> {
    let body = Content::json(&json!({"definition": definition.to_json(), "why": why}));
    let (_, answer) = client.ask_and_wait("experiments", &HeaderMap::new(), body).await?;
    read(&answer)
}

async fn list(args: &ListArgs) -> anyhow::Result<u8> {
    let listed: Value = args.common.admin.client()?.get("experiments").await?;
    args.common.show(&listed, |listed| match Listed::deserialize(listed) {
        Ok(listed) => prose::list(&listed.experiments, super::now()),
        Err(error) => format!("{error}\n"),
    })
}

async fn status(args: &NamedArgs) -> anyhow::Result<u8> {
    let client = args.common.admin.client()?;
    let status: Value = client.get(&format!("experiments/{}", args.name)).await?;
    args.common.show(&status, |status| told(status, prose::status))?;
    let is_well = status["state"] != "aborted" && status["suspended"].is_null();
    Ok(if is_well { output::OK } else { output::NO })
}

async fn report(args: &ReportArgs) -> anyhow::Result<u8> {
    let client = args.common.admin.client()?;
    let report: ExperimentReport = client.get(&format!("experiments/{}", args.name)).await?;
    let report = explained(&client, report).await;
    if let Some(file) = &args.html {
        let page = page::page(&report);
        std::fs::write(file, page).with_context(|| format!("cannot write {}", file.display()))?;
        let line = format!("{} {}\n", output::styled(GOOD, "written:"), file.display());
        output::print(&line)?;
        return Ok(output::OK);
    }
    args.common.show(&serde_json::to_value(&report)?, |_| prose::report(&report))
}

async fn explained(client: &AdminClient, report: ExperimentReport) -> Explained {
    let (mut explained, mut unexplained) = (BTreeMap::new(), BTreeMap::new());
    for disagreement in report.disagreements.iter().take(MAX_EXPLAINED) {
        let id = &disagreement.decision;
        match decisions::explained(client, id, super::now()).await {
            Ok(prose) => explained.insert(id.clone(), prose),
            Err(why) => unexplained.insert(id.clone(), format!("{why:#}")),
        };
    }
    Explained { report, explained, unexplained }
}

async fn end(args: &EndArgs, verb: &str) -> anyhow::Result<u8> {
    let client = args.common.admin.client()?;
    let path = format!("experiments/{}", args.name);
    // What is promoted is what runs now.
    let (seen, _) = client.ask(Method::GET, &path, &HeaderMap::new(), None).await?;
    let seen = seen.headers.get(header::ETAG).cloned();
    let headers = seen.map(|tag| (header::IF_MATCH, tag)).into_iter().collect();
    let body = Content::json(&json!({"why": args.why}));
    let (_, answer) = client.ask_and_wait(&format!("{path}/{verb}"), &headers, body).await?;
    args.common.show(&read(&answer)?, |ended| told(ended, prose::status))
}

fn read(answer: &Bytes) -> anyhow::Result<Value> {
    serde_json::from_slice(answer).context("the host answers with another shape")
}

/// In words; a report of another shape says so.
pub(super) fn told(report: &Value, prose: impl Fn(&ExperimentReport) -> String) -> String {
    match ExperimentReport::deserialize(report) {
        Ok(report) => prose(&report),
        Err(error) => format!("the host answers with another shape: {error}\n"),
    }
}

/// For whoever starts one without a definition.
pub(super) fn started(report: &Value) -> String {
    told(report, prose::started)
}

#[cfg(test)]
mod tests;
