//! The programs of Docker Engines for the tests, which start Engines of their
//! own (`tests/src/engine`).
//!
//! What is missing is installed on Debian as root. Installing may start the
//! system's own Engine; nothing here or in the tests touches that one.

use std::{path::Path, process::Command};

use anyhow::{Context as _, bail, ensure};

use crate::say;

/// A program, and the Debian package that brings it.
const PROGRAMS: [(&str, &str); 9] = [
    ("dockerd", "docker.io"),
    ("docker", "docker.io"),
    ("containerd", "docker.io"),
    ("runc", "docker.io"),
    ("docker-compose", "docker-compose"),
    ("busybox", "busybox-static"),
    ("ip", "iproute2"),
    ("unshare", "util-linux"),
    ("flock", "util-linux"),
];

/// Brings `docker` where Debian's `docker.io` no longer does.
const CLI_PACKAGE: &str = "docker-cli";

const SEARCHED: [&str; 6] =
    ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// After this the tests can start Engines.
pub(crate) fn ensure_engine() -> anyhow::Result<()> {
    ensure!(cfg!(target_os = "linux"), "Engines are started on Linux only");
    ensure!(is_root()?, "Engines need namespaces, and those need root: run it as root");
    let missing = missing();
    if !missing.is_empty() {
        say(&format!("installing {}", missing.join(", ")));
        install(&missing)?;
    }
    ensure_namespaces()
}

/// The packages of the programs that are not there.
fn missing() -> Vec<&'static str> {
    let is_there = |name: &str| SEARCHED.iter().any(|folder| Path::new(folder).join(name).exists());
    packages(is_there)
}

fn packages(is_there: impl Fn(&str) -> bool) -> Vec<&'static str> {
    let mut packages: Vec<_> =
        PROGRAMS.iter().filter(|(name, _)| !is_there(name)).map(|(_, package)| *package).collect();
    if !is_there("docker") && is_there("dockerd") {
        packages.push(CLI_PACKAGE);
    }
    packages.sort_unstable();
    packages.dedup();
    packages
}

fn install(packages: &[&str]) -> anyhow::Result<()> {
    run(Command::new("apt-get").args(["update", "-q"]))?;
    let apt = |packages: &[&str]| {
        let mut command = Command::new("apt-get");
        command.args(["install", "-yq", "--no-install-recommends"]).args(packages);
        command.env("DEBIAN_FRONTEND", "noninteractive");
        run(&mut command)
    };
    apt(packages)?;
    match missing()[..] {
        [] => Ok(()),
        ref left => apt(left),
    }
}

/// A machine may forbid them even to root.
fn ensure_namespaces() -> anyhow::Result<()> {
    let kinds = ["--mount", "--net", "--pid", "--fork", "--mount-proc"];
    run(Command::new("unshare").args(kinds).arg("true"))
        .context("no namespaces of one's own: in a container this takes --privileged")
}

fn is_root() -> anyhow::Result<bool> {
    let output = Command::new("id").arg("-u").output().context("cannot run id")?;
    Ok(output.stdout.trim_ascii() == b"0")
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let shown = format!("{command:?}").replace('"', "");
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => bail!("{shown} ended with {status}"),
        Err(error) => bail!(
            "cannot run {shown}: {error}; on Debian: apt-get install docker.io docker-compose busybox-static iproute2"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_named_for_what_is_missing() {
        for (case, there, expected) in [
            (
                "nothing",
                &["unshare", "flock"][..],
                &["busybox-static", "docker-compose", "docker.io", "iproute2"][..],
            ),
            (
                "docker.io without its client",
                &[
                    "dockerd",
                    "containerd",
                    "runc",
                    "docker-compose",
                    "busybox",
                    "ip",
                    "unshare",
                    "flock",
                ],
                &["docker-cli", "docker.io"],
            ),
            (
                "everything",
                &[
                    "dockerd",
                    "docker",
                    "containerd",
                    "runc",
                    "docker-compose",
                    "busybox",
                    "ip",
                    "unshare",
                    "flock",
                ],
                &[],
            ),
        ] {
            assert_eq!(packages(|name| there.contains(&name)), expected, "{case}");
        }
    }
}
