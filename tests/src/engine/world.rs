//! A world of its own: process, mount and network namespaces with one shell as
//! their first process.
//!
//! The shell waits on a pipe whose other end only the test process holds. When
//! the pipe closes (the world is dropped, the test panics, or the test process is
//! killed), the shell ends, and the kernel kills everything that runs in the
//! namespaces: the Engine, its containerd, the shims, the containers. Mounts go
//! with the mount namespace; bridges, firewall rules and the cable go with the
//! network namespace. So no pid is ever searched for by name on the whole
//! machine, and nothing depends on code that runs at the end.

use std::{
    ffi::OsStr,
    fs,
    io::{self, BufRead as _, BufReader, Read as _},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use super::place::{MAX_ENGINES, Place};

/// `/run` is empty: the Engine must not find the containerd of the machine's own
/// Engine there, and leaves its sockets nowhere else. `wait` also reaps the
/// orphans that become children of a first process. A container that is paused by
/// the first version of control groups cannot be killed until it is thawed.
const FIRST_PROCESS: &str = "mount -t tmpfs -o mode=755 tmpfs /run && ip link set lo up || exit 1
echo ready; exec 3<&0 >/dev/null; cat <&3 & wait $!
for state in /sys/fs/cgroup/freezer/$1/*/freezer.state; do
    [ ! -e $state ] || echo THAWED >$state
done";

/// What `flock` ends with if another Engine has the place.
const TAKEN: i32 = 75;

/// From the end of the first process to the end of all: the kernel kills them.
const END_LIMIT: Duration = Duration::from_secs(20);

pub(super) struct World {
    /// `unshare`. Holds the lock of the place until everything has ended. None: it
    /// has.
    keeper: Option<Child>,
    first: Pid,
}

/// A process of the world, by its pid on the machine.
pub(super) struct Process {
    pub(super) pid: Pid,
    pub(super) name: String,
}

impl World {
    /// In the first place that is free.
    pub(super) fn open_somewhere() -> io::Result<(Place, Self)> {
        for place in (0..MAX_ENGINES).map(Place::of) {
            if let Some(world) = Self::open(&place)? {
                place.sweep_others();
                return Ok((place, world));
            }
        }
        Err(io::Error::other(format!("all {MAX_ENGINES} places are taken")))
    }

    /// None: another Engine has the place.
    fn open(place: &Place) -> io::Result<Option<Self>> {
        if let Some(folder) = place.folder().parent() {
            fs::create_dir_all(folder)?;
        }
        let mut keeper = Command::new("flock")
            .args(["--no-fork", "--nonblock", "--conflict-exit-code", &TAKEN.to_string()])
            .arg(place.lock_file())
            .args(["unshare", "--mount", "--net", "--pid", "--fork", "--mount-proc"])
            .args(["--kill-child=KILL", "sh", "-c", FIRST_PROCESS, "sh"])
            .arg(place.control_group())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut said = String::new();
        if let Some(stdout) = keeper.stdout.take() {
            BufReader::new(stdout).read_line(&mut said)?;
        }
        if said.trim() != "ready" {
            let mut complaint = String::new();
            if let Some(mut stderr) = keeper.stderr.take() {
                stderr.read_to_string(&mut complaint)?;
            }
            let status = keeper.wait()?;
            return match status.code() {
                Some(TAKEN) => Ok(None),
                _ => Err(io::Error::other(format!(
                    "no namespaces, this needs root: {status}: {complaint}"
                ))),
            };
        }
        let first = child_of(keeper.id()).ok_or_else(|| io::Error::other("no first process"))?;
        let world = Self { keeper: Some(keeper), first };
        place.prepare()?;
        world.connect(place)?;
        Ok(Some(world))
    }

    /// Lays the cable.
    fn connect(&self, place: &Place) -> io::Result<()> {
        let (cable, first) = (place.cable(), self.first.to_string());
        let ends = [place.host_ip(), place.engine_ip()].map(Place::with_cable_bits);
        let (host_ip, engine_ip) = (place.host_ip().to_string(), place.engine_ip().to_string());
        let here: [&[&str]; 4] = [
            &["link", "add", &cable, "type", "veth", "peer", "name", "uplink", "netns", &first],
            &["address", "add", &ends[0], "dev", &cable],
            &["link", "set", &cable, "up"],
            // Before the other end is up: the kernel takes the route all the same.
            &["route", "add", &place.subnet(), "via", &engine_ip, "dev", &cable],
        ];
        let there: [&[&str]; 3] = [
            &["address", "add", &ends[1], "dev", "uplink"],
            &["link", "set", "uplink", "up"],
            &["route", "add", "default", "via", &host_ip],
        ];
        for args in here {
            succeed(Command::new("ip").args(args))?;
        }
        for args in there {
            succeed(self.command(&["--net"], "ip").args(args))?;
        }
        Ok(())
    }

    /// A program in some of the world's namespaces.
    pub(super) fn command(&self, namespaces: &[&str], program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg("--target").arg(self.first.to_string()).args(namespaces).arg("--").arg(program);
        command
    }

    /// Those of the world itself; a container's are in namespaces within.
    pub(super) fn processes(&self) -> Vec<Process> {
        let namespace = |pid: Pid| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
        let ours = namespace(self.first);
        let within = |pid: &Pid| ours.is_some() && namespace(*pid) == ours;
        let process = |pid: Pid| {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
            Some(Process { pid, name: name.trim().to_owned() })
        };
        all_pids().filter(within).filter_map(process).collect()
    }

    /// Ends everything in it.
    pub(super) fn end(&mut self) {
        let Some(mut keeper) = self.keeper.take() else { return };
        drop(keeper.stdin.take());
        let keeper_pid = Pid::from_raw(keeper.id().cast_signed());
        // Reaped in a thread of its own, so that waiting has an end.
        let (reaped, has_ended) = mpsc::channel();
        thread::spawn(move || {
            let _ = keeper.wait();
            let _ = reaped.send(());
        });
        if has_ended.recv_timeout(END_LIMIT).is_err()
            && let Some(pid) = keeper_pid
        {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.end();
    }
}

fn succeed(command: &mut Command) -> io::Result<()> {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("{command:?}: {}: {}", output.status, complaint.trim())))
}

fn child_of(parent: u32) -> Option<Pid> {
    let line = format!("PPid:\t{parent}");
    all_pids().find(|pid| {
        fs::read_to_string(format!("/proc/{pid}/status"))
            .is_ok_and(|status| status.lines().any(|of| of == line))
    })
}

fn all_pids() -> impl Iterator<Item = Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten();
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(Pid::from_raw)
}
