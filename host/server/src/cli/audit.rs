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
  reprieve audit --limit 1000 --before 4711
  reprieve audit --json | jq 'select(.who == \"anna\")'")]
pub(crate) struct AuditArgs {
    /// The newest so many.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    limit: u32,

    /// Only entries older than the one of this number.
    #[arg(long, value_name = "NUMBER")]
    before: Option<u64>,

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
    let page: Page = args.admin.client()?.get(&path(args)).await?;
    let lines = page.entries.iter().rev().map(|entry| line(entry, args.json));
    output::print(&lines.collect::<String>())?;
    Ok(output::OK)
}

fn path(args: &AuditArgs) -> String {
    let before = args.before.map(|number| format!("&before={number}"));
    format!("audit?limit={}{}", args.limit, before.unwrap_or_default())
}

fn line(entry: &Entry, json: bool) -> String {
    if json {
        return serde_json::to_string(entry).unwrap_or_default() + "\n";
    }
    let style = if entry.status < 400 { GOOD } else { BAD };
    let method = entry.route.split(' ').next().unwrap_or_default();
    let mut text = format!(
        "{:>6} {} {:<12} {} {method:<6} {}",
        output::styled(FAINT, &entry.number.to_string()),
        output::styled(FAINT, facts::date(UnixMillis(entry.at_ms)).trim_end_matches(" UTC")),
        output::plain(entry.who.as_deref().unwrap_or("-")),
        output::styled(style, &entry.status.to_string()),
        output::plain(&entry.target),
    );
    if let (Some(before), Some(after)) = (&entry.before, &entry.after) {
        text += &format!("  {before} -> {after}");
    } else if let Some(state) = entry.after.as_ref().or(entry.before.as_ref()) {
        text += &format!("  {state}");
    }
    if let Some(detail) = &entry.detail {
        text += &format!("  ({})", output::plain(detail));
    }
    if entry.left_out > 0 {
        text += &format!("  [{} refused attempts before it were left out]", entry.left_out);
    }
    text + "\n"
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use serde_json::json;

    use super::*;

    #[derive(clap::Parser)]
    struct Given {
        #[command(flatten)]
        audit: AuditArgs,
    }

    #[test]
    fn older_entries_are_asked_for_by_number() {
        let asked = |arguments: &[&str]| {
            path(&Given::try_parse_from([&["audit"], arguments].concat()).unwrap().audit)
        };
        assert_eq!(asked(&[]), "audit?limit=50");
        assert_eq!(asked(&["--limit", "7", "--before", "12"]), "audit?limit=7&before=12");
    }

    #[test]
    fn what_others_wrote_does_not_reach_the_terminal_as_it_is() {
        let entry = json!({"number": 1, "at_ms": 0, "route": "POST /x", "target": "/x\u{1b}[2J",
            "status": 404, "detail": "sent\r\ntwice"});
        let entry: Entry = serde_json::from_value(entry).unwrap();
        let shown = anstream::adapter::strip_str(&line(&entry, false)).to_string();
        assert!(shown.contains("/x\\u{1b}[2J  (sent\\u{d}\\u{a}twice)"), "{shown:?}");
    }
}
