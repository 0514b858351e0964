//! What the arm that does not act would have judged: found out by a thread of its
//! own, from the evidence of the decision that was made.
//!
//! It may not slow down who acts. So orders wait in a queue that is never waited
//! for, and the thread takes a tenth of a core at most, after everybody else; what that
//! is too little for is dropped and counted. What it found is written to the book by
//! another thread: one that comes last must not hold a lock that who acts waits for.

use std::{
    io,
    sync::{
        Arc, OnceLock, Weak,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};
use reprieve_core::{
    decision::Outcome,
    evidence::Exchange,
    experiment::Arm,
    ids::{DecisionId, LifeId},
    judgement::Call,
    ports::Witness,
    time::UnixMillis,
};
use reprieve_runtime::{Blame, Generation, Who, judge_beside};

use super::observer::{Book, Judged, Observer};

/// The priority of who judges: after everybody else.
#[cfg(target_os = "linux")]
const LAST: i32 = 19;
/// Orders that wait for their judgement, and as many for being written down. At some
/// 2 kB each, 4 MB.
const MAX_WAITING: usize = 1_024;
/// Of one core.
const SHARE: f64 = 0.1;
/// What may be used at once after a quiet time.
const BURST: Duration = Duration::from_millis(100);

/// One judgement to be made beside a decision.
pub(super) struct Order {
    pub(super) observer: Weak<Observer>,
    pub(super) book: Arc<Book>,
    /// Which judges beside.
    pub(super) arm: Arm,
    pub(super) generation: Arc<Generation>,
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

/// Its threads, begun with the first order. They end with the host.
#[derive(Debug, Default)]
pub(super) struct Beside {
    orders: OnceLock<Option<SyncSender<Order>>>,
    under_way: Arc<UnderWay>,
}

/// Orders that were taken on and are not done.
#[derive(Debug, Default)]
struct UnderWay {
    count: Mutex<usize>,
    fewer: Condvar,
}

impl Beside {
    /// Whether it is taken on.
    pub(super) fn put(&self, order: Order) -> bool {
        let orders = self.orders.get_or_init(|| match self.begin() {
            Ok(orders) => Some(orders),
            Err(error) => {
                tracing::error!(%error, "no thread for experiments: nothing is judged beside");
                None
            }
        });
        let Some(orders) = orders else { return false };
        *self.under_way.count.lock() += 1;
        let taken = orders.try_send(order).is_ok();
        if !taken {
            self.under_way.ends();
        }
        taken
    }

    fn begin(&self) -> io::Result<SyncSender<Order>> {
        let (orders, received) = sync_channel(MAX_WAITING);
        let (done, judged) = sync_channel(MAX_WAITING);
        let under_way = Arc::clone(&self.under_way);
        let thread = |name: &str| std::thread::Builder::new().name(name.to_owned());
        thread("experiments-book").spawn(move || write_down(&judged, &under_way))?;
        thread("experiments").spawn(move || work(&received, &done))?;
        Ok(orders)
    }

    /// Blocks until everything that was taken on is done.
    pub(super) fn wait(&self) {
        let mut count = self.under_way.count.lock();
        self.under_way.fewer.wait_while(&mut count, |count| *count > 0);
    }
}

impl UnderWay {
    fn ends(&self) {
        *self.count.lock() -= 1;
        self.fewer.notify_all();
    }
}

/// What came of an order. None: there was no time for it.
type Done = (Order, Option<Option<Judged>>);

fn work(orders: &Receiver<Order>, done: &SyncSender<Done>) {
    // Only what nobody else wants of a core. On Linux 0 is this thread alone.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::setpriority_process(None, LAST);
    let mut budget = Budget::new(Instant::now());
    while let Ok(order) = orders.recv() {
        let judged = budget.has_some(Instant::now()).then(|| {
            let began = Instant::now();
            let judged = judge(&order);
            budget.took(began.elapsed());
            judged
        });
        if done.send((order, judged)).is_err() {
            return;
        }
    }
}

fn write_down(done: &Receiver<Done>, under_way: &UnderWay) {
    while let Ok((order, judged)) = done.recv() {
        let Some(observer) = order.observer.upgrade() else { return };
        match judged {
            Some(judged) => observer.judged_beside(&order, judged),
            None => observer.dropped(&order.book),
        }
        under_way.ends();
    }
}

/// None: not from that evidence.
fn judge(order: &Order) -> Option<Judged> {
    let Order { generation, call, who, evidence, witness, .. } = order;
    let judged = judge_beside(generation, *call, who, evidence, witness);
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
