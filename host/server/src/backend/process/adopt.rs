//! What a host finds of the one before it that did not come to stop its
//! children: it was killed, or the machine went down.

use std::{io, sync::Arc};

use rustix::process::{Pid, Signal, kill_process};

use super::{
    super::records,
    OpenFailure, ProcessSpec,
    child::Leader,
    proc,
    record::{Phase, Record},
    slot::{Host, Slot},
};

/// Makes a recorded run this host's own, or notes its end.
pub(super) async fn take_over(slot: &Arc<Slot>, record: Record) -> Result<(), OpenFailure> {
    if record.has_ended() {
        slot.remember(record);
        return Ok(());
    }
    // A run that cannot be watched must not be taken for an ended one: a second
    // child would be started beside it.
    let attached = attach(&record, &slot.host.boot_id).map_err(|source| {
        OpenFailure::NotTakenOver { workspace: record.workspace.clone(), pid: record.pid, source }
    })?;
    let Some(leader) = attached else {
        end_leftovers(&record, &slot.host.boot_id);
        note_gone(slot, record).await;
        return Ok(());
    };
    match record.phase {
        Phase::Running => {
            tracing::info!(workspace = %record.workspace, life = record.life.0, pid = record.pid, "took over a running process");
            slot.watch(record, leader);
        }
        // Whether its program ever ran is not known: the same order, given
        // again, shall begin it afresh.
        Phase::Begun | Phase::Ended { .. } => {
            leader.signal_group(Signal::KILL);
            leader.ended().await;
            note_gone(slot, record).await;
        }
    }
    Ok(())
}

/// Ends the run of a workspace that the configuration no longer names, and
/// forgets it. What a host that dies meanwhile leaves of it, the next one ends.
pub(super) async fn send_away(host: &Arc<Host>, record: Record) -> Result<Arc<Slot>, OpenFailure> {
    let slot =
        Arc::new(Slot::new(ProcessSpec::new(record.workspace.clone(), Vec::new()), host.clone()));
    take_over(&slot, record).await?;
    let leaving = slot.clone();
    host.spawn(async move {
        let (dir, workspace) = (&leaving.host.run_dir, &leaving.spec.workspace);
        if let Err(error) = leaving.stop().await {
            tracing::error!(%workspace, %error, "cannot end the process of a workspace that is no longer configured");
        } else if let Err(error) = records::remove(dir, workspace) {
            tracing::warn!(%workspace, %error, "cannot remove the record of a workspace that is no longer configured");
        }
    });
    Ok(slot)
}

/// The recorded process, if it is there.
fn attach(record: &Record, boot_id: &str) -> io::Result<Option<Leader>> {
    let Some(pid) = record.pid().filter(|_| record.is_there(boot_id)) else { return Ok(None) };
    let leader = match Leader::attach(pid) {
        Ok(leader) => leader,
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    // Looked at again with the process held: it is no other one.
    Ok(record.is_there(boot_id).then_some(leader))
}

/// The leader died while no host looked: its group must not outlive it.
fn end_leftovers(record: &Record, boot_id: &str) {
    let Some(group) = record.pid().filter(|_| record.boot_id == boot_id) else { return };
    for pid in proc::left_of_group(group, record.start_ticks, &record.workspace) {
        end(pid, record);
    }
}

fn end(pid: Pid, record: &Record) {
    tracing::warn!(workspace = %record.workspace, pid = %pid.as_raw_nonzero(), "ending what a dead process left behind");
    // It may have ended by itself meanwhile.
    let _ = kill_process(pid, Signal::KILL);
}

/// It ended at some time before now, and after its newest sign of life: now is
/// the latest that it can have been.
async fn note_gone(slot: &Arc<Slot>, record: Record) {
    let ended = slot.note_end(record, None).await;
    let reporter = slot.clone();
    // The host takes events only once it is up.
    slot.host.spawn(async move { reporter.report_end(ended).await });
}
