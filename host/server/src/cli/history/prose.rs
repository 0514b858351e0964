//! What is understood of a history, for whoever brought it to check.

use std::fmt::Write as _;

use reprieve_core::time::Millis;
use reprieve_lab::history::{SenderTold, Understood};

use crate::cli::{
    output::{self, CAREFUL, HEADING},
    table,
};

/// Workspaces that are shown; `--json` has them all.
const MAX_SHOWN: usize = 40;
/// Silent ones and ignored columns that are named.
const MAX_NAMED: usize = 10;

pub(super) fn understood(history: &Understood) -> String {
    let mut text = format!(
        "{} from {} on, for {}\n",
        output::styled(HEADING, "understood:"),
        history.begins,
        history.lasts
    );
    text += &beats(&history.workspaces);
    if let Some(probes) = &history.probes {
        let _ = writeln!(
            text,
            "{} probes, {} of them faults; half took {} or less, 99 % {}",
            probes.probes,
            probes.faults,
            length(probes.took_p50),
            length(probes.took_p99)
        );
    }
    let events: usize = history.events.values().sum();
    let kinds: Vec<String> =
        history.events.iter().map(|(what, count)| format!("{count} {what}")).collect();
    let _ = match events {
        0 => writeln!(text, "nobody was down"),
        _ => writeln!(
            text,
            "{events} times somebody was, or was called, down ({}); {} of them ended only with a \
             restart",
            kinds.join(", "),
            history.deaths
        ),
    };
    if history.filled > 0 {
        let _ = writeln!(
            text,
            "{} beats are added that would have come, had whoever was down been restarted",
            history.filled
        );
    }
    text + &notes(history)
}

fn beats(workspaces: &[SenderTold]) -> String {
    if workspaces.is_empty() {
        return String::new();
    }
    let beats: usize = workspaces.iter().map(|sender| sender.beats).sum();
    let lost: u64 = workspaces.iter().map(|sender| sender.lost).sum();
    let mut text = format!(
        "{beats} beats of {} {}, and {lost} that were lost\n",
        workspaces.len(),
        if workspaces.len() == 1 { "workspace" } else { "workspaces" }
    );
    let rows: Vec<_> = workspaces.iter().take(MAX_SHOWN).map(row).collect();
    let headings =
        ["WORKSPACE", "BEATS", "LOST", "EVERY", "DELAY P50", "P99", "LONGEST SILENCE", "RUNS"];
    text += &table::print(headings, &rows, |_, _| None);
    if workspaces.len() > MAX_SHOWN {
        let _ = writeln!(text, "and {} more workspaces", workspaces.len() - MAX_SHOWN);
    }
    text
}

/// What is worth a second look.
fn notes(history: &Understood) -> String {
    let silent = history.workspaces.iter().filter_map(|sender| {
        let silence = sender.silent_at_end?;
        let name = output::plain(&sender.name);
        Some(format!(
            "{name} is silent for {silence} at the end; if it was down, add that to the outages"
        ))
    });
    let ignored = history
        .ignored
        .iter()
        .map(|column| format!("the column \"{}\" means nothing here", output::plain(column)));
    let notes = silent.take(MAX_NAMED).chain(ignored.take(MAX_NAMED));
    notes.map(|note| format!("{} {note}\n", output::styled(CAREFUL, "note:"))).collect()
}

fn row(sender: &SenderTold) -> [String; 8] {
    [
        output::plain(&sender.name),
        sender.beats.to_string(),
        sender.lost.to_string(),
        length(sender.interval),
        length(sender.way_p50),
        length(sender.way_p99),
        length(sender.longest_silence),
        sender.runs.to_string(),
    ]
}

fn length(length: Option<Millis>) -> String {
    length.map_or_else(|| "-".to_owned(), |length| length.to_string())
}
