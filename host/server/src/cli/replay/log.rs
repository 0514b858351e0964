//! Where recorded decisions are read from, one at a time: lines, or a host's store.

use std::{
    collections::VecDeque,
    fs::File,
    io::{BufRead, BufReader, Read as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use reprieve_core::decision::Decision;
use reprieve_lab::replay::{BadLine, MAX_LINE_BYTES, read_line};

use crate::store::{DecisionReader, DecisionRow};

/// Decisions that are read from a store at once.
const PAGE: u32 = 1_000;

pub(in crate::cli) struct Log {
    name: String,
    from: From,
}

enum From {
    Lines { lines: Box<dyn BufRead>, number: u64, line: Vec<u8> },
    Store { reader: DecisionReader, folder: PathBuf, after: u64, page: VecDeque<DecisionRow> },
}

/// What is no decision, and where it stands in its log.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {why}")]
pub(in crate::cli) struct Bad {
    /// "line 7" of a file, "decision 01a2…" of a store.
    place: String,
    why: BadLine,
}

impl Log {
    pub(in crate::cli) fn open(path: &Path) -> anyhow::Result<Self> {
        let name = path.display().to_string();
        let lines = |lines| From::Lines { lines, number: 0, line: Vec::new() };
        let from = if path == Path::new("-") {
            lines(Box::new(BufReader::new(std::io::stdin())) as Box<dyn BufRead>)
        } else if path.is_dir() {
            let reader = DecisionReader::open(path)
                .with_context(|| format!("cannot read the decisions in {name}"))?;
            let (folder, page) = (path.to_owned(), VecDeque::new());
            From::Store { reader, folder, after: 0, page }
        } else {
            let file = File::open(path).with_context(|| format!("cannot read the log {name}"))?;
            lines(Box::new(BufReader::new(file)))
        };
        Ok(Self { name, from })
    }

    pub(in crate::cli) fn name(&self) -> &str {
        &self.name
    }

    /// The state folder that it is in, if it is a host's own.
    pub(super) fn folder(&self) -> Option<&Path> {
        match &self.from {
            From::Lines { .. } => None,
            From::Store { folder, .. } => Some(folder),
        }
    }

    pub(in crate::cli) fn next(&mut self) -> anyhow::Result<Option<Result<Decision, Bad>>> {
        match &mut self.from {
            From::Lines { lines, number, line } => {
                next_line(lines, number, line).with_context(|| format!("cannot read {}", self.name))
            }
            From::Store { reader, after, page, .. } => next_row(reader, after, page)
                .with_context(|| format!("cannot read the decisions in {}", self.name)),
        }
    }
}

/// Skips what is empty. A line that is too long is read past, not kept.
fn next_line(
    lines: &mut Box<dyn BufRead>,
    number: &mut u64,
    line: &mut Vec<u8>,
) -> std::io::Result<Option<Result<Decision, Bad>>> {
    // Ends with the log.
    loop {
        line.clear();
        let limit = MAX_LINE_BYTES as u64 + 1;
        if lines.by_ref().take(limit).read_until(b'\n', line)? == 0 {
            return Ok(None);
        }
        *number += 1;
        if line.len() > MAX_LINE_BYTES && line.last() != Some(&b'\n') {
            lines.skip_until(b'\n')?;
        }
        let bad = |why| Bad { place: format!("line {number}"), why };
        if let Some(read) = read_line(line).map_err(bad).transpose() {
            return Ok(Some(read));
        }
    }
}

/// The next decision of a store.
fn next_row(
    reader: &DecisionReader,
    after: &mut u64,
    page: &mut VecDeque<DecisionRow>,
) -> anyhow::Result<Option<Result<Decision, Bad>>> {
    if page.is_empty() {
        page.extend(reader.page(*after, PAGE)?);
    }
    let Some(DecisionRow { place, id, json }) = page.pop_front() else { return Ok(None) };
    *after = place;
    let read = match read_line(&json) {
        Ok(Some(decision)) => Ok(decision),
        Ok(None) => Err(BadLine::Malformed { detail: "it is empty".to_owned() }),
        Err(why) => Err(why),
    };
    Ok(Some(read.map_err(|why| Bad { place: format!("decision {id}"), why })))
}
