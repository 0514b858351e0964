//! What the rules need of the world. Each trait has one contract suite (in
//! `tests/`) that every implementation passes.
//!
//! Every port is async and free of single-process assumptions, so that a store
//! shared by many hosts fits. What is in memory anyway can be had through the
//! `at_hand` methods without waiting.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::{
    decision::Decision,
    evidence::{Answer, Note, ProbeFault, Question, Sighting, StoreFault},
    ids::{DecisionId, LifeId, QueueId, Revision, TenantId, WorkspaceId},
    judgement::RestartCause,
    queue::{Ending, GivenUp, Item, NewItem},
    time::{Millis, UnixMillis},
};

/// The host's one clock. Never runs backwards.
pub trait Clock: Send + Sync {
    fn now(&self) -> UnixMillis;
}

/// Answers what a policy asks about one workspace.
#[async_trait]
pub trait Witness: Send + Sync {
    fn now(&self) -> UnixMillis;

    /// The answer as of `now`, if it is at hand. [`Question::Subject`],
    /// [`Question::Eyesight`] and [`Question::Fleet`] always are.
    fn at_hand(&self, question: &Question, now: UnixMillis) -> Option<Answer>;

    /// Asks the world. May take long: the caller holds the deadline.
    async fn fetch(&self, question: &Question) -> Answer;
}

/// A runtime's own mark of one run: two runs never share it. A process's pid
/// and start time, a container's id and `StartedAt`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LifeMark(pub String);

/// What a probe brings home.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    pub sighting: Sighting,
    /// Which run was seen, if one was.
    pub mark: Option<LifeMark>,
}

/// Sees what a runtime says about a workspace.
#[async_trait]
pub trait Probe: Send + Sync {
    async fn look(&self, workspace: &WorkspaceId) -> Result<Look, ProbeFault>;
}

/// The order to end a workspace's run, if one runs, and to begin the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestartOrder {
    pub workspace: WorkspaceId,
    /// The life that this order begins.
    pub life: LifeId,
    pub cause: RestartCause,
    pub revision: Revision,
}

/// A run that was begun. It may still be on its way up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Started {
    /// Where it will listen, if the runtime knows.
    pub address: Option<Url>,
    pub mark: Option<LifeMark>,
}

/// Why a restart or stop did not come about.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestartFailure {
    #[error("no backend runs workspace {workspace}")]
    NotOurs { workspace: WorkspaceId },
    #[error("the runtime did not carry it out within {after}; it may still do so")]
    TimedOut { after: Millis },
    #[error("the runtime refused: {detail}")]
    Refused { detail: String },
}

/// Begins and ends runs. Idempotent by life: the same order twice begins one
/// run.
#[async_trait]
pub trait Restarter: Send + Sync {
    async fn restart(&self, order: &RestartOrder) -> Result<Started, RestartFailure>;

    /// Ends the run, if one runs, and begins none.
    async fn stop(&self, workspace: &WorkspaceId) -> Result<(), RestartFailure>;
}

/// What a runtime reports unasked. A trigger for the policy, never an act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeEvent {
    pub workspace: WorkspaceId,
    pub kind: RuntimeEventKind,
    pub mark: Option<LifeMark>,
    /// Where the run listens, if the runtime knows and the event says so.
    pub address: Option<Url>,
    /// What the runtime showed of the workspace in its report.
    pub report: Option<Report>,
}

/// What a runtime showed unasked, and when. For a moment it need not be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Ages in it are as of `at`.
    pub sighting: Sighting,
    pub at: UnixMillis,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuntimeEventKind {
    /// Another run began.
    Started,
    /// The run ended.
    Stopped,
    /// A person had the runtime end the run. If it does not come back at once (a
    /// restart by hand looks the same at first), it shall stay stopped.
    StoppedByHand,
    /// The runtime's own health check has failed.
    Unhealthy,
}

/// The signs of life of one workspace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signs {
    /// The newest heartbeat and the life that gave it.
    pub beat: Option<(UnixMillis, LifeId)>,
    /// The last successful round trip and the life that gave it.
    pub contact: Option<(UnixMillis, LifeId)>,
    /// Between the newest beats of the newest life, newest first, at most
    /// [`Signs::MAX_INTERVALS`].
    pub intervals: Vec<Millis>,
}

impl Signs {
    /// Enough to learn a cadence, few enough for a million workspaces.
    pub const MAX_INTERVALS: usize = 8;

    /// The newest sign of either kind, of whatever life.
    pub fn newest(&self) -> Option<UnixMillis> {
        self.beat.map(|(at, _)| at).max(self.contact.map(|(at, _)| at))
    }
}

/// Keeps signs of life.
#[async_trait]
pub trait Heartbeats: Send + Sync {
    /// None where it must be fetched.
    fn at_hand(&self, workspace: &WorkspaceId) -> Option<Signs>;
    async fn fetch(&self, workspace: &WorkspaceId) -> Result<Signs, StoreFault>;
    /// May be kept in memory and flushed later: losing the newest beats to a
    /// crash costs a longer silence, never a death.
    fn beat(&self, workspace: &WorkspaceId, life: LifeId, at: UnixMillis);
    fn contact(&self, workspace: &WorkspaceId, life: LifeId, at: UnixMillis);
    /// From now on the workspace is overdue once it has been silent for `limit`.
    /// None: never.
    fn watch(&self, workspace: &WorkspaceId, limit: Option<Millis>, now: UnixMillis);
    /// The limit of a workspace that is watched has changed; its silence counts
    /// on.
    fn limit_silence(&self, workspace: &WorkspaceId, limit: Option<Millis>);
    /// Who became overdue, at most so many. Each is named once, until its next
    /// sign or `watch`.
    fn overdue(&self, now: UnixMillis, at_most: usize) -> Vec<WorkspaceId>;
}

/// The restarts of one workspace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestartHistory {
    pub life: LifeId,
    pub in_flight: bool,
    pub began: Option<UnixMillis>,
    pub cause: Option<RestartCause>,
    /// The revision that the newest life was started with.
    pub revision: Revision,
    /// When restarts that no person asked for began, newest first: those of the
    /// last [`RestartHistory::REACH`], at most [`RestartHistory::MAX_UNASKED`].
    pub unasked: Vec<UnixMillis>,
}

impl RestartHistory {
    pub const REACH: Millis = Millis::from_secs(3600);
    pub const MAX_UNASKED: usize = 64;
}

/// Why a restart was not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotBegun {
    #[error("a restart is in flight already")]
    InFlight,
    #[error("the life that it was about has ended meanwhile; life {} runs now", current.0)]
    LifeEnded {
        current: LifeId,
        /// That it was begun with.
        revision: Revision,
    },
    #[error("the restart store is unavailable")]
    StoreUnavailable,
}

/// Keeps restarts, and with them the rule of one in flight per workspace, on
/// many hosts as on one.
#[async_trait]
pub trait Restarts: Send + Sync {
    fn at_hand(&self, workspace: &WorkspaceId) -> Option<RestartHistory>;
    async fn fetch(&self, workspace: &WorkspaceId) -> Result<RestartHistory, StoreFault>;

    /// Compare-and-set: if `of` is the life that runs and nothing is in flight,
    /// the next life begins, durably before this returns, and is in flight.
    async fn begin(
        &self,
        workspace: &WorkspaceId,
        of: LifeId,
        cause: RestartCause,
        revision: Revision,
        now: UnixMillis,
    ) -> Result<LifeId, NotBegun>;

    /// A run began that this host did not order: if `of` is the life that runs and
    /// nothing is in flight, it is the next life, of no known cause and with the
    /// same revision, durably before this returns. Not in flight.
    async fn began_elsewhere(
        &self,
        workspace: &WorkspaceId,
        of: LifeId,
        began: UnixMillis,
    ) -> Result<LifeId, NotBegun>;

    /// Carried out, or given up: no longer in flight.
    async fn finish(&self, workspace: &WorkspaceId, life: LifeId) -> Result<(), StoreFault>;
}

/// Keeps each workspace's note.
#[async_trait]
pub trait Memory: Send + Sync {
    fn at_hand(&self, workspace: &WorkspaceId, now: UnixMillis) -> Option<Option<Note>>;
    async fn fetch(
        &self,
        workspace: &WorkspaceId,
        now: UnixMillis,
    ) -> Result<Option<Note>, StoreFault>;
    /// An empty note forgets.
    async fn write(
        &self,
        workspace: &WorkspaceId,
        bytes: Vec<u8>,
        now: UnixMillis,
    ) -> Result<(), StoreFault>;
}

/// A request that was accepted, and where it stands in its workspace's queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    pub id: QueueId,
    /// Items of this workspace that wait, this one included.
    pub depth: u32,
    /// It was accepted before: same workspace, same message id.
    pub repeated: bool,
}

/// Why a queue does not take a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueueRefusal {
    #[error("the queue of this workspace is full ({limit} items)")]
    Full { limit: u32 },
    #[error("the queue's store is unavailable")]
    Unavailable,
}

/// Holds accepted requests until they are delivered or dropped with a reason.
#[async_trait]
pub trait Queue: Send + Sync {
    /// On disk before it returns. Idempotent by workspace and message id.
    async fn accept(&self, item: NewItem, now: UnixMillis) -> Result<Accepted, QueueRefusal>;

    /// Takes the next item of a workspace for delivery: the highest priority,
    /// then the oldest. At most one item of a workspace is taken at a time, on
    /// all hosts. Counts as an attempt, durably before it returns.
    async fn take(
        &self,
        workspace: &WorkspaceId,
        now: UnixMillis,
    ) -> Result<Option<Item>, StoreFault>;

    /// Puts a taken item back in its place.
    async fn put_back(&self, id: &QueueId, why: &str) -> Result<(), StoreFault>;

    /// Ends an item, with its answer or with the reason for dropping it.
    async fn end(&self, id: &QueueId, ending: Ending, now: UnixMillis) -> Result<(), StoreFault>;

    async fn get(&self, id: &QueueId) -> Result<Option<Item>, StoreFault>;

    async fn depth(&self, workspace: &WorkspaceId) -> Result<u32, StoreFault>;

    /// How many items wait for each workspace that has some. In one reading,
    /// however many workspaces there are.
    async fn depths(&self) -> Result<BTreeMap<WorkspaceId, u32>, StoreFault>;

    /// After a crash: what was taken by this host and not ended waits again.
    async fn recover(&self) -> Result<u32, StoreFault>;

    /// Ends items older than `max_age` as dropped, "stale". Returns which.
    async fn drop_stale(
        &self,
        max_age: Millis,
        now: UnixMillis,
    ) -> Result<Vec<GivenUp>, StoreFault>;
}

/// Which decisions to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DecisionFilter {
    pub workspace: Option<WorkspaceId>,
    /// Only those about workspaces of these tenants. None: of whomever.
    pub tenants: Option<BTreeSet<TenantId>>,
    /// Only those recorded after this one.
    pub after: Option<DecisionId>,
    /// Only those recorded before this one.
    pub before: Option<DecisionId>,
    /// The newest so many.
    pub limit: u32,
}

/// Keeps decisions.
#[async_trait]
pub trait Decisions: Send + Sync {
    /// Returns before it is on disk; what does not fit the buffer waits. A log
    /// that cannot be written is counted and never changes a decision.
    async fn record(&self, decision: Decision);
    async fn get(&self, id: &DecisionId) -> Result<Option<Decision>, StoreFault>;
    /// Oldest first.
    async fn list(&self, filter: &DecisionFilter) -> Result<Vec<Decision>, StoreFault>;
}
