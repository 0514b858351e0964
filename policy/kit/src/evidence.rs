//! What a policy may ask about a workspace: the words of `wit/evidence.wit`, as
//! plain Rust.

use alloc::{string::String, vec::Vec};

use crate::words::{Millis, RestartCause};

/// Who is being judged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    pub id: String,
    pub tenant: String,
    /// The kind of backend that runs it: `process`, `docker`, `http`, `external`.
    pub kind: String,
    pub labels: Vec<(String, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Running,
    Starting,
    Restarting,
    Paused,
    Stopped,
    /// The runtime positively knows no such workspace.
    Missing,
}

/// What the runtime's own health check says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    Starting,
    Healthy,
    Unhealthy,
}

/// What a probe saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sighting {
    pub status: Status,
    /// How long the present run has lasted.
    pub uptime: Option<Millis>,
    /// How long ago the last run ended, if the runtime reports when.
    pub ended: Option<Millis>,
    pub exit_code: Option<i32>,
    pub out_of_memory: bool,
    pub health: Option<Health>,
}

impl Sighting {
    /// A sighting of which nothing but the status is known.
    pub const fn bare(status: Status) -> Self {
        Self {
            status,
            uptime: None,
            ended: None,
            exit_code: None,
            out_of_memory: false,
            health: None,
        }
    }
}

/// Why the host could not see. It tells about the host's eyes, never about the
/// workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbeFault {
    TimedOut,
    Unreachable,
    ClosedEarly,
    Overloaded,
    Denied,
    Malformed,
}

/// A store of the host could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreFault;

/// A sign of life that the workspace itself gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beat {
    pub age: Millis,
    /// Given after the last restart began.
    pub this_life: bool,
}

/// The run of a workspace, and how it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Life {
    /// A restart is being carried out at this moment.
    pub in_flight: bool,
    /// How long ago the last restart began; None if there was none.
    pub began: Option<Millis>,
    pub cause: Option<RestartCause>,
    /// The running life was started with an older settings revision than the
    /// newest.
    pub revision_stale: bool,
}

/// What a policy noted about a workspace, and how long ago.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Note {
    pub bytes: Vec<u8>,
    pub age: Millis,
}

/// How well the host saw within a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Eyesight {
    pub probes: u32,
    pub probe_faults: u32,
    pub store_faults: u32,
    pub loop_lag: Millis,
}

/// The rest of the tenant's fleet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fleet {
    pub workspaces: u32,
    pub suspected: u32,
    pub restarting: u32,
}

/// What the rules may ask about a workspace. Each fact is fetched only when its
/// method is called, so ask for the dear ones (a probe) last.
pub trait Evidence {
    fn subject(&self) -> Subject;
    fn look(&self) -> Result<Sighting, ProbeFault>;
    fn newest_beat(&self) -> Result<Option<Beat>, StoreFault>;
    /// Newest first, at most `limit` and at most 8.
    fn intervals(&self, limit: u32) -> Result<Vec<Millis>, StoreFault>;
    fn newest_contact(&self) -> Result<Option<Beat>, StoreFault>;
    fn current_life(&self) -> Result<Life, StoreFault>;
    /// Restarts that no person asked for.
    fn restart_count(&self, within: Millis) -> Result<u32, StoreFault>;
    fn note(&self) -> Result<Option<Note>, StoreFault>;
    /// Takes effect with the judgement, and not before. At most 1 KiB.
    fn write_note(&self, bytes: &[u8]);
    /// From `since` ago until `until` ago, 5 min at most.
    fn eyesight_between(&self, since: Millis, until: Millis) -> Eyesight;
    /// Now, with the peak of suspicion within so long.
    fn tenant_fleet(&self, within: Millis) -> Fleet;
}
