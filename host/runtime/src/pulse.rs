//! The timer that ends guests which run too long. It beats while one runs and
//! rests soon after the last one ended, so a host that judges nobody costs
//! nothing.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread::Thread,
    time::Duration,
};

use wasmtime::EngineWeak;

use crate::EngineFailure;

/// How often running guests are looked at: a loop ends within two ticks of its
/// deadline.
const TICK: Duration = Duration::from_millis(2);

/// Ticks without any guest before the timer rests. Long enough that a host which
/// judges all the time never pays for waking it.
const TICKS_BEFORE_REST: u32 = 50;

/// Whether guests run, and the thread that ticks for them.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    running: AtomicUsize,
    /// The thread rests, or is about to and will look once more.
    rests: AtomicBool,
    ended: AtomicBool,
    ticks: AtomicU64,
    thread: OnceLock<Thread>,
}

/// A guest runs for as long as this lives.
pub(crate) struct Beating<'a>(&'a Pulse);

impl Pulse {
    /// Starts the thread. It ends with [`Self::end`].
    pub(crate) fn start(engine: EngineWeak) -> Result<Arc<Self>, EngineFailure> {
        let pulse = Arc::new(Self::default());
        let ticking = Arc::clone(&pulse);
        let thread = std::thread::Builder::new()
            .name("reprieve-ticks".to_owned())
            .spawn(move || ticking.tick(&engine));
        let thread = thread.map_err(|source| EngineFailure::Timer { source })?;
        pulse.thread.get_or_init(|| thread.thread().clone());
        Ok(pulse)
    }

    /// To be held while a guest runs, from before it begins.
    pub(crate) fn beat(&self) -> Beating<'_> {
        // Both this and the thread write first and read then, in one order for
        // all: either this sees that the thread rests, or the thread sees the
        // guest.
        self.running.fetch_add(1, Ordering::SeqCst);
        if self.rests.load(Ordering::SeqCst) {
            self.wake();
        }
        Beating(self)
    }

    /// How often it has ticked.
    pub(crate) fn ticks(&self) -> u64 {
        self.ticks.load(Ordering::Relaxed)
    }

    pub(crate) fn rests(&self) -> bool {
        self.rests.load(Ordering::SeqCst)
    }

    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
        self.wake();
    }

    fn wake(&self) {
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }

    fn tick(&self, engine: &EngineWeak) {
        let mut idle_ticks = 0;
        while !self.ended.load(Ordering::SeqCst) {
            std::thread::sleep(TICK);
            let Some(engine) = engine.upgrade() else { return };
            engine.increment_epoch();
            drop(engine);
            self.ticks.fetch_add(1, Ordering::Relaxed);
            idle_ticks = match self.running.load(Ordering::SeqCst) {
                0 => idle_ticks + 1,
                _ => 0,
            };
            if idle_ticks >= TICKS_BEFORE_REST {
                self.rest();
                idle_ticks = 0;
            }
        }
    }

    /// Returns when a guest has begun, or at the end. That guest may be done by
    /// now: it ticks for a while all the same, so that one of many short calls
    /// pays for the waking and not each.
    fn rest(&self) {
        self.rests.store(true, Ordering::SeqCst);
        if self.running.load(Ordering::SeqCst) == 0 && !self.ended.load(Ordering::SeqCst) {
            std::thread::park();
        }
        self.rests.store(false, Ordering::SeqCst);
    }
}

impl Drop for Beating<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

/// How many ticks a call of that length may see; the next one ends it. The first
/// comes at any moment, so a call gets up to one tick more than its deadline.
pub(crate) fn ticks(deadline: Duration) -> u32 {
    let ticks = deadline.as_micros().div_ceil(TICK.as_micros());
    u32::try_from(ticks).unwrap_or(u32::MAX).max(1)
}
