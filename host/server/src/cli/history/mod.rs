//! `reprieve import`: what somebody recorded of their own fleet, made a scenario.
//!
//! The laboratory reads it and says what it was; here are the files, and what is
//! [shown](prose) of it before anything is written.

mod prose;

use std::{
    fs::{self, File},
    io::{self, BufReader, BufWriter, Write as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::Args;
use reprieve_lab::history::{
    BeatTrace, Draft, History, HistoryRefused, MAX_BEATS, MAX_OUTAGES, MAX_SENDERS, ProbeTrace,
    Refused, TimeUnit, read_outages,
};

use super::output::{self, BAD, UsageError};

/// The largest file that is read.
const MAX_FILE_BYTES: u64 = 1 << 30;

/// Make a scenario of what you recorded of your own fleet: heartbeats, outages,
/// probes. Needs no host.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  reprieve import --beats beats.csv --outages outages.jsonl
                        says what it understands, and writes nothing
  reprieve import --beats beats.csv --outages outages.jsonl --probes probes.csv --out mine.toml
  reprieve simulate mine.toml

The scenario is for you to read and correct. Its traces are written beside it, as
mine.beats.csv and mine.probes.csv. docs/history.md says what the files look like, and what
each guess rests on.

Exit code: 0 if all of it is understood; 2 if something is not: every line that is wrong is
named, and nothing is written.")]
pub(crate) struct ImportArgs {
    /// Heartbeats, CSV with a header: sequence, send_ms, receive_ms, and workspace, if
    /// there are several.
    #[arg(long, value_name = "FILE")]
    beats: Option<PathBuf>,

    /// Outages, JSON lines: time, target, state, status_code, duration.
    #[arg(long, value_name = "FILE")]
    outages: Option<PathBuf>,

    /// Probes, CSV with a header: time_ms, duration_ms, result, and workspace.
    #[arg(long, value_name = "FILE")]
    probes: Option<PathBuf>,

    /// The unit of times whose name says none: ns, us, ms, s or rfc3339.
    #[arg(long, value_name = "UNIT")]
    unit: Option<TimeUnit>,

    /// Write the scenario, and its traces beside it.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// Write over a scenario that is there already, and may have been corrected.
    #[arg(long)]
    force: bool,

    /// What is understood as JSON, for machines.
    #[arg(long)]
    json: bool,
}

pub(crate) fn import(args: &ImportArgs) -> anyhow::Result<u8> {
    if let Some(out) = args.out.as_ref().filter(|out| !args.force && out.exists()) {
        let said = format!(
            "{} is there already, and may have been corrected; name another file, or say --force",
            out.display()
        );
        return Err(UsageError(said, None).into());
    }
    let Some(history) = read(args)? else { return Ok(output::USAGE) };
    let draft = match history.draft() {
        Ok(draft) => draft,
        Err(HistoryRefused::Outages { source }) => {
            told(args.outages.as_deref(), &source);
            return Ok(output::USAGE);
        }
        Err(refused) => return Err(UsageError::of(refused).into()),
    };
    let understood = draft.understood();
    output::print(&match args.json {
        true => format!("{:#}\n", serde_json::to_value(&understood)?),
        false => prose::understood(&understood),
    })?;
    if let Some(out) = &args.out {
        write(&draft, &history, out)?;
        if !args.json {
            let out = output::plain(&out.display().to_string());
            output::print(&format!("\n{out} is written: reprieve simulate {out}\n"))?;
        }
    }
    Ok(output::OK)
}

/// None: something is wrong, and has been told.
fn read(args: &ImportArgs) -> anyhow::Result<Option<History>> {
    let mut history = History::default();
    let mut is_whole = true;
    if let Some(file) = &args.beats {
        match BeatTrace::read(opened(file)?, args.unit) {
            Ok(beats) => history.beats = Some(beats),
            Err(refused) => is_whole = told(Some(file), &refused),
        }
    }
    if let Some(file) = &args.outages {
        match read_outages(BufReader::new(opened(file)?), args.unit) {
            Ok(outages) => history.outages = outages,
            Err(refused) => is_whole = told(Some(file), &refused),
        }
    }
    if let Some(file) = &args.probes {
        match ProbeTrace::read(opened(file)?, args.unit) {
            Ok(probes) => history.probes = Some(probes),
            Err(refused) => is_whole = told(Some(file), &refused),
        }
    }
    Ok(is_whole.then_some(history))
}

/// Every line that is wrong. False: something is.
fn told(file: Option<&Path>, refused: &Refused) -> bool {
    let file = file.map(|file| output::plain(&file.display().to_string())).unwrap_or_default();
    for problem in &refused.problems {
        let said = output::plain(&problem.to_string());
        output::complain(&format!("{} {file}, {said}", output::styled(BAD, "error:")));
    }
    if refused.more > 0 {
        output::complain(&format!("and {} more in {file}", refused.more));
    }
    false
}

fn opened(file: &Path) -> Result<File, UsageError> {
    let said = || format!("cannot read {}", file.display());
    open(file).map_err(|error| UsageError(said(), Some(error.into())))
}

/// Opens a file of somebody's history, unless it is too large.
pub(super) fn open(file: &Path) -> io::Result<File> {
    let opened = File::open(file)?;
    let bytes = opened.metadata()?.len();
    if bytes > MAX_FILE_BYTES {
        return Err(io::Error::other(format!(
            "it has {bytes} bytes, and {MAX_FILE_BYTES} are read; import a shorter time, or fewer \
             workspaces (at most {MAX_BEATS} beats of {MAX_SENDERS} workspaces, and {MAX_OUTAGES} \
             outages)"
        )));
    }
    Ok(opened)
}

/// The traces first: a scenario that is there has all that it names.
fn write(draft: &Draft<'_>, history: &History, out: &Path) -> anyhow::Result<()> {
    let beside = |kind: &str| out.with_extension(format!("{kind}.csv"));
    let (beats, probes) = (beside("beats"), beside("probes"));
    if history.beats.is_some() {
        write_with(&beats, |to| draft.write_beats(to))?;
    }
    if history.probes.is_some() {
        write_with(&probes, |to| draft.write_probes(to))?;
    }
    let name = |file: &Path| {
        let name = file.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    };
    let title = out.file_stem().unwrap_or_default().to_string_lossy();
    let text = draft.scenario(&title, &name(&beats), &name(&probes));
    output::write(out, &text)
}

fn write_with(
    file: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> anyhow::Result<()> {
    let written = fs::File::create(file).and_then(|created| {
        let mut to = BufWriter::new(created);
        write(&mut to)?;
        to.flush()
    });
    written.with_context(|| format!("cannot write {}", file.display()))
}
