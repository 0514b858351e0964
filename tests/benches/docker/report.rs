//! What was measured: tables for people, JSON for machines.

use std::{path::Path, time::Duration};

use serde::Serialize;

/// The machine is named by `cargo xtask bench`: a figure without it tells nothing.
pub(crate) const MACHINE: &str = "REPRIEVE_MACHINE";
/// A file that gets the figures as JSON.
pub(crate) const JSON: &str = "REPRIEVE_JSON";

#[derive(Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Option<String>,
    pub(crate) containers: usize,
    pub(crate) watched_for_s: f64,
    pub(crate) watchers: Vec<Watcher>,
    pub(crate) exits: Vec<Exits>,
    pub(crate) resident_after_exits_mib: f64,
}

/// What a watcher cost, with a fleet that is well. CPU is in % of a core.
#[derive(Serialize)]
pub(crate) struct Watcher {
    pub(crate) name: &'static str,
    pub(crate) inspects_per_s: f64,
    pub(crate) other_questions_per_s: Option<f64>,
    pub(crate) cpu_percent: Option<f64>,
    pub(crate) dockerd_cpu_percent: f64,
    pub(crate) resident_mib: Option<f64>,
}

/// Exits, one after the other.
#[derive(Serialize)]
pub(crate) struct Exits {
    /// By what the host knew of them.
    pub(crate) known: &'static str,
    pub(crate) count: usize,
    pub(crate) times: Vec<Times>,
}

/// How long something took, over all exits.
#[derive(Serialize)]
pub(crate) struct Times {
    pub(crate) what: &'static str,
    p50_ms: f64,
    p90_ms: f64,
    p99_ms: f64,
    longest_ms: f64,
}

impl Times {
    /// None: it was not measured.
    pub(crate) fn of(what: &'static str, mut each_ms: Vec<f64>) -> Option<Self> {
        if each_ms.is_empty() {
            return None;
        }
        each_ms.sort_by(f64::total_cmp);
        let at = |percent: usize| each_ms[(each_ms.len() * percent).div_ceil(100).max(1) - 1];
        Some(Self { what, p50_ms: at(50), p90_ms: at(90), p99_ms: at(99), longest_ms: at(100) })
    }
}

/// The part of a core that was used.
pub(crate) fn percent(cpu: Duration, of: Duration) -> f64 {
    100.0 * cpu.as_secs_f64() / of.as_secs_f64()
}

impl Report {
    pub(crate) fn print_watchers(containers: usize, watched_for_s: f64, watchers: &[Watcher]) {
        println!(
            "\n{containers} containers that are well, watched for {watched_for_s} s; CPU in % of a core"
        );
        println!(
            "| watcher | inspects/s | other questions/s | its CPU | x events | dockerd's CPU | x events | its memory |"
        );
        println!("|---|---|---|---|---|---|---|---|");
        let base = watchers.iter().find(|watcher| watcher.name == "docker events").unwrap();
        for watcher in watchers {
            let ratio = |this: Option<f64>, other: Option<f64>| {
                let (this, other) = this.zip(other).filter(|(_, other)| *other > 0.0)?;
                Some(this / other)
            };
            let events_cpu = (base.cpu_percent, base.dockerd_cpu_percent);
            println!(
                "| {} | {:.1} | {} | {} | {} | {:.2} | {} | {} |",
                watcher.name,
                watcher.inspects_per_s,
                shown(watcher.other_questions_per_s, 1, ""),
                shown(watcher.cpu_percent, 2, ""),
                shown(ratio(watcher.cpu_percent, events_cpu.0), 1, ""),
                watcher.dockerd_cpu_percent,
                shown(ratio(Some(watcher.dockerd_cpu_percent), Some(events_cpu.1)), 1, ""),
                shown(watcher.resident_mib, 1, " MiB"),
            );
        }
    }

    pub(crate) fn print_memory(&self) {
        let mib = self.resident_after_exits_mib;
        println!("memory of reprieve after the first of these exits: {mib:.1} MiB");
    }

    pub(crate) fn write(&self, file: &Path) {
        let text = serde_json::to_string_pretty(self).unwrap() + "\n";
        std::fs::write(file, text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        eprintln!("the figures are in {}", file.display());
    }
}

impl Exits {
    pub(crate) fn print(&self) {
        println!("\n{} exits, known {}, one after the other; ms", self.count, self.known);
        println!("| from, to | p50 | p90 | p99 | longest |");
        println!("|---|---|---|---|---|");
        for times in &self.times {
            let Times { what, p50_ms, p90_ms, p99_ms, longest_ms } = times;
            println!("| {what} | {p50_ms:.1} | {p90_ms:.1} | {p99_ms:.1} | {longest_ms:.1} |");
        }
    }
}

fn shown(figure: Option<f64>, digits: usize, unit: &str) -> String {
    figure.map_or("-".to_owned(), |figure| format!("{figure:.digits$}{unit}"))
}
