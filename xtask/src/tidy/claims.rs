//! What a document claims in a table is backed by the sources.
//!
//! - A table whose last column is headed `test` names, in each line, at least one
//!   test, and each of them exists.
//! - A table whose first column is headed `log line` begins each line with a
//!   message that the sources log.

use std::collections::BTreeSet;

use super::{File, Finding, has_extension};

const TEST: &str = "test";
const LOG_LINE: &str = "log line";
/// Between `#[test]` and the function: attributes with their reasons.
const MAX_LINES_TO_FUNCTION: usize = 4;

pub(crate) fn tables(files: &[File]) -> Vec<Finding> {
    let tests = tests(files);
    let logged = |message: &str| {
        let message = format!("\"{message}\"");
        files.iter().any(|file| file.is_rust() && file.text.contains(&message))
    };
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| has_extension(&file.path, "md")) {
        for (line, column, cell) in claims(file) {
            let named: Vec<&str> = code_in(cell).collect();
            if named.is_empty() {
                findings.push(file.finding(line, format!("names no {column} in `backticks`")));
            }
            for name in named {
                let exists = if column == TEST { tests.contains(name) } else { logged(name) };
                if !exists {
                    findings.push(file.finding(line, format!("no {column} {name:?} exists")));
                }
            }
        }
    }
    findings
}

/// The cells that claim something, with their lines and what their columns are
/// headed.
fn claims(file: &File) -> Vec<(usize, &'static str, &str)> {
    let mut claims = Vec::new();
    // Of the table that this line is in, if it is in one.
    let mut heads: Option<Vec<&str>> = None;
    for (index, text) in file.text.lines().enumerate() {
        if !text.starts_with('|') {
            heads = None;
            continue;
        }
        let cells: Vec<&str> = text.trim().trim_matches('|').split('|').map(str::trim).collect();
        let Some(heads) = &heads else {
            heads = Some(cells);
            continue;
        };
        if cells.iter().all(|cell| cell.trim_matches(['-', ':']).is_empty()) {
            continue;
        }
        if heads.last() == Some(&TEST) {
            claims.extend(cells.last().map(|cell| (index + 1, TEST, *cell)));
        }
        if heads.first() == Some(&LOG_LINE) {
            claims.extend(cells.first().map(|cell| (index + 1, LOG_LINE, *cell)));
        }
    }
    claims
}

/// What stands between backticks.
fn code_in(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// The names of all tests.
fn tests(files: &[File]) -> BTreeSet<&str> {
    let mut tests = BTreeSet::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        let mut lines = file.text.lines().map(str::trim);
        while let Some(line) = lines.next() {
            if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
                let names = lines.clone().take(MAX_LINES_TO_FUNCTION).find_map(function_name);
                tests.extend(names);
            }
        }
    }
    tests
}

fn function_name(line: &str) -> Option<&str> {
    let line = line.strip_prefix("async ").unwrap_or(line);
    line.strip_prefix("fn ")?.split('(').next()
}

#[cfg(test)]
mod tests {
    use super::{super::fixture, *};

    const SOURCE: &str = "#[test]\n    fn it_holds() {}\n\
        #[tokio::test(start_paused = true)]\n#[allow(x)]\nasync fn it_holds_too() {}\n\
        fn no_test() {}\ntracing::info!(workspace, \"restart begins\");\n";

    #[test]
    fn a_table_that_names_what_is_not_there_is_found() {
        for (case, table, expected) in [
            ("a test", "| x | test |\n|---|---|\n| y | `it_holds` |\n", 0),
            ("two tests", "| x | test |\n|---|---|\n| y | `it_holds`, `it_holds_too` |\n", 0),
            ("no such test", "| x | test |\n|---|---|\n| y | `it_held` |\n", 1),
            ("a function", "| x | test |\n|---|---|\n| y | `no_test` |\n", 1),
            ("a line without a test", "| x | test |\n|---|:-:|\n| y | |\n", 1),
            ("a table of other things", "| test | x |\n|---|---|\n| y | `z` |\n", 0),
            (
                "the table after it",
                "| x | test |\n|---|---|\n\n| a | b |\n|---|---|\n| c | d |\n",
                0,
            ),
            ("a message", "| log line | x |\n|---|---|\n| `restart begins` | y |\n", 0),
            ("no such message", "| log line | x |\n|---|---|\n| `restart began` | y |\n", 1),
        ] {
            let files = fixture(&[("tests/x.rs", SOURCE), ("docs/a.md", table)]);
            let findings = tables(&files);
            assert_eq!(findings.len(), expected, "{case}: {findings:?}");
        }
    }
}
