//! The `dockerd` of an Engine, and the containerd that it starts.
//!
//! A frozen Engine is one whose `dockerd` is stopped (SIGSTOP): it is what every
//! client talks to, so nobody gets an answer, as when the daemon is starved of
//! CPU, while containers, shims and containerd run on. A killed one takes its
//! containerd along, as a `dockerd` that was started by hand does; shims and
//! containers live on until the next `dockerd` ends them.

use std::{fs, fs::File, process::Stdio, time::Duration};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixStream,
    time::{interval, timeout},
};

use super::{Engine, LOOK_EVERY};

/// From nothing to ready it takes about 2 s; after a kill, with containers to
/// clear away, about 10 s; twice that and more on a busy machine.
const READY_LIMIT: Duration = Duration::from_secs(90);
/// For a signal to take effect, or a process to show up.
const PROCESS_LIMIT: Duration = Duration::from_secs(20);
/// One answer of an Engine that is up.
const PING_LIMIT: Duration = Duration::from_secs(1);

const DAEMON: &str = "dockerd";
const CONTAINERD: &str = "containerd";

impl Engine {
    /// Starts `dockerd` with what is there of an earlier one. Returns at once:
    /// see [`Engine::until_ready`].
    pub async fn start_again(&self) {
        assert!(self.pid_of(DAEMON).is_none(), "an Engine runs already");
        let place = &self.place;
        // What the last one left: a pid that may be another process's by now.
        let _ = fs::remove_file(place.pid_file());
        // Nothing of the machine's own Engine's configuration.
        let config = place.folder().join("daemon.json");
        fs::write(&config, "{}").expect("the folder can be written to");
        let path = |path: std::path::PathBuf| path.display().to_string();
        let log = File::options().create(true).append(true).open(place.log_file());
        let log = log.expect("the log can be written to");
        let status = self
            .world
            .command(&["--mount", "--net", "--pid"], "setsid")
            .args(["--fork", DAEMON, "--host", &format!("unix://{}", path(place.socket()))])
            .args(["--data-root", &path(place.folder().join("data"))])
            .args(["--exec-root", &path(place.folder().join("exec"))])
            .args(["--pidfile", &path(place.pid_file()), "--config-file", &path(config)])
            .args(["--bip", &place.bridge(), "--cgroup-parent", &place.control_group()])
            .args(["--exec-opt", "native.cgroupdriver=cgroupfs", "--log-level", "warn"])
            // The cable's routes are enough: no firewall rule is needed.
            .args(["--iptables=false", "--ip6tables=false", "--userland-proxy=false"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("one more descriptor"))
            .stderr(log)
            .status()
            .expect("nsenter can be run");
        assert!(status.success(), "dockerd could not be started: {status}");
        self.until("dockerd shows up", || self.pid_of(DAEMON).is_some()).await;
    }

    /// Until it answers.
    pub async fn until_ready(&self) {
        let ready = async {
            let mut look = interval(LOOK_EVERY);
            loop {
                look.tick().await;
                if matches!(timeout(PING_LIMIT, self.ping()).await, Ok(Ok(true))) {
                    return true;
                }
                if self.pid_of(DAEMON).is_none() {
                    return false;
                }
            }
        };
        let is_ready = timeout(READY_LIMIT, ready).await.unwrap_or(false);
        assert!(is_ready, "dockerd does not answer or has ended; it says: {}", self.log_tail());
    }

    /// Whether it answers a ping.
    async fn ping(&self) -> std::io::Result<bool> {
        let mut stream = UnixStream::connect(self.socket()).await?;
        stream.write_all(b"GET /_ping HTTP/1.0\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer.lines().next().is_some_and(|line| line.contains(" 200 ")))
    }

    /// Stops `dockerd` (SIGSTOP). Containers and containerd run on.
    pub async fn freeze(&self) {
        self.stop(DAEMON).await;
    }

    /// Lets `dockerd` go on.
    pub async fn thaw(&self) {
        self.signal(DAEMON, Signal::CONT);
    }

    /// Stops containerd: `dockerd` answers what it knows by itself, such as
    /// `inspect`, and never ends what needs containerd, such as a restart.
    pub async fn freeze_containerd(&self) {
        self.stop(CONTAINERD).await;
    }

    pub async fn thaw_containerd(&self) {
        self.signal(CONTAINERD, Signal::CONT);
    }

    /// Kills `dockerd`, and with it its containerd.
    pub async fn kill(&self) {
        self.signal(DAEMON, Signal::KILL);
        let are_gone = || [DAEMON, CONTAINERD].iter().all(|name| self.pid_of(name).is_none());
        self.until("dockerd and containerd are gone", are_gone).await;
    }

    async fn stop(&self, name: &str) {
        self.signal(name, Signal::STOP);
        let pid = self.pid_of(name).expect("it runs");
        self.until("it is stopped", || is_stopped(pid)).await;
    }

    fn signal(&self, name: &str, signal: Signal) {
        let pid = self.pid_of(name).unwrap_or_else(|| panic!("no {name} runs"));
        kill_process(pid, signal).expect("it can be signalled");
    }

    fn pid_of(&self, name: &str) -> Option<Pid> {
        let mut processes = self.world.processes().into_iter();
        processes.find(|process| process.name == name).map(|process| process.pid)
    }

    async fn until(&self, what: &str, is_so: impl Fn() -> bool) {
        let mut look = interval(LOOK_EVERY);
        let waited = timeout(PROCESS_LIMIT, async {
            while !is_so() {
                look.tick().await;
            }
        });
        let waited = waited.await;
        assert!(waited.is_ok(), "not within {PROCESS_LIMIT:?}: {what}; {}", self.log_tail());
    }

    /// The last that `dockerd` said.
    fn log_tail(&self) -> String {
        const LINES: usize = 12;
        let log = fs::read_to_string(self.place.log_file()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LINES)..].join("\n")
    }
}

fn is_stopped(pid: Pid) -> bool {
    fs::read_to_string(format!("/proc/{pid}/status"))
        .is_ok_and(|status| status.lines().any(|line| line.starts_with("State:\tT")))
}
