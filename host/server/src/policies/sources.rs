//! What lies outside: the folder of components, and the golden table.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use reprieve_core::decision::Decision;
use reprieve_runtime::registry::{Golden, GoldenRow, GoldenUnusable, NoKey, Standards, TrustedKey};
use serde::Deserialize;

use super::shelf;
use crate::config::PolicyConfig;

/// The largest golden table that is read.
const MAX_GOLDEN_BYTES: usize = 64 << 20;
/// Files of a folder that are looked at.
const MAX_IN_FOLDER: usize = 1_000;

/// Why the section `[policy]` cannot be held to.
#[derive(Debug, thiserror::Error)]
pub enum StandardsUnusable {
    #[error("policy.keys")]
    Key(#[from] NoKey),
    #[error("cannot read the golden table {} (policy.golden)", file.display())]
    GoldenUnreadable { file: PathBuf, source: io::Error },
    #[error("the golden table {} (policy.golden) has more than {limit} bytes", file.display())]
    GoldenOversized { file: PathBuf, limit: usize },
    #[error("the golden table {} (policy.golden): {detail}", file.display())]
    GoldenGarbled { file: PathBuf, detail: String },
}

/// What the configuration asks of a component.
pub fn standards(config: &PolicyConfig) -> Result<Standards, StandardsUnusable> {
    let keys = config.keys.iter().map(|key| TrustedKey::parse(key)).collect::<Result<_, _>>()?;
    Ok(Standards {
        terms: config.terms(),
        keys,
        require_signature: config.require_signature,
        golden: config.golden.as_deref().map(golden).transpose()?.map(Arc::new),
        compile_budget: config.compile_budget.get().as_duration(),
    })
}

/// A table of rows, or decisions on record, one a line.
fn golden(file: &Path) -> Result<Golden, StandardsUnusable> {
    let garbled = |detail: String| StandardsUnusable::GoldenGarbled { file: file.into(), detail };
    let bytes = shelf::read(file, MAX_GOLDEN_BYTES + 1)
        .map_err(|source| StandardsUnusable::GoldenUnreadable { file: file.into(), source })?;
    if bytes.len() > MAX_GOLDEN_BYTES {
        let (file, limit) = (file.into(), MAX_GOLDEN_BYTES);
        return Err(StandardsUnusable::GoldenOversized { file, limit });
    }
    let text = String::from_utf8(bytes).map_err(|error| garbled(error.to_string()))?;
    let rows = match file.extension().and_then(|extension| extension.to_str()) {
        Some("json" | "jsonl") => recorded(&text).map_err(garbled)?,
        _ => {
            let table: Table = toml::from_str(&text).map_err(|error| garbled(error.to_string()))?;
            table.row
        }
    };
    Golden::new(rows).map_err(|unusable| garbled(unusable.to_string()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    row: Vec<GoldenRow>,
}

fn recorded(text: &str) -> Result<Vec<GoldenRow>, String> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let row = |(index, line): (usize, &str)| {
        let at = |why: String| format!("line {}: {why}", index + 1);
        let decision: Decision = serde_json::from_str(line).map_err(|why| at(why.to_string()))?;
        GoldenRow::recorded(decision).map_err(|why: GoldenUnusable| at(why.to_string()))
    };
    lines.map(row).collect()
}

/// Components of a folder, by name.
pub(super) fn components_in(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut components: Vec<PathBuf> = fs::read_dir(folder)?
        .take(MAX_IN_FOLDER)
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| is_component(path))
        .collect();
    components.sort();
    Ok(components)
}

/// The component of a folder that was written last; of several at the same
/// moment, the last by name.
pub(super) fn newest_in(folder: &Path) -> io::Result<Option<PathBuf>> {
    let written = |path: &PathBuf| -> SystemTime {
        let modified = fs::metadata(path).and_then(|metadata| metadata.modified());
        // Gone in the meantime: older than anything.
        modified.unwrap_or(SystemTime::UNIX_EPOCH)
    };
    let components = components_in(folder)?;
    Ok(components.into_iter().map(|path| (written(&path), path)).max().map(|(_, path)| path))
}

/// Hidden files are those that somebody is still writing.
fn is_component(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy());
    name.is_some_and(|name| name.ends_with(".wasm") && !name.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use std::{fs::File, time::Duration};

    use super::*;

    #[test]
    fn the_component_that_was_written_last_is_the_newest() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(newest_in(dir.path()).unwrap(), None);
        let begin = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        for (name, age_s) in
            [("v9.wasm", 9), ("v10.wasm", 5), ("a.wasm", 5), (".v11.wasm", 1), ("notes.txt", 0)]
        {
            let file = File::create(dir.path().join(name)).unwrap();
            file.set_modified(begin - Duration::from_secs(age_s)).unwrap();
        }
        assert_eq!(newest_in(dir.path()).unwrap(), Some(dir.path().join("v10.wasm")));
        assert_eq!(components_in(dir.path()).unwrap().len(), 3);
    }

    #[test]
    fn the_default_policys_own_table_is_a_golden_table() {
        let table =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../policy/tests/judgements.toml");
        assert!(golden(&table).unwrap().len() >= 60);
    }

    #[test]
    fn a_golden_table_that_cannot_be_used_is_named_with_the_reason() {
        let dir = tempfile::tempdir().unwrap();
        for (name, text, expected) in [
            ("missing.toml", None, "cannot read the golden table"),
            ("empty.toml", Some("row = []"), "0 rows"),
            ("both.toml", Some("[[row]]\nname = \"x\"\nreason = \"y\"\n"), "trigger or a cause"),
            ("odd.toml", Some("[[row]]\nnmae = \"x\"\n"), "unknown field"),
            ("broken.jsonl", Some("\n{\"id\": 7}\n"), "line 2"),
        ] {
            let file = dir.path().join(name);
            if let Some(text) = text {
                fs::write(&file, text).unwrap();
            }
            let refused = golden(&file).unwrap_err().to_string();
            assert!(refused.contains(expected), "{name}: {refused}");
        }
    }
}
