//! Probes as somebody's own runtime answered them: how long each took, and whether it
//! was answered at all.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io::Read,
};

use reprieve_core::{evidence::ProbeFault, time::Millis};

use super::{
    Problem, Refused, TimeUnit,
    problem::shown,
    table::{Column, Row, Table},
};

/// The most probes of one file.
pub const MAX_PROBES: usize = 5_000_000;
/// The longest that a probe takes: what takes longer has another unit.
const LONGEST: Millis = Millis(3_600_000);

/// A file of probes. Times count from what the file's count from.
#[derive(Clone, PartialEq, Eq)]
pub struct ProbeTrace {
    /// By workspace; those of none in particular by the empty name.
    pub(crate) of: BTreeMap<String, Vec<RecordedProbe>>,
    pub(crate) ignored: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RecordedProbe {
    pub(crate) at: Millis,
    pub(crate) took: Millis,
    pub(crate) fault: Option<ProbeFault>,
}

impl std::fmt::Debug for ProbeTrace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut sum = DefaultHasher::new();
        self.of.hash(&mut sum);
        let probes = self.count();
        f.debug_struct("ProbeTrace").field("probes", &probes).field("sum", &sum.finish()).finish()
    }
}

struct Columns {
    time: Column,
    duration: Column,
    result: Column,
    workspace: Option<Column>,
}

impl ProbeTrace {
    /// Reads CSV with a header. `unit`: of times whose column says none.
    pub fn read(from: impl Read, unit: Option<TimeUnit>) -> Result<Self, Refused> {
        let mut table = Table::open(from, unit)?;
        let columns = Columns {
            time: table.required(&["time", "send", "sent", "sent_at"])?,
            duration: table.required(&["duration", "took"])?,
            result: table.required(&["result", "answer", "fault"])?,
            workspace: table.column(&["workspace", "target"]),
        };
        let taken = [
            Some(&columns.time),
            Some(&columns.duration),
            Some(&columns.result),
            columns.workspace.as_ref(),
        ];
        let ignored = table.ignored(&taken);
        let mut trace = Self { of: BTreeMap::new(), ignored };
        let (mut probes, mut refused) = (0, Refused::default());
        while let Some(row) = table.next()? {
            if let Some(problem) = row.unit_missing(&columns.time) {
                return Err(Refused::at_once(problem));
            }
            probes += 1;
            if probes > MAX_PROBES {
                let detail = format!("more than {MAX_PROBES} probes; import a shorter time");
                return Err(Refused::at_once(Problem::new(row.line, "file", detail)));
            }
            if let Err(problem) = trace.add(&row, &columns) {
                refused.add(problem);
            }
        }
        if probes == 0 {
            refused.add(Problem::new(2, "file", "holds no probe: there is nothing to play"));
        }
        refused.or(trace)
    }

    fn add(&mut self, row: &Row<'_>, columns: &Columns) -> Result<(), Problem> {
        row.whole()?;
        let name = match &columns.workspace {
            Some(column) if !row.text(column)?.is_empty() => row.name(column)?,
            Some(_) | None => "",
        };
        let Some(at) = row.time(&columns.time)? else {
            return Err(row.problem(&columns.time, "is empty; say when it was asked"));
        };
        let took = row.length(&columns.duration)?;
        if took > LONGEST {
            let detail = format!("is {took}: is the unit right?");
            return Err(row.problem(&columns.duration, detail));
        }
        let fault = fault(row, &columns.result)?;
        let probes = self.of.entry(name.to_owned()).or_default();
        if let Some(before) = probes.last().filter(|before| at < before.at) {
            let ago = Millis(before.at.0 - at.0);
            let detail = format!("is {ago} before the row above it; sort the rows by it");
            return Err(row.problem(&columns.time, detail));
        }
        probes.push(RecordedProbe { at, took, fault });
        Ok(())
    }

    pub fn count(&self) -> usize {
        self.of.values().map(Vec::len).sum()
    }

    /// How a probe of that workspace goes that is asked `at` that time: as the newest
    /// did. Before there is one, as the first.
    pub(crate) fn newest(&self, workspace: &str, at: Millis) -> Option<&RecordedProbe> {
        let probes = self.of.get(workspace).or_else(|| self.of.get(""))?;
        let after = probes.partition_point(|probe| probe.at <= at);
        probes.get(after.saturating_sub(1))
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &RecordedProbe> + Clone {
        self.of.values().flatten()
    }
}

/// What says that it was answered.
const ANSWERS: [&str; 9] =
    ["", "ok", "answer", "running", "starting", "restarting", "paused", "stopped", "missing"];

fn fault(row: &Row<'_>, column: &Column) -> Result<Option<ProbeFault>, Problem> {
    let text = row.text(column)?;
    let word = text.to_lowercase().replace(['-', ' '], "_");
    if ANSWERS.contains(&&*word) {
        return Ok(None);
    }
    let fault = match &*word {
        "timed_out" | "timeout" => ProbeFault::TimedOut,
        "unreachable" => ProbeFault::Unreachable,
        "closed_early" => ProbeFault::ClosedEarly,
        "overloaded" => ProbeFault::Overloaded,
        "denied" => ProbeFault::Denied,
        "malformed" => ProbeFault::Malformed,
        _ => {
            let detail = format!(
                "{} is neither an answer (ok, or what was shown: {}) nor a fault (timed_out, \
                 unreachable, closed_early, overloaded, denied, malformed)",
                shown(text),
                ANSWERS[3..].join(", ")
            );
            return Err(row.problem(column, detail));
        }
    };
    Ok(Some(fault))
}
