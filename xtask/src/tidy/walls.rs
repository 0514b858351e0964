//! Who may depend on whom. A wall that is not checked is a picture of one.

use super::{File, Finding};

/// Dependencies that a crate's `[dependencies]` may not have, with the reason.
struct Wall {
    manifest: &'static str,
    /// Beginnings of crate names.
    without: &'static [&'static str],
    why: &'static str,
}

const WALLS: [Wall; 6] = [
    Wall {
        manifest: "host/core/Cargo.toml",
        without: &[
            "tokio",
            "wasmtime",
            "hyper",
            "axum",
            "rusqlite",
            "bollard",
            "reprieve-",
            "rand",
            "tracing",
        ],
        why: "core is pure: no runtime, no I/O, no clock, no randomness",
    },
    Wall {
        manifest: "host/runtime/Cargo.toml",
        without: &[
            "hyper",
            "axum",
            "http",
            "rusqlite",
            "bollard",
            "reprieve-server",
            "reprieve-default",
            "reprieve-policy",
        ],
        why: "an embedder gets no HTTP, no Docker, no SQL and no policy with the runtime",
    },
    Wall {
        manifest: "host/lab/Cargo.toml",
        without: &[
            "tokio",
            "wasmtime",
            "hyper",
            "axum",
            "rusqlite",
            "rand",
            "reprieve-server",
            "reprieve-default",
            "reprieve-policy",
        ],
        why: "the laboratory is a function of its seed and its input: no clock, no I/O, no tasks",
    },
    Wall {
        manifest: "host/server/Cargo.toml",
        without: &[
            "wasmtime",
            "reprieve-default",
            "reprieve-policy",
            "reprieve-trust",
            "reprieve-count",
        ],
        why: "policies and hosts share only wit/, and WebAssembly is the runtime's",
    },
    Wall {
        manifest: "policy/",
        without: &[
            "tokio",
            "wasmtime",
            "hyper",
            "rusqlite",
            "reprieve-core",
            "reprieve-runtime",
            "reprieve-server",
        ],
        why: "policies and hosts share only wit/",
    },
    Wall {
        manifest: "policies/",
        without: &[
            "tokio",
            "wasmtime",
            "hyper",
            "rusqlite",
            "reprieve-core",
            "reprieve-runtime",
            "reprieve-server",
        ],
        why: "policies and hosts share only wit/",
    },
];

/// The edges of the server. They meet in the supervisor and the wiring.
const EDGES: [&str; 3] = ["proxy", "admin", "cli"];

/// Crates that may be named in one place only.
const HOMES: [(&str, &str); 3] = [
    ("rusqlite", "host/server/src/store/"),
    ("wasmtime", "host/runtime/"),
    ("bollard", "host/server/src/backend/docker"),
];

/// Manifests keep to the walls.
pub(crate) fn dependencies(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for wall in &WALLS {
        let behind = |file: &&File| {
            file.path.starts_with(wall.manifest) && file.path.ends_with("Cargo.toml")
        };
        for file in files.iter().filter(behind) {
            for (line, name) in dependency_names(&file.text) {
                if wall.without.iter().any(|beginning| name.starts_with(beginning))
                    && !own(file, name)
                {
                    findings.push(file.finding(line, format!("depends on {name}: {}", wall.why)));
                }
            }
        }
    }
    findings
}

/// The kit carries the name of what it is for.
fn own(file: &File, name: &str) -> bool {
    name == "reprieve-policy" && file.path.starts_with("polic")
}

/// The names in `[dependencies]` and in `[target.….dependencies]`, not those that
/// only tests or build scripts need.
fn dependency_names(manifest: &str) -> Vec<(usize, &str)> {
    let mut within = false;
    let mut names = Vec::new();
    for (index, line) in manifest.lines().enumerate() {
        let line = line.trim();
        if let Some(table) = line.strip_prefix('[') {
            let table = table.trim_end_matches(']');
            within = table == "dependencies"
                || table.ends_with(".dependencies") && !table.starts_with("workspace");
            if let Some((_, name)) = table.rsplit_once("dependencies.")
                && !table.contains("dev-")
            {
                names.push((index + 1, name));
            }
        } else if within && let Some(end) = line.find(['=', '.', ' ']) {
            names.push((index + 1, &line[..end]));
        }
    }
    names
}

/// The edges of the server never import each other.
pub(crate) fn edges(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for edge in EDGES {
        let home = format!("host/server/src/{edge}/");
        for file in files.iter().filter(|file| file.is_rust() && file.path.starts_with(&home)) {
            for (line, name) in crate_modules(file) {
                if name != edge && EDGES.contains(&name.as_str()) {
                    findings.push(file.finding(
                        line,
                        format!(
                            "{edge} imports {name}: edges meet in the supervisor and the wiring"
                        ),
                    ));
                }
            }
        }
    }
    findings
}

/// The modules of its own crate that a file names: `crate::store::…`, and each
/// first name in `crate::{config, store::…}`.
fn crate_modules(file: &File) -> Vec<(usize, String)> {
    let mut modules = Vec::new();
    let text: String = file.code_lines().map(|(_, line)| format!("{line}\n")).collect();
    for (at, _) in text.match_indices("crate::") {
        let line = text[..at].matches('\n').count() + 1;
        let rest = &text[at + "crate::".len()..];
        let Some(group) = rest.strip_prefix('{') else {
            modules.push((line, identifier(rest)));
            continue;
        };
        let mut depth = 1_u32;
        let mut expects_name = true;
        for (index, character) in group.char_indices() {
            match character {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 1 => expects_name = true,
                other if expects_name && other.is_alphabetic() => {
                    modules.push((line, identifier(&group[index..])));
                    expects_name = false;
                }
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
    }
    modules
}

fn identifier(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// Some crates are named in one place only, so that they can be replaced.
pub(crate) fn homes(files: &[File]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, home) in HOMES {
        let path = format!("{name}::");
        let bare = format!("use {name};");
        let elsewhere = |file: &&File| {
            file.is_rust() && file.path.starts_with("host/") && !file.path.starts_with(home)
        };
        for file in files.iter().filter(elsewhere) {
            for (line, code) in file.code_lines() {
                if line < file.tests_begin() && (code.contains(&path) || code.contains(&bare)) {
                    findings
                        .push(file.finding(line, format!("names {name}, whose place is {home}")));
                }
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::{super::fixture, *};

    #[test]
    fn a_forbidden_dependency_is_found_however_it_is_written() {
        for (case, manifest, path, expected) in [
            ("inherited", "[dependencies]\ntokio.workspace = true\n", "host/core/Cargo.toml", 1),
            ("versioned", "[dependencies]\nrusqlite = \"1\"\n", "host/runtime/Cargo.toml", 1),
            ("a table", "[dependencies.wasmtime]\nversion = \"1\"\n", "host/server/Cargo.toml", 1),
            (
                "for one target",
                "[target.'cfg(unix)'.dependencies]\nreprieve-core = \"1\"\n",
                "policy/Cargo.toml",
                1,
            ),
            ("for tests only", "[dev-dependencies]\ntokio = \"1\"\n", "host/core/Cargo.toml", 0),
            ("the kit", "[dependencies]\nreprieve-policy = \"1\"\n", "policies/x/Cargo.toml", 0),
            ("harmless", "[dependencies]\nserde = \"1\"\n", "host/core/Cargo.toml", 0),
        ] {
            assert_eq!(dependencies(&fixture(&[(path, manifest)])).len(), expected, "{case}");
        }
    }

    #[test]
    fn an_edge_that_imports_another_is_found() {
        for (case, path, code, expected) in [
            ("plain", "host/server/src/cli/x.rs", "use crate::proxy::fleet::Route;\n", 1),
            (
                "in a group",
                "host/server/src/admin/x.rs",
                "use crate::{\n    cli::explain,\n    config,\n};\n",
                1,
            ),
            ("in an expression", "host/server/src/proxy/x.rs", "fn f() { crate::admin::g() }\n", 1),
            (
                "deeper in a group",
                "host/server/src/cli/x.rs",
                "use crate::{config::{proxy, admin}};\n",
                0,
            ),
            ("itself", "host/server/src/proxy/x.rs", "use crate::proxy::fleet;\n", 0),
            ("in a comment", "host/server/src/proxy/x.rs", "/// crate::admin\n", 0),
            ("no edge", "host/server/src/wiring.rs", "use crate::{admin, proxy};\n", 0),
        ] {
            assert_eq!(edges(&fixture(&[(path, code)])).len(), expected, "{case}");
        }
    }

    #[test]
    fn a_crate_named_away_from_home_is_found() {
        for (path, code, expected) in [
            ("host/server/src/proxy/x.rs", "use rusqlite::Connection;\n", 1),
            ("host/server/src/store/x.rs", "use rusqlite::Connection;\n", 0),
            ("host/server/src/wiring.rs", "fn f(_: wasmtime::Engine) {}\n", 1),
            ("host/runtime/src/engine.rs", "fn f(_: wasmtime::Engine) {}\n", 0),
            ("host/server/src/backend/docker/mod.rs", "use bollard::Docker;\n", 0),
            ("host/server/src/backend/process.rs", "use bollard::Docker;\n", 1),
        ] {
            assert_eq!(homes(&fixture(&[(path, code)])).len(), expected, "{path}");
        }
    }
}
