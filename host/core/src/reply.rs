//! What a caller is told when its request could not simply be forwarded: one
//! table from what was found to the answer.
//!
//! Three questions, asked in this order by the proxy:
//! 1. [`before_forward`]: does the workspace's state allow a forward at all?
//! 2. [`after_preflight`]: where preflight checks are on, what did they find?
//! 3. [`after_failure`]: the forward failed and was judged.

use serde_json::{Map, Value, json};

use crate::{decision::Finding, ids::QueueId, judgement::ForwardFailure, time::Millis};

/// Told to callers where no verdict names a time. Source: the platform's
/// proxy.
pub const BUSY_RETRY_AFTER: Millis = Millis::from_secs(30);

/// How long waking a hibernated workspace takes. Source: the platform's proxy.
pub const WAKING_RETRY_AFTER: Millis = Millis::from_secs(15);

/// What kind of request it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `POST /workspaces/{id}/a2a`: read whole, known by its message id, so it
    /// can be queued.
    A2a,
    /// Anything else: streamed through, never queued.
    Transparent,
}

/// What a workspace is doing, as far as an answer is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reachability {
    /// Requests may be tried.
    Reachable,
    /// On its way up for the first time, and nobody knows where it listens.
    NotYetPlaced,
    Paused,
    /// Hibernated, or about to be.
    Asleep,
    Removed,
}

/// How requests to one workspace are treated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Manners {
    /// The workspace queues for itself: busy callers are sent back to it.
    pub queues_for_itself: bool,
    /// Requests that find the workspace dead are queued for its next life.
    pub queue_on_dead: bool,
}

/// How far a failed forward had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// No answer had begun.
    Unanswered,
    /// The request was sent whole and the answer had begun when it was lost. To
    /// send it again could do the work twice.
    Delivered,
}

/// What is done about a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Queue the request; 202. Where the queue does not take it: `Busy`.
    Queue {
        retry_after: Millis,
    },
    Busy {
        retry_after: Millis,
    },
    Restarting {
        retry_after: Millis,
    },
    /// The caller may have what the workspace itself answered.
    UpstreamsOwn,
    BadGateway,
    GatewayTimeout,
    DeliveryConfirmed,
    Paused,
    Waking {
        retry_after: Millis,
    },
    Gone,
}

/// An answer as the caller will read it.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    pub status: u16,
    pub retry_after: Option<Millis>,
    pub body: Value,
}

/// What is told without trying to forward. None: forward.
pub const fn before_forward(
    kind: Kind,
    reachability: Reachability,
    manners: Manners,
) -> Option<Reply> {
    match reachability {
        Reachability::Reachable => None,
        Reachability::NotYetPlaced => Some(queue_or_busy(kind, manners, BUSY_RETRY_AFTER)),
        Reachability::Paused => Some(Reply::Paused),
        Reachability::Asleep => Some(Reply::Waking { retry_after: WAKING_RETRY_AFTER }),
        Reachability::Removed => Some(Reply::Gone),
    }
}

/// What is told after a preflight check. None: forward.
pub const fn after_preflight(kind: Kind, finding: Finding, manners: Manners) -> Option<Reply> {
    match finding {
        Finding::Alive => None,
        Finding::Busy { retry_after } => Some(queue_or_busy(kind, manners, retry_after)),
        Finding::Restarting { retry_after } => Some(restarting(kind, manners, retry_after)),
    }
}

/// What is told after a forward failed and was judged.
pub const fn after_failure(
    kind: Kind,
    failure: ForwardFailure,
    progress: Progress,
    finding: Finding,
    manners: Manners,
) -> Reply {
    // Whatever the workspace is now, it has had the request: sent again by the
    // queue, its work would be done twice.
    if let Progress::Delivered = progress {
        return Reply::DeliveryConfirmed;
    }
    match finding {
        Finding::Alive => alive(kind, failure, manners),
        Finding::Busy { retry_after } => queue_or_busy(kind, manners, retry_after),
        Finding::Restarting { retry_after } => restarting(kind, manners, retry_after),
    }
}

const fn alive(kind: Kind, failure: ForwardFailure, manners: Manners) -> Reply {
    match (failure, kind) {
        (ForwardFailure::BadStatus(_), _) => Reply::UpstreamsOwn,
        (ForwardFailure::Refused | ForwardFailure::Unresolved, _) => Reply::BadGateway,
        // It lives and gave no answer: it is busy.
        (
            ForwardFailure::TimedOut | ForwardFailure::ClosedEarly | ForwardFailure::Reset,
            Kind::A2a,
        ) => queue_or_busy(kind, manners, BUSY_RETRY_AFTER),
        (ForwardFailure::TimedOut, Kind::Transparent) => Reply::GatewayTimeout,
        (ForwardFailure::ClosedEarly | ForwardFailure::Reset, Kind::Transparent) => {
            Reply::BadGateway
        }
    }
}

const fn queue_or_busy(kind: Kind, manners: Manners, retry_after: Millis) -> Reply {
    match kind {
        Kind::A2a if !manners.queues_for_itself => Reply::Queue { retry_after },
        Kind::A2a | Kind::Transparent => Reply::Busy { retry_after },
    }
}

const fn restarting(kind: Kind, manners: Manners, retry_after: Millis) -> Reply {
    match kind {
        Kind::A2a if manners.queue_on_dead && !manners.queues_for_itself => {
            Reply::Queue { retry_after }
        }
        Kind::A2a | Kind::Transparent => Reply::Restarting { retry_after },
    }
}

/// The answer for a request that the queue took.
pub fn queued(id: &QueueId, depth: u32, retry_after: Millis) -> Told {
    Told {
        status: 202,
        retry_after: Some(retry_after),
        body: json!({
            "queued": true,
            "queue_id": id,
            "queue_depth": depth,
            "retry_after": whole_seconds(retry_after),
        }),
    }
}

impl Reply {
    /// The answer in words. [`Reply::Queue`] is told as busy: it stands for a
    /// request that the queue did not take. [`Reply::UpstreamsOwn`] is told as a
    /// bad gateway: it stands for an answer that could not be had.
    pub fn told(self) -> Told {
        let (status, mark, retry_after, error) = match self {
            Self::Queue { retry_after } | Self::Busy { retry_after } => {
                (503, Some("busy"), Some(retry_after), "the workspace is busy; try again later")
            }
            Self::Restarting { retry_after } => (
                503,
                Some("restarting"),
                Some(retry_after),
                "the workspace is being restarted; try again later",
            ),
            Self::UpstreamsOwn | Self::BadGateway => {
                (502, None, None, "the workspace did not answer as it should")
            }
            Self::GatewayTimeout => (504, None, None, "the workspace did not answer in time"),
            Self::DeliveryConfirmed => (
                502,
                Some("delivery_confirmed"),
                None,
                "the workspace received the request, but its answer was lost; do not send it again blindly",
            ),
            Self::Paused => {
                (503, Some("paused"), None, "the workspace is paused until its operator resumes it")
            }
            Self::Waking { retry_after } => (
                503,
                Some("waking"),
                Some(retry_after),
                "the workspace was hibernated and is being woken; try again later",
            ),
            Self::Gone => (410, Some("removed"), None, "the workspace was removed"),
        };
        let mut body = Map::new();
        if let Some(mark) = mark {
            body.insert(mark.to_owned(), Value::Bool(true));
        }
        if let Some(after) = retry_after {
            body.insert("retry_after".to_owned(), whole_seconds(after).into());
        }
        body.insert("error".to_owned(), error.into());
        Told { status, retry_after, body: Value::Object(body) }
    }
}

/// As `Retry-After` says it: whole seconds, rounded up, at least 1.
pub const fn whole_seconds(length: Millis) -> u64 {
    let seconds = length.0.div_ceil(1000);
    if seconds == 0 { 1 } else { seconds }
}

#[cfg(test)]
mod tests {
    use super::*;

    const R: Millis = Millis::from_secs(7);
    const PLAIN: Manners = Manners { queues_for_itself: false, queue_on_dead: false };
    const SELF_QUEUEING: Manners = Manners { queues_for_itself: true, queue_on_dead: false };
    const QUEUE_ON_DEAD: Manners = Manners { queues_for_itself: false, queue_on_dead: true };
    const BOTH: Manners = Manners { queues_for_itself: true, queue_on_dead: true };
    const MANNERS: [Manners; 4] = [PLAIN, SELF_QUEUEING, QUEUE_ON_DEAD, BOTH];

    const ALIVE: Finding = Finding::Alive;
    const BUSY: Finding = Finding::Busy { retry_after: R };
    const RESTARTING: Finding = Finding::Restarting { retry_after: R };

    const FAILURES: [ForwardFailure; 6] = [
        ForwardFailure::Refused,
        ForwardFailure::Reset,
        ForwardFailure::ClosedEarly,
        ForwardFailure::TimedOut,
        ForwardFailure::Unresolved,
        ForwardFailure::BadStatus(503),
    ];

    const fn busy_like(failure: ForwardFailure) -> bool {
        matches!(
            failure,
            ForwardFailure::Reset | ForwardFailure::ClosedEarly | ForwardFailure::TimedOut
        )
    }

    #[test]
    fn an_a2a_request_to_a_live_workspace_is_queued_when_it_is_busy_and_refused_otherwise() {
        for failure in FAILURES {
            for manners in MANNERS {
                let reply = after_failure(Kind::A2a, failure, Progress::Unanswered, ALIVE, manners);
                let expected = match failure {
                    _ if busy_like(failure) && manners.queues_for_itself => {
                        Reply::Busy { retry_after: BUSY_RETRY_AFTER }
                    }
                    _ if busy_like(failure) => Reply::Queue { retry_after: BUSY_RETRY_AFTER },
                    ForwardFailure::BadStatus(_) => Reply::UpstreamsOwn,
                    _ => Reply::BadGateway,
                };
                assert_eq!(reply, expected, "{failure:?} {manners:?}");
            }
        }
    }

    #[test]
    fn every_other_finding_has_one_reply_whatever_the_failure() {
        for (kind, finding, manners, expected) in [
            (Kind::A2a, BUSY, PLAIN, Reply::Queue { retry_after: R }),
            (Kind::A2a, BUSY, SELF_QUEUEING, Reply::Busy { retry_after: R }),
            (Kind::A2a, BUSY, QUEUE_ON_DEAD, Reply::Queue { retry_after: R }),
            (Kind::A2a, BUSY, BOTH, Reply::Busy { retry_after: R }),
            (Kind::A2a, RESTARTING, PLAIN, Reply::Restarting { retry_after: R }),
            (Kind::A2a, RESTARTING, SELF_QUEUEING, Reply::Restarting { retry_after: R }),
            (Kind::A2a, RESTARTING, QUEUE_ON_DEAD, Reply::Queue { retry_after: R }),
            (Kind::A2a, RESTARTING, BOTH, Reply::Restarting { retry_after: R }),
            (Kind::Transparent, BUSY, PLAIN, Reply::Busy { retry_after: R }),
            (Kind::Transparent, BUSY, SELF_QUEUEING, Reply::Busy { retry_after: R }),
            (Kind::Transparent, BUSY, QUEUE_ON_DEAD, Reply::Busy { retry_after: R }),
            (Kind::Transparent, BUSY, BOTH, Reply::Busy { retry_after: R }),
            (Kind::Transparent, RESTARTING, PLAIN, Reply::Restarting { retry_after: R }),
            (Kind::Transparent, RESTARTING, SELF_QUEUEING, Reply::Restarting { retry_after: R }),
            (Kind::Transparent, RESTARTING, QUEUE_ON_DEAD, Reply::Restarting { retry_after: R }),
            (Kind::Transparent, RESTARTING, BOTH, Reply::Restarting { retry_after: R }),
        ] {
            for failure in FAILURES {
                let reply = after_failure(kind, failure, Progress::Unanswered, finding, manners);
                assert_eq!(reply, expected, "{kind:?} {failure:?} {finding:?} {manners:?}");
            }
            assert_eq!(
                after_preflight(kind, finding, manners),
                Some(expected),
                "preflight {kind:?} {finding:?} {manners:?}"
            );
        }
    }

    #[test]
    fn a_transparent_request_to_a_live_workspace_gets_the_ordinary_error() {
        for (failure, expected) in [
            (ForwardFailure::Refused, Reply::BadGateway),
            (ForwardFailure::Reset, Reply::BadGateway),
            (ForwardFailure::ClosedEarly, Reply::BadGateway),
            (ForwardFailure::TimedOut, Reply::GatewayTimeout),
            (ForwardFailure::Unresolved, Reply::BadGateway),
            (ForwardFailure::BadStatus(502), Reply::UpstreamsOwn),
        ] {
            for manners in MANNERS {
                let reply =
                    after_failure(Kind::Transparent, failure, Progress::Unanswered, ALIVE, manners);
                assert_eq!(reply, expected, "{failure:?} {manners:?}");
            }
        }
    }

    #[test]
    fn what_was_delivered_is_never_queued_again() {
        for failure in FAILURES {
            for finding in [ALIVE, BUSY, RESTARTING] {
                for manners in MANNERS {
                    let reply =
                        after_failure(Kind::A2a, failure, Progress::Delivered, finding, manners);
                    assert_eq!(reply, Reply::DeliveryConfirmed, "{failure:?} {finding:?}");
                }
            }
        }
    }

    #[test]
    fn the_workspaces_standing_comes_first() {
        for (kind, reachability, manners, expected) in [
            (Kind::A2a, Reachability::Reachable, PLAIN, None),
            (
                Kind::A2a,
                Reachability::NotYetPlaced,
                PLAIN,
                Some(Reply::Queue { retry_after: BUSY_RETRY_AFTER }),
            ),
            (
                Kind::A2a,
                Reachability::NotYetPlaced,
                SELF_QUEUEING,
                Some(Reply::Busy { retry_after: BUSY_RETRY_AFTER }),
            ),
            (
                Kind::Transparent,
                Reachability::NotYetPlaced,
                PLAIN,
                Some(Reply::Busy { retry_after: BUSY_RETRY_AFTER }),
            ),
            (Kind::A2a, Reachability::Paused, PLAIN, Some(Reply::Paused)),
            (
                Kind::Transparent,
                Reachability::Asleep,
                PLAIN,
                Some(Reply::Waking { retry_after: WAKING_RETRY_AFTER }),
            ),
            (Kind::A2a, Reachability::Removed, PLAIN, Some(Reply::Gone)),
        ] {
            assert_eq!(
                before_forward(kind, reachability, manners),
                expected,
                "{kind:?} {reachability:?}"
            );
        }
        assert_eq!(after_preflight(Kind::A2a, Finding::Alive, PLAIN), None);
    }

    #[test]
    fn every_reply_reads_as_callers_know_it() {
        for (reply, status, mark, retry_after) in [
            (Reply::Queue { retry_after: R }, 503, Some("busy"), Some(7)),
            (Reply::Busy { retry_after: BUSY_RETRY_AFTER }, 503, Some("busy"), Some(30)),
            (Reply::Restarting { retry_after: R }, 503, Some("restarting"), Some(7)),
            (Reply::UpstreamsOwn, 502, None, None),
            (Reply::BadGateway, 502, None, None),
            (Reply::GatewayTimeout, 504, None, None),
            (Reply::DeliveryConfirmed, 502, Some("delivery_confirmed"), None),
            (Reply::Paused, 503, Some("paused"), None),
            (Reply::Waking { retry_after: WAKING_RETRY_AFTER }, 503, Some("waking"), Some(15)),
            (Reply::Gone, 410, Some("removed"), None),
        ] {
            let told = reply.told();
            assert_eq!(told.status, status, "{reply:?}");
            assert_eq!(told.retry_after.map(whole_seconds), retry_after, "{reply:?}");
            assert_eq!(told.body.get("retry_after").and_then(Value::as_u64), retry_after);
            if let Some(mark) = mark {
                assert_eq!(told.body.get(mark), Some(&Value::Bool(true)), "{reply:?}");
            }
            assert!(told.body["error"].is_string(), "{reply:?}");
        }
        let told = queued(&QueueId("q-1".into()), 3, R);
        assert_eq!(told.status, 202);
        assert_eq!(
            told.body,
            json!({"queued": true, "queue_id": "q-1", "queue_depth": 3, "retry_after": 7})
        );
    }

    #[test]
    fn a_wait_is_told_in_whole_seconds_rounded_up() {
        for (millis, seconds) in [(0, 1), (1, 1), (1000, 1), (1001, 2), (30_000, 30)] {
            assert_eq!(whole_seconds(Millis(millis)), seconds, "{millis} ms");
        }
    }
}
