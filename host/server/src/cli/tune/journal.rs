//! Every run of a search on disk, so that one that was interrupted goes on.

use std::{
    collections::HashMap,
    fs::{self, File, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
};

use parking_lot::Mutex;
use reprieve_core::{
    ids::Digest,
    settings::{self, Settings},
};
use reprieve_lab::tune::Outcome;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::cli::output::{self, UsageError};

/// The largest journal that is read.
const MAX_BYTES: u64 = 256 << 20;

/// JSON lines: what it is about, then one run each.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: Mutex<File>,
    known: HashMap<(Digest, u64), Outcome>,
}

#[derive(Deserialize, Serialize)]
struct Line {
    settings: Settings,
    seed: u64,
    outcome: Outcome,
}

impl Journal {
    /// `mark`: what results must be results of.
    pub(super) fn open(path: &Path, mark: &Value) -> Result<Self, UsageError> {
        let shown = path.display();
        let refused = |error: std::io::Error| {
            UsageError(format!("cannot use the journal {shown}"), Some(error.into()))
        };
        let mut known = HashMap::new();
        let mut whole = 0;
        let size = fs::metadata(path).map_or(0, |there| there.len());
        if size > MAX_BYTES {
            let said = format!("the journal {shown} has {size} bytes, {MAX_BYTES} are read");
            return Err(UsageError(said, None));
        }
        if size > 0 {
            let text = fs::read_to_string(path).map_err(refused)?;
            // The last line may have been cut off.
            let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            for (index, line) in lines.enumerate() {
                whole += line.len();
                if index == 0 {
                    if serde_json::from_str::<Value>(line).ok().as_ref() != Some(mark) {
                        let said = format!(
                            "the journal {shown} is of another scenario or log, policy or version; name \
                             another file"
                        );
                        return Err(UsageError(said, None));
                    }
                    continue;
                }
                let Line { settings, seed, outcome } =
                    serde_json::from_str(line).map_err(|error| {
                        let said = format!("the journal {shown}: line {}", index + 1);
                        UsageError(said, Some(error.into()))
                    })?;
                known.insert((settings::digest(&settings), seed), outcome);
            }
        }
        let file = OpenOptions::new().create(true).append(true).open(path).map_err(refused)?;
        file.set_len(whole as u64).map_err(refused)?;
        let journal = Self { path: path.to_owned(), file: Mutex::new(file), known };
        match whole {
            0 => journal.write(mark)?,
            _ => output::remark(&format!("{shown} has {} runs already", journal.known.len())),
        }
        Ok(journal)
    }

    pub(super) fn known(&self, settings: &Settings, seed: u64) -> Option<Outcome> {
        self.known.get(&(settings::digest(settings), seed)).copied()
    }

    pub(super) fn keep(
        &self,
        settings: &Settings,
        seed: u64,
        outcome: &Outcome,
    ) -> Result<(), UsageError> {
        self.write(&Line { settings: settings.clone(), seed, outcome: *outcome })
    }

    fn write(&self, line: &impl Serialize) -> Result<(), UsageError> {
        let text = serde_json::to_string(line).map_err(UsageError::of)? + "\n";
        self.file.lock().write_all(text.as_bytes()).map_err(|error| {
            let said = format!("cannot write the journal {}", self.path.display());
            UsageError(said, Some(error.into()))
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tried(window: &str) -> Settings {
        [("settle".to_owned(), window.into())].into_iter().collect()
    }

    const OUTCOME: Outcome =
        Outcome { false_a_day: 0.1, unfound_min_a_day: 2.0 / 3.0, detect_s: None };

    #[test]
    fn what_was_run_is_known_again_and_a_line_that_was_cut_off_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tune.jsonl");
        let journal = Journal::open(&path, &json!({"policy": "a"})).unwrap();
        journal.keep(&tried("10s"), 7, &OUTCOME).unwrap();
        drop(journal);
        let mut text = fs::read_to_string(&path).unwrap();
        text += "{\"settings\": {\"settle\"";
        fs::write(&path, &text).unwrap();
        let journal = Journal::open(&path, &json!({"policy": "a"})).unwrap();
        assert_eq!(journal.known(&tried("10s"), 7), Some(OUTCOME));
        assert_eq!(journal.known(&tried("10s"), 8), None);
        assert_eq!(journal.known(&tried("11s"), 7), None);
        journal.keep(&tried("11s"), 7, &OUTCOME).unwrap();
        let journal = Journal::open(&path, &json!({"policy": "a"})).unwrap();
        assert_eq!(journal.known(&tried("11s"), 7), Some(OUTCOME));
    }

    #[test]
    fn another_ones_journal_and_a_garbled_one_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tune.jsonl");
        drop(Journal::open(&path, &json!({"policy": "a"})).unwrap());
        let other = Journal::open(&path, &json!({"policy": "b"})).unwrap_err().to_string();
        assert!(other.contains("another scenario or log, policy or version"), "{other}");
        fs::write(&path, "{\"policy\":\"a\"}\n{\"seed\": 1}\n").unwrap();
        let garbled = Journal::open(&path, &json!({"policy": "a"})).unwrap_err().to_string();
        assert!(garbled.contains("line 2"), "{garbled}");
    }
}
