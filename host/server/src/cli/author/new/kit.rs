//! The guest kit and the contract, as they are in this program.

/// Below a project's folder, and the text. Without the kit's own tests.
pub(super) const SOURCES: &[(&str, &str)] = &[
    (
        "vendor/reprieve-policy/src/evidence.rs",
        include_str!("../../../../../../policy/kit/src/evidence.rs"),
    ),
    (
        "vendor/reprieve-policy/src/fake.rs",
        include_str!("../../../../../../policy/kit/src/fake.rs"),
    ),
    (
        "vendor/reprieve-policy/src/heap.rs",
        include_str!("../../../../../../policy/kit/src/heap.rs"),
    ),
    ("vendor/reprieve-policy/src/lib.rs", include_str!("../../../../../../policy/kit/src/lib.rs")),
    (
        "vendor/reprieve-policy/src/policy.rs",
        include_str!("../../../../../../policy/kit/src/policy.rs"),
    ),
    (
        "vendor/reprieve-policy/src/settings.rs",
        include_str!("../../../../../../policy/kit/src/settings.rs"),
    ),
    (
        "vendor/reprieve-policy/src/settings/json.rs",
        include_str!("../../../../../../policy/kit/src/settings/json.rs"),
    ),
    (
        "vendor/reprieve-policy/src/settings/read.rs",
        include_str!("../../../../../../policy/kit/src/settings/read.rs"),
    ),
    (
        "vendor/reprieve-policy/src/settings/schema.rs",
        include_str!("../../../../../../policy/kit/src/settings/schema.rs"),
    ),
    (
        "vendor/reprieve-policy/src/settings/units.rs",
        include_str!("../../../../../../policy/kit/src/settings/units.rs"),
    ),
    (
        "vendor/reprieve-policy/src/shell.rs",
        include_str!("../../../../../../policy/kit/src/shell.rs"),
    ),
    (
        "vendor/reprieve-policy/src/words.rs",
        include_str!("../../../../../../policy/kit/src/words.rs"),
    ),
    ("wit/evidence.wit", include_str!("../../../../../../wit/evidence.wit")),
    ("wit/policy.wit", include_str!("../../../../../../wit/policy.wit")),
    ("wit/types.wit", include_str!("../../../../../../wit/types.wit")),
];

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fs, path::Path};

    use super::*;

    fn collect(folder: &Path, below: &str, found: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            let below = format!("{below}/{name}");
            match (path.is_dir(), name) {
                (true, _) => collect(&path, &below, found),
                (false, "tests.rs") => {}
                (false, _) => {
                    found.insert(below, fs::read_to_string(&path).unwrap());
                }
            }
        }
    }

    #[test]
    fn every_file_of_the_kit_and_of_the_contract_is_there() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut expected = BTreeMap::new();
        collect(&root.join("policy/kit/src"), "vendor/reprieve-policy/src", &mut expected);
        collect(&root.join("wit"), "wit", &mut expected);
        let own = |(path, text): &(&str, &str)| ((*path).to_owned(), (*text).to_owned());
        assert_eq!(SOURCES.iter().map(own).collect::<BTreeMap<_, _>>(), expected);
    }
}
