//! What the kernel says about processes (Linux `/proc`).

use std::{fs, io};

use reprieve_core::ids::WorkspaceId;
use rustix::process::Pid;

/// What tells one process from every other since the machine started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stat {
    pub(super) is_zombie: bool,
    pub(super) group: i32,
    /// Field 22 of `/proc/<pid>/stat`: clock ticks from boot to its start.
    pub(super) start_ticks: u64,
}

/// None: there is no such process.
pub(super) fn stat(pid: Pid) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    parse_stat(&text)
}

/// Identifies the machine's run: pids and start times are only good within one.
pub(super) fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// Whether anybody of a group still runs. The dead whom nobody reaped do not.
pub(super) fn group_runs(group: Pid) -> bool {
    let number = group.as_raw_nonzero().get();
    all_pids().filter_map(stat).any(|stat| stat.group == number && !stat.is_zombie)
}

/// Processes of a group whose leader is gone that still carry the workspace's
/// name in their environment. The name is asked for because a group's number
/// may have been given to strangers since.
pub(super) fn left_of_group(group: Pid, since_ticks: u64, workspace: &WorkspaceId) -> Vec<Pid> {
    let wanted = format!("REPRIEVE_WORKSPACE={workspace}");
    all_pids()
        .filter(|pid| {
            stat(*pid).is_some_and(|stat| {
                stat.group == group.as_raw_nonzero().get()
                    && stat.start_ticks >= since_ticks
                    && !stat.is_zombie
            })
        })
        .filter(|pid| {
            fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero())).is_ok_and(|environ| {
                environ.split(|byte| *byte == 0).any(|entry| entry == wanted.as_bytes())
            })
        })
        .collect()
}

fn all_pids() -> impl Iterator<Item = Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten();
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(Pid::from_raw)
}

/// The second field is the program's name in parentheses and may itself hold
/// parentheses and spaces, so fields are counted from the last `)`.
fn parse_stat(text: &str) -> Option<Stat> {
    const STATE: usize = 0;
    const GROUP: usize = 2;
    const START_TICKS: usize = 19;
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_ascii_whitespace().collect();
    Some(Stat {
        is_zombie: matches!(*fields.get(STATE)?, "Z" | "X"),
        group: fields.get(GROUP)?.parse().ok()?,
        start_ticks: fields.get(START_TICKS)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_read_from_behind_the_name() {
        let tail = "1 77 77 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 4242 1 1";
        for (case, line, expected) in [
            ("plain", format!("9 (sleep) S {tail}"), Some((false, 77, 4242))),
            ("parentheses in the name", format!("9 (a) Z) (b) S {tail}"), Some((false, 77, 4242))),
            ("zombie", format!("9 (sleep) Z {tail}"), Some((true, 77, 4242))),
            ("cut off", "9 (sleep) S 1 77".to_owned(), None),
            ("empty", String::new(), None),
        ] {
            let expected = expected.map(|(is_zombie, group, start_ticks)| Stat {
                is_zombie,
                group,
                start_ticks,
            });
            assert_eq!(parse_stat(&line), expected, "{case}");
        }
    }

    #[test]
    fn this_very_process_has_a_stat() {
        assert!(stat(rustix::process::getpid()).is_some_and(|stat| !stat.is_zombie));
    }
}
