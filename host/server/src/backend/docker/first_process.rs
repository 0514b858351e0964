//! The end of a container's first process, seen the moment it happens by whoever
//! shares the daemon's view of processes. The daemon reports an end only once it
//! has cleared up after it, and a daemon that is frozen reports none.
//!
//! It is one more report, and no more than that: the policy judges, and looks again
//! before anything is restarted.

use std::{fs, sync::Arc};

use rustix::process::Pid;

use super::{Shared, container::Container, discovery::wall_nanos, names::ContainerId, slot::Slot};
use crate::backend::kernel::PidFd;

impl Shared {
    /// Watches the first process of the run that was seen, if nobody does yet.
    pub(super) fn watch_first_process(self: &Arc<Self>, slot: &Arc<Slot>, seen: &Container) {
        let Some(run) = seen.mark().filter(|_| seen.runs()).cloned() else { return };
        let Ok(place) = Arc::clone(&self.first_processes).try_acquire_owned() else { return };
        if !slot.begin_to_watch(&run) {
            return;
        }
        let pid = seen.response.state.as_ref().and_then(|state| state.pid);
        let Some(process) = pid.and_then(|pid| first_process(pid, &seen.id)) else { return };
        let (shared, slot, container) = (Arc::clone(self), Arc::clone(slot), seen.id.clone());
        self.spawn(async move {
            process.ended().await;
            drop(place);
            if slot.mark() == Some(run) {
                shared.note_end(&slot, &container, wall_nanos(), None).await;
            }
        });
    }
}

/// None where it cannot be told for certain: the daemon sees other processes than
/// this host does, or it has ended already.
fn first_process(pid: i64, of: &ContainerId) -> Option<PidFd> {
    let pid = Pid::from_raw(i32::try_from(pid).ok()?)?;
    let process = PidFd::open(pid).ok()?;
    // Read with the process held: it is no other one.
    let groups = fs::read_to_string(format!("/proc/{}/cgroup", pid.as_raw_nonzero())).ok()?;
    groups.contains(of.as_str()).then_some(process)
}
