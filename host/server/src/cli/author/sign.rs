//! `reprieve policy keygen`, `sign`, `verify`: who vouches for a component, in
//! minisign's formats, so that minisign itself does as well.

use std::{
    env, fs,
    io::{Cursor, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::Args;
use minisign::{KeyPair, PublicKey, SecretKey, SecretKeyBox};
use reprieve_runtime::registry::{Signed, TrustedKey, check_signature};
use serde_json::json;

use super::project::Meant;
use crate::{
    cli::output::{self, BAD, GOOD, UsageError},
    config::policy::signature_in,
};

/// Where scripts leave the password of a secret key.
const PASSWORD: &str = "REPRIEVE_KEY_PASSWORD";
/// The largest key file that is read; minisign's have some 200 bytes.
const MAX_KEY_BYTES: u64 = 4 << 10;

/// Make a key pair to sign components with.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  reprieve policy keygen ./release
                        makes release.key, for you alone, and release.pub, for hosts
  reprieve policy keygen ./ci --no-password

The password is asked for, or taken from $REPRIEVE_KEY_PASSWORD. The files are
minisign's.

Exit codes: 0 made; 1 it cannot be written; 2 the question was wrong.")]
pub(in crate::cli) struct KeygenArgs {
    /// The files are PATH.key and PATH.pub.
    #[arg(value_name = "PATH", default_value = "reprieve")]
    path: PathBuf,
    /// Keep the secret key as it is: whoever reads the file can sign.
    #[arg(long)]
    no_password: bool,
    /// The result as JSON, for machines.
    #[arg(long)]
    json: bool,
}

/// Sign a component: writes FILE.minisig beside it.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  reprieve policy sign ./my-policy.wasm --key ./release.key
  minisign -Sm ./my-policy.wasm          does the same with minisign's own key

The password is asked for, or taken from $REPRIEVE_KEY_PASSWORD.

Exit codes: 0 signed; 1 it cannot be written; 2 the question was wrong.")]
pub(in crate::cli) struct SignArgs {
    /// A component, or the folder of a project.
    #[arg(value_name = "FILE|DIR", default_value = ".")]
    policy: PathBuf,
    /// The secret key, as `keygen` or `minisign -G` made it.
    #[arg(long, short, value_name = "FILE")]
    key: PathBuf,
    /// A comment that is signed, too.
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
    /// The result as JSON, for machines.
    #[arg(long)]
    json: bool,
}

/// Say whether a component is signed by one of these keys.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  reprieve policy verify ./my-policy.wasm --key ./release.pub
  reprieve policy verify ./my-policy.wasm --key RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3
  reprieve policy verify ./my-policy.wasm --key ed25519:… --signature ./my-policy.sig

Exit codes: 0 it is; 1 it is not; 2 the question was wrong.")]
pub(in crate::cli) struct VerifyArgs {
    /// A component, or the folder of a project.
    #[arg(value_name = "FILE|DIR", default_value = ".")]
    policy: PathBuf,
    /// A key that you trust: a file `.pub`, minisign's line, or `ed25519:` and a
    /// plain key. May be given several times.
    #[arg(long = "key", short, value_name = "KEY|FILE", required = true)]
    keys: Vec<String>,
    /// Its signature. Default: FILE.minisig or FILE.ed25519.
    #[arg(long, value_name = "FILE")]
    signature: Option<PathBuf>,
    /// The result as JSON, for machines.
    #[arg(long)]
    json: bool,
}

pub(super) fn keygen(args: &KeygenArgs) -> anyhow::Result<u8> {
    let (secret_path, public_path) = (with(&args.path, ".key"), with(&args.path, ".pub"));
    if let Some(there) = [&secret_path, &public_path].into_iter().find(|path| path.exists()) {
        let said = format!("{} is there already; name another path", there.display());
        return Err(UsageError(said, None).into());
    }
    let pair = match args.no_password {
        true => KeyPair::generate_unencrypted_keypair(),
        false => KeyPair::generate_encrypted_keypair(env::var(PASSWORD).ok()),
    };
    let pair = pair.context("cannot make a key pair")?;
    let public = pair.pk.to_box().context("cannot write the public key")?.into_string();
    let secret = pair.sk.to_box(Some("reprieve secret key")).context("cannot write the key")?;
    write_new(&secret_path, &secret.into_string(), 0o600)?;
    write_new(&public_path, &public, 0o644)?;
    let key = pair.pk.to_base64();
    if args.json {
        let made = json!({"key": key, "secret_file": secret_path, "public_file": public_path});
        output::print(&format!("{made:#}\n"))?;
    } else {
        output::print(&format!(
            "{} the secret key is in {}, for you alone; hosts trust the public one with\n  \
             [policy]\n  keys = [\"{key}\"]\n",
            output::styled(GOOD, "OK:"),
            output::plain(&secret_path.display().to_string()),
        ))?;
    }
    Ok(output::OK)
}

pub(super) fn sign(args: &SignArgs) -> anyhow::Result<u8> {
    let file = meant_file(&args.policy)?;
    let bytes = Meant::by(&args.policy)?.fetch()?.bytes;
    let secret = secret_key(&args.key)?;
    let public = PublicKey::from_secret_key(&secret).map_err(UsageError::of)?;
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let comment = args.comment.clone().unwrap_or_else(|| format!("file:{name}"));
    let untrusted = "signature of a Reprieve policy";
    let signature = minisign::sign(
        Some(&public),
        &secret,
        Cursor::new(&bytes),
        Some(&comment),
        Some(untrusted),
    );
    let signature = signature.context("cannot sign it")?.into_string();
    let beside = with(&file, ".minisig");
    fs::write(&beside, signature).with_context(|| format!("cannot write {}", beside.display()))?;
    let key = public.to_base64();
    if args.json {
        output::print(&format!("{:#}\n", json!({"signature": beside, "key": key})))?;
    } else {
        output::print(&format!(
            "{} {}, by {key}\n",
            output::styled(GOOD, "OK:"),
            output::plain(&beside.display().to_string())
        ))?;
    }
    Ok(output::OK)
}

pub(super) fn verify(args: &VerifyArgs) -> anyhow::Result<u8> {
    let keys = args.keys.iter().map(|key| public_key(key)).collect::<Result<Vec<_>, _>>()?;
    let mut candidate = Meant::by(&args.policy)?.fetch()?;
    if let Some(file) = &args.signature {
        candidate.signature = Some(signature_in(file).map_err(UsageError::of)?);
    }
    let checked = check_signature(&candidate.bytes, candidate.signature.as_deref(), &keys, true);
    let source = output::plain(&candidate.source);
    let (code, is_by, said) = match checked {
        Ok(Signed::By { key }) => (output::OK, Some(key.clone()), format!("signed by {key}")),
        Ok(other) => (output::NO, None, other.to_string()),
        Err(refused) => (output::NO, None, refused.to_string()),
    };
    if args.json {
        output::print(&format!("{:#}\n", json!({"policy": source, "by": is_by, "said": said})))?;
    } else {
        let (style, word) = if code == output::OK { (GOOD, "OK:") } else { (BAD, "NO:") };
        output::print(&format!("{} {source}: {said}\n", output::styled(style, word)))?;
    }
    Ok(code)
}

/// A built-in policy is signed by nobody.
fn meant_file(policy: &Path) -> Result<PathBuf, UsageError> {
    match policy.is_dir() {
        true => Ok(super::project::Project::open(policy)?.component()),
        false if policy.is_file() => Ok(policy.to_owned()),
        false => Err(UsageError(format!("there is no file {} here", policy.display()), None)),
    }
}

fn secret_key(file: &Path) -> Result<SecretKey, UsageError> {
    let shown = file.display();
    let wrong = |error: minisign::PError| {
        let said = format!(
            "{shown} gives no secret key: it is none of minisign's or of `reprieve policy keygen`, \
             or the password (${PASSWORD}) is wrong"
        );
        UsageError(said, Some(error.into()))
    };
    let text = small(file)?;
    let boxed = || SecretKeyBox::from_string(&text).map_err(wrong);
    match boxed()?.into_unencrypted_secret_key() {
        Ok(secret) => Ok(secret),
        // Asked for at the terminal, if it is not in the environment.
        Err(_encrypted) => boxed()?.into_secret_key(env::var(PASSWORD).ok()).map_err(wrong),
    }
}

/// By itself, or by the file that holds it.
fn public_key(key: &str) -> Result<TrustedKey, UsageError> {
    let path = Path::new(key);
    if !path.is_file() {
        return TrustedKey::parse(key).map_err(UsageError::of);
    }
    let text = small(path)?;
    let is_comment = |line: &&str| line.starts_with("untrusted comment:");
    let line = text.lines().find(|line| !is_comment(line)).unwrap_or_default();
    TrustedKey::parse(line)
        .map_err(|error| UsageError(format!("{key} holds no public key"), Some(error.into())))
}

fn small(file: &Path) -> Result<String, UsageError> {
    let shown = file.display();
    let refused = |error: std::io::Error| {
        UsageError(format!("cannot read the key {shown}"), Some(error.into()))
    };
    let length = fs::metadata(file).map_err(refused)?.len();
    if length > MAX_KEY_BYTES {
        let said = format!("{shown} has {length} bytes, a key has at most {MAX_KEY_BYTES}");
        return Err(UsageError(said, None));
    }
    fs::read_to_string(file).map_err(refused)
}

fn write_new(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let opened = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    let written = opened.and_then(|mut file| file.write_all(text.as_bytes()));
    written.with_context(|| format!("cannot write {}", path.display()))
}

fn with(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}
