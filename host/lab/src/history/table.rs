//! CSV with a header: which column is which, and rows one at a time.

use std::io::Read;

use csv::{ByteRecord, Reader, ReaderBuilder};
use reprieve_core::time::Millis;

use super::{Problem, Refused, TimeUnit, problem::shown};
use crate::Length;

/// A name longer than this is none.
const MAX_NAME_CHARS: usize = 128;

/// A file under way.
pub(super) struct Table<R: Read> {
    rows: Reader<R>,
    header: Vec<String>,
    /// For columns whose names say none.
    unit: Option<TimeUnit>,
    row: ByteRecord,
}

/// One column.
#[derive(Clone, Debug)]
pub(super) struct Column {
    place: usize,
    /// As the file writes it.
    pub(super) name: String,
    unit: Option<TimeUnit>,
}

/// One row, for as long as it is looked at.
pub(super) struct Row<'a> {
    values: &'a ByteRecord,
    columns: usize,
    pub(super) line: u64,
}

impl<R: Read> Table<R> {
    pub(super) fn open(from: R, unit: Option<TimeUnit>) -> Result<Self, Refused> {
        let mut rows = ReaderBuilder::new().flexible(true).has_headers(false).from_reader(from);
        let mut row = ByteRecord::new();
        let is_there = rows.read_byte_record(&mut row).map_err(|error| unread(1, &error))?;
        if !is_there {
            return Err(Refused::at_once(Problem::new(1, "header", "the file is empty")));
        }
        let header = row.iter().map(|name| String::from_utf8_lossy(name).trim().to_owned());
        let header = header.collect();
        Ok(Self { rows, header, unit, row })
    }

    /// The first column that one of the `stems` names, with or without a unit.
    pub(super) fn column(&self, stems: &[&str]) -> Option<Column> {
        self.header.iter().enumerate().find_map(|(place, name)| {
            let plain = name.to_lowercase().replace(['-', ' '], "_");
            let said = stems.iter().find_map(|stem| TimeUnit::of_name(&plain, stem))?;
            Some(Column { place, name: name.clone(), unit: said.or(self.unit) })
        })
    }

    /// The same, for one that has to be there.
    pub(super) fn required(&self, stems: &[&str]) -> Result<Column, Refused> {
        self.column(stems).ok_or_else(|| {
            let there: Vec<&str> = self.header.iter().map(String::as_str).collect();
            let detail = format!(
                "has no column {:?} (nor {}); its columns are {}",
                stems[0],
                stems[1..].join(", "),
                shown(&there.join(", "))
            );
            Refused::at_once(Problem::new(1, "header", detail))
        })
    }

    /// Columns that mean nothing here.
    pub(super) fn ignored(&self, taken: &[Option<&Column>]) -> Vec<String> {
        let is_taken = |place: usize| taken.iter().flatten().any(|column| column.place == place);
        let others = self.header.iter().enumerate().filter(|(place, _)| !is_taken(*place));
        others.map(|(_, name)| name.clone()).collect()
    }

    /// None: the file ends.
    pub(super) fn next(&mut self) -> Result<Option<Row<'_>>, Refused> {
        let line = self.rows.position().line();
        if !self.rows.read_byte_record(&mut self.row).map_err(|error| unread(line, &error))? {
            return Ok(None);
        }
        let line = self.row.position().map_or(line, csv::Position::line);
        Ok(Some(Row { values: &self.row, columns: self.header.len(), line }))
    }
}

fn unread(line: u64, error: &csv::Error) -> Refused {
    Refused::at_once(Problem::new(line, "file", format!("cannot be read: {error}")))
}

impl Row<'_> {
    pub(super) fn problem(&self, column: &Column, detail: impl Into<String>) -> Problem {
        Problem::new(self.line, &column.name, detail)
    }

    /// As many values as the header has names.
    pub(super) fn whole(&self) -> Result<(), Problem> {
        if self.values.len() == self.columns {
            return Ok(());
        }
        let detail =
            format!("has {} values, and the header {} names", self.values.len(), self.columns);
        Err(Problem::new(self.line, "row", detail))
    }

    pub(super) fn text(&self, column: &Column) -> Result<&str, Problem> {
        let value = self.values.get(column.place).unwrap_or_default();
        let text = std::str::from_utf8(value);
        text.map(str::trim).map_err(|_| self.problem(column, "is no UTF-8"))
    }

    pub(super) fn name(&self, column: &Column) -> Result<&str, Problem> {
        let name = self.text(column)?;
        let is_name = !name.is_empty()
            && name.chars().count() <= MAX_NAME_CHARS
            && !name.chars().any(char::is_control);
        if is_name {
            return Ok(name);
        }
        let detail = format!(
            "{} is no name; it has 1 to {MAX_NAME_CHARS} characters that can be printed",
            shown(name)
        );
        Err(self.problem(column, detail))
    }

    pub(super) fn count(&self, column: &Column) -> Result<u64, Problem> {
        let text = self.text(column)?;
        text.parse().map_err(|_| {
            self.problem(
                column,
                format!("{} is no number from 0 on without a fraction", shown(text)),
            )
        })
    }

    /// None: it is left empty.
    pub(super) fn time(&self, column: &Column) -> Result<Option<Millis>, Problem> {
        let text = self.text(column)?;
        if text.is_empty() {
            return Ok(None);
        }
        let point = column.unit.unwrap_or(TimeUnit::Rfc3339).point(text);
        point.map(Some).map_err(|detail| self.problem(column, detail))
    }

    /// A number in the column's unit, or a text that carries its own: `250ms`.
    pub(super) fn length(&self, column: &Column) -> Result<Millis, Problem> {
        let text = self.text(column)?;
        let length = match column.unit {
            Some(unit) => unit.length(text),
            None => Length::parse(text).map(|Length(length)| length).ok_or_else(|| {
                format!("{} is no length of time; write it like \"250ms\" or \"1.5s\"", shown(text))
            }),
        };
        length.map_err(|detail| self.problem(column, detail))
    }

    /// A number in a column that says no unit: all rows would be wrong alike.
    pub(super) fn unit_missing(&self, column: &Column) -> Option<Problem> {
        let text = self.text(column).ok()?;
        let is_bare = column.unit.is_none() && text.parse::<f64>().is_ok();
        is_bare.then(|| {
            let name = &column.name;
            let detail = format!(
                "{} has no unit: call the column {name}_ms, {name}_s, {name}_us or {name}_ns, or \
                 say --unit",
                shown(text)
            );
            self.problem(column, detail)
        })
    }
}
