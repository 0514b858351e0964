//! The host's answers about settings, for people.

use std::fmt::Write as _;

use reprieve_core::settings::Layer;
use reprieve_core::time::UnixMillis;
use serde_json::Value;

use super::number;
use crate::cli::{
    explain::facts,
    output::{self, BAD, CAREFUL, FAINT, GOOD, HEADING},
};

/// Columns as wide as they need to be.
fn table<const N: usize>(headings: [&str; N], rows: &[[String; N]]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([headings[column].len()]).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |cells: [&str; N]| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let mut text = output::styled(HEADING, &line(headings)) + "\n";
    for row in rows {
        text += &line(row.each_ref().map(String::as_str));
        text.push('\n');
    }
    text
}

pub(super) fn shown(shown: &Value) -> String {
    let of = |setting: &Value| {
        let mut origin = words(&setting["origin"]);
        if setting["source"].is_null() {
            origin = "default".to_owned();
        }
        [words(&setting["key"]), value(&setting["value"]), words(&setting["allowed"]), origin]
    };
    let rows: Vec<_> = list(&shown["settings"]).iter().map(of).collect();
    let layer = layer(&shown["layer"]);
    let tenant = match &layer {
        Some(Layer::Workspace(_)) => format!(" of tenant {}", words(&shown["tenant"])),
        _ => String::new(),
    };
    format!(
        "{}{tenant}: {}, version {}\n{}",
        output::styled(HEADING, &layer.map(|layer| layer.name()).unwrap_or_default()),
        counted(shown["workspaces"].as_u64().unwrap_or_default(), "workspace"),
        shown["version"],
        table(["setting", "value", "allowed", "from"], &rows),
    ) + &output::styled(
        FAINT,
        &format!(
            "policy {}, generation {}, settings {:.12}\n",
            words(&shown["policy"]),
            shown["generation"],
            words(&shown["digest"])
        ),
    )
}

pub(super) fn preview(preview: &Value) -> String {
    let of = |key: &Value| {
        let own = match key["own"].as_u64().unwrap_or_default() {
            0 => String::new(),
            own => format!("{own} keep a nearer value"),
        };
        [
            words(&key["key"]),
            value(&key["before"]),
            value(&key["after"]),
            key["workspaces"].to_string(),
            own,
        ]
    };
    let rows: Vec<_> = list(&preview["keys"]).iter().map(of).collect();
    let mut text = table(["setting", "now", "then", "workspaces", ""], &rows);
    let tenants = preview["tenants"].as_object().map_or(0, serde_json::Map::len);
    let _ = writeln!(
        text,
        "Would change {} of {}. Nothing has changed yet; the version is {}.",
        counted(preview["workspaces"].as_u64().unwrap_or_default(), "workspace"),
        counted(tenants as u64, "tenant"),
        preview["version"]
    );
    for note in list(&preview["notes"]) {
        let _ = writeln!(text, "{} {}", output::styled(CAREFUL, "note:"), words(note));
    }
    text
}

pub(super) fn change(change: &Value, done: &str) -> String {
    let made = number(&change["number"]);
    let of = layer(&change["layer"]).map(|layer| layer.name()).unwrap_or_default();
    let mut text = match change["undo_of"].as_u64() {
        Some(undone) => format!("Change {undone} is {done} by change {made}: {of}\n"),
        None => format!("Change {made} is {done}: {of}\n"),
    };
    text = output::styled(GOOD, text.trim_end()) + "\n";
    text += &differences(change);
    let _ = writeln!(
        text,
        "In force from the next decision on. Back: reprieve settings undo {made} --why …"
    );
    text
}

pub(super) fn history(answer: &Value) -> String {
    let mut text = String::new();
    for change in list(&answer["changes"]).iter().rev() {
        let at = UnixMillis(change["at"].as_u64().unwrap_or_default());
        let of = layer(&change["layer"]).map(|layer| layer.name()).unwrap_or_default();
        let undo = match change["undo_of"].as_u64() {
            Some(undone) => format!(", undoes {undone}"),
            None => String::new(),
        };
        let heading = format!("change {}: {of}{undo}", number(&change["number"]));
        let _ = writeln!(
            text,
            "{} {} by {}",
            output::styled(HEADING, &heading),
            output::styled(FAINT, &facts::date(at)),
            words(&change["who"]),
        );
        let why = words(&change["why"]);
        if !why.is_empty() {
            let _ = writeln!(text, "  why: {why}");
        }
        text += &differences(change);
    }
    if text.is_empty() { "No change is on record.\n".to_owned() } else { text }
}

pub(super) fn status(status: &Value) -> String {
    let mut text = format!(
        "policy {}, generation {}; {} layers have applied settings, the newest change is {}\n",
        words(&status["policy"]),
        status["generation"],
        status["layers_applied"],
        status["newest_change"],
    );
    let files = &status["files"];
    for problem in list(&files["problems"]) {
        let _ = writeln!(
            text,
            "{} {}",
            output::styled(BAD, "files not taken, the former settings stay:"),
            words(problem)
        );
    }
    for section in list(&files["needs_restart"]) {
        let _ = writeln!(
            text,
            "{} the section {} of the configuration has changed",
            output::styled(CAREFUL, "needs a restart:"),
            words(section)
        );
    }
    for aside in list(&status["set_aside"]) {
        let of = layer(&aside["layer"]).map(|layer| layer.name()).unwrap_or_default();
        let problems: Vec<String> = list(&aside["problems"]).iter().map(words).collect();
        let why = match problems.is_empty() {
            true => "it is not here".to_owned(),
            false => problems.join("; "),
        };
        let _ = writeln!(
            text,
            "{} what was applied to {of} (version {}): {why}",
            output::styled(BAD, "set aside:"),
            aside["version"]
        );
    }
    text
}

/// "  settle: not applied -> 90s", one line for each key.
fn differences(change: &Value) -> String {
    let side = |side: &str, key: &str| match &change[side][key] {
        Value::Null => "not applied".to_owned(),
        own => value(own),
    };
    let keys = change["after"].as_object().into_iter().flatten();
    keys.map(|(key, _)| format!("  {key}: {} -> {}\n", side("before", key), side("after", key)))
        .collect()
}

fn layer(value: &Value) -> Option<Layer> {
    serde_json::from_value(value.clone()).ok()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// "1 workspace", "2 workspaces"
fn counted(number: u64, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    }
}

/// A text, or nothing.
fn words(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// A setting's value as people write it.
fn value(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn a_preview_reads_as_a_table_and_a_sentence() {
        let told = preview(&json!({
            "version": 3, "workspaces": 12, "tenants": {"acme": 12},
            "keys": [
                {"key": "settle", "before": "1min", "after": "90s", "workspaces": 12, "own": 2},
                {"key": "restart_budget", "before": 5, "after": 3, "workspaces": 0, "own": 0},
            ],
            "notes": ["no workspace of tenant acmee is here now; did you mean acme?"],
        }));
        insta::assert_snapshot!(plain(&told), @r"
        setting         now   then  workspaces
        settle          1min  90s   12          2 keep a nearer value
        restart_budget  5     3     0
        Would change 12 workspaces of 1 tenant. Nothing has changed yet; the version is 3.
        note: no workspace of tenant acmee is here now; did you mean acme?
        ");
    }

    #[test]
    fn a_history_tells_who_when_what_and_why() {
        let told = history(&json!({"changes": [
            {"number": 13, "at": 1_764_000_060_000_u64, "who": "bob", "why": "", "layer": {"tenant": "acme"},
             "before": {"settle": "90s"}, "after": {"settle": null}, "undo_of": 12},
            {"number": 12, "at": 1_764_000_000_000_u64, "who": "ana", "why": "slow imports",
             "layer": {"tenant": "acme"}, "before": {"settle": null}, "after": {"settle": "90s"},
             "undo_of": null},
        ]}));
        insta::assert_snapshot!(plain(&told), @r"
        change 12: tenant acme 2025-11-24 16:00:00.000 UTC by ana
          why: slow imports
          settle: not applied -> 90s
        change 13: tenant acme, undoes 12 2025-11-24 16:01:00.000 UTC by bob
          settle: 90s -> not applied
        ");
    }
}
