//! What the process itself uses, under the names that every process's metrics
//! have. Read from `/proc`; where there is none, left out.

use std::fs;

use prometheus::Registry;
use reprieve_core::time::UnixMillis;

use super::families::{of_process, registered};

pub(super) fn register(registry: &Registry, started: UnixMillis) {
    let since = registered(
        registry,
        of_process("process_start_time_seconds", "When the host started, since the epoch."),
    );
    since.set(started.0 as f64 / 1e3);
    if let Some(bytes) = resident_bytes() {
        let resident =
            registered(registry, of_process("process_resident_memory_bytes", "Resident memory."));
        resident.set(bytes as f64);
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        let fds =
            registered(registry, of_process("process_open_fds", "File descriptors that are open."));
        // Reading the folder takes one itself.
        fds.set(open.count().saturating_sub(1) as f64);
    }
}

fn resident_bytes() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1 << 10)
}
