//! Files and functions that want to be two.

use super::{File, Finding};

/// Lines of code in a file: no blank lines, no comments, no tests.
const FILE_LINES: usize = 400;
/// Lines of code in a function.
const FUNCTION_LINES: usize = 70;

pub(crate) fn files(files: &[File]) -> Vec<Finding> {
    let too_long = |file: &File| {
        let end = if file.tests_begin() == 1 { usize::MAX } else { file.tests_begin() };
        let code = |(number, line): &(usize, &str)| *number < end && !line.trim().is_empty();
        let lines = file.code_lines().filter(code).count();
        (lines > FILE_LINES)
            .then(|| file.finding(0, format!("has {lines} lines of code, at most {FILE_LINES}")))
    };
    files.iter().filter(|file| file.is_rust()).filter_map(too_long).collect()
}

/// Relies on rustfmt: a function ends at the first `}` of its own indentation.
/// Tables in tests may be long.
pub(crate) fn functions(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        let lines: Vec<(usize, &str)> = file.code_lines().collect();
        for (index, (number, line)) in lines.iter().enumerate() {
            let Some(name) = function_name(line) else { continue };
            if *number >= file.tests_begin() || line.trim_end().ends_with([';', '}']) {
                continue;
            }
            let indentation = line.len() - line.trim_start().len();
            if is_declaration(&lines[index + 1..], indentation) {
                continue;
            }
            let end = format!("{}}}", " ".repeat(indentation));
            let body = lines[index..].iter().take_while(|(_, line)| *line != end);
            let length = body.filter(|(_, line)| !line.trim().is_empty()).count() + 1;
            if length > FUNCTION_LINES {
                let message = format!("{name} has {length} lines, at most {FUNCTION_LINES}");
                findings.push(file.finding(*number, message));
            }
        }
    }
    findings
}

/// A signature over several lines with no body: its last line ends the
/// declaration.
fn is_declaration(after: &[(usize, &str)], indentation: usize) -> bool {
    let back = after.iter().find(|(_, line)| {
        !line.trim().is_empty() && line.len() - line.trim_start().len() <= indentation
    });
    back.is_some_and(|(_, line)| line.trim_end().ends_with(';'))
}

/// The name, if a function begins on this line.
fn function_name(line: &str) -> Option<&str> {
    let (before, after) = line.trim_start().split_once("fn ")?;
    let qualifier = |word: &str| {
        word.starts_with("pub")
            || word.starts_with("in ")
            || word.ends_with(')')
            || matches!(word, "const" | "async" | "unsafe" | "extern")
            || word.starts_with('"')
    };
    if !before.split_whitespace().all(qualifier) {
        return None;
    }
    after.split(['(', '<']).next()
}

#[cfg(test)]
mod tests {
    use super::{super::fixture, *};

    #[test]
    fn a_file_is_measured_without_comments_and_tests() {
        let code = "let x = 1;\n".repeat(FILE_LINES);
        for (case, text, expected) in [
            ("just short enough", code.clone(), 0),
            ("one line more", format!("{code}let y = 1;\n"), 1),
            ("comments and blank lines", format!("{code}// why\n\n"), 0),
            ("tests", format!("{code}#[cfg(test)]\nmod tests {{\n{code}}}\n"), 0),
        ] {
            assert_eq!(files(&fixture(&[("a/src/x.rs", &text)])).len(), expected, "{case}");
        }
    }

    #[test]
    fn a_function_is_measured_to_its_own_brace() {
        let body = "        if x {\n        }\n".repeat(FUNCTION_LINES / 2);
        let short = "        go();\n";
        let long = format!(
            "impl X {{\n    pub(crate) async fn f<T>(\n        x: T,\n    ) {{\n{body}    }}\n}}\n"
        );
        for (case, text, expected) in [
            ("long", long.clone(), 1),
            ("short, beside others", format!("fn f() {{\n{short}}}\n").repeat(FUNCTION_LINES), 0),
            ("a declaration", format!("fn f();\n{}", "const X: u8 = 1;\n".repeat(99)), 0),
            (
                "a declaration over several lines",
                format!(
                    "trait X {{\n    fn f(\n        x: T,\n    ) -> U;\n{}}}\n",
                    "    const X: u8;\n".repeat(99)
                ),
                0,
            ),
            ("a table in a test", format!("#[cfg(test)]\nmod tests {{\n{long}}}\n"), 0),
        ] {
            assert_eq!(functions(&fixture(&[("a/src/x.rs", &text)])).len(), expected, "{case}");
        }
    }
}
