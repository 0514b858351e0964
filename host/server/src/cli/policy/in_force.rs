//! What judges at a running host, and how another comes in its place.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use clap::Args;
use http::{HeaderMap, HeaderValue, header};
use reprieve_core::{
    ids::Digest,
    time::{Millis, UnixMillis},
};
use reprieve_runtime::registry::Candidate;
use serde_json::{Value, json};

use super::{
    progress, prose,
    which::{self, Wanted},
};
use crate::{
    cli::{
        answer::AnswerArgs,
        client::{AdminClient, AnswerLost, Content},
        experiment::{self, Definition, length},
        output,
    },
    experiments,
};

#[derive(Args, Clone, Debug)]
pub(super) struct LoadArgs {
    /// A component file, or the name of a component at the host.
    #[arg(value_name = "FILE|NAME")]
    policy: PathBuf,
    /// A detached signature of FILE. Default: FILE.minisig, FILE.ed25519, or none.
    #[arg(long, value_name = "FILE")]
    signature: Option<PathBuf>,
    /// Put it in force, too, if nobody changes the policy meanwhile.
    #[arg(long, requires = "why")]
    activate: bool,
    /// Start a shadow experiment with it over the whole fleet: it judges what the
    /// policy in force judges, and never acts.
    #[arg(long, conflicts_with = "activate", requires_all = ["owner", "hypothesis"])]
    shadow: bool,
    /// Whom to ask about the experiment: a person or a team.
    #[arg(long, value_name = "NAME", requires = "shadow")]
    owner: Option<String>,
    /// What you expect to see in it.
    #[arg(long, value_name = "TEXT", requires = "shadow")]
    hypothesis: Option<String>,
    /// How long the experiment runs.
    #[arg(long = "for", value_name = "LENGTH", default_value = "24h", value_parser = length)]
    runs_for: Millis,
    /// Why, for whoever reads the history.
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
    #[command(flatten)]
    common: AnswerArgs,
}

#[derive(Args, Clone, Debug)]
pub(super) struct ActivateArgs {
    /// Its digest or the beginning of it, or the name that it gives itself.
    #[arg(value_name = "DIGEST|NAME")]
    policy: String,
    #[command(flatten)]
    change: Change,
}

#[derive(Args, Clone, Debug)]
pub(super) struct RollbackArgs {
    #[command(flatten)]
    change: Change,
}

#[derive(Args, Clone, Debug)]
pub(super) struct Change {
    /// Why, for whoever reads the history.
    #[arg(long, value_name = "TEXT")]
    why: String,
    /// The revision that `status` told. Refused if somebody changed the policy
    /// since. Default: the revision now.
    #[arg(long, value_name = "REVISION")]
    expect: Option<u64>,
    #[command(flatten)]
    common: AnswerArgs,
}

#[derive(Args, Clone, Debug)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    common: AnswerArgs,
}

pub(super) async fn load(args: &LoadArgs) -> anyhow::Result<u8> {
    let wanted = which::wanted(&args.policy, args.signature.as_deref())?;
    let client = args.common.admin.client()?;
    let why = args.why.as_deref().unwrap_or_default();
    if args.shadow {
        let loaded = bring(&client, wanted, why).await?;
        return shadow(&client, args, &loaded).await;
    }
    // Whoever changes it while this one is checked is not overwritten.
    let before = looked_at(&client).await?;
    let loaded = bring(&client, wanted, why).await?;
    if !args.activate {
        return args.common.show(&loaded, prose::loaded);
    }
    let component = loaded["component"].as_str().unwrap_or_default();
    let in_force = put_in_force(&client, component, why, revision(&before)).await?;
    let both = json!({"loaded": loaded, "activated": in_force});
    args.common
        .show(&both, |both| prose::steps(&both["loaded"]) + &prose::in_force(&both["activated"]))
}

async fn bring(client: &AdminClient, wanted: Wanted, why: &str) -> anyhow::Result<Value> {
    match wanted {
        Wanted::Uploaded(candidate) => upload(client, candidate, why).await,
        Wanted::AtTheHost(name) => {
            let body = Content::json(&json!({"name": name, "why": why}));
            asked(client, "policies/load", &HeaderMap::new(), body).await
        }
    }
}

/// What an experiment tries: a digest that the host keeps, or what is loaded for it.
pub(in crate::cli) async fn candidate(
    client: &AdminClient,
    policy: &Path,
    why: &str,
) -> anyhow::Result<Digest> {
    let digits = policy.to_str().map(|text| text.trim_start_matches("sha256:").to_owned());
    if let Some(component) = digits.and_then(|digits| Digest::try_from(digits).ok()) {
        return Ok(component);
    }
    let loaded = bring(client, which::wanted(policy, None)?, why).await?;
    component_of(&loaded)
}

fn component_of(loaded: &Value) -> anyhow::Result<Digest> {
    let component = loaded["component"].as_str().unwrap_or_default().to_owned();
    Digest::try_from(component).map_err(anyhow::Error::msg)
}

/// Tries what was loaded beside what judges, under a name that nobody has used.
async fn shadow(client: &AdminClient, args: &LoadArgs, loaded: &Value) -> anyhow::Result<u8> {
    let (component, now) = (component_of(loaded)?, crate::cli::now());
    let name = format!("shadow-{:.8}-{}", component.to_string(), now.0 / 1_000).parse()?;
    let owner = args.owner.as_deref().unwrap_or_default();
    let hypothesis = args.hypothesis.as_deref().unwrap_or_default();
    let ends_at = now + args.runs_for;
    let definition = Definition::shadow(name, component, owner, hypothesis, ends_at);
    let why = args.why.as_deref().unwrap_or_default();
    let started = experiment::begin(client, &definition, why).await?;
    let both = json!({"loaded": loaded, "started": started});
    args.common
        .show(&both, |both| prose::steps(&both["loaded"]) + &experiment::started(&both["started"]))
}

pub(super) async fn activate(args: &ActivateArgs) -> anyhow::Result<u8> {
    let Change { why, expect, common } = &args.change;
    let client = common.admin.client()?;
    let now = looked_at(&client).await?;
    let component = which::component(&args.policy, &now)?;
    let seen = expect.unwrap_or_else(|| revision(&now));
    let in_force = put_in_force(&client, &component, why, seen).await?;
    common.show(&in_force, prose::in_force)
}

pub(super) async fn rollback(args: &RollbackArgs) -> anyhow::Result<u8> {
    let Change { why, expect, common } = &args.change;
    let client = common.admin.client()?;
    let seen = match expect {
        Some(seen) => *seen,
        None => {
            let now = looked_at(&client).await?;
            once(&now, crate::cli::now())?;
            revision(&now)
        }
    };
    let body = Content::json(&json!({"why": why}));
    let in_force = asked(&client, "policies/rollback", &if_match(seen)?, body).await?;
    common.show(&in_force, prose::in_force)
}

/// Two who roll back at the same time mean the same policy, and the second would
/// bring the bad one back. Who means it says what he has seen.
fn once(status: &Value, now: UnixMillis) -> anyhow::Result<()> {
    let active = &status["active"];
    if active["how"] != "rolled-back" {
        return Ok(());
    }
    let text = |value: &Value| output::plain(value.as_str().unwrap_or_default());
    let at_ms = active["at_ms"].as_u64().unwrap_or_default();
    bail!(
        "already rolled back by {}, {} s ago: {} judges; to bring {} back, say --expect {}",
        text(&active["by"]),
        now.0.saturating_sub(at_ms) / 1_000,
        text(&active["policy"]),
        text(&status["before"]["policy"]),
        revision(status),
    )
}

pub(super) async fn status(args: &StatusArgs) -> anyhow::Result<u8> {
    let status = looked_at(&args.common.admin.client()?).await?;
    args.common.show(&status, prose::status)?;
    Ok(if is_as_wanted(&status) { output::OK } else { output::NO })
}

/// What came of an experiment says nothing about the policy that judges.
fn is_as_wanted(status: &Value) -> bool {
    let is_of_an_experiment = |alert: &Value| {
        let code = alert["code"].as_str().unwrap_or_default();
        experiments::ALERTS.contains(&code)
    };
    let alerts = status["alerts"].as_array();
    status["difference"].is_null() && alerts.is_none_or(|all| all.iter().all(is_of_an_experiment))
}

async fn upload(client: &AdminClient, candidate: Candidate, why: &str) -> anyhow::Result<Value> {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    // What arrives is what was read here.
    query.append_pair("component", &Digest::of(&candidate.bytes).to_string());
    query.append_pair("why", why);
    let mut headers = HeaderMap::new();
    if let Some(signature) = &candidate.signature {
        let value = HeaderValue::try_from(BASE64_STANDARD.encode(signature))?;
        headers.insert("reprieve-signature", value);
    }
    let content =
        Content { media_type: "application/wasm", bytes: Bytes::from_owner(candidate.bytes) };
    let path = format!("policies/upload?{}", query.finish());
    asked(client, &path, &headers, content).await
}

async fn put_in_force(
    client: &AdminClient,
    component: &str,
    why: &str,
    seen: u64,
) -> anyhow::Result<Value> {
    let body = Content::json(&json!({"component": component, "why": why}));
    asked(client, "policies/activate", &if_match(seen)?, body).await
}

async fn looked_at(client: &AdminClient) -> anyhow::Result<Value> {
    client.get("policies").await
}

/// Asks for what takes its time, and tells meanwhile how far it has come.
async fn asked(
    client: &AdminClient,
    path: &str,
    headers: &HeaderMap,
    content: Content,
) -> anyhow::Result<Value> {
    let asked = client.ask_and_wait(path, headers, content);
    let answered = progress::told_until_done(client, asked).await;
    let (_, answer) = answered.map_err(|error| match error.is::<AnswerLost>() {
        true => error.context("whether it was done is not known: see `reprieve policy status`"),
        false => error,
    })?;
    serde_json::from_slice(&answer).context("the host answers with another shape")
}

fn if_match(revision: u64) -> anyhow::Result<HeaderMap> {
    let value = HeaderValue::try_from(format!("\"{revision}\""))?;
    Ok([(header::IF_MATCH, value)].into_iter().collect())
}

fn revision(status: &Value) -> u64 {
    status["revision"].as_u64().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_experiment_that_was_put_away_is_no_fault_of_the_policy_that_judges() {
        let alert = |code: &str| json!({"code": code, "message": "…"});
        for (alerts, expected) in [
            (vec![], true),
            (vec![alert(experiments::ABORTED)], true),
            (vec![alert(experiments::SUSPENDED)], true),
            (vec![alert("policy-distrusted")], false),
            (vec![alert(experiments::ABORTED), alert("policy-distrusted")], false),
        ] {
            let status = json!({"difference": null, "alerts": alerts});
            assert_eq!(is_as_wanted(&status), expected, "{status}");
        }
        assert!(!is_as_wanted(&json!({"difference": {"wanted": "…"}, "alerts": []})));
    }

    #[test]
    fn a_rollback_of_a_rollback_is_meant_only_by_who_has_seen_it() {
        let status = |how: &str| {
            json!({"revision": 12, "before": {"policy": "mine 0.2.0"}, "active":
                {"how": how, "by": "ana", "at_ms": 10_000, "policy": "default 0.1.0"}})
        };
        once(&status("activated"), UnixMillis(15_000)).unwrap();
        let refused = once(&status("rolled-back"), UnixMillis(15_000)).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "already rolled back by ana, 5 s ago: default 0.1.0 judges; to bring mine 0.2.0 back, \
             say --expect 12"
        );
    }
}
