//! `reprieve audit`: who did what with the admin API.

use clap::Args;
use reprieve_core::time::UnixMillis;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    connection::AdminArgs,
    explain::facts,
    output::{self, BAD, FAINT, GOOD},
};

/// List who did what with the admin API, and what was refused, oldest first.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  reprieve audit --limit 20
  reprieve audit --json | jq 'select(.who == \"anna\")'")]
pub(crate) struct AuditArgs {
    /// The newest so many.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    limit: u32,

    /// One JSON object a line.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    admin: AdminArgs,
}

#[derive(Deserialize)]
struct Page {
    entries: Vec<Entry>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    number: u64,
    at_ms: u64,
    #[serde(default)]
    who: Option<String>,
    #[serde(default)]
    peer: Option<String>,
    route: String,
    target: String,
    #[serde(default)]
    tenant: Option<String>,
    status: u16,
    #[serde(default)]
    detail: Option<String>,
    #[serde(default)]
    before: Option<Value>,
    #[serde(default)]
    after: Option<Value>,
    #[serde(default)]
    left_out: u64,
}

pub(crate) async fn audit(args: &AuditArgs) -> anyhow::Result<u8> {
    let page: Page = args.admin.client()?.get(&format!("audit?limit={}", args.limit)).await?;
    let lines = page.entries.iter().rev().map(|entry| line(entry, args.json));
    output::print(&lines.collect::<String>())?;
    Ok(output::OK)
}

fn line(entry: &Entry, json: bool) -> String {
    if json {
        return serde_json::to_string(entry).unwrap_or_default() + "\n";
    }
    let style = if entry.status < 400 { GOOD } else { BAD };
    let method = entry.route.split(' ').next().unwrap_or_default();
    let mut text = format!(
        "{} {:<12} {} {method:<6} {}",
        output::styled(FAINT, facts::date(UnixMillis(entry.at_ms)).trim_end_matches(" UTC")),
        entry.who.as_deref().unwrap_or("-"),
        output::styled(style, &entry.status.to_string()),
        entry.target,
    );
    if let (Some(before), Some(after)) = (&entry.before, &entry.after) {
        text += &format!("  {before} -> {after}");
    } else if let Some(state) = entry.after.as_ref().or(entry.before.as_ref()) {
        text += &format!("  {state}");
    }
    if let Some(detail) = &entry.detail {
        text += &format!("  ({detail})");
    }
    if entry.left_out > 0 {
        text += &format!("  [{} refused attempts before it were left out]", entry.left_out);
    }
    text + "\n"
}
