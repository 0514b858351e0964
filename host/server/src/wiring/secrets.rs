//! Secrets that the host makes for itself, in files that only it can read.

use std::{
    fs::{self, OpenOptions},
    io::{ErrorKind, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use anyhow::{Context as _, bail};
use sha2::{Digest as _, Sha256};

/// Of random bytes in a secret: as many as a SHA-256 has.
const SECRET_BYTES: usize = 32;

/// The secret in that file; made at the first use, readable for its owner only.
pub(super) fn of_file(path: &Path) -> anyhow::Result<String> {
    match fs::read_to_string(path) {
        Ok(text) => {
            let secret = text.trim();
            if secret.len() < SECRET_BYTES {
                bail!("{} is too short for a secret; remove it to get a new one", path.display());
            }
            Ok(secret.to_owned())
        }
        Err(error) if error.kind() == ErrorKind::NotFound => make(path),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

fn make(path: &Path) -> anyhow::Result<String> {
    let secret = hex(&rand::random::<[u8; SECRET_BYTES]>());
    // Whole or not at all: a crash must not leave half a secret.
    let fresh = path.with_extension("new");
    let written = (|| {
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        file.write_all(secret.as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, path)
    })();
    written.with_context(|| format!("cannot write {}", path.display()))?;
    Ok(secret)
}

/// A secret for `name`, always the same for the same key, which it does not
/// betray.
pub(super) fn derived(key: &str, name: &str) -> String {
    let inner = Sha256::new().chain_update(key).chain_update([0]).chain_update(name).finalize();
    hex(&Sha256::new().chain_update(key).chain_update([1]).chain_update(inner).finalize())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_secret_is_made_once_and_only_its_owner_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.token");
        let made = of_file(&path).unwrap();
        assert_eq!(of_file(&path).unwrap(), made);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_ne!(derived(&made, "a"), derived(&made, "b"));
    }
}
