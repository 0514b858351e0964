//! The one place where components are compiled.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Semaphore, watch},
    time::{Instant, timeout, timeout_at},
};

use super::Refused;

/// Compiles one component after the other. Compilers cannot be stopped: one that
/// takes too long keeps the others from beginning until it has ended, so that a bomb
/// costs one core and not all of them.
#[derive(Debug)]
pub(super) struct Compiler {
    place: Arc<Semaphore>,
    /// Until when whoever is at it may take. `None`: nobody is.
    until: watch::Sender<Option<Instant>>,
}

impl Compiler {
    pub(super) fn new() -> Self {
        Self { place: Arc::new(Semaphore::new(1)), until: watch::Sender::new(None) }
    }

    /// Waits for those who came before, as long as they are within their time, and
    /// then has `budget` for itself.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        budget: Duration,
        compile: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refused> {
        let place = tokio::select! {
            biased;
            place = Arc::clone(&self.place).acquire_owned() => {
                place.map_err(|_closed| Refused::Aborted)?
            }
            () = self.overdue() => return Err(Refused::Compiling),
        };
        self.until.send_replace(Some(Instant::now() + budget));
        let until = self.until.clone();
        let compiling = tokio::task::spawn_blocking(move || {
            let compiled = compile();
            until.send_replace(None);
            drop(place);
            compiled
        });
        match timeout(budget, compiling).await {
            Ok(compiled) => compiled.map_err(|_ended| Refused::Aborted),
            Err(_elapsed) => Err(Refused::CompileBudget { budget }),
        }
    }

    /// Ends when somebody is at it for too long.
    async fn overdue(&self) {
        let mut seen = self.until.subscribe();
        loop {
            let until = *seen.borrow_and_update();
            match until {
                Some(until) => {
                    if timeout_at(until, seen.changed()).await.is_err() {
                        return;
                    }
                }
                // It lives as long as this does, so it only says that it changed.
                None => drop(seen.changed().await),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const AMPLE: Duration = Duration::from_secs(3600);

    #[tokio::test]
    async fn one_waits_for_the_other() {
        let compiler = Compiler::new();
        let (begins, begun) = mpsc::channel();
        // The second has time to begin, if nothing keeps it from that.
        let first = compiler.run(AMPLE, move || begun.recv_timeout(Duration::from_millis(50)));
        let second = compiler.run(AMPLE, move || begins.send(()));
        let (first, second) = tokio::join!(biased; first, second);
        assert_eq!(first.unwrap(), Err(mpsc::RecvTimeoutError::Timeout));
        assert!(second.unwrap().is_err(), "the first has ended");
    }

    #[tokio::test]
    async fn one_that_takes_too_long_keeps_others_from_beginning_until_it_ends() {
        let compiler = Compiler::new();
        let (end, ended) = mpsc::channel::<()>();
        let bomb = compiler.run(Duration::ZERO, move || ended.recv());
        assert!(matches!(bomb.await, Err(Refused::CompileBudget { .. })));
        let next = compiler.run(AMPLE, || ()).await;
        assert!(matches!(next, Err(Refused::Compiling)), "{next:?}");
        drop(end);
        while compiler.run(AMPLE, || ()).await.is_err() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn who_waits_is_told_as_soon_as_the_one_before_takes_too_long() {
        let compiler = Compiler::new();
        let (_end, ended) = mpsc::channel::<()>();
        let bomb = compiler.run(Duration::from_millis(20), move || ended.recv());
        let next = compiler.run(AMPLE, || ());
        let (bomb, next) = tokio::join!(biased; bomb, next);
        assert!(matches!(bomb, Err(Refused::CompileBudget { .. })));
        assert!(matches!(next, Err(Refused::Compiling)));
    }

    #[tokio::test]
    async fn whoever_goes_away_leaves_the_place_only_when_the_compiler_has_ended() {
        let compiler = Compiler::new();
        let (end, ended) = mpsc::channel::<()>();
        let gone = timeout(Duration::from_millis(1), compiler.run(AMPLE, move || ended.recv()));
        gone.await.expect_err("it does not end");
        assert_eq!(compiler.place.available_permits(), 0);
        drop(end);
        compiler.run(AMPLE, || ()).await.unwrap();
    }
}
