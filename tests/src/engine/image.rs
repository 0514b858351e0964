//! An image from nothing: no registry is needed.

use std::{
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

/// From Debian's `busybox-static`: the shells and small tools of containers.
const BUSYBOX: &str = "/bin/busybox";
/// What a program finds in every root file system.
const FOLDERS: [&str; 6] = ["bin", "etc", "proc", "root", "sys", "tmp"];
const NAME: &str = "reprieve-tests:latest";

/// A root file system that Docker can import.
pub(super) struct Archive {
    pub(super) file: PathBuf,
    pub(super) name: String,
}

/// Puts the binary, its libraries and busybox into an archive in a folder.
pub(super) fn archive(binary: &Path, folder: &Path) -> io::Result<Archive> {
    let root = folder.join("rootfs");
    for name in FOLDERS {
        fs::create_dir_all(root.join(name))?;
    }
    let busybox = root.join("bin/busybox");
    fs::copy(BUSYBOX, &busybox).map_err(|error| named(BUSYBOX, &error))?;
    for name in output(Command::new(BUSYBOX).arg("--list"))?.lines().filter(|it| *it != "busybox") {
        symlink("busybox", root.join("bin").join(name))?;
    }
    // Debug information is four fifths of a debug build.
    let program = root.join("bin/reprieve");
    if output(Command::new("strip").arg("-o").arg(&program).arg(binary)).is_err() {
        fs::copy(binary, &program)?;
    }
    for library in libraries(&output(Command::new("ldd").arg(binary))?) {
        let to = root.join(library.trim_start_matches('/'));
        fs::create_dir_all(to.parent().unwrap_or(&root))?;
        fs::copy(library, to).map_err(|error| named(library, &error))?;
    }
    let file = folder.join("rootfs.tar");
    output(Command::new("tar").arg("-cf").arg(&file).arg("-C").arg(&root).arg("."))?;
    fs::remove_dir_all(root)?;
    Ok(Archive { file, name: NAME.to_owned() })
}

/// The files that `ldd` names: `libc.so.6 => /lib/libc.so.6 (0x…)` and
/// `/lib64/ld-linux-x86-64.so.2 (0x…)`.
fn libraries(listed: &str) -> impl Iterator<Item = &str> {
    listed.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')))
}

fn output(command: &mut Command) -> io::Result<String> {
    let output = command.output().map_err(|error| named(&format!("{command:?}"), &error))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("{command:?}: {}: {}", output.status, complaint.trim())))
}

fn named(what: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_libraries_are_those_that_ldd_finds() {
        let listed = "\tlinux-vdso.so.1 (0x00007ffd)\n\
            \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f)\n\
            \t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";
        let found: Vec<&str> = libraries(listed).collect();
        assert_eq!(found, ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"]);
        assert_eq!(libraries("\tstatically linked\n").count(), 0);
    }
}
