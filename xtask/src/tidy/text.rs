//! What may stand nowhere in the project.

use super::{File, Finding, has_extension};

/// Each with the reason. Split, so that this file may stand in the project.
const NOWHERE: [(&str, &str); 5] = [
    (concat!("TO", "DO"), "do it, or open an issue"),
    (concat!("FIX", "ME"), "do it, or open an issue"),
    (concat!("#[ig", "nore"), "a test that does not run proves nothing"),
    (concat!("/wo", "rk/"), "a path of one machine"),
    (concat!("/ro", "ot/"), "a path of one machine"),
];

/// Ways to sleep. Tests run on virtual time or wait for what they wait for.
const SLEEPS: [&str; 2] = [THREAD_SLEEP, CLOCK_SLEEP];
const THREAD_SLEEP: &str = concat!("thread::sle", "ep(");
/// Costs nothing where the clock is paused.
const CLOCK_SLEEP: &str = concat!("time::sle", "ep(");
/// The harness on virtual time.
const HARNESS: &str = "tests/src/";
/// What a file says that pauses the clock.
const PAUSES: [&str; 2] = ["start_paused", "time::pause("];

pub(crate) fn nowhere(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let checked = |file: &&File| !has_extension(&file.path, "lock");
    for file in files.iter().filter(checked) {
        for (index, line) in file.text.lines().enumerate() {
            for (word, why) in NOWHERE {
                if line.contains(word) {
                    findings.push(file.finding(index + 1, format!("{word:?}: {why}")));
                }
            }
        }
    }
    findings
}

pub(crate) fn sleeping_tests(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        let tests_begin = file.tests_begin();
        let virtual_time =
            file.path.starts_with(HARNESS) || PAUSES.iter().any(|pause| file.text.contains(pause));
        for (line, code) in file.code_lines().filter(|(line, _)| *line >= tests_begin) {
            let sleeps =
                |sleep: &str| code.contains(sleep) && !(virtual_time && sleep == CLOCK_SLEEP);
            if SLEEPS.into_iter().any(sleeps) {
                findings.push(file.finding(
                    line,
                    "a test sleeps: advance virtual time, or wait for what it waits for",
                ));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::{super::fixture, *};

    #[test]
    fn forbidden_words_are_found_in_every_kind_of_file() {
        for (word, _) in NOWHERE {
            for path in ["a/src/x.rs", "README.md", ".ci/run", "x.toml"] {
                let text = format!("fine\nhere: {word}home\n");
                let findings = nowhere(&fixture(&[(path, &text)]));
                assert_eq!(findings.len(), 1, "{word} in {path}");
                assert_eq!(findings[0].line, 2);
            }
        }
        assert!(nowhere(&fixture(&[("a.rs", "let working = \"network/\";\n")])).is_empty());
    }

    #[test]
    fn a_sleeping_test_is_found_and_a_sleeping_program_is_not() {
        let sleep = format!("    std::{}x);\n", SLEEPS[0]);
        let tokio = format!("    tokio::{}x).await;\n", SLEEPS[1]);
        for (case, path, text, expected) in [
            ("an integration test", "tests/tests/x.rs", sleep.clone(), 1),
            ("a crate's test", "host/server/tests/x.rs", tokio.clone(), 1),
            ("a module's test", "host/server/src/x.rs", format!("#[cfg(test)]\n{tokio}"), 1),
            ("the harness", "tests/src/stage.rs", tokio.clone(), 0),
            ("a thread in the harness", "tests/src/stage.rs", sleep.clone(), 1),
            (
                "a paused clock",
                "host/server/tests/x.rs",
                format!("#[tokio::test(start_paused = true)]\n{tokio}"),
                0,
            ),
            ("a program", "host/server/src/x.rs", tokio, 0),
            ("a comment", "tests/tests/x.rs", format!("// {sleep}"), 0),
        ] {
            assert_eq!(sleeping_tests(&fixture(&[(path, &text)])).len(), expected, "{case}");
        }
    }
}
