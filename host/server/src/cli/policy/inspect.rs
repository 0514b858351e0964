//! `reprieve policy inspect`: what a component is, before anybody trusts it.

use std::{fmt::Write as _, path::PathBuf};

use clap::Args;
use reprieve_runtime::{
    Engine, EngineOptions, Limits, Policy,
    registry::{Candidate, TrustedKey, check_signature},
};
use serde_json::{Value, json};

use crate::cli::{
    author::Meant,
    output::{self, CAREFUL, GOOD, UsageError},
};

/// Say what a component is: what it calls itself, what it asks, its settings and
/// its reasons. Needs no host; starts the component, but puts nothing to it.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  reprieve policy inspect ./my-policy.wasm
  reprieve policy inspect ./my-policy.wasm --key RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3
  reprieve policy inspect default --json | jq .settings_schema

Exit code: 0 if this host could run it, 2 if not.")]
pub(super) struct InspectArgs {
    /// A component, the name of a built-in policy, or the folder of a project.
    #[arg(value_name = "FILE|NAME|DIR")]
    policy: PathBuf,

    /// A public key of minisign that you trust, or `ed25519:` and a plain one: the
    /// signature in FILE.minisig or FILE.ed25519 is checked with it.
    #[arg(long = "key", value_name = "KEY")]
    keys: Vec<String>,

    /// All of it as JSON, for machines.
    #[arg(long)]
    json: bool,
}

pub(super) fn inspect(args: &InspectArgs) -> anyhow::Result<u8> {
    let keys = args.keys.iter().map(|key| TrustedKey::parse(key)).collect::<Result<Vec<_>, _>>();
    let keys = keys.map_err(UsageError::of)?;
    let candidate = Meant::by(&args.policy)?.fetch()?;
    let signed = signature_state(&candidate, &keys);
    let engine = Engine::new(EngineOptions::default()).map_err(UsageError::of)?;
    let policy = engine.load(&candidate.bytes, Limits::default()).map_err(|failure| {
        UsageError::of(anyhow::Error::new(failure).context(format!("policy {}", candidate.source)))
    })?;
    let report = report(&candidate, &policy, &signed);
    let text = if args.json { format!("{report:#}\n") } else { prose(&report) };
    output::print(&text)?;
    Ok(output::OK)
}

fn signature_state(candidate: &Candidate, keys: &[TrustedKey]) -> String {
    if candidate.built_in {
        return "built in".to_owned();
    }
    match check_signature(&candidate.bytes, candidate.signature.as_deref(), keys, false) {
        Ok(signed) if keys.is_empty() => match candidate.signature {
            Some(_) => "signed; name the keys that you trust with --key to check it".to_owned(),
            None => signed.to_string(),
        },
        Ok(signed) => signed.to_string(),
        Err(refused) => format!("WRONG: {refused}"),
    }
}

fn report(candidate: &Candidate, policy: &Policy, signed: &str) -> Value {
    let description = policy.description();
    let reasons = description
        .reasons
        .iter()
        .map(|reason| json!({"code": reason.code, "meaning": reason.meaning}));
    json!({
        "source": candidate.source,
        "name": description.name,
        "version": description.version,
        "summary": description.summary,
        "contract": format!("reprieve:policy@{}", policy.contract()),
        "digest": policy.digest().to_string(),
        "bytes": candidate.bytes.len(),
        "signature": signed,
        "imports": policy.imports(),
        "settings_schema": description.settings_schema,
        "reasons": reasons.collect::<Vec<_>>(),
    })
}

fn prose(report: &Value) -> String {
    let text = |value: &Value| output::plain(value.as_str().unwrap_or_default());
    let signed = text(&report["signature"]);
    let style = if signed.starts_with("WRONG") { CAREFUL } else { GOOD };
    let mut out = format!(
        "{} {}\n  {}\n  component  sha256:{}, {} bytes\n  contract   {}\n  signature  {}\n",
        text(&report["name"]),
        text(&report["version"]),
        text(&report["summary"]),
        text(&report["digest"]),
        report["bytes"],
        text(&report["contract"]),
        output::styled(style, &signed),
    );
    out.push_str("  may ask\n");
    for import in report["imports"].as_array().into_iter().flatten() {
        let _ = writeln!(out, "    {}", text(import));
    }
    out.push_str("  settings\n");
    for (key, setting) in report["settings_schema"]["properties"].as_object().into_iter().flatten()
    {
        let default = match &setting["default"] {
            Value::Null => String::new(),
            default => output::plain(&format!(" = {default}")),
        };
        let range = match (&setting["x-least"], &setting["x-most"]) {
            (Value::Null, _) | (_, Value::Null) => String::new(),
            (least, most) => output::plain(&format!(" in {least}..={most}")),
        };
        let key = output::plain(key);
        let _ = writeln!(out, "    {key}{default}{range}");
        let _ = writeln!(out, "      {}", text(&setting["description"]));
    }
    out.push_str("  reasons\n");
    for reason in report["reasons"].as_array().into_iter().flatten() {
        let _ = writeln!(out, "    {}\n      {}", text(&reason["code"]), text(&reason["meaning"]));
    }
    out
}
