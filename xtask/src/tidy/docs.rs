//! Folders explain themselves, and links lead somewhere.

use std::collections::{BTreeMap, BTreeSet};

use super::{File, Finding, has_extension};

/// Every folder that holds Rust has a README or a module doc that says what it
/// is for.
pub(crate) fn folders(files: &[File]) -> Vec<Finding> {
    let mut explained: BTreeMap<&str, bool> = BTreeMap::new();
    for file in files {
        let (folder, name) = file.path.rsplit_once('/').unwrap_or(("", &file.path));
        // In these each file stands for itself.
        let stands_alone = ["tests", "benches", "examples", "bin"]
            .iter()
            .any(|last| folder.rsplit('/').next() == Some(last));
        let explains = match name {
            "README.md" => true,
            "mod.rs" | "lib.rs" | "main.rs" => has_module_doc(file),
            _ => stands_alone && file.is_rust() && has_module_doc(file),
        };
        if file.is_rust() {
            *explained.entry(folder).or_default() |= explains;
        } else if let Some(known) = explained.get_mut(folder) {
            *known |= explains;
        }
    }
    for file in files {
        // `README.md` sorts before the Rust files of its folder; `queue.rs`
        // explains `queue/`, and a crate's README its `src/`.
        let explains = match file.path.strip_suffix(".rs") {
            Some(folder) => has_module_doc(file).then(|| folder.to_owned()),
            None => file.path.strip_suffix("README.md").map(|f| f.trim_end_matches('/').to_owned()),
        };
        if let Some(folder) = explains
            && let Some(known) = explained.get_mut(folder.as_str())
        {
            *known = true;
        }
    }
    let silent = |(folder, explained): (&str, bool)| {
        (!explained).then(|| Finding {
            path: folder.to_owned(),
            line: 0,
            message: "has neither a README.md nor a module doc that says what it is for".into(),
        })
    };
    explained.into_iter().filter_map(silent).collect()
}

/// A doc that says something.
fn has_module_doc(file: &File) -> bool {
    let mut lines = file.text.lines().take_while(|line| line.starts_with("//!"));
    lines.next().is_some_and(|line| !line.contains("Stub") && line.trim() != "//!")
}

/// Every relative link in a Markdown file names a file or folder of the project.
pub(crate) fn links(files: &[File]) -> Vec<Finding> {
    let mut known: BTreeSet<&str> = BTreeSet::from([""]);
    for file in files {
        known.insert(&file.path);
        known.extend(file.path.match_indices('/').map(|(at, _)| &file.path[..at]));
    }
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| has_extension(&file.path, "md")) {
        let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        for (index, line) in file.text.lines().enumerate() {
            for target in link_targets(line) {
                let path = target.split('#').next().unwrap_or_default();
                let outside =
                    path.is_empty() || path.contains("://") || path.starts_with("mailto:");
                if !outside && !known.contains(resolved(folder, path).as_str()) {
                    findings.push(
                        file.finding(index + 1, format!("links to {path}, which is not there")),
                    );
                }
            }
        }
    }
    findings
}

/// The targets of `[text](target)` on a line.
fn link_targets(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next())
}

/// `docs` and `../wit/types.wit` give `wit/types.wit`.
fn resolved(folder: &str, path: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::{super::fixture, *};

    #[test]
    fn a_folder_that_does_not_explain_itself_is_found() {
        for (case, files, expected) in [
            ("nothing", &[("a/src/x.rs", "fn f() {}\n")][..], 1),
            ("a module doc", &[("a/src/lib.rs", "//! Does it.\n"), ("a/src/x.rs", "")][..], 0),
            ("a doc that says nothing", &[("a/src/lib.rs", "//! Stub.\n")][..], 1),
            ("a README before", &[("a/README.md", "x"), ("a/build.rs", "")][..], 0),
            ("a README after", &[("a/Build.rs", ""), ("a/README.md", "x")][..], 0),
            ("a file of the folder's name", &[("a.rs", "//! A.\n"), ("a/x.rs", "")][..], 1),
            ("tests stand for themselves", &[("a/tests/x.rs", "//! X.\n")][..], 0),
        ] {
            assert_eq!(folders(&fixture(files)).len(), expected, "{case}");
        }
    }

    #[test]
    fn a_dead_link_is_found() {
        let there =
            [("wit/types.wit", ""), ("docs/operations.md", "[x](../wit) [y](configuration.md)")];
        let findings = links(&fixture(&there));
        assert_eq!(findings.len(), 1);
        assert!(findings[0].message.contains("configuration.md"), "{findings:?}");
        for (case, text, expected) in [
            ("a file", "[x](../wit/types.wit#verdict)", 0),
            ("a web page", "[x](https://example.com/a)", 0),
            ("an anchor", "[x](#here)", 0),
            ("outside", "[x](../../elsewhere.md)", 1),
        ] {
            let files = [("wit/types.wit", ""), ("docs/a.md", text)];
            assert_eq!(links(&fixture(&files)).len(), expected, "{case}");
        }
    }
}
