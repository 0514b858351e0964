//! `reprieve policy build`: cargo makes a core module of a project, and this a
//! component of it.

use std::{
    env, fs,
    io::{BufRead as _, BufReader, IsTerminal as _, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::Context as _;
use clap::Args;
use reprieve_componentize::{STACK_SIZE, TARGET, componentize, has_core};
use reprieve_core::ids::Digest;
use serde_json::{Value, json};

use super::project::Project;
use crate::cli::output::{self, GOOD, UsageError};

/// Build the component of a policy project, or make one of a core module.
///
/// A project in Rust needs cargo with the target wasm32-unknown-unknown, and nothing
/// else. In any other language, its own compiler makes the core module.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  reprieve policy build
  reprieve policy build ./quiet-hours --out ./quiet-hours-v2.wasm
  reprieve policy build ./module.wasm --out ./quiet-hours.wasm

The component is written to DIR, named after the package. How small it becomes is up
to [profile.release] of the project.

Exit codes: 0 built; 1 it does not compile, or is no policy; 2 something is missing.")]
pub(in crate::cli) struct BuildArgs {
    /// The project's folder; or a core module that another compiler made.
    #[arg(value_name = "DIR|MODULE", default_value = ".")]
    source: PathBuf,
    /// Where the component goes. Default: DIR, named after the package.
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The result as JSON, for machines.
    #[arg(long)]
    json: bool,
}

pub(super) fn build(args: &BuildArgs) -> anyhow::Result<u8> {
    let began = Instant::now();
    let (name, module, out) = match (args.source.is_file(), &args.out) {
        (true, Some(out)) => (args.source.display().to_string(), args.source.clone(), out.clone()),
        (true, None) => {
            let said = format!(
                "{} is a module; say with --out where the component goes",
                args.source.display()
            );
            return Err(UsageError(said, None).into());
        }
        (false, out) => {
            let project = Project::open(&args.source)?;
            is_equipped(&project)?;
            let module = compile(&project)?;
            let out = out.clone().unwrap_or_else(|| project.component());
            (project.name, module, out)
        }
    };
    let bytes = fs::read(&module).with_context(|| format!("cannot read {}", module.display()))?;
    let component = componentize(&bytes).with_context(|| format!("{name} is no policy"))?;
    write_whole(&out, &component).with_context(|| format!("cannot write {}", out.display()))?;
    let digest = Digest::of(&component).to_string();
    let took_s = began.elapsed().as_secs_f64();
    if args.json {
        let built = json!({
            "name": name, "file": out, "bytes": component.len(), "digest": digest,
            "took_ms": (took_s * 1_000.0).round(),
        });
        output::print(&format!("{built:#}\n"))?;
    } else {
        output::print(&format!(
            "{} {} in {took_s:.1} s\n  component  sha256:{digest}, {} bytes\n",
            output::styled(GOOD, "OK:"),
            output::plain(&out.display().to_string()),
            component.len(),
        ))?;
    }
    Ok(output::OK)
}

/// Whether there is a compiler that can, asked where the project may name its own.
fn is_equipped(project: &Project) -> Result<(), UsageError> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let asked = Command::new(rustc)
        .current_dir(&project.dir)
        .args(["--print", "target-libdir", "--target", TARGET])
        .output();
    let answer = asked.map_err(|error| {
        let said = "there is no Rust compiler here; install Rust with https://rustup.rs, then run \
                    `rustup target add wasm32-unknown-unknown`";
        UsageError(said.to_owned(), Some(error.into()))
    })?;
    let folder = String::from_utf8_lossy(&answer.stdout).trim().to_owned();
    match has_core(Path::new(&folder)) {
        true => Ok(()),
        false => {
            let compiler = String::from_utf8_lossy(&answer.stderr).trim().to_owned();
            let because = (!compiler.is_empty()).then(|| anyhow::Error::msg(compiler));
            let said = format!(
                "the Rust compiler cannot build for {TARGET}; run `rustup target add {TARGET}` in \
                 {}",
                project.dir.display()
            );
            Err(UsageError(said, because))
        }
    }
}

/// The core module. What the compiler says goes to standard error.
fn compile(project: &Project) -> anyhow::Result<PathBuf> {
    let format = match std::io::stderr().is_terminal() {
        true => "--message-format=json-diagnostic-rendered-ansi",
        false => "--message-format=json",
    };
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .current_dir(&project.dir)
        .args(["rustc", "--lib", "--crate-type", "cdylib", "--release", "--target", TARGET, format])
        .args(["--", &format!("-Clink-arg=-z{STACK_SIZE}")])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| {
            let said = "there is no cargo here; install Rust with https://rustup.rs".to_owned();
            UsageError(said, Some(error.into()))
        })?;
    let mut told = Told::default();
    if let Some(messages) = cargo.stdout.take() {
        for line in BufReader::new(messages).lines() {
            told.take(&line.context("cannot hear cargo")?);
        }
    }
    let status = cargo.wait().context("cannot wait for cargo")?;
    match (status.success(), told.module.take()) {
        (true, Some(module)) => Ok(module),
        (true, None) => {
            anyhow::bail!("cargo built no module of {}; is it a library?", project.name)
        }
        (false, _) => Err(anyhow::anyhow!("{} does not compile{}", project.name, told.why())),
    }
}

/// What cargo told.
#[derive(Default)]
struct Told {
    module: Option<PathBuf>,
    /// The first error: where, and what.
    first_error: Option<(String, String)>,
}

/// What a policy's first line keeps the compiler from saying.
const PANIC_TWICE: &str = "panic_impl";

impl Told {
    fn take(&mut self, line: &str) {
        let message: Value = serde_json::from_str(line).unwrap_or_default();
        match message["reason"].as_str() {
            Some("compiler-message") => self.heard(&message["message"]),
            Some("compiler-artifact") => {
                let made = message["filenames"].as_array().into_iter().flatten();
                let is_module = |path: &&Path| path.extension().is_some_and(|kind| kind == "wasm");
                let module = made.filter_map(Value::as_str).map(Path::new).find(is_module);
                if let Some(module) = module {
                    self.module = Some(module.to_owned());
                }
            }
            _ => {}
        }
    }

    fn heard(&mut self, diagnostic: &Value) {
        let rendered = diagnostic["rendered"].as_str().unwrap_or_default();
        // Nobody is left to be told if it has gone away.
        let _ = std::io::stderr().lock().write_all(rendered.as_bytes());
        if diagnostic["level"] != "error" || self.first_error.is_some() {
            return;
        }
        let spans = diagnostic["spans"].as_array().into_iter().flatten();
        let place = spans.into_iter().find(|span| span["is_primary"] == true).map_or_else(
            String::new,
            |span| {
                // Where the author used a macro, not where the kit defines it.
                let span = outermost(span);
                let file = span["file_name"].as_str().unwrap_or_default();
                format!("{file}:{}: ", span["line_start"])
            },
        );
        let text = diagnostic["message"].as_str().unwrap_or_default();
        self.first_error = Some((place, text.to_owned()));
    }

    fn why(&self) -> String {
        match &self.first_error {
            None => "; what cargo says stands above".to_owned(),
            Some((_, text)) if text.contains(PANIC_TWICE) => {
                ": it uses the standard library; src/lib.rs begins with `#![cfg_attr(target_arch = \
                 \"wasm32\", no_std)]`"
                    .to_owned()
            }
            Some((place, text)) => format!(": {place}{text}"),
        }
    }
}

fn outermost(span: &Value) -> &Value {
    match &span["expansion"]["span"] {
        Value::Null => span,
        from => outermost(from),
    }
}

/// Under its name stands the old one or the new one, never half of it.
fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    // As any file that a build makes.
    let readable = fs::Permissions::from_mode(0o666);
    let mut beside = tempfile::Builder::new().permissions(readable).tempfile_in(folder)?;
    beside.write_all(bytes)?;
    beside.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_error_is_told_with_its_place() {
        let mut told = Told::default();
        assert!(told.why().contains("stands above"));
        for line in [
            r#"{"reason":"compiler-message","message":{"level":"warning","message":"w","spans":[]}}"#,
            r#"{"reason":"compiler-message","message":{"level":"error","message":"expected `;`","spans":[{"is_primary":false,"file_name":"x.rs","line_start":1},{"is_primary":true,"file_name":"src/lib.rs","line_start":12}]}}"#,
            r#"{"reason":"compiler-message","message":{"level":"error","message":"aborting","spans":[]}}"#,
            "not JSON",
        ] {
            told.take(line);
        }
        assert_eq!(told.why(), ": src/lib.rs:12: expected `;`");
    }

    #[test]
    fn whoever_forgets_the_first_line_is_told_it() {
        let mut told = Told::default();
        told.take(
            r#"{"reason":"compiler-message","message":{"level":"error","message":"found duplicate lang item `panic_impl`","spans":[]}}"#,
        );
        assert!(told.why().contains("begins with `#![cfg_attr("), "{}", told.why());
    }
}
