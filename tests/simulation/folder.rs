//! The scenarios of this folder.

use std::path::PathBuf;

use reprieve_lab::Scenario;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("simulation/scenarios")
}

pub(crate) fn scenario(name: &str) -> Scenario {
    let file = folder().join(name).with_extension("toml");
    let text = std::fs::read_to_string(&file).unwrap_or_else(|why| panic!("{file:?}: {why}"));
    Scenario::parse(&text).unwrap_or_else(|refused| panic!("{file:?}: {refused}"))
}

/// All of them, by name.
pub(crate) fn names() -> Vec<String> {
    let listed = std::fs::read_dir(folder()).unwrap();
    let mut names: Vec<String> = listed
        .filter_map(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            Some(name.strip_suffix(".toml")?.to_owned())
        })
        .collect();
    names.sort();
    names
}

#[test]
fn every_file_is_named_as_its_scenario() {
    let names = names();
    assert!(names.len() >= 15, "{names:?}");
    for name in names {
        assert_eq!(scenario(&name).name, name);
    }
}
