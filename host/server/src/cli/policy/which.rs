//! Which component somebody means: a file here, a name at the host, a digest.

use std::{collections::BTreeMap, path::Path};

use reprieve_runtime::{
    MAX_COMPONENT_BYTES,
    registry::{Candidate, Refused},
};
use serde_json::Value;

use crate::{
    cli::output::{self, UsageError},
    config::policy::{PolicySource, signature_in},
};

/// The shortest beginning of a digest that is taken for one.
const MIN_DIGEST_DIGITS: usize = 4;
const DIGEST_DIGITS: usize = 64;

/// What is to be loaded.
#[derive(Debug)]
pub(super) enum Wanted {
    Uploaded(Candidate),
    /// By its name there.
    AtTheHost(String),
}

/// A built-in policy's name, a file, or else a name at the host.
pub(super) fn wanted(policy: &Path, signature: Option<&Path>) -> Result<Wanted, UsageError> {
    let built_in = policy.to_str().filter(|name| PolicySource::of_built_in(name).is_some());
    if built_in.is_none() && policy.is_file() {
        return Ok(Wanted::Uploaded(read(policy, signature)?));
    }
    let name = policy.to_str().filter(|_| policy.components().count() == 1);
    let Some(name) = built_in.or(name) else {
        let message = format!("there is no file {} here", policy.display());
        return Err(UsageError(message, None));
    };
    match signature {
        Some(_) => Err(UsageError(
            format!("{name} is no file here; a signature goes with a file that is uploaded"),
            None,
        )),
        None => Ok(Wanted::AtTheHost(name.to_owned())),
    }
}

fn read(file: &Path, signature: Option<&Path>) -> Result<Candidate, UsageError> {
    let mut candidate = PolicySource::File(file.to_owned()).fetch().map_err(UsageError::of)?;
    if candidate.bytes.len() > MAX_COMPONENT_BYTES {
        let what = format!("the policy {}", file.display());
        return Err(UsageError::of(Refused::Oversized { what, limit: MAX_COMPONENT_BYTES }));
    }
    if let Some(signature) = signature {
        candidate.signature = Some(signature_in(signature).map_err(UsageError::of)?);
    }
    Ok(candidate)
}

/// The digest of one that the host keeps, by `policies` as it tells of them.
pub(super) fn component(wanted: &str, policies: &Value) -> Result<String, UsageError> {
    let known = known(policies);
    let digits = wanted.strip_prefix("sha256:").unwrap_or(wanted).to_lowercase();
    let is_digest = (MIN_DIGEST_DIGITS..=DIGEST_DIGITS).contains(&digits.len())
        && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let is_meant = |(component, label): &(&String, &String)| {
        let name = label.split(' ').next().unwrap_or_default();
        (is_digest && component.starts_with(&digits)) || *label == wanted || name == wanted
    };
    let meant: Vec<_> = known.iter().filter(is_meant).collect();
    let is_unnamed = known.values().any(String::is_empty);
    match meant[..] {
        // It may be the newer one of that name.
        [(component, _)] if is_unnamed && !component.starts_with(&digits) => Err(UsageError(
            format!(
                "{wanted:?} may be one whose name is not known; name it by its digest:\n{}",
                listed(known.iter())
            ),
            None,
        )),
        [(component, _)] => Ok(component.clone()),
        // The host knows better what it keeps.
        [] if is_digest && digits.len() == DIGEST_DIGITS => Ok(digits),
        [] => Err(UsageError(
            format!(
                "the host keeps no policy {wanted:?}; load it first with `reprieve policy load`. \
                 It keeps:\n{}",
                listed(known.iter())
            ),
            None,
        )),
        _ => Err(UsageError(
            format!(
                "{wanted:?} may be several; name one by its digest:\n{}",
                listed(meant.into_iter())
            ),
            None,
        )),
    }
}

/// What the host keeps: by digest, name and version as far as they are known.
fn known(policies: &Value) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let kept = policies["kept"].as_array().into_iter().flatten();
    kept.map(|kept| (text(&kept["component"]), text(&kept["policy"]))).collect()
}

fn listed<'a>(components: impl Iterator<Item = (&'a String, &'a String)>) -> String {
    let line = |(component, label): (&String, &String)| {
        let label = if label.is_empty() { "-" } else { label };
        output::plain(&format!("  {component:.12}  {label}"))
    };
    components.map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;

    #[test]
    fn a_component_is_meant_by_the_beginning_of_its_digest_or_by_its_name() {
        let (a, b, c, d) =
            ("aaaa1".repeat(13), "aaaa2".repeat(13), "cccc3".repeat(13), "dddd4".repeat(13));
        let [a, b, c, d] = [a, b, c, d].map(|digest| digest[..64].to_owned());
        let policies = json!({"kept": [
            {"component": a, "policy": "default 0.1.0"},
            {"component": b, "policy": "mine 0.1.0"},
            {"component": c, "policy": "mine 0.2.0"},
        ]});
        for (wanted, expected) in [
            (a.as_str(), Ok(&a)),
            ("aaaa1", Ok(&a)),
            ("sha256:AAAA2", Ok(&b)),
            ("default", Ok(&a)),
            ("mine 0.2.0", Ok(&c)),
            (&d, Ok(&d)),
            ("aaaa", Err("may be several")),
            ("mine", Err("may be several")),
            ("aaa", Err("keeps no policy")),
            ("gone", Err("keeps no policy")),
            ("", Err("keeps no policy")),
        ] {
            match (component(wanted, &policies), expected) {
                (Ok(component), Ok(expected)) => assert_eq!(&component, expected, "{wanted}"),
                (Err(refused), Err(part)) => assert!(refused.0.contains(part), "{refused}"),
                (got, _) => panic!("{wanted}: {got:?}"),
            }
        }
    }

    #[test]
    fn a_name_is_none_while_one_is_kept_without() {
        let (a, b) = ("aaaa1".repeat(13)[..64].to_owned(), "bbbb2".repeat(13)[..64].to_owned());
        let policies =
            json!({"kept": [{"component": a, "policy": "mine \u{1b}[2J"}, {"component": b}]});
        let refused = component("mine", &policies).unwrap_err().to_string();
        assert!(refused.contains("name it by its digest"), "{refused}");
        assert!(!refused.contains('\u{1b}'), "a terminal would obey it: {refused:?}");
        assert_eq!(component("aaaa1", &policies).unwrap(), a);
    }

    #[test]
    fn what_is_a_file_here_is_uploaded_with_its_signature() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("policy.wasm");
        fs::write(&file, b"\0asm").unwrap();
        let ours = dir.path().join("ours");
        fs::write(&ours, "ours").unwrap();
        let signature = |signature: Option<&Path>| match wanted(&file, signature).unwrap() {
            Wanted::Uploaded(candidate) => candidate.signature,
            Wanted::AtTheHost(name) => panic!("{name}"),
        };
        assert_eq!(signature(None), None);
        fs::write(dir.path().join("policy.wasm.minisig"), "beside").unwrap();
        assert_eq!(signature(None).as_deref(), Some(&b"beside"[..]));
        assert_eq!(signature(Some(&ours)).as_deref(), Some(&b"ours"[..]));
        assert!(wanted(&file, Some(&dir.path().join("theirs"))).is_err());
    }

    #[test]
    fn another_name_is_one_at_the_host() {
        let nowhere = Path::new("nowhere.minisig");
        for (policy, signature, expected) in [
            ("v2", None, true),
            ("v2.wasm", None, true),
            ("default", None, true),
            ("./v2.wasm", None, false),
            ("policies/v2.wasm", None, false),
            ("v2", Some(nowhere), false),
        ] {
            let wanted = wanted(Path::new(policy), signature);
            assert_eq!(wanted.is_ok(), expected, "{policy}");
            assert!(!matches!(wanted, Ok(Wanted::Uploaded(_))), "{policy}");
        }
    }
}
