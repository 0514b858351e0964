//! `reprieve settings`: look at the policy's settings of a running host, try
//! changes, make them, and take them back.

mod prose;

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use http::{HeaderMap, HeaderValue, Method, header};
use reprieve_core::{
    ids::{TenantId, WorkspaceId},
    settings::{ChangeNumber, Layer, Patch},
};
use serde_json::{Value, json};

use super::{
    answer::AnswerArgs,
    author,
    client::AdminClient,
    output::{self, UsageError},
};

/// Show and change the policy's settings of a running host.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
WHOSE is `fleet`, a tenant, or a tenant's workspace: acme/ws-1. A nearer layer
outweighs a wider one; in each, what was applied outweighs what stands in files.

Examples:
  reprieve settings show acme/ws-1
  reprieve settings diff acme settle=90s
  reprieve settings apply acme settle=90s --why 'slow imports at night'
  reprieve settings apply acme settle=null --why 'imports are fast again'
  reprieve settings history acme
  reprieve settings undo 12 --why 'it was the disk'

Exit codes: 0 done; 1 the host refuses, and nothing has changed; 2 the question
was wrong.")]
pub(crate) struct SettingsArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Clone, Debug, Subcommand)]
enum Verb {
    /// What is in force, and where each value comes from.
    #[command(after_help = "\
Examples:
  reprieve settings show                    the fleet's
  reprieve settings show acme/ws-1
  reprieve settings show acme --json | jq '.settings[] | select(.key == \"settle\")'")]
    Show(ShowArgs),
    /// Would the host take these settings? Changes nothing.
    #[command(after_help = "\
Example:
  reprieve settings check acme settle=90s restart_budget=3")]
    Check(TryArgs),
    /// What these settings would change, and for how many. Changes nothing.
    #[command(after_help = "\
Example:
  reprieve settings diff acme settle=90s")]
    Diff(TryArgs),
    /// Change settings. The next decision is made by them.
    #[command(after_help = "\
Examples:
  reprieve settings apply acme settle=90s --why 'slow imports at night'
  reprieve settings apply fleet --file tuned.toml --why 'tuned on last week'
  reprieve settings apply acme settle=90s --expect 12 --why '…'
                        only if nobody changed them since `diff` said 12
  reprieve settings apply acme settle=null --why '…'
                        take back what was applied: the file's value holds again")]
    Apply(ApplyArgs),
    /// Who changed what, when and why. The newest last.
    #[command(after_help = "\
Examples:
  reprieve settings history
  reprieve settings history acme --limit 5")]
    History(HistoryArgs),
    /// Put back what a change replaced.
    #[command(after_help = "\
Examples:
  reprieve settings undo 12 --why 'it was the disk'")]
    Undo(UndoArgs),
    /// Is everything in force that is applied and written?
    #[command(after_help = "\
Example:
  reprieve settings status --json | jq .set_aside")]
    Status(StatusArgs),
}

#[derive(Args, Clone, Debug)]
struct ShowArgs {
    /// Whose.
    #[arg(default_value = "fleet", value_parser = Whose::parse)]
    whose: Whose,
    #[command(flatten)]
    common: AnswerArgs,
}

#[derive(Args, Clone, Debug)]
struct TryArgs {
    /// Whose.
    #[arg(value_parser = Whose::parse)]
    whose: Whose,
    /// Settings and their values. `null` takes back what was applied.
    #[arg(required_unless_present = "file", value_name = "KEY=VALUE", value_parser = assignment)]
    settings: Vec<(String, Value)>,
    /// A TOML table of settings, as `reprieve tune --out` writes it.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    common: AnswerArgs,
}

#[derive(Args, Clone, Debug)]
struct ApplyArgs {
    #[command(flatten)]
    change: TryArgs,
    /// Why, for whoever reads the history.
    #[arg(long, value_name = "TEXT")]
    why: String,
    /// The version that `show` or `diff` told. Refused if somebody changed the
    /// settings since. Default: the version now.
    #[arg(long, value_name = "VERSION")]
    expect: Option<u64>,
}

#[derive(Args, Clone, Debug)]
struct HistoryArgs {
    /// Whose. Default: everybody's.
    #[arg(value_parser = Whose::parse)]
    whose: Option<Whose>,
    /// Only the changes of this person.
    #[arg(long, value_name = "NAME")]
    who: Option<String>,
    /// The newest so many.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    limit: u32,
    #[command(flatten)]
    common: AnswerArgs,
}

#[derive(Args, Clone, Debug)]
struct UndoArgs {
    /// The change's number, as `history` tells it.
    number: u64,
    /// Why, for whoever reads the history.
    #[arg(long, value_name = "TEXT")]
    why: String,
    /// Undo although later changes touched the same settings.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    common: AnswerArgs,
}

#[derive(Args, Clone, Debug)]
struct StatusArgs {
    #[command(flatten)]
    common: AnswerArgs,
}

/// Whose settings.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Whose {
    layer: Layer,
    /// Of a workspace: the tenant that it is said to belong to.
    tenant: Option<TenantId>,
}

impl Whose {
    /// `fleet`, `acme`, `acme/ws-1`. A tenant that is called fleet is `fleet/`.
    fn parse(text: &str) -> Result<Self, String> {
        let name = |name: &str| name.parse::<TenantId>().map_err(|error| error.to_string());
        let layer = match text.split_once('/') {
            None if text == "fleet" => Layer::Fleet,
            None => Layer::Tenant(name(text)?),
            Some((tenant, "")) => Layer::Tenant(name(tenant)?),
            Some((tenant, workspace)) => {
                let tenant = Some(name(tenant)?);
                let id: WorkspaceId = workspace.parse().map_err(|error| format!("{error}"))?;
                return Ok(Self { layer: Layer::Workspace(id), tenant });
            }
        };
        Ok(Self { layer, tenant: None })
    }

    fn path(&self) -> String {
        format!("settings/{}", self.layer.to_path())
    }
}

/// `settle=90s`, `restart_budget=3`, `trust_reported_exit=false`, `settle=null`.
/// What is no JSON is a text.
fn assignment(text: &str) -> Result<(String, Value), String> {
    let Some((key, value)) = text.split_once('=').filter(|(key, _)| !key.is_empty()) else {
        return Err(format!("{text:?} is not written like settle=90s"));
    };
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value));
    Ok((key.to_owned(), value))
}

pub(crate) async fn settings(args: &SettingsArgs) -> anyhow::Result<u8> {
    match &args.verb {
        Verb::Show(args) => show(args).await,
        Verb::Check(args) => check(args).await,
        Verb::Diff(args) => diff(args).await,
        Verb::Apply(args) => apply(args).await,
        Verb::History(args) => history(args).await,
        Verb::Undo(args) => undo(args).await,
        Verb::Status(args) => status(args).await,
    }
}

async fn show(args: &ShowArgs) -> anyhow::Result<u8> {
    let shown = looked_at(&args.common.admin.client()?, &args.whose).await?;
    args.common.show(&shown, prose::shown)
}

async fn check(args: &TryArgs) -> anyhow::Result<u8> {
    let preview = previewed(args).await?;
    args.common.show(&preview, |_| "OK: the host would take these settings.\n".to_owned())
}

async fn diff(args: &TryArgs) -> anyhow::Result<u8> {
    let preview = previewed(args).await?;
    args.common.show(&preview, prose::preview)
}

async fn apply(args: &ApplyArgs) -> anyhow::Result<u8> {
    let ApplyArgs { change, why, expect } = args;
    let client = change.common.admin.client()?;
    let now = looked_at(&client, &change.whose).await?;
    let version = expect.or_else(|| now["version"].as_u64()).unwrap_or_default();
    let body = json!({ "settings": patch(change)?, "why": why });
    let path = change.whose.path();
    let made = asked(&client, Method::PATCH, &path, Some(version), Some(&body)).await?;
    change.common.show(&made, |made| prose::change(made, "applied"))
}

async fn history(args: &HistoryArgs) -> anyhow::Result<u8> {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("limit", &args.limit.to_string());
    if let Some(whose) = &args.whose {
        query.append_pair("layer", &whose.layer.to_path());
    }
    if let Some(who) = &args.who {
        query.append_pair("who", who);
    }
    let path = format!("settings/history?{}", query.finish());
    let changes: Value = args.common.admin.client()?.get(&path).await?;
    args.common.show(&changes, prose::history)
}

async fn undo(args: &UndoArgs) -> anyhow::Result<u8> {
    let path = format!("settings/changes/{}/undo", args.number);
    let body = json!({ "why": args.why, "force": args.force });
    let client = args.common.admin.client()?;
    let made = asked(&client, Method::POST, &path, None, Some(&body)).await?;
    args.common.show(&made, |made| prose::change(made, "undone"))
}

async fn status(args: &StatusArgs) -> anyhow::Result<u8> {
    let status: Value = args.common.admin.client()?.get("settings/status").await?;
    args.common.show(&status, prose::status)?;
    let all_in_force = [&status["set_aside"], &status["files"]["problems"]]
        .iter()
        .all(|missing| missing.as_array().is_none_or(Vec::is_empty));
    Ok(if all_in_force { output::OK } else { output::NO })
}

async fn previewed(args: &TryArgs) -> anyhow::Result<Value> {
    let client = args.common.admin.client()?;
    if args.whose.tenant.is_some() {
        looked_at(&client, &args.whose).await?;
    }
    let path = format!("{}/preview", args.whose.path());
    let body = json!({ "settings": patch(args)? });
    asked(&client, Method::POST, &path, None, Some(&body)).await
}

/// What is in force now; a workspace of another tenant than was said is refused.
async fn looked_at(client: &AdminClient, whose: &Whose) -> anyhow::Result<Value> {
    let shown: Value = client.get(&whose.path()).await?;
    match (&whose.tenant, shown["tenant"].as_str()) {
        (Some(said), Some(owner)) if said.as_str() != owner => {
            anyhow::bail!("{} belongs to tenant {owner}, not {said}", whose.layer.name())
        }
        _ => Ok(shown),
    }
}

/// A key that is given twice is a slip.
fn patch(args: &TryArgs) -> Result<Patch, UsageError> {
    let of_file = args.file.as_deref().map(author::settings_in).transpose()?.unwrap_or_default();
    let mut patch = Patch::new();
    for (key, value) in of_file.iter().chain(args.settings.iter().map(|(key, value)| (key, value)))
    {
        if patch.insert(key.clone(), value.clone()).is_some() {
            return Err(UsageError(format!("{key} is given twice"), None));
        }
    }
    Ok(patch)
}

/// Asks, and reads the answer. `version`: the one that was seen.
async fn asked(
    client: &AdminClient,
    method: Method,
    path: &str,
    version: Option<u64>,
    body: Option<&Value>,
) -> anyhow::Result<Value> {
    let mut headers = HeaderMap::new();
    if let Some(version) = version {
        headers.insert(header::IF_MATCH, HeaderValue::try_from(format!("\"{version}\""))?);
    }
    let (_, answer) = client.ask(method, path, &headers, body).await?;
    serde_json::from_slice(&answer).context("the host answers with another shape")
}

/// A change's number.
fn number(value: &Value) -> ChangeNumber {
    ChangeNumber(value.as_u64().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_settings_is_told_by_one_word() {
        for (text, path) in [
            ("fleet", "fleet"),
            ("acme", "tenants/acme"),
            ("fleet/", "tenants/fleet"),
            ("acme/ws-1", "workspaces/ws-1"),
        ] {
            assert_eq!(Whose::parse(text).unwrap().layer.to_path(), path, "{text}");
        }
        for text in ["", "/", "a b", "acme/../x", "/ws-1"] {
            assert!(Whose::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_value_is_json_or_else_a_text() {
        for (text, expected) in [
            ("settle=90s", json!("90s")),
            ("restart_budget=3", json!(3)),
            ("trust_reported_exit=false", json!(false)),
            ("settle=null", Value::Null),
            ("name=\"3\"", json!("3")),
            ("formula=a=b", json!("a=b")),
            ("settle=", json!("")),
        ] {
            assert_eq!(assignment(text).unwrap().1, expected, "{text}");
        }
        assert!(assignment("settle").is_err() && assignment("=1").is_err());
    }
}
