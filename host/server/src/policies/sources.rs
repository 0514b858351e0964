//! What lies outside: the folder of components, and the golden table.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use reprieve_runtime::registry::{Golden, NoKey, Standards, TrustedKey};

use crate::{
    config::PolicyConfig,
    tables::{self, TableUnusable},
};

/// Files of a folder that are looked at.
const MAX_IN_FOLDER: usize = 1_000;

/// Why the section `[policy]` cannot be held to.
#[derive(Debug, thiserror::Error)]
pub enum StandardsUnusable {
    #[error("policy.keys")]
    Key(#[from] NoKey),
    #[error("policy.golden")]
    Golden { source: TableUnusable },
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

fn golden(file: &Path) -> Result<Golden, StandardsUnusable> {
    let unusable = |source| StandardsUnusable::Golden { source };
    let rows = tables::read(file).map_err(unusable)?.into_iter().map(|placed| placed.row);
    let rows: Vec<_> = rows.collect();
    Golden::new(rows).map_err(|refused| {
        unusable(TableUnusable::Garbled { file: file.into(), detail: refused.to_string() })
    })
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

    use reprieve_core::causes::with_causes;

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
        let dir = tempfile::tempdir().unwrap();
        let empty = dir.path().join("empty.toml");
        fs::write(&empty, "row = []").unwrap();
        let refused = golden(&empty).unwrap_err();
        assert!(with_causes(&refused).contains("0 rows"), "{refused:?}");
    }
}
