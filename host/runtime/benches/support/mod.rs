//! What benchmarks share: a failed forward of a workspace that settles, and whether
//! they are meant.

use reprieve_core::{
    evidence::{Answer, Life, ProbeFault, Question},
    judgement::{Attempt, Call, ForwardFailure, Trigger},
    ports::Witness,
    time::{Millis, UnixMillis},
};

pub(crate) const CALL: Call = Call::Judge {
    trigger: Trigger::ForwardFailed(ForwardFailure::Refused),
    attempt: Attempt { number: 0, since_first: Millis::ZERO },
};

/// Inside the settle window. Everything that may be asked is at hand; the default
/// policy asks for the life alone.
pub(crate) struct Settling;

#[async_trait::async_trait]
impl Witness for Settling {
    fn now(&self) -> UnixMillis {
        UnixMillis(1_000_000)
    }

    fn at_hand(&self, question: &Question, _: UnixMillis) -> Option<Answer> {
        match question {
            Question::CurrentLife => {
                let began = Some(Millis(10_000));
                Some(Answer::CurrentLife(Ok(Life { began, ..Life::default() })))
            }
            Question::Look => Some(Answer::Look(Err(ProbeFault::TimedOut))),
            Question::NewestBeat => Some(Answer::NewestBeat(Ok(None))),
            _ => None,
        }
    }

    /// For a policy that asks what the default one does not: a store with nothing
    /// in it.
    async fn fetch(&self, question: &Question) -> Answer {
        match question {
            Question::RestartCount { .. } => Answer::RestartCount(Ok(0)),
            _ => unreachable!("{question:?} is at hand"),
        }
    }
}

/// Latencies in nanoseconds, in memory that does not grow: a benchmark that keeps
/// them all measures itself. Each bucket is a 32nd of an octave wide.
#[allow(dead_code, reason = "criterion keeps its own")]
pub(crate) struct Latencies {
    buckets: Box<[u64]>,
    longest: u64,
}

#[allow(dead_code, reason = "criterion keeps its own")]
impl Latencies {
    const PER_OCTAVE: u32 = 32;

    pub(crate) fn note(&mut self, took: std::time::Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.longest = self.longest.max(nanos);
        let octaves = (nanos.max(1) as f64).log2();
        self.buckets[(octaves * f64::from(Self::PER_OCTAVE)) as usize] += 1;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.longest = self.longest.max(other.longest);
        for (mine, others) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine += others;
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The upper end of the bucket below which that share of all lies.
    pub(crate) fn at(&self, share: f64) -> u64 {
        let wanted = (self.count() as f64 * share) as u64;
        let mut below = 0;
        let found = self.buckets.iter().position(|bucket| {
            below += bucket;
            below > wanted
        });
        let octaves = (found.unwrap_or_default() + 1) as f64 / f64::from(Self::PER_OCTAVE);
        (octaves.exp2() as u64).min(self.longest)
    }

    pub(crate) const fn longest(&self) -> u64 {
        self.longest
    }
}

impl Default for Latencies {
    fn default() -> Self {
        let buckets = vec![0; (u64::BITS * Self::PER_OCTAVE) as usize + 1];
        Self { buckets: buckets.into_boxed_slice(), longest: 0 }
    }
}

/// Memory of this process that is resident, in KiB.
#[allow(dead_code, reason = "not every benchmark looks at it")]
pub(crate) fn rss_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
}

/// Whether `cargo xtask bench FILTER` means a benchmark of that name.
#[allow(dead_code, reason = "a benchmark on criterion is filtered by it")]
pub(crate) fn is_wanted(name: &str) -> bool {
    let is_filter = |arg: &String| !arg.starts_with('-') && arg.parse::<u32>().is_err();
    std::env::args().skip(1).find(is_filter).is_none_or(|filter| name.contains(&filter))
}
