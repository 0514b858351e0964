//! Outages as somebody's own monitor logged them: one JSON object a line.

use std::{
    collections::HashMap,
    io::{BufRead, Read as _},
};

use reprieve_core::time::Millis;
use serde_json::{Map, Value};

use super::{Problem, Refused, TimeUnit, problem::shown};
use crate::Length;

/// The most outages of one file: as many events as a scenario takes.
pub const MAX_OUTAGES: usize = 1_000;
/// The longest line that is read.
const MAX_LINE_BYTES: u64 = 64 << 10;
/// The most targets.
const MAX_TARGETS: usize = 10_000;

/// Somebody was down, as far as the log says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outage {
    pub(crate) target: String,
    pub(crate) began: Millis,
    /// None: the log does not say.
    pub(crate) ended: Option<Millis>,
    /// What the monitor was answered. None: nothing.
    pub(crate) status_code: Option<u16>,
    pub(crate) line: u64,
}

/// One line.
struct Report {
    at: Millis,
    target: String,
    is_up: bool,
    status_code: Option<u16>,
    duration: Option<Millis>,
}

/// In the order in which they began.
pub fn read_outages(
    mut from: impl BufRead,
    unit: Option<TimeUnit>,
) -> Result<Vec<Outage>, Refused> {
    let (mut outages, mut refused) = (Outages::default(), Refused::default());
    let (mut line, mut number) = (Vec::new(), 0);
    // Ends with the file.
    loop {
        line.clear();
        number += 1;
        let unread = |error: std::io::Error| {
            Refused::at_once(Problem::new(number, "file", format!("cannot be read: {error}")))
        };
        let limited = from.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut line);
        if limited.map_err(unread)? == 0 {
            break;
        }
        if line.len() as u64 == MAX_LINE_BYTES {
            let detail = format!("is longer than {MAX_LINE_BYTES} bytes: is it JSON lines?");
            return Err(Refused::at_once(Problem::new(number, "line", detail)));
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        if outages.list.len() == MAX_OUTAGES {
            let detail = format!("more than {MAX_OUTAGES} outages; import a shorter time");
            return Err(Refused::at_once(Problem::new(number, "file", detail)));
        }
        let read = Report::read(&line, number, unit);
        if let Err(problem) = read.and_then(|report| outages.add(report, number)) {
            refused.add(problem);
        }
    }
    if refused.problems.is_empty() && outages.list.is_empty() {
        refused.add(Problem::new(1, "file", "holds no outage"));
    }
    outages.list.sort_by_key(|outage| outage.began);
    refused.or(outages.list)
}

#[derive(Default)]
struct Outages {
    list: Vec<Outage>,
    newest: HashMap<String, Newest>,
}

/// What the log said last of a target.
struct Newest {
    at: Millis,
    line: u64,
    /// The place of the outage that has not ended.
    down: Option<usize>,
}

impl Outages {
    fn add(&mut self, report: Report, line: u64) -> Result<(), Problem> {
        let Report { at, target, is_up, status_code, duration } = report;
        if self.newest.len() == MAX_TARGETS && !self.newest.contains_key(&target) {
            let detail = format!("more than {MAX_TARGETS} targets; import some of them");
            return Err(Problem::new(line, "target", detail));
        }
        let before = self.newest.get(&target);
        if let Some(before) = before.filter(|before| at < before.at) {
            let detail = format!(
                "is {} before line {}, of the same target; sort the lines by time",
                Millis(before.at.0 - at.0),
                before.line
            );
            return Err(Problem::new(line, "time", detail));
        }
        let open = before.and_then(|before| before.down);
        let down = match (is_up, open) {
            // One that says how long it lasted is over whoever says so.
            (false, Some(open)) if self.list[open].ended.is_none() => {
                let detail = format!(
                    "says down, and line {} said so already; say up in between, or how long that \
                     one lasted",
                    self.list[open].line
                );
                return Err(Problem::new(line, "state", detail));
            }
            (false, _) => {
                let ended = duration.map(|lasted| at.saturating_add(lasted));
                let began = at;
                self.list.push(Outage { target: target.clone(), began, ended, status_code, line });
                Some(self.list.len() - 1)
            }
            (true, Some(open)) => {
                self.list[open].ended.get_or_insert(at);
                None
            }
            // A log that begins in the middle of an outage.
            (true, None) => None,
        };
        self.newest.insert(target, Newest { at, line, down });
        Ok(())
    }
}

impl Report {
    fn read(line: &[u8], number: u64, unit: Option<TimeUnit>) -> Result<Self, Problem> {
        let fields: Map<String, Value> = serde_json::from_slice(line).map_err(|error| {
            let said = error.to_string().replace(" at line 1 column ", ", at character ");
            Problem::new(number, "line", format!("is no JSON object: {said}"))
        })?;
        let problem = |field: &str, detail: String| Problem::new(number, field, detail);
        let (field, said, value) = timed(&fields, "time").ok_or_else(|| {
            problem("time", "is missing, as time, time_ms, time_s or time_us".into())
        })?;
        let at = match (said.or(unit), value) {
            (None | Some(TimeUnit::Rfc3339), Value::String(text)) => TimeUnit::Rfc3339.point(text),
            (None, _) => Err(format!(
                "{} has no unit: call it time_ms, time_s or time_us, write it like \
                 \"2026-04-16T09:10:26Z\", or say --unit",
                shown(&value.to_string())
            )),
            (Some(unit), Value::String(text)) => unit.point(text),
            (Some(unit), value) => unit.point(&value.to_string()),
        }
        .map_err(|detail| problem(field, detail))?;
        let target = match fields.get("target") {
            Some(Value::String(target)) if !target.trim().is_empty() => target.trim().to_owned(),
            Some(other) => {
                let detail = format!("{} is no name of who was down", shown(&other.to_string()));
                return Err(problem("target", detail));
            }
            None => return Err(problem("target", "is missing: who was down; \"*\" is all".into())),
        };
        let is_up = match fields.get("state").and_then(Value::as_str) {
            Some("up") => true,
            Some("down") => false,
            Some(other) => {
                let detail = format!("{} is neither \"up\" nor \"down\"", shown(other));
                return Err(problem("state", detail));
            }
            None => return Err(problem("state", "is missing: \"up\" or \"down\"".into())),
        };
        let status_code = status_code(&fields).map_err(|said| problem("status_code", said))?;
        let duration = duration(&fields).map_err(|(field, said)| problem(field, said))?;
        Ok(Self { at, target, is_up, status_code, duration })
    }
}

/// A field whose name is `stem`, with or without a unit.
fn timed<'a>(
    fields: &'a Map<String, Value>,
    stem: &str,
) -> Option<(&'a str, Option<TimeUnit>, &'a Value)> {
    fields.iter().find_map(|(name, value)| {
        let unit = TimeUnit::of_name(name, stem)?;
        Some((name.as_str(), unit, value))
    })
}

fn status_code(fields: &Map<String, Value>) -> Result<Option<u16>, String> {
    const CODES: std::ops::RangeInclusive<u64> = 100..=599;
    match fields.get("status_code") {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_u64() {
            Some(0) => Ok(None),
            Some(code) if CODES.contains(&code) => Ok(u16::try_from(code).ok()),
            Some(_) | None => Err(format!(
                "{} is no status code: 100 to 599, or 0 or null where nobody answered",
                shown(&value.to_string())
            )),
        },
    }
}

fn duration(fields: &Map<String, Value>) -> Result<Option<Millis>, (&str, String)> {
    let Some((field, unit, value)) = timed(fields, "duration") else { return Ok(None) };
    let length = match (unit, value) {
        (_, Value::Null) => return Ok(None),
        (None, Value::String(text)) => Length::parse(text).map(|Length(length)| length).ok_or(()),
        (None, _) => Err(()),
        (Some(unit), value) => {
            return unit.length(&value.to_string()).map(Some).map_err(|said| (field, said));
        }
    };
    length.map(Some).map_err(|()| {
        let detail = format!(
            "{} has no unit: write it like \"90s\" or \"5min\", or call it duration_s or \
             duration_ms",
            shown(&value.to_string())
        );
        (field, detail)
    })
}
