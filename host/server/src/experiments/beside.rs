//! What the arm that does not act would have judged: found out by a thread of its
//! own, from the evidence of the decision that was made.
//!
//! It may not slow down who acts. So orders wait in a queue that is never waited
//! for, and the thread runs when a core has nothing else to do: whatever wakes up takes
//! the core from it at once. It takes a tenth of a core at most; what that is too little
//! for is dropped and counted. It looks for orders every 10 ms instead of being woken
//! for each, and what it found is written to the book by another thread: one that comes
//! last must not hold a lock that who acts waits for.

use std::{
    io,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering, fence},
        mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel},
    },
    thread::{self, Thread},
    time::{Duration, Instant},
};

use cpu_time::ThreadTime;
use reprieve_core::{
    decision::Outcome,
    evidence::Exchange,
    ids::{DecisionId, LifeId},
    judgement::Call,
    ports::Witness,
    time::UnixMillis,
};
use reprieve_runtime::{Blame, Tried, Who, judge_beside};

use super::book::{Book, Judged};

/// When the thread looks for orders, and when it sleeps.
#[derive(Clone, Copy)]
struct Rhythm {
    looks_every: Duration,
    /// After so many looks for nothing it sleeps until it is woken.
    looks_for_nothing: u32,
}

/// Nobody is woken for an order: waking a core takes longer than most judgements. It
/// sleeps after a second of nothing.
const RHYTHM: Rhythm = Rhythm { looks_every: Duration::from_millis(10), looks_for_nothing: 100 };
/// Orders that wait for their judgement; as many are in the batch that is judged, and in
/// each of two that wait to be written down. At some 2 kB each, 8 MB at the most.
const MAX_WAITING: usize = 1_024;
/// Of one core.
const SHARE: f64 = 0.1;
/// What may be used at once after a quiet time.
const BURST: Duration = Duration::from_millis(100);

/// One judgement to be made beside a decision.
pub(super) struct Order {
    pub(super) book: Arc<Book>,
    pub(super) tried: Tried,
    pub(super) who: Who,
    pub(super) call: Call,
    pub(super) decision: DecisionId,
    pub(super) at: UnixMillis,
    pub(super) life: LifeId,
    pub(super) evidence: Vec<Exchange>,
    /// Of who acts.
    pub(super) outcome: Outcome,
    pub(super) witness: Arc<dyn Witness>,
}

/// What the thread is asked.
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all are orders, and a box would cost who acts an allocation"
)]
enum Asked {
    Judge(Order),
    /// To say when everything that it was asked before is written down.
    Tell(SyncSender<()>),
}

/// What came of it.
enum Done {
    Judged(Order, Option<Judged>),
    /// There was no time for it.
    Dropped(Order),
    Tell(SyncSender<()>),
}

/// Its threads, begun with the first order. They end with the host.
#[derive(Debug, Default)]
pub(super) struct Beside(OnceLock<Option<Inbox>>);

/// Where orders are put. Dropped in this order: the thread is woken to find that there
/// will be no more.
#[derive(Debug)]
struct Inbox {
    asked: SyncSender<Asked>,
    bell: Bell,
}

/// Wakes who judges, if he sleeps.
#[derive(Debug)]
struct Bell {
    sleeps: Arc<AtomicBool>,
    worker: Thread,
}

impl Beside {
    /// Never waits. The order comes back if it is not taken on.
    pub(super) fn put(&self, order: Order) -> Result<(), Box<Order>> {
        let inbox = self.0.get_or_init(|| match Inbox::open(RHYTHM) {
            Ok(inbox) => Some(inbox),
            Err(error) => {
                tracing::error!(%error, "no thread for experiments: nothing is judged beside");
                None
            }
        });
        let Some(Inbox { asked, bell }) = inbox else { return Err(Box::new(order)) };
        let put = asked.try_send(Asked::Judge(order));
        if let Err(TrySendError::Full(back) | TrySendError::Disconnected(back)) = put
            && let Asked::Judge(order) = back
        {
            return Err(Box::new(order));
        }
        bell.ring();
        Ok(())
    }

    /// Blocks until everything that was taken on before is written down.
    pub(super) fn wait(&self) {
        if let Some(Some(inbox)) = self.0.get() {
            inbox.wait();
        }
    }
}

impl Inbox {
    fn open(rhythm: Rhythm) -> io::Result<Self> {
        let (asked, received) = sync_channel(MAX_WAITING);
        let (done, judged) = sync_channel(1);
        let sleeps = Arc::<AtomicBool>::default();
        let asleep = Arc::clone(&sleeps);
        let thread = |name: &str| thread::Builder::new().name(name.to_owned());
        thread("experiments-book").spawn(move || write_down(&judged))?;
        let worker =
            thread("experiments").spawn(move || work(&received, rhythm, &asleep, &done))?;
        let bell = Bell { sleeps, worker: worker.thread().clone() };
        Ok(Self { asked, bell })
    }

    fn wait(&self) {
        let (tell, told) = sync_channel(1);
        if self.asked.send(Asked::Tell(tell)).is_ok() {
            self.bell.ring();
            let _ = told.recv();
        }
    }
}

impl Bell {
    /// After something was put: whoever falls asleep looks once more after he has said so.
    fn ring(&self) {
        fence(Ordering::SeqCst);
        if self.sleeps.load(Ordering::Relaxed) && self.sleeps.swap(false, Ordering::Relaxed) {
            self.worker.unpark();
        }
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        self.ring();
    }
}

fn work(
    asked: &Receiver<Asked>,
    Rhythm { looks_every, looks_for_nothing }: Rhythm,
    sleeps: &AtomicBool,
    done: &SyncSender<Vec<Done>>,
) {
    comes_last();
    let mut budget = Budget::new(Instant::now());
    let mut for_nothing = 0;
    loop {
        thread::sleep(looks_every);
        let Some(batch) = judge_all(asked, &mut budget) else { return };
        if !batch.is_empty() {
            for_nothing = 0;
            if done.send(batch).is_err() {
                return;
            }
            continue;
        }
        for_nothing += 1;
        if for_nothing == looks_for_nothing {
            // From now on whoever puts an order rings; one more look finds what was put
            // just before.
            sleeps.store(true, Ordering::Relaxed);
            fence(Ordering::SeqCst);
        } else if for_nothing > looks_for_nothing {
            while sleeps.load(Ordering::Relaxed) {
                thread::park();
            }
            for_nothing = 0;
        }
    }
}

/// Everything that waits. None: nothing will come any more.
fn judge_all(asked: &Receiver<Asked>, budget: &mut Budget) -> Option<Vec<Done>> {
    let mut batch = Vec::new();
    while batch.len() < MAX_WAITING {
        batch.push(match asked.try_recv() {
            Ok(Asked::Judge(order)) if budget.has_some(Instant::now()) => {
                let began = ThreadTime::now();
                let judged = judge(&order);
                budget.took(began.elapsed());
                Done::Judged(order, judged)
            }
            Ok(Asked::Judge(order)) => Done::Dropped(order),
            Ok(Asked::Tell(tell)) => Done::Tell(tell),
            Err(TryRecvError::Disconnected) if batch.is_empty() => return None,
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
        });
    }
    Some(batch)
}

/// From now on this thread gets only what nobody else wants of a core.
fn comes_last() {
    #[cfg(target_os = "linux")]
    {
        use thread_priority::{
            NormalThreadSchedulePolicy::Idle, ThreadPriority, ThreadSchedulePolicy::Normal,
            set_thread_priority_and_policy, thread_native_id,
        };
        // A nice value would not do: the scheduler lets who runs run on for up to a
        // slice of some milliseconds.
        if let Err(error) =
            set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, Normal(Idle))
        {
            tracing::warn!(?error, "experiments judge at everybody's priority");
        }
    }
}

fn write_down(done: &Receiver<Vec<Done>>) {
    for done in done.iter().flatten() {
        match done {
            Done::Judged(order, judged) => order.book.judged_beside(&order, judged),
            Done::Dropped(order) => order.book.dropped(),
            // Nobody may wait for it any more.
            Done::Tell(tell) => drop(tell.try_send(())),
        }
    }
}

/// None: not from that evidence.
fn judge(order: &Order) -> Option<Judged> {
    let Order { tried, call, who, evidence, witness, .. } = order;
    let judged = judge_beside(tried.other()?, *call, who, evidence, witness);
    match judged.blame {
        Some(Blame::Host) => None,
        blame => Some(Judged { outcome: judged.outcome, failed: blame.is_some() }),
    }
}

/// How much of a core is left.
struct Budget {
    left: f64,
    since: Instant,
}

impl Budget {
    const fn new(now: Instant) -> Self {
        Self { left: BURST.as_secs_f64(), since: now }
    }

    fn has_some(&mut self, now: Instant) -> bool {
        let earned = now.duration_since(self.since).as_secs_f64() * SHARE;
        self.left = (self.left + earned).min(BURST.as_secs_f64());
        self.since = now;
        self.left > 0.0
    }

    fn took(&mut self, time: Duration) {
        self.left -= time.as_secs_f64();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_sleeps_is_woken_by_whatever_is_put() {
        let (every_round, rounds) = sync_channel(0);
        thread::spawn(move || {
            let rhythm = Rhythm { looks_every: Duration::ZERO, looks_for_nothing: 1 };
            let inbox = Inbox::open(rhythm).unwrap();
            for _ in 0..50 {
                // At the very moment at which it falls asleep.
                while !inbox.bell.sleeps.load(Ordering::Relaxed) {
                    thread::yield_now();
                }
                inbox.wait();
                every_round.send(()).unwrap();
            }
        });
        for round in 0..50 {
            let done = rounds.recv_timeout(Duration::from_secs(60));
            assert!(done.is_ok(), "it sleeps on, in round {round}");
        }
    }

    #[test]
    fn no_more_than_a_tenth_of_a_core_is_taken() {
        let began = Instant::now();
        let (mut budget, mut taken) = (Budget::new(began), Duration::ZERO);
        let (call, length) = (Duration::from_micros(700), Duration::from_secs(60));
        let mut now = began;
        while now < began + length {
            if budget.has_some(now) {
                budget.took(call);
                taken += call;
                now += call;
            } else {
                now += Duration::from_micros(100);
            }
        }
        let (allowed, least) = (length.mul_f64(SHARE) + BURST + call, length.mul_f64(SHARE));
        assert!((least..=allowed).contains(&taken), "{taken:?} of {length:?}");
        // Quiet times are saved for one burst, and no more.
        now += length;
        let burst =
            (0..1_000).take_while(|_| budget.has_some(now).then(|| budget.took(call)).is_some());
        let burst = call * u32::try_from(burst.count()).unwrap();
        assert!(burst <= BURST + call, "{burst:?}");
    }
}
