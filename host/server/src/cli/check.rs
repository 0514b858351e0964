//! `reprieve check`: is this configuration, with this policy, one that would
//! run? Starts nothing and writes nothing.

use std::{fmt::Write as _, path::PathBuf, sync::Arc};

use clap::Args;
use reprieve_core::settings::{Layer, Layers, Source};
use reprieve_runtime::{Engine, EngineOptions, Generation, GenerationRefused, Policy};
use serde_json::{Value, json};

use super::{
    connection::StateArgs,
    output::{self, CAREFUL, GOOD, UsageError},
};
use crate::{
    config::{Config, policy::PolicySource},
    settings::{
        files::{FileSettings, FolderCache},
        schema::SettingsSchema,
    },
    tls,
};

/// Check a configuration and its policy without starting anything.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  reprieve check --config reprieve.toml
  reprieve check --config reprieve.toml --policy ./my-policy.wasm

Exit code: 0 if it would run, 2 if not.")]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    state: StateArgs,

    /// A policy component, or the name of a built-in policy. Goes before
    /// `policy.file` of the configuration.
    #[arg(long, short, value_name = "FILE|NAME", env = "REPRIEVE_POLICY")]
    policy: Option<PathBuf>,

    /// The result as JSON, for machines.
    #[arg(long)]
    json: bool,
}

pub(crate) fn check(args: &CheckArgs) -> anyhow::Result<u8> {
    let config = args.state.configuration()?;
    let source = PolicySource::choose(args.policy.as_deref(), &config);
    let files = FileSettings::read(&config, &mut FolderCache::default()).map_err(UsageError::of)?;
    let policy = accepted(&config, &files, &source)?;
    if let Some(files) = &config.admin.tls {
        tls::acceptor(&files.cert, &files.key).map_err(UsageError::of)?;
    }
    let state_dir = args.state.folder_of(&config)?;
    let report = report(&config, &files, &source, &policy, &state_dir.display().to_string());
    let text = if args.json { format!("{report:#}\n") } else { prose(&report) };
    output::print(&text)?;
    Ok(output::OK)
}

/// The policy, if it runs here and takes everybody's settings.
fn accepted(
    config: &Config,
    files: &FileSettings,
    source: &PolicySource,
) -> Result<Arc<Policy>, UsageError> {
    let engine = Engine::new(EngineOptions::default()).map_err(UsageError::of)?;
    let bytes = source.bytes().map_err(UsageError::of)?;
    let policy = engine.load(&bytes, config.policy.terms()).map_err(|failure| {
        UsageError::of(anyhow::Error::new(failure).context(format!("policy {}", source.name())))
    })?;
    match Generation::new(0, Arc::clone(&policy), files.book.clone(), &files.owners) {
        Ok(_) => Ok(policy),
        Err(refused @ GenerationRefused::NoOwner { .. }) => Err(UsageError::of(refused)),
        Err(refused @ GenerationRefused::Settings { .. }) => {
            let label = policy.label();
            let layers = Layers::default().with(Source::File, files.book.clone());
            let schema = SettingsSchema::new(&policy.description().settings_schema);
            let lines = files.placed(&refused, &layers, &schema).join("\n  ");
            Err(UsageError(format!("policy {label} refuses:\n  {lines}"), None))
        }
    }
}

fn report(
    config: &Config,
    files: &FileSettings,
    source: &PolicySource,
    policy: &Policy,
    state_dir: &str,
) -> Value {
    let description = policy.description();
    let layers = Layers::default().with(Source::File, files.book.clone());
    let workspaces = config.workspaces.iter().map(|(id, workspace)| {
        let of = Layer::of_workspace(&workspace.tenant, id);
        let settings: serde_json::Map<String, Value> = layers
            .effective(&of)
            .into_iter()
            .map(|(key, value)| {
                let from = layers.origin(&of, &key).to_string();
                (key, json!({"value": value, "from": from}))
            })
            .collect();
        (id.to_string(), json!({"tenant": workspace.tenant.as_str(), "settings": settings}))
    });
    json!({
        "ok": true,
        "proxy": config.proxy.listen.to_string(),
        "admin": config.admin.listen.to_string(),
        "state_dir": state_dir,
        "policy": {
            "source": source.name(),
            "name": description.name,
            "version": description.version,
            "summary": description.summary,
            "digest": policy.digest().to_string(),
            "imports": policy.imports(),
        },
        "workspaces": workspaces.collect::<serde_json::Map<_, _>>(),
        "warnings": config.warnings(),
    })
}

fn prose(report: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let policy = &report["policy"];
    let mut out = format!(
        "{} This configuration would run.\n  proxy      {}\n  operator   {}\n  state      {}\n  policy     {} {} from {}\n             sha256:{}\n",
        output::styled(GOOD, "OK."),
        text(&report["proxy"]),
        text(&report["admin"]),
        text(&report["state_dir"]),
        text(&policy["name"]),
        text(&policy["version"]),
        text(&policy["source"]),
        text(&policy["digest"]),
    );
    for (id, workspace) in report["workspaces"].as_object().into_iter().flatten() {
        let _ = writeln!(out, "  workspace  {id} of tenant {}", text(&workspace["tenant"]));
        for (key, setting) in workspace["settings"].as_object().into_iter().flatten() {
            let from = text(&setting["from"]);
            let _ = writeln!(out, "             {key} = {} (from {from})", setting["value"]);
        }
    }
    for warning in report["warnings"].as_array().into_iter().flatten() {
        let _ = writeln!(out, "{} {}", output::styled(CAREFUL, "warning:"), text(warning));
    }
    out
}
