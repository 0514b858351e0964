//! What is wrong with a file of somebody's history, by line and field.

use serde::Serialize;

/// Problems that are told one by one; all are counted.
pub const MAX_PROBLEMS: usize = 50;

/// Something that is wrong, where, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("line {line}: {field}: {detail}")]
pub struct Problem {
    /// From 1, the header included.
    pub line: u64,
    pub field: String,
    pub detail: String,
}

/// Why a file cannot be used: all of it, so that it is mended in one go.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.told())]
pub struct Refused {
    /// The first [`MAX_PROBLEMS`].
    pub problems: Vec<Problem>,
    /// How many more there are.
    pub more: u64,
}

impl Problem {
    pub(super) fn new(line: u64, field: &str, detail: impl Into<String>) -> Self {
        Self { line, field: field.to_owned(), detail: detail.into() }
    }
}

impl Refused {
    pub(super) fn at_once(problem: Problem) -> Self {
        Self { problems: vec![problem], more: 0 }
    }

    pub(super) fn add(&mut self, problem: Problem) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(problem);
        } else {
            self.more += 1;
        }
    }

    /// `value`, if nothing was wrong.
    pub(super) fn or<T>(self, value: T) -> Result<T, Self> {
        if self.problems.is_empty() { Ok(value) } else { Err(self) }
    }

    /// The first, and how many there are besides.
    fn told(&self) -> String {
        let first = self.problems.first().map(ToString::to_string).unwrap_or_default();
        match self.problems.len() as u64 - 1 + self.more {
            0 => first,
            others => format!("{first} (and {others} more)"),
        }
    }
}

/// A value from elsewhere, short enough to be read.
pub(super) fn shown(value: &str) -> String {
    const MOST: usize = 40;
    let mut shown = format!("{:?}", value.chars().take(MOST).collect::<String>());
    if value.chars().count() > MOST {
        shown += "…";
    }
    shown
}
