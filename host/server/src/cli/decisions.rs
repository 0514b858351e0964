//! `reprieve decisions` and `reprieve explain`: the decision log. Of a host on this
//! machine it is read from its folder, beside the running host or after it; of one
//! that is named by its listener it is asked for.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use clap::Args;
use reprieve_core::{
    decision::{Decision, Outcome},
    experiment::Arm,
    ids::{DecisionId, TenantId, WorkspaceId},
    judgement::{Admission, Verdict},
    ports::DecisionFilter,
    time::UnixMillis,
};
use serde::Deserialize;

use super::{
    client::AdminClient,
    connection::AdminArgs,
    explain::{self, facts},
    follow::{Following, Patience},
    output::{self, BAD, CAREFUL, FAINT, GOOD, UsageError},
    replay::Log,
    timeline::{self, About, Timeline, Zero},
};
use crate::store::DecisionReader;

/// How often `--follow` looks for new decisions.
const FOLLOW_EVERY: Duration = Duration::from_millis(500);
/// New decisions taken up by one look of `--follow`: more than a host records in
/// [`FOLLOW_EVERY`]. Of more, if it was held up for long, the oldest are left out.
const FOLLOW_LIMIT: u32 = 10_000;

/// Decisions that a host elsewhere is asked for at once.
const MAX_PAGE: u32 = 1_000;

/// List recorded decisions, oldest first.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  reprieve decisions --limit 5
  reprieve decisions --follow --workspace alpha
  reprieve decisions --tenant acme --limit 1000 --html incident.html
  reprieve decisions --json | jq 'select(.outcome.judged.verdict == \"dead\")'")]
pub(crate) struct DecisionsArgs {
    /// Keep running and print new ones as they come, until Ctrl-C. A host elsewhere
    /// that goes away is called again for 10 minutes, and what it decided meanwhile
    /// is printed then.
    #[arg(long, short)]
    follow: bool,

    /// Only those about this workspace.
    #[arg(long, value_name = "NAME")]
    workspace: Option<WorkspaceId>,

    /// Only those about workspaces of this tenant.
    #[arg(long, value_name = "NAME")]
    tenant: Option<TenantId>,

    /// The newest so many.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    limit: u32,

    /// Read them from a log of such lines as --json prints, `-` for standard input, and
    /// not from a host.
    #[arg(long, value_name = "LOG", conflicts_with = "follow")]
    log: Option<PathBuf>,

    /// Write a page with a timeline of what they tell: beats, probes, verdicts, restarts.
    /// It needs nothing else.
    #[arg(long, value_name = "FILE", conflicts_with = "follow")]
    html: Option<PathBuf>,

    /// One JSON object a line.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    admin: AdminArgs,
}

/// Explain one decision in plain sentences: what happened, what the policy asked
/// and was told, what it ruled and why, and what was done.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  reprieve explain 0199a3c2-5d8e-7b11-9f0a-3c5d2e7f8a90
  reprieve explain last

The id is in the `reprieve-decision` header of every judged answer, in the log,
and in `reprieve decisions`.")]
pub(crate) struct ExplainArgs {
    /// The decision's id, or `last`.
    #[arg(value_name = "DECISION-ID")]
    id: String,

    /// The whole record as JSON.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    admin: AdminArgs,
}

pub(crate) async fn decisions(args: &DecisionsArgs) -> anyhow::Result<u8> {
    if let Some(log) = &args.log {
        return logged(log, args);
    }
    let printed = async {
        match args.admin.remote()? {
            Some(client) => asked_for(&client, args).await,
            None => read(args).await,
        }
    };
    if !args.follow {
        return printed.await;
    }
    // Whoever follows ends it so: it is no failure.
    tokio::select! {
        printed = printed => printed,
        interrupted = tokio::signal::ctrl_c() => {
            interrupted.context("cannot hear Ctrl-C")?;
            Ok(output::OK)
        }
    }
}

/// Those of a log that are wanted.
fn logged(log: &Path, args: &DecisionsArgs) -> anyhow::Result<u8> {
    let is_wanted = |decision: &Decision| {
        args.workspace.as_ref().is_none_or(|of| decision.workspace == *of)
            && args.tenant.as_ref().is_none_or(|of| decision.tenant == *of)
    };
    let mut log = Log::open(log).map_err(UsageError::of)?;
    let (mut newest, mut code) = (VecDeque::new(), output::OK);
    while let Some(read) = log.next()? {
        match read {
            Ok(decision) if is_wanted(&decision) => {
                if newest.len() >= args.limit as usize {
                    newest.pop_front();
                }
                newest.push_back(decision);
            }
            Ok(_) => {}
            Err(bad) => {
                code = output::NO;
                output::remark(&output::plain(&format!("{}, {bad}", log.name())));
            }
        }
    }
    drawn(newest.make_contiguous(), args)?;
    newest.iter().try_for_each(|decision| output::print(&line(decision, args.json)))?;
    Ok(code)
}

/// The page, if one is wanted.
fn drawn(decisions: &[Decision], args: &DecisionsArgs) -> anyhow::Result<()> {
    let Some(file) = &args.html else { return Ok(()) };
    let mut timeline = Timeline::new("On record".to_owned(), Zero::Epoch, None);
    decisions.iter().for_each(|decision| timeline.decided(decision));
    let text = match decisions.len() {
        1 => "One decision, and what it tells.".to_owned(),
        count => format!("{count} decisions, and what they tell."),
    };
    let about = About {
        title: "What happened",
        text: &text,
        remedy: "Choose with <code>--workspace</code>, <code>--tenant</code> or \
                 <code>--limit</code>.",
    };
    output::write(file, &timeline::page(&about, &[timeline.sorted()]))
}

async fn read(args: &DecisionsArgs) -> anyhow::Result<u8> {
    let reader = open(&args.admin.state.folder()?)?;
    let mut filter = DecisionFilter {
        workspace: args.workspace.clone(),
        tenants: args.tenant.clone().map(|tenant| [tenant].into()),
        limit: args.limit,
        ..DecisionFilter::default()
    };
    // Until it is interrupted, if it follows.
    loop {
        let decisions = reader.list(&filter).context("cannot read the decision log")?;
        let is_full = filter.after.is_some() && decisions.len() >= FOLLOW_LIMIT as usize;
        if is_full {
            output::remark(&format!("only the newest {FOLLOW_LIMIT} decisions since then:"));
        }
        drawn(&decisions, args)?;
        let lines: String = decisions.iter().map(|decision| line(decision, args.json)).collect();
        output::print(&lines)?;
        if !args.follow {
            return Ok(output::OK);
        }
        if let Some(newest) = decisions.last() {
            filter.after = Some(newest.id.clone());
            filter.limit = FOLLOW_LIMIT;
        }
        tokio::time::sleep(FOLLOW_EVERY).await;
    }
}

/// Asks a host elsewhere.
async fn asked_for(client: &AdminClient, args: &DecisionsArgs) -> anyhow::Result<u8> {
    let mut which = String::new();
    if let Some(workspace) = &args.workspace {
        which += &format!("&workspace={workspace}");
    }
    if let Some(tenant) = &args.tenant {
        which += &format!("&tenant={tenant}");
    }
    let mut print = |decision: &Decision| Ok(output::print(&line(decision, args.json))?);
    if args.follow {
        let mut following =
            Following::new(client, which, Patience::default(), &mut print, &output::remark);
        return following.follow(args.limit).await.map(|never| match never {});
    }
    let mut known = asked_for_pages(client, &which, args.limit).await?;
    known.reverse();
    drawn(&known, args)?;
    known.iter().try_for_each(print)?;
    Ok(output::OK)
}

/// Newest first. `which`: more of the query, each part with its `&`.
pub(super) async fn asked_for_pages(
    client: &AdminClient,
    which: &str,
    limit: u32,
) -> anyhow::Result<Vec<Decision>> {
    let mut decisions = Vec::new();
    let mut before = String::new();
    // A page at a time, at most `limit` in all.
    while let Some(missing @ 1..) = limit.checked_sub(u32::try_from(decisions.len())?) {
        let size = missing.min(MAX_PAGE);
        let page: Page = client.get(&format!("decisions?limit={size}{which}{before}")).await?;
        decisions.extend(page.decisions.into_iter().map(|found| found.record));
        match page.next {
            Some(next) => before = format!("&before={next}"),
            None => break,
        }
    }
    Ok(decisions)
}

/// A decision as the admin API tells it.
#[derive(Deserialize)]
pub(super) struct OnTheWire {
    pub(super) record: Decision,
}

#[derive(Deserialize)]
struct Page {
    decisions: Vec<OnTheWire>,
    #[serde(default)]
    next: Option<String>,
}

pub(crate) async fn explain(args: &ExplainArgs, now: UnixMillis) -> anyhow::Result<u8> {
    let decision = match args.admin.remote()? {
        Some(client) if args.id == "last" => asked_for_pages(&client, "", 1).await?.pop(),
        Some(client) => {
            let id = id_in_a_path(&args.id)?;
            Some(client.get::<OnTheWire>(&format!("decisions/{id}")).await?.record)
        }
        None => on_record(args)?,
    };
    let Some(decision) = decision else {
        anyhow::bail!(
            "there is no decision {:?} on record; `reprieve decisions` lists those that are",
            args.id
        );
    };
    if args.json {
        output::print(&format!("{}\n", serde_json::to_string_pretty(&decision)?))?;
    } else {
        output::print(&output::bold_headings(&explain::explain(&decision, now)))?;
    }
    Ok(output::OK)
}

/// In plain sentences. The error says why not: mostly, that it is on record no more.
pub(super) async fn explained(
    client: &AdminClient,
    id: &str,
    now: UnixMillis,
) -> anyhow::Result<String> {
    let id = id_in_a_path(id)?;
    let found = client.get::<OnTheWire>(&format!("decisions/{id}")).await?;
    Ok(explain::explain(&found.record, now))
}

/// What is no id would lead to another route.
fn id_in_a_path(id: &str) -> Result<&str, UsageError> {
    match id.bytes().all(|c| c.is_ascii_hexdigit() || c == b'-') {
        true => Ok(id),
        false => Err(UsageError(format!("{id:?} is no decision's id"), None)),
    }
}

fn on_record(args: &ExplainArgs) -> anyhow::Result<Option<Decision>> {
    let reader = open(&args.admin.state.folder()?)?;
    Ok(if args.id == "last" {
        let newest = DecisionFilter { limit: 1, ..DecisionFilter::default() };
        reader.list(&newest).context("cannot read the decision log")?.pop()
    } else {
        let id = DecisionId(args.id.clone());
        reader.get(&id).context("cannot read the decision log")?
    })
}

/// What is wrong with a folder is put right by naming another one.
fn open(state_dir: &Path) -> anyhow::Result<DecisionReader> {
    let opened = DecisionReader::open(state_dir).with_context(|| {
        format!(
            "cannot open the decision log in {}; name a host's folder with --state-dir",
            state_dir.display()
        )
    });
    Ok(opened.map_err(UsageError::of)?)
}

/// One decision on one line.
fn line(decision: &Decision, json: bool) -> String {
    if json {
        // A record that came from JSON becomes JSON.
        return serde_json::to_string(decision).unwrap_or_default() + "\n";
    }
    let style = match &decision.outcome {
        Outcome::Judged { verdict: Verdict::Alive, .. }
        | Outcome::Ruled { admission: Admission::Admit, .. } => GOOD,
        Outcome::Judged { verdict: Verdict::Busy(_) | Verdict::Recheck(_), .. }
        | Outcome::Ruled { admission: Admission::Drop | Admission::Defer(_), .. } => CAREFUL,
        Outcome::Judged { verdict: Verdict::Dead, .. } | Outcome::FellBack { .. } => BAD,
    };
    let verdict = output::styled(style, &format!("{:<13}", explain::verdict(&decision.outcome)));
    let effect = decision.effect.as_deref().map(|effect| format!(" -> {effect}"));
    // The control is what judges everywhere else.
    let part = decision.experiment.as_ref().filter(|part| part.arm == Arm::Candidate);
    let part = part.map(|part| format!(" [candidate of {}]", part.name));
    format!(
        "{date} {workspace:<12} {verdict} {reason} ({occasion}){effect}{part} {id}\n",
        date = output::styled(FAINT, facts::date(decision.at).trim_end_matches(" UTC")),
        workspace = decision.workspace.as_str(),
        reason = decision.outcome.reason_code(),
        occasion = explain::occasion_label(&decision.call),
        effect = effect.unwrap_or_default(),
        part = part.unwrap_or_default(),
        id = output::styled(FAINT, &decision.id.0),
    )
}
