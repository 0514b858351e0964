//! The components that were brought in, on disk: each under its digest, so that a
//! host comes back with the one that judged even if its source is gone.

use std::{
    collections::BTreeSet,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::SystemTime,
};

use reprieve_core::ids::Digest;
use reprieve_runtime::{
    MAX_COMPONENT_BYTES,
    registry::{Candidate, MAX_SIGNATURE_BYTES, Refused},
};

use crate::config::policy::BUILT_IN;

/// Components that are kept; beyond it those go that were written first, but none
/// that is wanted.
pub(super) const MAX_KEPT: usize = 16;

/// A folder that only this user can read.
#[derive(Debug)]
pub(super) struct Shelf {
    dir: PathBuf,
}

impl Shelf {
    /// Makes the folder if it is missing, with mode 0700.
    pub(super) fn open(dir: PathBuf) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        Ok(Self { dir })
    }

    /// Keeps a component and its signature. Whole, or not at all: no reader ever
    /// sees half of one.
    pub(super) fn put(&self, candidate: &Candidate) -> io::Result<()> {
        let path = self.path(Digest::of(&candidate.bytes));
        if let Some(signature) = &candidate.signature {
            write_whole(&signature_path(&path), signature)?;
        }
        // Written again even if it is there: what is there may be damaged.
        write_whole(&path, &candidate.bytes)
    }

    /// What was kept under that digest. It is as little trusted as what comes
    /// from anywhere else.
    pub(super) fn get(&self, component: Digest, source: &str) -> Result<Candidate, Refused> {
        let path = self.path(component);
        let unreadable = |source| Refused::Unreadable {
            what: format!("the component kept in {}", path.display()),
            source,
        };
        let bytes = read(&path, MAX_COMPONENT_BYTES + 1).map_err(unreadable)?;
        let signature = match read(&signature_path(&path), MAX_SIGNATURE_BYTES) {
            Ok(signature) => Some(signature),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(unreadable(error)),
        };
        let (source, expected) = (source.to_owned(), Some(component));
        // Its digest is checked before anybody asks who signed it.
        let built_in = BUILT_IN.iter().any(|(_, bytes)| Digest::of(bytes) == component);
        Ok(Candidate { source, bytes, expected, signature, built_in })
    }

    pub(super) fn has(&self, component: Digest) -> bool {
        self.path(component).exists()
    }

    /// Digests of all that is kept, the newest first.
    pub(super) fn kept(&self) -> io::Result<Vec<Digest>> {
        let mut kept: Vec<(SystemTime, Digest)> = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let digest = name.strip_suffix(".wasm").map(|hex| Digest::try_from(hex.to_owned()));
            if let Some(Ok(digest)) = digest {
                kept.push((entry.metadata()?.modified()?, digest));
            }
        }
        kept.sort();
        Ok(kept.into_iter().rev().map(|(_, digest)| digest).collect())
    }

    /// Lets go of what is one too many, but of nothing that is wanted.
    pub(super) fn tidy(&self, wanted: &BTreeSet<Digest>) -> io::Result<()> {
        let kept = self.kept()?;
        let excess = kept.len().saturating_sub(MAX_KEPT);
        let unwanted = kept.iter().rev().filter(|digest| !wanted.contains(*digest));
        for digest in unwanted.take(excess) {
            let path = self.path(*digest);
            match fs::remove_file(signature_path(&path)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
            fs::remove_file(path)?;
        }
        Ok(())
    }

    fn path(&self, component: Digest) -> PathBuf {
        self.dir.join(format!("{component}.wasm"))
    }
}

/// Of either kind.
fn signature_path(component: &Path) -> PathBuf {
    component.with_extension("signature")
}

/// Written beside, on disk, and then renamed: after a crash there is the old file
/// or the new one.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".part");
    let beside = PathBuf::from(beside);
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    // The new name is on disk when its folder is.
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

/// No more than `limit` bytes of it.
pub(super) fn read(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(limit).unwrap_or(u64::MAX);
    File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn candidate(nth: u8) -> Candidate {
        Candidate {
            source: "a test".to_owned(),
            bytes: vec![nth; 8],
            expected: None,
            signature: Some(format!("signed {nth}").into_bytes()),
            built_in: false,
        }
    }

    #[test]
    fn what_is_kept_comes_back_with_its_signature_and_is_nobody_elses() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::open(dir.path().join("policies")).unwrap();
        shelf.put(&candidate(1)).unwrap();
        let digest = Digest::of(&candidate(1).bytes);
        let back = shelf.get(digest, "the shelf").unwrap();
        assert_eq!((back.bytes, back.signature), (candidate(1).bytes, candidate(1).signature));
        assert_eq!(back.expected, Some(digest), "and is checked against its name");
        for path in [shelf.dir.clone(), shelf.path(digest)] {
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "{}: {mode:o}", path.display());
        }
        assert!(shelf.get(Digest::of(b"another"), "the shelf").is_err());
    }

    #[test]
    fn the_shelf_is_bounded_and_keeps_what_is_wanted() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::open(dir.path().to_owned()).unwrap();
        let first = Digest::of(&candidate(0).bytes);
        for nth in 0..40 {
            shelf.put(&candidate(nth)).unwrap();
            shelf.tidy(&[first].into()).unwrap();
        }
        assert_eq!(shelf.kept().unwrap().len(), MAX_KEPT);
        assert!(shelf.has(first));
        let files = fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(files, 2 * MAX_KEPT, "each with its signature, and nothing else");
    }
}
