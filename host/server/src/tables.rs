//! Tables of judgements in files: rows in TOML, as in
//! `policy/tests/judgements.toml`, or decisions on record, one a line.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use reprieve_core::decision::Decision;
use reprieve_runtime::table::Row;
use serde::Deserialize;
use toml::Spanned;

/// The largest file that is read.
const MAX_BYTES: u64 = 64 << 20;

/// A row, and where it stands.
#[derive(Clone, Debug)]
pub struct Placed {
    /// From 1.
    pub line: usize,
    pub row: Row,
}

/// Why there is no table.
#[derive(Debug, thiserror::Error)]
pub enum TableUnusable {
    #[error("cannot read the table {}", file.display())]
    Unreadable { file: PathBuf, source: io::Error },
    #[error("the table {} has more than {MAX_BYTES} bytes", file.display())]
    Oversized { file: PathBuf },
    #[error("the table {}: {detail}", file.display())]
    Garbled { file: PathBuf, detail: String },
}

/// What the file holds: decisions if it is called `*.jsonl` or `*.json`.
pub fn read(file: &Path) -> Result<Vec<Placed>, TableUnusable> {
    let garbled = |detail: String| TableUnusable::Garbled { file: file.into(), detail };
    let mut bytes = Vec::new();
    File::open(file)
        .and_then(|opened| opened.take(MAX_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|source| TableUnusable::Unreadable { file: file.into(), source })?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(TableUnusable::Oversized { file: file.into() });
    }
    let text = String::from_utf8(bytes).map_err(|error| garbled(error.to_string()))?;
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("json" | "jsonl") => recorded(&text).map_err(garbled),
        _ => written(&text).map_err(|error| garbled(error.to_string())),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    row: Vec<Spanned<Row>>,
}

/// A table that is no file.
pub fn written(text: &str) -> Result<Vec<Placed>, toml::de::Error> {
    let table: Table = toml::from_str(text)?;
    let placed = |row: Spanned<Row>| {
        let before = text.get(..row.span().start).unwrap_or_default();
        Placed { line: before.matches('\n').count() + 1, row: row.into_inner() }
    };
    Ok(table.row.into_iter().map(placed).collect())
}

fn recorded(text: &str) -> Result<Vec<Placed>, String> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let row = |(index, text): (usize, &str)| {
        let line = index + 1;
        let at = |why: String| format!("line {line}: {why}");
        let decision: Decision = serde_json::from_str(text).map_err(|why| at(why.to_string()))?;
        let row = Row::recorded(decision).map_err(|why| at(why.to_string()))?;
        Ok(Placed { line, row })
    };
    lines.map(row).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn table(name: &str, text: &str) -> Result<Vec<Placed>, String> {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(name);
        fs::write(&file, text).unwrap();
        read(&file).map_err(|unusable| unusable.to_string())
    }

    const ROW: &str = "[[row]]\nname = \"x\"\ntrigger = \"sweep\"\nverdict = \"alive\"\n";

    #[test]
    fn a_row_knows_its_line() {
        let text = format!("# a comment\n\n{ROW}reason = \"a\"\n\n{ROW}reason = \"b\"\n");
        let lines: Vec<_> =
            table("t.toml", &text).unwrap().into_iter().map(|placed| placed.line).collect();
        assert_eq!(lines, [3, 9]);
    }

    #[test]
    fn a_table_that_cannot_be_used_is_named_with_the_place() {
        let missing = read(Path::new("/nowhere/t.toml")).unwrap_err().to_string();
        assert_eq!(missing, "cannot read the table /nowhere/t.toml");
        for (name, text, parts) in [
            ("both.toml", "[[row]]\nname = \"x\"\nreason = \"y\"\n", &["line 1", "a cause"][..]),
            ("odd.toml", "\n[[row]]\nnmae = \"x\"\n", &["line 3", "unknown field `nmae`"]),
            (
                "deep.toml",
                &format!("{ROW}reason = \"a\"\nevidence.look.Ok = {{ status = \"gone\" }}\n"),
                &["line 6", "unknown variant `gone`", "`missing`"],
            ),
            (
                "misspelt.toml",
                &format!("{ROW}reason = \"a\"\nevidence.newest_beat.Ok = {{ agee = 5 }}\n"),
                &["line 6", "unknown field `agee`", "`age`"],
            ),
            (
                "forbidden.toml",
                &format!("{ROW}reason = \"a\"\nnever_asked = [\"probe\"]\n"),
                &["line 6", "unknown variant `probe`", "`look`"],
            ),
            ("broken.jsonl", "\n{\"id\": 7}\n", &["line 2"]),
        ] {
            let refused = table(name, text).unwrap_err();
            for part in parts {
                assert!(refused.contains(part), "{name}: {part} is not in {refused}");
            }
        }
    }
}
