//! Which component judges: a built-in one by name, or a file.

use std::{
    borrow::Cow,
    fs::File,
    io::{self, ErrorKind::NotFound, Read as _},
    path::{Path, PathBuf},
};

use reprieve_runtime::{
    MAX_COMPONENT_BYTES,
    registry::{Candidate, MAX_SIGNATURE_BYTES, Refused},
};

use super::Config;

/// The policies that the program carries, the default first.
pub const BUILT_IN: &[(&str, &[u8])] = &[
    ("default", include_bytes!("../../../../policies/default.wasm")),
    ("trust-the-probe", include_bytes!("../../../../policies/trust-the-probe.wasm")),
    ("count-debounce", include_bytes!("../../../../policies/count-debounce.wasm")),
    ("do-nothing", include_bytes!("../../../../policies/do-nothing.wasm")),
];

/// Where a component comes from. Nothing is read until it is wanted, so a file
/// that is gone is found out by who can go on without it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicySource {
    BuiltIn { name: &'static str, bytes: &'static [u8] },
    File(PathBuf),
}

/// Why there is no component to load.
#[derive(Debug, thiserror::Error)]
pub enum NoPolicy {
    #[error(
        "cannot read the policy {}; name a component file, or one of {}",
        file.display(),
        built_in_names()
    )]
    Unreadable { file: PathBuf, source: io::Error },
}

impl PolicySource {
    /// What `flag` names, else what the configuration names, else the default. A
    /// name that is no built-in policy's is a file's.
    pub fn choose(flag: Option<&Path>, config: &Config) -> Self {
        match flag.or(config.policy.file.as_deref()) {
            Some(wanted) => Self::named(wanted),
            None => Self::built_in(BUILT_IN[0]),
        }
    }

    /// The built-in policy of that name, else the file.
    pub fn named(wanted: &Path) -> Self {
        let built_in = wanted.to_str().and_then(Self::of_built_in);
        built_in.unwrap_or_else(|| Self::File(wanted.to_owned()))
    }

    /// The built-in policy of that name.
    pub fn of_built_in(name: &str) -> Option<Self> {
        BUILT_IN.iter().find(|(known, _)| *known == name).map(|policy| Self::built_in(*policy))
    }

    /// What messages call it.
    pub fn name(&self) -> String {
        match self {
            Self::BuiltIn { name, .. } => format!("{name} (built in)"),
            Self::File(file) => file.display().to_string(),
        }
    }

    /// Reads no more than tells the loader that it is too large.
    pub fn bytes(&self) -> Result<Cow<'static, [u8]>, NoPolicy> {
        match self {
            Self::BuiltIn { bytes, .. } => Ok(Cow::Borrowed(bytes)),
            Self::File(file) => match read(file, MAX_COMPONENT_BYTES + 1) {
                Ok(bytes) => Ok(Cow::Owned(bytes)),
                Err(source) => Err(NoPolicy::Unreadable { file: file.clone(), source }),
            },
        }
    }

    /// With its signature, if a file `….minisig` or `….ed25519` lies beside it.
    pub fn fetch(&self) -> Result<Candidate, Refused> {
        let unreadable = |NoPolicy::Unreadable { file, source }| Refused::Unreadable {
            what: format!("the policy {}", file.display()),
            source,
        };
        let bytes = self.bytes().map_err(unreadable)?.into();
        let signature = match self {
            Self::BuiltIn { .. } => None,
            Self::File(file) => signature_beside(file)?,
        };
        let built_in = matches!(self, Self::BuiltIn { .. });
        Ok(Candidate { source: self.name(), bytes, expected: None, signature, built_in })
    }

    const fn built_in((name, bytes): (&'static str, &'static [u8])) -> Self {
        Self::BuiltIn { name, bytes }
    }
}

/// The signature of a file is looked for in files of its name and one of these,
/// the first that is there.
const SIGNATURES: [&str; 2] = [".minisig", ".ed25519"];

fn signature_beside(file: &Path) -> Result<Option<Vec<u8>>, Refused> {
    for suffix in SIGNATURES {
        let mut path = file.as_os_str().to_owned();
        path.push(suffix);
        match signature_in(Path::new(&path)) {
            Err(Refused::Unreadable { source, .. }) if source.kind() == NotFound => {}
            read => return read.map(Some),
        }
    }
    Ok(None)
}

/// What a signature file holds.
pub fn signature_in(file: &Path) -> Result<Vec<u8>, Refused> {
    let what = || format!("the signature {}", file.display());
    match read(file, MAX_SIGNATURE_BYTES + 1) {
        Err(source) => Err(Refused::Unreadable { what: what(), source }),
        Ok(bytes) if bytes.len() > MAX_SIGNATURE_BYTES => {
            Err(Refused::Oversized { what: what(), limit: MAX_SIGNATURE_BYTES })
        }
        Ok(bytes) => Ok(bytes),
    }
}

/// No more than `limit` bytes of it.
fn read(file: &Path, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(limit).unwrap_or(u64::MAX);
    File::open(file)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// "default, trust-the-probe, count-debounce"
pub fn built_in_names() -> String {
    let names: Vec<&str> = BUILT_IN.iter().map(|(name, _)| *name).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flag_goes_before_the_configuration() {
        let mut config = Config::default();
        let name = |flag: Option<&str>, config: &Config| {
            PolicySource::choose(flag.map(Path::new), config).name()
        };
        assert_eq!(name(None, &config), "default (built in)");
        for (built_in, _) in BUILT_IN {
            config.policy.file = Some(built_in.into());
            assert_eq!(name(None, &config), format!("{built_in} (built in)"));
        }
        config.policy.file = Some("elsewhere.wasm".into());
        assert_eq!(name(None, &config), "elsewhere.wasm");
        assert_eq!(name(Some("default"), &config), "default (built in)");
        assert_eq!(name(Some("./default"), &config), "./default");
    }

    #[test]
    fn a_missing_policy_is_named_with_the_remedy() {
        let missing = PolicySource::named(Path::new("nowhere.wasm"));
        let message = missing.bytes().unwrap_err().to_string();
        assert!(
            message.contains("nowhere.wasm") && message.contains("one of default"),
            "{message}"
        );
        assert!(matches!(missing.fetch(), Err(Refused::Unreadable { .. })));
    }

    #[test]
    fn a_signature_is_looked_for_beside_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("policy.wasm");
        std::fs::write(&file, b"\0asm").unwrap();
        let fetch = || PolicySource::File(file.clone()).fetch();
        assert_eq!(fetch().unwrap().signature, None);
        let beside = |suffix: &str| dir.path().join(format!("policy.wasm.{suffix}"));
        for suffix in ["ed25519", "minisig"] {
            std::fs::write(beside(suffix), suffix).unwrap();
            assert_eq!(fetch().unwrap().signature.as_deref(), Some(suffix.as_bytes()));
        }
        std::fs::write(beside("minisig"), vec![b'x'; MAX_SIGNATURE_BYTES + 1]).unwrap();
        assert!(matches!(fetch(), Err(Refused::Oversized { .. })));
    }
}
