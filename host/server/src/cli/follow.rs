//! `reprieve decisions --follow` of a host elsewhere: each decision once, in order,
//! whatever happens to the connection meanwhile.
//!
//! A stream is opened first, and only then the log is asked for what was recorded
//! since the last decision that was printed. So nothing lies between the two, and
//! what both tell is printed once.

use std::{
    collections::{HashSet, VecDeque},
    convert::Infallible,
    time::Duration,
};

use anyhow::Context as _;
use reprieve_core::{decision::Decision, ids::DecisionId};
use tokio::time::{Instant, sleep, timeout};

use super::{
    client::{AdminClient, Refused},
    decisions::{OnTheWire, asked_for_pages},
    events::Events,
    output::NotPrinted,
};

/// Decisions that are caught up on at most. Of more the oldest are left out, and
/// that is said.
const MAX_CAUGHT_UP: u32 = 100_000;

/// The newest that were printed. A host records what it judges at the same moment
/// in one order and may tell of it in another: it is asked from the oldest of these
/// on, and none of them is printed again.
const RECENT: usize = 256;

/// How long a host is waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// Before it is called again the first time; doubled each time.
    pub(super) first_wait: Duration,
    /// The longest of those.
    pub(super) longest_wait: Duration,
    /// Of a host that does not come back. The help of `--follow` names it.
    pub(super) stays_away: Duration,
    /// Without a sign on a stream that is open: three of those that a host gives
    /// every 15 s when nothing happens.
    pub(super) silence: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            first_wait: Duration::from_millis(500),
            longest_wait: Duration::from_secs(15),
            stays_away: Duration::from_secs(10 * 60),
            silence: Duration::from_secs(45),
        }
    }
}

/// Follows one host.
pub(super) struct Following<'a> {
    client: &'a AdminClient,
    /// More of the query, each part with its `&`.
    which: String,
    patience: Patience,
    print: &'a mut dyn FnMut(&Decision) -> anyhow::Result<()>,
    remark: &'a dyn Fn(&str),
    recent: VecDeque<DecisionId>,
}

/// A stream that is open.
struct Open {
    events: Events,
    /// What the log told already when it was opened.
    told: HashSet<DecisionId>,
}

impl<'a> Following<'a> {
    pub(super) fn new(
        client: &'a AdminClient,
        which: String,
        patience: Patience,
        print: &'a mut dyn FnMut(&Decision) -> anyhow::Result<()>,
        remark: &'a dyn Fn(&str),
    ) -> Self {
        Self { client, which, patience, print, remark, recent: VecDeque::new() }
    }

    /// Prints the newest `limit` and whatever comes. Ends with an error: the host
    /// cannot be reached at all, refuses, or stays away.
    pub(super) async fn follow(&mut self, limit: u32) -> anyhow::Result<Infallible> {
        let mut open = self.open(limit).await?;
        loop {
            let why = self.tell(&mut open).await?;
            // Its place among the host's streams is free for the next one.
            drop(open);
            (self.remark)(&format!("{why}; connecting to {} again", self.client.base()));
            open = self.open_again().await?;
            (self.remark)("connected again");
        }
    }

    async fn open_again(&mut self) -> anyhow::Result<Open> {
        let (lost, patience) = (Instant::now(), self.patience);
        let mut wait = patience.first_wait;
        // Ends with `stays_away` at the latest.
        loop {
            sleep(wait).await;
            let failure = match self.open(MAX_CAUGHT_UP + 1).await {
                Ok(open) => return Ok(open),
                Err(failure) => failure,
            };
            if !may_pass(&failure) {
                return Err(failure.context("the host does not let this go on"));
            }
            if lost.elapsed() >= patience.stays_away {
                let away = format!(
                    "the host at {} has been away for {:?}; start this again once it is back",
                    self.client.base(),
                    patience.stays_away
                );
                return Err(failure.context(away));
            }
            wait = (2 * wait).min(patience.longest_wait);
        }
    }

    /// A stream, after what the log tells of: the newest `limit`, none of them
    /// printed already.
    async fn open(&mut self, limit: u32) -> anyhow::Result<Open> {
        let query = self.which.strip_prefix('&').unwrap_or_default();
        let body = self.client.stream(&format!("decisions/stream?{query}")).await?;
        let mut which = self.which.clone();
        if let Some(oldest) = self.recent.front() {
            which += &format!("&after={oldest}");
        }
        let known = asked_for_pages(self.client, &which, limit).await?;
        if known.len() > MAX_CAUGHT_UP as usize {
            let said = format!(
                "more than {MAX_CAUGHT_UP} decisions were recorded meanwhile: older ones are left \
                 out, and in `reprieve decisions`"
            );
            (self.remark)(&said);
        }
        for decision in known.iter().rev() {
            self.print_once(decision)?;
        }
        let told = known.into_iter().map(|decision| decision.id).collect();
        Ok(Open { events: Events::of(body), told })
    }

    /// Until the stream ends, for a reason that it returns.
    async fn tell(&mut self, open: &mut Open) -> anyhow::Result<String> {
        let silence = self.patience.silence;
        loop {
            let event = match timeout(silence, open.events.next()).await {
                Err(_) => return Ok(format!("nothing was heard of the host for {silence:?}")),
                Ok(Err(broken)) => return Ok(format!("{broken:#}")),
                Ok(Ok(None)) => return Ok("the host ended the stream".to_owned()),
                Ok(Ok(Some(event))) => event,
            };
            if event.kind == "dropped" {
                return Ok("decisions came faster than they were read here".to_owned());
            }
            let told_of: OnTheWire = serde_json::from_str(&event.data)
                .context("the host tells of a decision in another shape")?;
            if !open.told.remove(&told_of.record.id) {
                self.print_once(&told_of.record)?;
            }
        }
    }

    fn print_once(&mut self, decision: &Decision) -> anyhow::Result<()> {
        if self.recent.contains(&decision.id) {
            return Ok(());
        }
        (self.print)(decision)?;
        if self.recent.len() >= RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(decision.id.clone());
        Ok(())
    }
}

/// The host may come back, or let it go on later.
fn may_pass(failure: &anyhow::Error) -> bool {
    if let Some(refused) = failure.downcast_ref::<Refused>() {
        return refused.may_pass();
    }
    !failure.chain().any(|cause| cause.is::<serde_json::Error>() || cause.is::<NotPrinted>())
}

#[cfg(test)]
mod tests;
