//! Kernel objects that are waited for (Linux).

use std::{io, os::fd::OwnedFd};

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tokio::io::{Interest, unix::AsyncFd};

/// For those of which it is only asked whether they have news.
#[expect(
    deprecated,
    reason = "its successor is unsafe, for types whose descriptor may change; an OwnedFd's cannot"
)]
pub(super) fn readable_fd(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(fd, Interest::READABLE)
}

/// A process whose end is waited for. It need not be a child.
#[derive(Debug)]
pub(super) struct PidFd(AsyncFd<OwnedFd>);

impl PidFd {
    /// Holds on to the process that has this pid now. Whoever did not start it
    /// checks afterwards that it is the one that was meant.
    pub(super) fn open(pid: Pid) -> io::Result<Self> {
        readable_fd(pidfd_open(pid, PidfdFlags::empty())?).map(Self)
    }

    pub(super) async fn ended(&self) {
        if self.0.readable().await.is_err() {
            // The tokio runtime is going down, and this task with it.
            std::future::pending::<()>().await;
        }
    }
}
