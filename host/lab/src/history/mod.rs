//! Somebody's own history, made a scenario.
//!
//! - [`beats`], [`probes`]: traces in CSV, checked row by row, as a scenario plays them
//! - [`outages`]: what a monitor logged, in JSON lines
//! - [`ground`]: what was so, as far as the three tell
//! - [`draft`]: the scenario, for a person to read and edit
//! - [`problem`]: what is wrong with a file, all of it, by line and field
//!
//! Files are read once, row by row. What is kept of them has named limits.

mod beats;
mod draft;
mod ground;
mod outages;
mod probes;
mod problem;
mod table;
mod time;

pub use self::{
    beats::{BeatTrace, MAX_BEATS, MAX_SENDERS},
    draft::{Draft, History, HistoryRefused, ProbesTold, SenderTold, Understood},
    outages::{MAX_OUTAGES, Outage, read_outages},
    probes::{MAX_PROBES, ProbeTrace},
    problem::{MAX_PROBLEMS, Problem, Refused},
    time::TimeUnit,
};
pub(crate) use self::{
    beats::{RecordedBeat, Sender},
    probes::RecordedProbe,
};
