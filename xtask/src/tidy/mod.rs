//! `cargo xtask tidy`: the house rules that a machine can hold.
//!
//! - [`walls`]: who may depend on whom, and what may be named where
//! - [`size`]: files and functions that want to be two
//! - [`text`]: what may stand nowhere
//! - [`docs`]: folders explain themselves, links resolve
//! - [`claims`]: tests and log lines that documents name exist
//!
//! Each rule is a function of the files, so its test is a tiny fixture that it
//! must bite on.

mod claims;
mod docs;
mod size;
mod text;
mod walls;

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail, ensure};

use crate::say;

/// A file of the project, with its path from the root.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// Something that breaks a rule.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    pub(crate) path: String,
    /// From 1; 0 where the whole file is concerned.
    pub(crate) line: usize,
    pub(crate) message: String,
}

type Rule = fn(&[File]) -> Vec<Finding>;

const RULES: [Rule; 10] = [
    walls::dependencies,
    walls::edges,
    walls::homes,
    size::files,
    size::functions,
    text::nowhere,
    text::sleeping_tests,
    docs::folders,
    docs::links,
    claims::tables,
];

/// Checks every file that git knows or would add.
pub(crate) fn run(root: &Path) -> anyhow::Result<()> {
    let files = files(root)?;
    let mut findings: Vec<Finding> = RULES.iter().flat_map(|rule| rule(&files)).collect();
    findings.sort();
    for Finding { path, line, message } in &findings {
        say(&format!("{path}:{line}: {message}"));
    }
    if !findings.is_empty() {
        bail!("tidy: {} findings in {} files", findings.len(), files.len());
    }
    say(&format!("tidy: {} files, nothing to say", files.len()));
    Ok(())
}

/// Text files only: what is not UTF-8 has no lines to check.
fn files(root: &Path) -> anyhow::Result<Vec<File>> {
    let listed = Command::new("git")
        .current_dir(root)
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .output()
        .context("cannot start git, which tidy asks for the list of files")?;
    ensure!(listed.status.success(), "git ls-files failed in {}", root.display());
    let listed = String::from_utf8(listed.stdout).context("a path is not UTF-8")?;
    let read = |path: &str| -> Option<File> {
        // A file that was deleted and not yet committed is no longer there.
        let text = std::fs::read(root.join(path)).ok()?;
        let text = String::from_utf8(text).unwrap_or_default();
        Some(File { path: path.to_owned(), text })
    };
    Ok(listed.split_terminator('\0').filter_map(read).collect())
}

impl File {
    fn is_rust(&self) -> bool {
        has_extension(&self.path, "rs")
    }

    fn finding(&self, line: usize, message: impl Into<String>) -> Finding {
        Finding { path: self.path.clone(), line, message: message.into() }
    }

    /// Lines with their numbers from 1, where `//` comments are empty.
    fn code_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let without_comment =
            |line| if str::trim_start(line).starts_with("//") { "" } else { line };
        self.text.lines().map(without_comment).enumerate().map(|(index, line)| (index + 1, line))
    }

    /// The number of the line on which tests begin; 1 if it is all tests.
    fn tests_begin(&self) -> usize {
        let in_tests_folder = self.path.starts_with("tests/")
            || ["/tests/", "/benches/"].iter().any(|folder| self.path.contains(folder))
            || self.path.ends_with("/tests.rs");
        if in_tests_folder {
            return 1;
        }
        let begins = |line: &str| line == "#[cfg(test)]";
        self.text.lines().position(begins).map_or(usize::MAX, |index| index + 1)
    }
}

fn has_extension(path: &str, extension: &str) -> bool {
    PathBuf::from(path).extension().is_some_and(|found| found == extension)
}

/// A fixture for the rules' tests.
#[cfg(test)]
fn fixture(files: &[(&str, &str)]) -> Vec<File> {
    let file = |(path, text): &(&str, &str)| File { path: (*path).into(), text: (*text).into() };
    files.iter().map(file).collect()
}
