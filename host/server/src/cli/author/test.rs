//! `reprieve policy test`: a component against tables of judgements, and which of
//! its reasons no row reaches.

use std::{collections::BTreeSet, fmt::Write as _, path::PathBuf, sync::Arc};

use clap::Args;
use reprieve_core::{causes::with_causes, decision::Outcome, settings::Settings};
use reprieve_runtime::{
    GenerationRefused, Policy,
    table::{Judges, Row},
};
use serde_json::{Value, json};

use super::project::{Meant, engine, judging};
use crate::{
    cli::output::{self, BAD, CAREFUL, GOOD, UsageError},
    tables::{self, Placed},
};

/// Put every row of tables of judgements to a component, as a host would.
///
/// Names the rows that it rules otherwise, and the reasons that no row reaches.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  reprieve policy test .                          the project's judgements.toml
  reprieve policy test ./my-policy.wasm --table ./judgements.toml
  reprieve policy test . --every-reason           as CI would want it

A table is TOML, as `reprieve policy new` explains at the head of its own; or `*.jsonl`
of decisions, as `reprieve decisions --json` prints them: each must come out as it did,
by the default settings.

Exit codes: 0 every row is ruled as it says; 1 not; 2 the table or the component is
wrong.")]
pub(in crate::cli) struct TestArgs {
    /// A component, the name of a built-in policy, or the folder of a project.
    #[arg(value_name = "FILE|NAME|DIR", default_value = ".")]
    policy: PathBuf,
    /// A table; may be given several times. Default: the project's judgements.toml.
    #[arg(long = "table", short, value_name = "FILE")]
    tables: Vec<PathBuf>,
    /// A reason that no row reaches is a failure, too.
    #[arg(long)]
    every_reason: bool,
    /// The result as JSON, for machines.
    #[arg(long)]
    json: bool,
}

pub(super) fn test(args: &TestArgs) -> anyhow::Result<u8> {
    let meant = Meant::by(&args.policy)?;
    let tables = tables_of(args, &meant)?;
    let policy = meant.load(&engine()?)?;
    let report = judged(&policy, &tables)?;
    let text = if args.json { format!("{:#}\n", report.to_json()) } else { report.prose() };
    output::print(&text)?;
    let is_covered = report.unreached.is_empty() || !args.every_reason;
    let is_good = report.failed.is_empty() && is_covered;
    Ok(if is_good { output::OK } else { output::NO })
}

/// Each file with its rows.
fn tables_of(args: &TestArgs, meant: &Meant) -> Result<Vec<(PathBuf, Vec<Placed>)>, UsageError> {
    let files = match (&meant.project, &args.tables[..]) {
        (_, [_, ..]) => args.tables.clone(),
        (Some(project), []) => vec![project.table()],
        (None, []) => {
            let said = "name a table of judgements with --table, or the folder of a project";
            return Err(UsageError(said.to_owned(), None));
        }
    };
    let read = |file: PathBuf| {
        let rows = tables::read(&file).map_err(UsageError::of)?;
        match rows.is_empty() {
            true => Err(UsageError(format!("the table {} has no row", file.display()), None)),
            false => Ok((file, rows)),
        }
    };
    files.into_iter().map(read).collect()
}

/// What came of it.
struct Report {
    policy: String,
    rows: usize,
    failed: Vec<Failed>,
    reasons: usize,
    /// Code and meaning.
    unreached: Vec<(String, String)>,
}

/// A row that is not ruled as it says.
struct Failed {
    file: PathBuf,
    line: usize,
    what: String,
}

fn judged(policy: &Arc<Policy>, tables: &[(PathBuf, Vec<Placed>)]) -> anyhow::Result<Report> {
    let defaults = judging(policy, Settings::new())?;
    let mut judges = Judges::new(&defaults);
    let declared = &policy.description().reasons;
    let (mut failed, mut reached) = (Vec::new(), BTreeSet::new());
    for (file, rows) in tables {
        for Placed { line, row } in rows {
            let what = match judges.put(row) {
                Err(refused) => Some(format!("{:?}: {}", row.name, refusal(&refused))),
                Ok(decided) => {
                    let (Outcome::Judged { reason, .. } | Outcome::Ruled { reason, .. }) =
                        &decided.outcome
                    else {
                        let what = unanswered(row, &decided.outcome);
                        failed.push(Failed { file: file.clone(), line: *line, what });
                        continue;
                    };
                    reached.insert(reason.code.clone());
                    let is_known = declared.iter().any(|own| own.code == row.expected().reason);
                    let unknown = if is_known { "" } else { "; it declares no such reason" };
                    row.difference(&decided.outcome).map(|what| what + unknown)
                }
            };
            failed.extend(what.map(|what| Failed { file: file.clone(), line: *line, what }));
        }
    }
    let unreached = declared.iter().filter(|reason| !reached.contains(&reason.code));
    Ok(Report {
        policy: policy.label().to_owned(),
        rows: tables.iter().map(|(_, rows)| rows.len()).sum(),
        failed,
        reasons: declared.len(),
        unreached: unreached.map(|reason| (reason.code.clone(), reason.meaning.clone())).collect(),
    })
}

/// What the policy says to the row's settings.
fn refusal(refused: &GenerationRefused) -> String {
    format!("its settings are refused: {}", with_causes(refused))
}

/// A row that forbids a question has no answer for it.
fn unanswered(row: &Row, outcome: &Outcome) -> String {
    let Outcome::FellBack { failure, detail } = outcome else { return String::new() };
    let forbidden: Vec<_> = row.never_asked().iter().map(|kind| kind.as_str()).collect();
    match (&**failure, &forbidden[..]) {
        ("fact-not-on-record", [_, ..]) => format!(
            "{:?}: it asks what the row says is never asked ({})",
            row.name,
            forbidden.join(", ")
        ),
        _ => format!("{:?}: no answer ({failure}: {detail})", row.name),
    }
}

impl Report {
    fn to_json(&self) -> Value {
        let failed = self
            .failed
            .iter()
            .map(|Failed { file, line, what }| json!({"file": file, "line": line, "what": what}));
        let unreached =
            self.unreached.iter().map(|(code, meaning)| json!({"code": code, "meaning": meaning}));
        json!({
            "policy": self.policy,
            "rows": self.rows,
            "failed": failed.collect::<Vec<_>>(),
            "reasons": self.reasons,
            "unreached": unreached.collect::<Vec<_>>(),
        })
    }

    fn prose(&self) -> String {
        let mut out = String::new();
        for Failed { file, line, what } in &self.failed {
            let _ = writeln!(
                out,
                "{} {}:{line}: {}",
                output::styled(BAD, "FAILED"),
                output::plain(&file.display().to_string()),
                output::plain(what)
            );
        }
        for (code, meaning) in &self.unreached {
            let _ = writeln!(
                out,
                "{} no row comes to {code} ({})",
                output::styled(CAREFUL, "unreached"),
                output::plain(meaning)
            );
        }
        let right = self.rows - self.failed.len();
        let style = if self.failed.is_empty() { GOOD } else { BAD };
        let verdict = format!("{right} of {} rows", self.rows);
        let reached = self.reasons - self.unreached.len();
        let _ = writeln!(
            out,
            "{} are ruled as they say by {}; {reached} of its {} reasons are reached",
            output::styled(style, &verdict),
            output::plain(&self.policy),
            self.reasons,
        );
        out
    }
}
