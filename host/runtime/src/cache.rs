//! Compiled policies on disk, so that a start takes a tenth of a millisecond
//! instead of twenty.

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use reprieve_core::ids::Digest;
use wasmtime::component::Component;

use crate::EngineFailure;

/// A folder that only this user can write to.
pub(crate) struct Cache {
    dir: PathBuf,
}

/// Length of the digest, in hex, that goes before the code in each file.
const SEAL_BYTES: usize = 64;

/// How the names of whole files end, and of those that are being written.
const COMPILED: &str = ".cwasm";
const PART: &str = ".part";

impl Cache {
    pub(crate) fn open(dir: PathBuf) -> Result<Self, EngineFailure> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir);
        let checked = made.map_err(|error| error.to_string()).and_then(|()| only_ours(&dir));
        match checked {
            Ok(()) => {
                let cache = Self { dir };
                // One host at a time has this folder, so nobody writes these now.
                cache.sweep(|name| name.ends_with(PART)).unwrap_or_else(|error| {
                    tracing::warn!(path = %cache.dir.display(), %error, "cannot be swept");
                });
                Ok(cache)
            }
            Err(detail) => Err(EngineFailure::Cache { path: dir, detail }),
        }
    }

    /// The compiled component, if this host compiled it before with this very
    /// engine. Whatever is wrong with an entry, the answer is None.
    pub(crate) fn get(&self, engine: &wasmtime::Engine, component: Digest) -> Option<Component> {
        let path = self.path(engine, component);
        if !path.exists() {
            return None;
        }
        match read_sealed(&path).and_then(|code| deserialize(engine, &code)) {
            Ok(component) => Some(component),
            Err(why) => {
                tracing::warn!(path = %path.display(), why, "a compiled policy is damaged; compiling it again");
                None
            }
        }
    }

    /// Keeps a compiled component. A cache that cannot be written only costs
    /// time, so a failure is logged and no more.
    pub(crate) fn put(&self, engine: &wasmtime::Engine, component: Digest, compiled: &Component) {
        let path = self.path(engine, component);
        let written = compiled
            .serialize()
            .map_err(|error| error.to_string())
            .and_then(|code| write_sealed(&path, &code).map_err(|error| error.to_string()));
        if let Err(why) = written {
            tracing::warn!(path = %path.display(), why, "a compiled policy cannot be kept");
        }
    }

    /// Removes whatever is no compilation of one of these by this very engine.
    pub(crate) fn forget(
        &self,
        engine: &wasmtime::Engine,
        but: &BTreeSet<Digest>,
    ) -> io::Result<()> {
        let kept: BTreeSet<_> = but.iter().map(|digest| self.path(engine, *digest)).collect();
        self.sweep(|name| name.ends_with(COMPILED) && !kept.contains(&self.dir.join(name)))
    }

    fn sweep(&self, unwanted: impl Fn(&str) -> bool) -> io::Result<()> {
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            if unwanted(&entry.file_name().to_string_lossy()) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    fn path(&self, engine: &wasmtime::Engine, component: Digest) -> PathBuf {
        self.dir.join(format!("{component}-{:016x}{COMPILED}", compatibility(engine)))
    }
}

/// What a compiled component depends on besides its source: the version of
/// wasmtime, its settings and the machine.
fn compatibility(engine: &wasmtime::Engine) -> u64 {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.finish()
}

fn only_ours(path: &Path) -> Result<(), String> {
    let metadata = fs::metadata(path).map_err(|error| error.to_string())?;
    if metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(format!("it belongs to user {}", metadata.uid()));
    }
    if metadata.mode() & 0o022 != 0 {
        return Err(format!("others may write to it (mode {:o})", metadata.mode() & 0o777));
    }
    Ok(())
}

fn read_sealed(path: &Path) -> Result<Vec<u8>, String> {
    only_ours(path)?;
    let mut bytes = fs::read(path).map_err(|error| error.to_string())?;
    if bytes.len() < SEAL_BYTES {
        return Err("it is cut off".to_owned());
    }
    let code = bytes.split_off(SEAL_BYTES);
    if bytes != Digest::of(&code).to_string().into_bytes() {
        return Err("its digest is wrong".to_owned());
    }
    Ok(code)
}

/// Written beside and renamed: no reader ever sees half a file.
fn write_sealed(path: &Path, code: &[u8]) -> io::Result<()> {
    let beside = path.with_extension(format!("{}{PART}", std::process::id()));
    let written = || {
        let mut options = fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(Digest::of(code).to_string().as_bytes())?;
        file.write_all(code)?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    written().inspect_err(|_| {
        // A full disk needs the room. It may never have been there.
        let _ = fs::remove_file(&beside);
    })
}

#[allow(unsafe_code)]
fn deserialize(engine: &wasmtime::Engine, code: &[u8]) -> Result<Component, String> {
    // SAFETY: `deserialize` trusts its input to be what `serialize` gave. These
    // bytes come from a file and a folder that belong to this user and that no
    // other user may write to (`only_ours`), where only `write_sealed` writes,
    // and they match the digest that it put before them, so they are whole. Who
    // can forge both already runs code as this user. wasmtime itself refuses
    // code of another version or other settings.
    let component = unsafe { Component::deserialize(engine, code) };
    component.map_err(|error| format!("{error:#}"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn engine() -> wasmtime::Engine {
        wasmtime::Engine::default()
    }

    /// The smallest component: nothing but a header.
    const NOTHING: &[u8] = b"\0asm\x0d\0\x01\0";

    #[test]
    fn what_was_compiled_is_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path().join("cache")).unwrap();
        let (engine, digest) = (engine(), Digest::of(NOTHING));
        assert!(cache.get(&engine, digest).is_none());
        cache.put(&engine, digest, &Component::new(&engine, NOTHING).unwrap());
        assert!(cache.get(&engine, digest).is_some());
        assert!(cache.get(&engine, Digest::of(b"another")).is_none());
    }

    #[test]
    fn what_nobody_needs_is_let_go() {
        let dir = tempfile::tempdir().unwrap();
        let left = dir.path().join("cache").join("left.7.part");
        let engine = engine();
        let compiled = Component::new(&engine, NOTHING).unwrap();
        let (wanted, other) = (Digest::of(b"wanted"), Digest::of(b"other"));
        let cache = Cache::open(dir.path().join("cache")).unwrap();
        for digest in [wanted, other] {
            cache.put(&engine, digest, &compiled);
        }
        fs::write(&left, b"half").unwrap();
        let cache = Cache::open(cache.dir).unwrap();
        assert!(!left.exists(), "a killed host left it");
        cache.forget(&engine, &[wanted].into()).unwrap();
        assert!(cache.get(&engine, wanted).is_some());
        assert_eq!(fs::read_dir(&cache.dir).unwrap().count(), 1);
    }

    #[test]
    fn a_damaged_entry_is_as_good_as_none() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path().join("cache")).unwrap();
        let (engine, digest) = (engine(), Digest::of(NOTHING));
        let compiled = Component::new(&engine, NOTHING).unwrap();
        let path = cache.path(&engine, digest);
        for (case, damage) in [
            ("empty", Box::new(|_: &mut Vec<u8>| {}) as Box<dyn Fn(&mut Vec<u8>)>),
            ("cut off", Box::new(|bytes| bytes.truncate(bytes.len() / 2))),
            ("a flipped bit", Box::new(|bytes| bytes[SEAL_BYTES + 200] ^= 1)),
            (
                "sealed nonsense",
                Box::new(|bytes| {
                    *bytes = [Digest::of(b"x").to_string().as_bytes(), b"x"].concat();
                }),
            ),
        ] {
            cache.put(&engine, digest, &compiled);
            let mut bytes = if case == "empty" { Vec::new() } else { fs::read(&path).unwrap() };
            damage(&mut bytes);
            fs::write(&path, bytes).unwrap();
            assert!(cache.get(&engine, digest).is_none(), "{case}");
        }
    }

    #[test]
    fn what_others_may_write_is_not_trusted() {
        let dir = tempfile::tempdir().unwrap();
        let open = dir.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
        let refused = Cache::open(open).err().map(|failure| failure.to_string());
        assert!(refused.is_some_and(|text| text.contains("others may write to it (mode 777)")));

        let cache = Cache::open(dir.path().join("cache")).unwrap();
        let (engine, digest) = (engine(), Digest::of(NOTHING));
        cache.put(&engine, digest, &Component::new(&engine, NOTHING).unwrap());
        let path = cache.path(&engine, digest);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        assert!(cache.get(&engine, digest).is_none());
    }
}
