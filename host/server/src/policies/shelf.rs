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

/// What lies beside a component, by the end of its name. A signature of either kind;
/// the second name is that of earlier versions.
const SIGNATURE: &str = ".signature";
const OLD_SIGNATURE: &str = ".wasm.minisig";
const LABEL: &str = ".label";
const BESIDE: [&str; 3] = [SIGNATURE, OLD_SIGNATURE, LABEL];
/// A name and a version, within the contract's bounds.
const MAX_LABEL_BYTES: usize = 1 << 10;
/// A file that is being written.
const PART: &str = ".part";

/// A folder that only this user can read.
#[derive(Debug)]
pub(super) struct Shelf {
    dir: PathBuf,
}

impl Shelf {
    /// Makes the folder if it is missing, with mode 0700.
    pub(super) fn open(dir: PathBuf) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        let shelf = Self { dir };
        shelf.sweep()?;
        Ok(shelf)
    }

    /// Removes what a host that was killed left: half files, and what lies beside
    /// components that are gone.
    fn sweep(&self) -> io::Result<()> {
        let kept: BTreeSet<String> = self.kept()?.into_iter().map(String::from).collect();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let of = BESIDE.iter().find_map(|suffix| name.strip_suffix(suffix));
            let is_left = of.is_some_and(|component| !kept.contains(component));
            if is_left || name.ends_with(PART) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// Keeps a component, its signature and its label. Whole, or not at all: no
    /// reader ever sees half of one. `label`: name and version.
    pub(super) fn put(&self, candidate: &Candidate, label: &str) -> io::Result<()> {
        let component = Digest::of(&candidate.bytes);
        let path = self.path(component);
        match &candidate.signature {
            Some(signature) => write_whole(&self.beside(component, SIGNATURE), signature)?,
            None => remove_if_there(&self.beside(component, SIGNATURE))?,
        }
        remove_if_there(&self.beside(component, OLD_SIGNATURE))?;
        write_whole(&self.beside(component, LABEL), label.as_bytes())?;
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
        let mut signature = None;
        for suffix in [SIGNATURE, OLD_SIGNATURE] {
            match read(&self.beside(component, suffix), MAX_SIGNATURE_BYTES) {
                Ok(read) => signature = signature.or(Some(read)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(unreadable(error)),
            }
        }
        let bytes = bytes.into();
        let (source, expected) = (source.to_owned(), Some(component));
        // Its digest is checked before anybody asks who signed it.
        let built_in = BUILT_IN.iter().any(|(_, bytes)| Digest::of(bytes) == component);
        Ok(Candidate { source, bytes, expected, signature, built_in })
    }

    /// What it called itself. None: an earlier version of the host kept it.
    pub(super) fn label(&self, component: Digest) -> Option<String> {
        let label = read(&self.beside(component, LABEL), MAX_LABEL_BYTES).ok()?;
        String::from_utf8(label).ok().filter(|label| !label.is_empty())
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
            // What lies beside goes last: without the component it is swept.
            fs::remove_file(self.path(*digest))?;
            for suffix in BESIDE {
                remove_if_there(&self.beside(*digest, suffix))?;
            }
        }
        Ok(())
    }

    fn path(&self, component: Digest) -> PathBuf {
        self.beside(component, ".wasm")
    }

    fn beside(&self, component: Digest, suffix: &str) -> PathBuf {
        self.dir.join(format!("{component}{suffix}"))
    }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Written beside, on disk, and then renamed: after a crash there is the old file
/// or the new one.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(PART);
    let beside = PathBuf::from(beside);
    let written = || {
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    written().inspect_err(|_| {
        // A full disk needs the room. It may never have been there.
        let _ = fs::remove_file(&beside);
    })?;
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
            bytes: vec![nth; 8].into(),
            expected: None,
            signature: Some(format!("signed {nth}").into_bytes()),
            built_in: false,
        }
    }

    #[test]
    fn what_is_kept_comes_back_with_its_signature_and_is_nobody_elses() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::open(dir.path().join("policies")).unwrap();
        shelf.put(&candidate(1), "mine 0.1.0").unwrap();
        let digest = Digest::of(&candidate(1).bytes);
        let back = shelf.get(digest, "the shelf").unwrap();
        assert_eq!((back.bytes, back.signature), (candidate(1).bytes, candidate(1).signature));
        assert_eq!(shelf.label(digest).as_deref(), Some("mine 0.1.0"));
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
            shelf.put(&candidate(nth), "mine 0.1.0").unwrap();
            shelf.tidy(&[first].into()).unwrap();
        }
        assert_eq!(shelf.kept().unwrap().len(), MAX_KEPT);
        assert!(shelf.has(first));
        let files = fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(files, 3 * MAX_KEPT, "each with its signature and label, and nothing else");
    }
    #[test]
    fn an_older_signature_does_not_outlive_its_component_nor_a_newer_one() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::open(dir.path().to_owned()).unwrap();
        let digest = Digest::of(&candidate(1).bytes);
        let signature = || shelf.get(digest, "the shelf").unwrap().signature;
        shelf.put(&candidate(1), "mine 0.1.0").unwrap();
        let unsigned = Candidate { signature: None, ..candidate(1) };
        shelf.put(&unsigned, "mine 0.1.0").unwrap();
        assert_eq!(signature(), None, "it came without one this time");
        fs::write(shelf.beside(digest, OLD_SIGNATURE), "of an earlier version").unwrap();
        assert_eq!(signature().as_deref(), Some(&b"of an earlier version"[..]));
        shelf.put(&candidate(1), "mine 0.1.0").unwrap();
        assert_eq!(signature(), candidate(1).signature);
    }

    #[test]
    fn what_a_killed_host_left_is_swept() {
        let dir = tempfile::tempdir().unwrap();
        let shelf = Shelf::open(dir.path().to_owned()).unwrap();
        shelf.put(&candidate(1), "mine 0.1.0").unwrap();
        let gone = Digest::of(b"gone");
        for name in [format!("{gone}.wasm.part"), format!("{gone}.signature")] {
            fs::write(dir.path().join(name), "half").unwrap();
        }
        fs::write(dir.path().join("active.json"), "{}").unwrap();
        Shelf::open(dir.path().to_owned()).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3 + 1);
    }

    #[test]
    fn a_write_that_fails_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let taken = dir.path().join("taken");
        fs::create_dir_all(taken.join("by a folder")).unwrap();
        write_whole(&taken, b"bytes").unwrap_err();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
