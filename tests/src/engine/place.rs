//! Where an Engine lives on this machine: a number, and by it a folder, a
//! network, a cable and a control group that no other Engine uses.

use std::{
    fs::{self, File},
    io,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::hold;

/// Engines of all test runs on one machine at once.
pub(super) const MAX_ENGINES: u8 = 64;

/// The networks lie in 198.18.0.0/15, which RFC 2544 sets aside for tests: a /30
/// for the cable, a /22 for the containers.
const CABLE_BITS: u8 = 30;
const CONTAINER_BITS: u8 = 22;

pub(super) struct Place {
    number: u8,
    folder: PathBuf,
}

impl Place {
    pub(super) fn of(number: u8) -> Self {
        let folder = Self::all().join(number.to_string());
        Self { number, folder }
    }

    fn all() -> PathBuf {
        std::env::temp_dir().join("reprieve-engines")
    }

    /// Held by a process as long as anything of an Engine of this number runs.
    pub(super) fn lock_file(&self) -> PathBuf {
        self.folder.with_extension("lock")
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.folder.join("docker.sock")
    }

    pub(super) fn pid_file(&self) -> PathBuf {
        self.folder.join("docker.pid")
    }

    pub(super) fn log_file(&self) -> PathBuf {
        self.folder.join("dockerd.log")
    }

    /// What keeps a container from being removed: see [`super::hold`].
    pub(super) fn held_file(&self) -> PathBuf {
        self.folder.join("held")
    }

    /// This end of the cable.
    pub(super) fn host_ip(&self) -> Ipv4Addr {
        Ipv4Addr::new(198, 18, self.number, 1)
    }

    /// The Engine's end of the cable.
    pub(super) fn engine_ip(&self) -> Ipv4Addr {
        Ipv4Addr::new(198, 18, self.number, 2)
    }

    pub(super) fn with_cable_bits(ip: Ipv4Addr) -> String {
        format!("{ip}/{CABLE_BITS}")
    }

    /// Of all containers.
    pub(super) fn subnet(&self) -> String {
        format!("198.19.{}.0/{CONTAINER_BITS}", self.number * 4)
    }

    /// The bridge that containers are on if they name no network.
    pub(super) fn bridge(&self) -> String {
        format!("198.19.{}.1/{CONTAINER_BITS}", self.number * 4)
    }

    /// The cable's name on this side. The kernel takes 15 characters.
    pub(super) fn cable(&self) -> String {
        format!("rv-engine{}", self.number)
    }

    pub(super) fn control_group(&self) -> String {
        format!("reprieve-engine-{}", self.number)
    }

    /// An empty folder, whatever an earlier Engine of this number left.
    pub(super) fn prepare(&self) -> io::Result<()> {
        self.clean();
        fs::create_dir_all(&self.folder)
    }

    /// Removes what outlives the processes, unless another Engine has the place:
    /// that one has removed it.
    pub(super) fn clean_if_free(&self) {
        let lock = File::options().append(true).create(true).open(self.lock_file());
        if let Ok(lock) = lock
            && lock.try_lock().is_ok()
        {
            self.clean();
        }
    }

    /// What cannot be removed now is tried again by the next Engine.
    fn clean(&self) {
        let _ = Command::new("ip")
            .args(["link", "delete", &self.cable()])
            .stderr(Stdio::null())
            .status();
        let controllers = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
        for root in controllers.map(|entry| entry.path()).chain(["/sys/fs/cgroup".into()]) {
            let _ = remove_control_group(&root.join(self.control_group()));
        }
        let _ = hold::release(&self.held_file());
        let _ = fs::remove_dir_all(&self.folder);
    }

    /// Removes what test runs that were killed have left.
    pub(super) fn sweep_others(&self) {
        for other in (0..MAX_ENGINES).filter(|number| *number != self.number).map(Self::of) {
            if other.folder.exists() {
                other.clean_if_free();
            }
        }
    }
}

/// Only folders can be removed there, the innermost first.
fn remove_control_group(group: &Path) -> io::Result<()> {
    for entry in fs::read_dir(group)?.flatten() {
        if entry.file_type()?.is_dir() {
            // A process that was frozen as it was killed can end only now.
            let _ = fs::write(entry.path().join("freezer.state"), "THAWED");
            let _ = remove_control_group(&entry.path());
        }
    }
    fs::remove_dir(group)
}
