//! `reprieve policy diff`: where two policies rule the same evidence otherwise.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;
use reprieve_core::causes::with_causes;
use reprieve_runtime::{
    Generation, Policy,
    table::{Expected, Judges, Row, why_none},
};
use serde_json::{Value, json};

use super::{
    check::settings_in,
    project::{Meant, engine, judging},
};
use crate::{
    cli::{
        output::{self, CAREFUL, GOOD, UsageError},
        table,
    },
    tables::{self, Placed},
};

/// Show which rows of a table, or of recorded decisions, two policies rule otherwise.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  reprieve policy diff default ./my-policy.wasm --on ./judgements.toml
  reprieve policy diff default . --on ./night.jsonl
                        after `reprieve decisions --json --limit 100000 > night.jsonl`
  reprieve policy diff ./v1.wasm ./v2.wasm --on ./night.jsonl --settings ./fleet.toml

Decisions are judged again from the evidence on record. What only one of the policies
asks is not there: such a row has no answer, is counted, and is no difference.

Exit codes: 0 they rule alike; 1 they differ; 2 the question was wrong.")]
pub(in crate::cli) struct DiffArgs {
    /// A component, the name of a built-in policy, or the folder of a project.
    #[arg(value_name = "A")]
    a: PathBuf,
    /// Another one.
    #[arg(value_name = "B")]
    b: PathBuf,
    /// A table of judgements; or `*.jsonl` of decisions on record.
    #[arg(long, value_name = "FILE")]
    on: PathBuf,
    /// Settings for both, as a TOML table. Rows that name settings keep theirs.
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// The result as JSON, for machines.
    #[arg(long)]
    json: bool,
}

pub(super) fn diff(args: &DiffArgs) -> anyhow::Result<u8> {
    let rows = tables::read(&args.on).map_err(UsageError::of)?;
    let fleet = args.settings.as_deref().map(settings_in).transpose()?.unwrap_or_default();
    let engine = engine()?;
    let load = |policy: &Path| -> anyhow::Result<(Arc<Policy>, Generation)> {
        let policy = Meant::by(policy)?.load(&engine)?;
        let generation = judging(&policy, fleet.clone())?;
        Ok((policy, generation))
    };
    let ((a, by_a), (b, by_b)) = (load(&args.a)?, load(&args.b)?);
    let report = compared(&rows, &by_a, &by_b);
    let names = [a.label(), b.label()];
    let text = match args.json {
        true => format!("{:#}\n", report.to_json(names)),
        false => report.prose(names, &args.on),
    };
    output::print(&text)?;
    Ok(if report.changed.is_empty() { output::OK } else { output::NO })
}

/// Where two policies differ.
#[derive(Default)]
struct Report {
    rows: usize,
    changed: Vec<Changed>,
    /// Rows that one of them, or both, did not answer: each with the reason.
    unanswered: BTreeMap<String, usize>,
}

struct Changed {
    line: usize,
    name: String,
    a: Expected,
    b: Expected,
}

fn compared(rows: &[Placed], by_a: &Generation, by_b: &Generation) -> Report {
    let (mut a, mut b) = (Judges::new(by_a), Judges::new(by_b));
    let mut report = Report { rows: rows.len(), ..Report::default() };
    for Placed { line, row } in rows {
        match (answer(&mut a, row), answer(&mut b, row)) {
            (Ok(a), Ok(b)) if a == b => {}
            (Ok(a), Ok(b)) => {
                report.changed.push(Changed { line: *line, name: row.name.clone(), a, b });
            }
            (Err(why), _) | (_, Err(why)) => *report.unanswered.entry(why).or_default() += 1,
        }
    }
    report
}

fn answer(judges: &mut Judges<'_>, row: &Row) -> Result<Expected, String> {
    let decided = judges.put(row).map_err(|refused| with_causes(&refused))?;
    Expected::of(&decided.outcome).ok_or_else(|| why_none(&decided.outcome))
}

impl Report {
    fn to_json(&self, [a, b]: [&str; 2]) -> Value {
        let changed = self.changed.iter().map(|changed| {
            json!({
                "line": changed.line,
                "name": changed.name,
                "a": changed.a.to_string(),
                "b": changed.b.to_string(),
            })
        });
        json!({
            "a": a,
            "b": b,
            "rows": self.rows,
            "changed": changed.collect::<Vec<_>>(),
            "unanswered": self.unanswered,
        })
    }

    fn prose(&self, [a, b]: [&str; 2], on: &Path) -> String {
        let mut out = String::new();
        let on = output::plain(&on.display().to_string());
        for Changed { line, name, a, b } in &self.changed {
            let _ = writeln!(
                out,
                "{} {on}:{line}: {:?}\n  a  {a}\n  b  {b}",
                output::styled(CAREFUL, "differs"),
                output::plain(name),
            );
        }
        out += &self.kinds();
        let (a, b) = (output::plain(a), output::plain(b));
        let count = format!("{} of {} rows", self.changed.len(), self.rows);
        let style = if self.changed.is_empty() { GOOD } else { CAREFUL };
        let count = output::styled(style, &count);
        let _ = writeln!(out, "{count} are ruled otherwise by {b} (b) than by {a} (a)");
        for (why, count) in &self.unanswered {
            let _ = writeln!(out, "  {count} have no answer: {}", output::plain(why));
        }
        out
    }

    /// How often each change occurs. Nothing, if each occurs once.
    fn kinds(&self) -> String {
        let mut kinds: BTreeMap<[String; 2], usize> = BTreeMap::new();
        for changed in &self.changed {
            *kinds.entry([changed.a.to_string(), changed.b.to_string()]).or_default() += 1;
        }
        if kinds.len() == self.changed.len() {
            return String::new();
        }
        let mut rows: Vec<_> = kinds.into_iter().collect();
        rows.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let rows = rows.into_iter().map(|([a, b], count)| [count.to_string(), a, b]);
        table::print(["ROWS", "A", "B"], &rows.collect::<Vec<_>>(), |_, _| None)
    }
}
