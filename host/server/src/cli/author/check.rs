//! `reprieve policy check`: the whole way that a host takes with a component, but
//! for the last step.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use clap::Args;
use reprieve_core::settings::{Settings, SettingsBook};
use reprieve_runtime::{
    Generation, Owners,
    registry::{Golden, Passage, Progress, Refused, Registry, Standards, Step, TrustedKey},
};

use super::project::{Meant, engine};
use crate::{
    cli::{
        connection::StateArgs,
        output::{self, BAD, FAINT, GOOD, UsageError},
    },
    policies::standards,
    settings::files::{FileSettings, FolderCache},
    tables,
};

/// Take a component every step of the way that a host takes it, but for the last.
///
/// Fetch, digest, signature, imports, compile, describe, settings, golden table. With
/// a host's configuration: with its keys, its grants, its limits, everybody's settings
/// and its golden table.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  reprieve policy check .
  reprieve policy check ./my-policy.wasm --config /etc/reprieve.toml
  reprieve policy check ./my-policy.wasm --settings ./fleet.toml --golden ./judgements.toml
  reprieve policy check ./my-policy.wasm --key RWQ… --require-signature

Exit codes: 0 a host would put it in force; 1 not, and the step is named; 2 the
question was wrong.")]
pub(in crate::cli) struct CheckArgs {
    /// A component, the name of a built-in policy, or the folder of a project.
    #[arg(value_name = "FILE|NAME|DIR", default_value = ".")]
    policy: PathBuf,
    /// A host's configuration. Default: $REPRIEVE_CONFIG, or a host without a setting.
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Settings for everybody, as a TOML table, in place of the configuration's.
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// A table of judgements that it must give, in place of `policy.golden`.
    #[arg(long, value_name = "FILE")]
    golden: Option<PathBuf>,
    /// A public key that is trusted, besides `policy.keys`.
    #[arg(long = "key", value_name = "KEY")]
    keys: Vec<String>,
    /// It must be signed, whatever the configuration says.
    #[arg(long)]
    require_signature: bool,
    /// The result as JSON, for machines.
    #[arg(long)]
    json: bool,
}

pub(super) async fn check(args: &CheckArgs) -> anyhow::Result<u8> {
    let (standards, book, owners) = asked_of_it(args)?;
    let meant = Meant::by(&args.policy)?;
    let progress = Progress::new(&meant.source.name());
    let registry = Registry::new(engine()?, standards);
    if let Err(refused) = way(&registry, &meant, book, &owners, &progress).await {
        progress.failed(&refused);
    }
    let passage = progress.passage();
    let text = match args.json {
        true => format!("{:#}\n", serde_json::to_value(&passage)?),
        false => prose(&passage),
    };
    output::print(&text)?;
    Ok(if passage.failed.is_none() { output::OK } else { output::NO })
}

async fn way(
    registry: &Registry,
    meant: &Meant,
    book: SettingsBook,
    owners: &Owners,
    progress: &Progress,
) -> Result<(), Refused> {
    let policy = registry.vet(meant.source.fetch()?, progress).await?;
    let made = Generation::new(1, Arc::clone(&policy), book, owners);
    registry.would_judge(made, progress).map(drop)
}

/// What the host of the configuration asks of a component.
fn asked_of_it(args: &CheckArgs) -> anyhow::Result<(Standards, SettingsBook, Owners)> {
    let state = StateArgs { config: args.config.clone(), state_dir: None };
    let config = state.configuration_or_none()?;
    let mut standards = standards(&config.policy).map_err(UsageError::of)?;
    for key in &args.keys {
        standards.keys.push(TrustedKey::parse(key).map_err(UsageError::of)?);
    }
    standards.require_signature |= args.require_signature;
    if let Some(file) = &args.golden {
        let rows = tables::read(file).map_err(UsageError::of)?;
        let rows = rows.into_iter().map(|placed| placed.row).collect();
        standards.golden = Some(Arc::new(Golden::new(rows).map_err(UsageError::of)?));
    }
    let files = FileSettings::read(&config, &mut FolderCache::default()).map_err(UsageError::of)?;
    let mut book = files.book;
    if let Some(file) = &args.settings {
        book = SettingsBook { fleet: settings_in(file)?.into(), ..SettingsBook::default() };
    }
    Ok((standards, book, files.owners))
}

/// A table of settings, as it stands in a section `[settings]`.
pub(in crate::cli) fn settings_in(file: &Path) -> Result<Settings, UsageError> {
    let shown = file.display();
    let text = fs::read_to_string(file)
        .map_err(|error| UsageError(format!("cannot read {shown}"), Some(error.into())))?;
    toml::from_str(&text)
        .map_err(|error| UsageError(format!("{shown} is no table of settings"), Some(error.into())))
}

fn prose(passage: &Passage) -> String {
    let mut out = String::new();
    for taken in &passage.taken {
        let took =
            format!("{:.1} ms", f64::from(u32::try_from(taken.took_us).unwrap_or(u32::MAX)) / 1e3);
        let _ = writeln!(
            out,
            "  {} {:<10} {} {}",
            output::styled(GOOD, "ok"),
            taken.step.as_str(),
            output::plain(&taken.found),
            output::styled(FAINT, &took),
        );
    }
    let name = output::plain(passage.policy.as_deref().unwrap_or(&passage.source));
    match &passage.failed {
        Some(failed) => {
            let _ = writeln!(
                out,
                "  {} {:<10} {}\n{} {name} would not come into force: it does not pass `{}`",
                output::styled(BAD, "NO"),
                failed.step.as_str(),
                output::plain(&failed.why),
                output::styled(BAD, "refused:"),
                failed.step.as_str(),
            );
        }
        None => {
            let _ = writeln!(
                out,
                "{} {name} would come into force; only `{}` is left",
                output::styled(GOOD, "OK:"),
                Step::Activate.as_str(),
            );
        }
    }
    out
}
