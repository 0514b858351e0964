//! What happens to experiments without a person: time passes, guardrails are broken,
//! ends come.

use std::time::Duration;

use reprieve_core::{experiment::Mode, ids::ExperimentName};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::{Act, Experiments, State, book::Book};

/// How often exposure is counted, and ends are looked for.
const TICK: Duration = Duration::from_secs(1);
/// How many ticks what was seen may be in memory only. A host that is killed forgets
/// no more than that.
const WRITTEN_EVERY: u32 = 5;

impl Experiments {
    /// Until the host stops.
    pub async fn follow(self, stop: CancellationToken) {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut count = 0;
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = ticks.tick() => {
                    count += 1;
                    self.pass().await;
                    if count % WRITTEN_EVERY == 0 {
                        self.write_down().await;
                        self.pay().await;
                    }
                }
                () = self.0.parts.observer.breached() => {}
            }
            self.abort_the_broken().await;
        }
        self.write_down().await;
    }

    async fn pass(&self) {
        let now = self.now();
        for book in self.0.parts.observer.books() {
            book.pass(self.taking_part(&book), now);
            let experiment = book.trial().experiment();
            if experiment.ends_at <= now {
                self.end_of(&experiment.name).await;
            }
        }
    }

    /// Workspaces in each arm. In a shadow those that both judge are in both.
    /// None: its candidate cannot be tried beside what judges now.
    fn taking_part(&self, book: &Book) -> Option<[usize; 2]> {
        let (experiment, mut arms) = (book.trial().experiment(), [0; 2]);
        let trials = self.0.parts.current.trials();
        let trial = trials.iter().find(|trial| trial.experiment().name == experiment.name)?;
        trial.candidate().ok()?;
        self.0.parts.supervisor.each_member(|who, labels| {
            if !trial.includes(who, labels) {
                return;
            }
            match experiment.mode {
                Mode::Shadow if experiment.is_compared(&who.workspace) => {
                    arms.iter_mut().for_each(|arm| *arm += 1);
                }
                Mode::Shadow => {}
                Mode::Canary | Mode::Ab => arms[experiment.arm(&who.workspace) as usize] += 1,
            }
        });
        Some(arms)
    }

    async fn end_of(&self, name: &ExperimentName) {
        let _turn = self.0.turn.lock().await;
        let Ok(record) = self.running(name) else { return };
        tracing::info!(experiment = %name, "experiment ended: its end date has come");
        let why = "its end date has come".to_owned();
        let act = Act { at: self.now(), by: "end date".to_owned(), why };
        if let Err(error) = self.end(record, State::Ended(act), None).await {
            tracing::error!(experiment = %name, %error, "its end could not be written down");
        }
    }

    async fn abort_the_broken(&self) {
        for book in self.0.parts.observer.books() {
            if !book.is_broken() {
                continue;
            }
            let _turn = self.0.turn.lock().await;
            if let Ok(record) = self.running(&book.trial().experiment().name) {
                self.abort_for(record, book.page()).await;
            }
        }
    }

    async fn write_down(&self) {
        for book in self.0.parts.observer.books() {
            let name = &book.trial().experiment().name;
            if let Some(page) = book.take_changed()
                && let Err(fault) = self.0.parts.store.write_page(name, &page).await
            {
                tracing::warn!(experiment = %name, %fault, "what was seen could not be written down");
            }
        }
    }
}
