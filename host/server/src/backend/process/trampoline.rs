//! How a child waits to be let go.
//!
//! No moment may exist in which a workspace's process runs and no record of it
//! is on disk: a host killed in that moment would leave an orphan, and the next
//! one would start a second child beside it. So the host starts a trampoline
//! first: this very program, in a process group of its own, which waits on its
//! standard input, a socket. The host records the pid, then writes [`GO`]. Only
//! then does the trampoline become the workspace's program; `exec` keeps the
//! pid and the start time. If the host dies before, the trampoline reads the
//! end of the socket and leaves without a trace.
//!
//! The usual way, a hook between fork and exec, is unsafe code in a process with
//! many threads; this is a page of safe code.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    io::{Read as _, Write as _},
    os::{fd::AsFd as _, unix::process::CommandExt as _},
    process::{Command, Stdio, exit},
};

/// The first argument that makes this program a trampoline.
pub(super) const ARGUMENT: &str = "exec-child";
/// What the trampoline says first, so that the host knows that it is one.
pub(super) const READY: &[u8] = b"ready\n";
/// What lets it go.
pub(super) const GO: &[u8] = b"go\n";

/// The host died first.
const EXIT_NEVER_LET_GO: i32 = 125;
/// As a shell does for a program that cannot be run.
const EXIT_CANNOT_RUN: i32 = 127;

/// Becomes a workspace's process, if the command line asks for it; else returns
/// at once. Must be the first thing that `main` does.
pub fn exec_child_if_asked() {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().as_deref() == Some(OsStr::new(ARGUMENT)) {
        exit(exec_child(arguments.collect()));
    }
}

/// Returns only if it cannot: the exit code to end with.
fn exec_child(command: Vec<OsString>) -> i32 {
    let (Some((program, arguments)), Ok(host)) =
        (command.split_first(), std::io::stdin().as_fd().try_clone_to_owned())
    else {
        return EXIT_CANNOT_RUN;
    };
    // The copy closes itself on exec: its end tells the host that it worked.
    let mut host = File::from(host);
    let mut heard = [0; GO.len()];
    if host.write_all(READY).is_err() || host.read_exact(&mut heard).is_err() || heard != GO {
        return EXIT_NEVER_LET_GO;
    }
    let error = Command::new(program).args(arguments).stdin(Stdio::null()).exec();
    // Nobody is left to tell if the host is gone.
    let _ = write!(host, "{error}");
    EXIT_CANNOT_RUN
}
