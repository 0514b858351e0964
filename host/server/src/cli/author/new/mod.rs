//! `reprieve policy new`: a policy project that builds and passes its tests.
//!
//! What it needs of Reprieve it brings along, so that it builds wherever cargo does:
//! the contract and the guest kit of this program ([`kit`]).

mod kit;

use std::{
    fs, io,
    path::{Component, Path, PathBuf},
};

use clap::Args;
use serde_json::json;

use crate::cli::output::{self, GOOD, UsageError};

/// The longest name of a package: it names a file, too.
const MAX_NAME_BYTES: usize = 64;
/// The oldest compiler that the kit builds with.
const RUST_VERSION: &str = env!("CARGO_PKG_RUST_VERSION");

/// Make a policy project in Rust that builds and passes its tests at once.
///
/// It holds a small policy with two settings, native tests, a table of judgements,
/// the contract and the guest kit of this version of Reprieve.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  reprieve policy new quiet-hours
  reprieve policy new ./policies/v2 --name quiet-hours

What to do then stands in its README.md.

Exit codes: 0 made; 1 it cannot be written; 2 the question was wrong.")]
pub(in crate::cli) struct NewArgs {
    /// The folder to be made. It may be there, and is empty then.
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// What the policy is called: lower-case letters, digits and hyphens. Default:
    /// the folder's name.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// The result as JSON, for machines.
    #[arg(long)]
    json: bool,
}

/// The project's own files: where they go, and their text.
const TEMPLATE: [(&str, &str); 6] = [
    ("Cargo.toml", include_str!("template/Cargo.toml")),
    (".gitignore", include_str!("template/gitignore")),
    ("README.md", include_str!("template/README.md")),
    ("judgements.toml", include_str!("template/judgements.toml")),
    ("src/lib.rs", include_str!("template/lib.rs")),
    ("vendor/reprieve-policy/Cargo.toml", include_str!("template/kit.toml")),
];

pub(super) fn new(args: &NewArgs) -> anyhow::Result<u8> {
    let name = name(args)?;
    is_free(&args.dir)?;
    let mut files: Vec<(String, String)> =
        TEMPLATE.iter().map(|(path, text)| ((*path).to_owned(), filled(text, &name))).collect();
    files.extend(kit::SOURCES.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())));
    for (path, text) in &files {
        write(&args.dir.join(path), text)?;
    }
    if args.json {
        let paths: Vec<_> = files.iter().map(|(path, _)| path).collect();
        let made = json!({"name": name, "folder": args.dir, "files": paths});
        output::print(&format!("{made:#}\n"))?;
    } else {
        let dir = output::plain(&args.dir.display().to_string());
        output::print(&format!(
            "{} {name} is in {dir}; its rules are in {dir}/src/lib.rs. Then\n  cd {dir}\n  cargo \
             test\n  reprieve policy build .\n  reprieve policy test .\n",
            output::styled(GOOD, "OK:"),
        ))?;
    }
    Ok(output::OK)
}

fn filled(text: &str, name: &str) -> String {
    text.replace("{{name}}", name)
        .replace("{{version}}", env!("CARGO_PKG_VERSION"))
        .replace("{{rust_version}}", RUST_VERSION)
}

fn name(args: &NewArgs) -> Result<String, UsageError> {
    let of_folder = || match args.dir.components().next_back() {
        Some(Component::Normal(last)) => Some(last.to_string_lossy().into_owned()),
        _ => None,
    };
    let Some(name) = args.name.clone().or_else(of_folder) else {
        let said = format!("{} names no folder; say --name", args.dir.display());
        return Err(UsageError(said, None));
    };
    let is_word = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    let is_name = name.len() <= MAX_NAME_BYTES
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.split('-').all(is_word);
    // The project could not use the kit then.
    if !is_name || ["reprieve-policy", "core", "alloc", "std", "test"].contains(&&*name) {
        let said = format!(
            "{name:?} is no name for a policy; it has lower-case letters, digits and single \
             hyphens between them, begins with a letter, has at most {MAX_NAME_BYTES}, and is not \
             a library's; say --name quiet-hours"
        );
        return Err(UsageError(said, None));
    }
    Ok(name)
}

/// Nothing is overwritten.
fn is_free(dir: &Path) -> Result<(), UsageError> {
    let said = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Ok(mut entries) => match entries.next() {
            None => return Ok(()),
            Some(_) => {
                let dir = dir.display();
                let said = format!("{dir} is not empty; name a folder that is not there yet");
                return Err(UsageError(said, None));
            }
        },
        Err(error) => UsageError(format!("cannot make {}", dir.display()), Some(error.into())),
    };
    Err(said)
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let written = match path.parent() {
        Some(folder) => fs::create_dir_all(folder),
        None => Ok(()),
    };
    written.and_then(|()| fs::write(path, text)).map_err(|error| {
        anyhow::Error::new(error).context(format!("cannot write {}", path.display()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(dir: &Path, name: Option<&str>) -> NewArgs {
        NewArgs { dir: dir.to_owned(), name: name.map(str::to_owned), json: true }
    }

    #[test]
    fn a_project_has_everything_filled_in() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("quiet-hours");
        new(&args(&dir, None)).unwrap();
        for file in ["Cargo.toml", "src/lib.rs", "wit/policy.wit", "judgements.toml"] {
            let text = fs::read_to_string(dir.join(file)).unwrap();
            assert!(!text.contains("{{"), "{file}: {text}");
        }
        let manifest = fs::read_to_string(dir.join("Cargo.toml")).unwrap();
        assert!(manifest.contains("name = \"quiet-hours\""), "{manifest}");
        let again = new(&args(&dir, None)).unwrap_err().to_string();
        assert!(again.contains("quiet-hours is not empty"), "{again}");
    }

    #[test]
    fn what_is_no_name_is_refused_with_the_remedy() {
        let parent = tempfile::tempdir().unwrap();
        for name in
            ["", "Quiet", "1st", "a--b", "-a", "a-", "a_b", "a b", "../a", "reprieve-policy"]
        {
            let refused = new(&args(&parent.path().join("new"), Some(name))).unwrap_err();
            assert!(refused.is::<UsageError>(), "{name}");
            let refused = refused.to_string();
            assert!(refused.contains(&format!("{name:?}")), "{refused}");
            assert!(refused.contains("--name"), "{refused}");
        }
        let nowhere = new(&args(Path::new(".."), None)).unwrap_err().to_string();
        assert!(nowhere.contains("say --name"), "{nowhere}");
        let file = parent.path().join("file");
        fs::write(&file, "").unwrap();
        let refused = new(&args(&file, None)).unwrap_err().to_string();
        assert!(refused.contains("cannot make"), "{refused}");
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1, "nothing was made");
    }

    #[test]
    fn the_kit_depends_on_what_it_depends_on_here() {
        let ours = include_str!("../../../../../../Cargo.toml");
        let line = |text: &str| {
            text.lines().find(|line| line.starts_with("wit-bindgen = ")).unwrap().to_owned()
        };
        assert_eq!(line(include_str!("template/kit.toml")), line(ours));
    }
}
