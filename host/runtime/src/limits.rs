//! How much a policy may use. Every limit has a name, a default and a reason.

use std::time::Duration;

/// What one policy may use. Beyond a limit the judgement falls back to BUSY;
/// nothing else is touched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Guest code per call. A policy takes microseconds; this stops a loop
    /// before anybody else notices it. Counted while the guest runs, not while
    /// the machine is starved.
    pub guest_deadline: Duration,
    /// One fetched fact, a probe for example. Past it the policy is told
    /// `timed-out` or `store-unavailable`.
    pub fact_deadline: Duration,
    /// A whole decision, fetched facts included.
    pub decision_deadline: Duration,
    /// Guest calls for one decision: one, and one more for each fact that had
    /// to be fetched. The contract has seven questions that may need it.
    pub passes: u32,
    /// Questions in one guest call.
    pub host_calls: u32,
    /// Linear memory of one instance. An instance that has grown past half of
    /// it is replaced; see [`MIN_CALLS_PER_INSTANCE`].
    pub memory_bytes: usize,
    /// Elements of one table.
    pub table_elements: usize,
    /// Sessions that one warm instance keeps open, one per distinct set of
    /// settings; the least recently used goes first.
    pub sessions: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            guest_deadline: Duration::from_millis(10),
            fact_deadline: Duration::from_secs(3),
            decision_deadline: Duration::from_secs(10),
            passes: 8,
            host_calls: 256,
            memory_bytes: 16 << 20,
            table_elements: 10_000,
            sessions: 32,
        }
    }
}

/// An instance that its memory wears out in fewer calls than this is a leak, and a
/// failure of the policy: to make the next one costs some 30 calls.
pub const MIN_CALLS_PER_INSTANCE: usize = 100;
/// The largest component file that is looked at.
pub const MAX_COMPONENT_BYTES: usize = 32 << 20;
/// The largest note, as the contract says.
pub const MAX_NOTE_BYTES: usize = 1 << 10;
/// The largest settings schema in a description.
pub const MAX_SCHEMA_BYTES: usize = 256 << 10;
/// The most reasons in a description, as the contract says.
pub const MAX_REASONS: usize = 256;
/// The longest reason code, as the contract says: it becomes a metrics label.
pub const MAX_CODE_BYTES: usize = 64;
/// The longest sentence about a reason, and the longest name, version or
/// summary of a policy.
pub const MAX_SENTENCE_BYTES: usize = 512;
/// The most problems that a policy may name with one set of settings.
pub const MAX_PROBLEMS: usize = 64;
/// The longest path and the longest message of a problem.
pub const MAX_PROBLEM_BYTES: usize = 1 << 10;
