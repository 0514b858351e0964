//! Which component judges: a built-in one by name, or a file.

use std::{
    borrow::Cow,
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use super::Config;

/// The policies that the program carries, the default first.
pub const BUILT_IN: &[(&str, &[u8])] = &[
    ("default", include_bytes!("../../../../policies/default.wasm")),
    ("trust-the-probe", include_bytes!("../../../../policies/trust-the-probe.wasm")),
    ("count-debounce", include_bytes!("../../../../policies/count-debounce.wasm")),
];

/// A component's bytes and what to call it.
#[derive(Clone, Debug)]
pub struct PolicySource {
    name: String,
    bytes: Cow<'static, [u8]>,
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
    pub fn choose(flag: Option<&Path>, config: &Config) -> Result<Self, NoPolicy> {
        let Some(wanted) = flag.or(config.policy.file.as_deref()) else {
            return Ok(Self::built_in(BUILT_IN[0]));
        };
        match BUILT_IN.iter().find(|(name, _)| Path::new(name) == wanted) {
            Some(policy) => Ok(Self::built_in(*policy)),
            None => Self::read(wanted),
        }
    }

    /// What messages call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn built_in((name, bytes): (&str, &'static [u8])) -> Self {
        Self { name: format!("{name} (built in)"), bytes: Cow::Borrowed(bytes) }
    }

    /// Reads no more than tells the loader that it is too large.
    fn read(file: &Path) -> Result<Self, NoPolicy> {
        const LIMIT_BYTES: u64 = 64 << 20;
        let unreadable = |source| NoPolicy::Unreadable { file: file.to_owned(), source };
        let mut bytes = Vec::new();
        let opened = File::open(file).map_err(unreadable)?;
        opened.take(LIMIT_BYTES).read_to_end(&mut bytes).map_err(unreadable)?;
        Ok(Self { name: file.display().to_string(), bytes: Cow::Owned(bytes) })
    }
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
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), b"\0asm").unwrap();
        let mut config = Config::default();
        let name = |flag: Option<&str>, config: &Config| {
            PolicySource::choose(flag.map(Path::new), config).unwrap().name().to_owned()
        };
        assert_eq!(name(None, &config), "default (built in)");
        for (built_in, _) in BUILT_IN {
            config.policy.file = Some(built_in.into());
            assert_eq!(name(None, &config), format!("{built_in} (built in)"));
        }
        config.policy.file = Some("elsewhere.wasm".into());
        assert_eq!(name(Some("default"), &config), "default (built in)");
        assert_eq!(name(file.path().to_str(), &config), file.path().display().to_string());
    }

    #[test]
    fn a_missing_policy_is_named_with_the_remedy() {
        let missing = PolicySource::choose(Some(Path::new("nowhere.wasm")), &Config::default());
        let message = missing.unwrap_err().to_string();
        assert!(
            message.contains("nowhere.wasm") && message.contains("one of default"),
            "{message}"
        );
    }
}
