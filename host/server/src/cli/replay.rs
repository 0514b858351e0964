//! `reprieve replay`: recorded decisions, run again from their evidence.

mod log;
mod prose;
mod source;

use std::{path::PathBuf, sync::Arc};

use anyhow::Context as _;
use clap::Args;
use reprieve_core::{settings::Settings, time::UnixMillis};
use reprieve_lab::{
    Contender, Lab,
    replay::{Archive, By, Report},
};

pub(super) use self::log::Log;
use self::source::Kept;
use super::{
    author::Meant,
    connection::StateArgs,
    output::{self, UsageError},
    progress::Progress,
};

/// How many decisions go by between two signs of progress.
const PROGRESS_EVERY: u64 = 20_000;
/// Bad lines that are told one by one.
const MAX_BAD_LINES: u64 = 20;
/// The largest file of settings that is read.
const MAX_SETTINGS_BYTES: u64 = 1 << 20;

/// Run recorded decisions again from their evidence. Without --policy and --settings
/// by the very generation that decided: every difference is an error. With them: what
/// would have been decided otherwise.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  reprieve decisions --json --limit 100000 | reprieve replay -
  reprieve replay decisions.jsonl
  reprieve replay /var/lib/reprieve
  reprieve replay decisions.jsonl --policy ./my-policy.wasm
  reprieve replay decisions.jsonl --settings faster.json --explain 1

What decided is looked for by its digest: components among the built-in ones and in the
state folder, settings in the configuration and among what was applied to the host. What
cannot be had is counted, never guessed.

Exit code: 0 if every decision came out the same, or a candidate was asked; 1 if one did
not, or a line is no decision; 2 if the log, a policy or settings cannot be used.")]
pub(crate) struct ReplayArgs {
    /// Decisions as `reprieve decisions --json` prints them, `-` for standard input; or
    /// a host's state folder, while it runs or after.
    #[arg(value_name = "LOG|FOLDER")]
    log: PathBuf,

    /// The candidate: a policy component, its project's folder, or the name of a built-in
    /// policy. With --settings alone it is the default policy.
    #[arg(long, short, value_name = "FILE|DIR|NAME")]
    policy: Option<PathBuf>,

    /// The candidate's settings for everybody, JSON or TOML. With --policy alone they
    /// are its defaults.
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,

    /// Explain that one of the decisions that would be another one, from 1.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    explain: Option<u32>,

    /// What came of it as JSON, for machines.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    state: StateArgs,
}

pub(crate) fn replay(args: &ReplayArgs, now: UnixMillis) -> anyhow::Result<u8> {
    let lab = Lab::new().map_err(UsageError::of)?;
    let is_candidate = args.policy.is_some() || args.settings.is_some();
    let mut log = Log::open(&args.log).map_err(UsageError::of)?;
    let mut by = if is_candidate {
        By::Candidate(candidate(args, &lab)?)
    } else {
        let kept = Kept::of(&args.state, log.folder()).map_err(UsageError::of)?;
        By::Same(Archive::new(lab, kept))
    };
    let (report, bad_lines) = run(&mut log, &mut by)?;
    if report.counts.decisions == 0 && bad_lines == 0 {
        return Err(UsageError(format!("{} holds no decision", log.name()), None).into());
    }
    if let Some(nth) = args.explain {
        output::print(&prose::explained(&report, nth, now)?)?;
    } else if args.json {
        output::print(&format!("{:#}\n", prose::json(&report, bad_lines)))?;
    } else {
        output::print(&prose::table(&report, is_candidate))?;
    }
    let is_wrong = bad_lines > 0 || (!is_candidate && report.counts.differing > 0);
    Ok(if is_wrong { output::NO } else { output::OK })
}

fn run(log: &mut Log, by: &mut By) -> anyhow::Result<(Report, u64)> {
    let progress = Progress::begin();
    let (mut report, mut bad_lines) = (Report::default(), 0);
    while let Some(read) = log.next()? {
        match read {
            Ok(decision) => {
                let again = by.run(&decision);
                report.add(decision, again);
            }
            Err(bad) => {
                bad_lines += 1;
                if bad_lines <= MAX_BAD_LINES {
                    output::remark(&output::plain(&format!("{}, {bad}", log.name())));
                }
            }
        }
        if report.counts.decisions.is_multiple_of(PROGRESS_EVERY) {
            progress.tell(|| format!("{} decisions", report.counts.decisions));
        }
    }
    drop(progress);
    if bad_lines > MAX_BAD_LINES {
        output::remark(&format!("{bad_lines} in all are no decisions"));
    }
    Ok((report, bad_lines))
}

fn candidate(args: &ReplayArgs, lab: &Lab) -> anyhow::Result<Arc<reprieve_runtime::Generation>> {
    let named = args.policy.as_deref().unwrap_or(std::path::Path::new("default"));
    let found = Meant::by(named)?.fetch()?;
    let policy = lab.load(&found.source, &found.bytes).map_err(UsageError::of)?;
    let settings = match &args.settings {
        Some(file) => settings_in(file).map_err(UsageError::of)?,
        None => Settings::new(),
    };
    let contender = Contender::new(&found.source, policy, settings).map_err(UsageError::of)?;
    Ok(Arc::clone(contender.generation()))
}

/// JSON, or TOML by the file's name.
fn settings_in(file: &std::path::Path) -> anyhow::Result<Settings> {
    let name = || format!("the settings {}", file.display());
    let size = std::fs::metadata(file).with_context(|| format!("cannot read {}", name()))?.len();
    anyhow::ensure!(size <= MAX_SETTINGS_BYTES, "{} have {size} bytes: too many", name());
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", name()))?;
    match file.extension().and_then(|extension| extension.to_str()) {
        Some("toml") => toml::from_str(&text).with_context(|| format!("{} are no TOML", name())),
        _ => serde_json::from_str(&text).with_context(|| format!("{} are no JSON", name())),
    }
}
