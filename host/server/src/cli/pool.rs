//! Work for all cores: pieces that need nothing of each other.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Instant,
};

use parking_lot::Mutex;
use reprieve_core::time::Millis;

use super::{output::UsageError, progress::Progress};

/// The most threads.
pub(super) const MAX_JOBS: u64 = 256;

/// Each piece's result, in the order of the pieces, on so many threads; none: one for
/// each core. Each thread works at a bench of its own.
pub(super) fn each<P: Sync, B, T: Send>(
    pieces: &[P],
    jobs: Option<u64>,
    progress: &Progress,
    bench: impl Fn() -> Result<B, UsageError> + Sync,
    run: impl Fn(&mut B, &P) -> Result<T, UsageError> + Sync,
) -> Result<Vec<T>, UsageError> {
    let threads = match jobs {
        Some(jobs) => usize::try_from(jobs.min(MAX_JOBS)).unwrap_or(1),
        None => thread::available_parallelism().map_or(1, usize::from),
    };
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let results: Vec<Mutex<Option<T>>> = pieces.iter().map(|_| Mutex::default()).collect();
    let began = Instant::now();
    let worker = || -> Result<(), UsageError> {
        let mut bench = bench()?;
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(piece) = pieces.get(index) else { return Ok(()) };
            *results[index].lock() = Some(run(&mut bench, piece)?);
            let so_far = done.fetch_add(1, Ordering::Relaxed) + 1;
            if so_far < pieces.len() {
                progress.tell(|| told(so_far, pieces.len(), began));
            }
        }
    };
    let lost = || UsageError("a thread ended early; that is a defect".to_owned(), None);
    let ended: Vec<Result<(), UsageError>> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.min(pieces.len())).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().map(|worker| worker.join().unwrap_or_else(|_| Err(lost()))).collect()
    });
    for ended in ended {
        ended?;
    }
    results.into_iter().map(|result| result.into_inner().ok_or_else(lost)).collect()
}

fn told(so_far: usize, all: usize, began: Instant) -> String {
    let left_s = began.elapsed().as_secs_f64() / so_far as f64 * (all - so_far) as f64;
    format!("{so_far} of {all} parts done, {} left", Millis::from_secs(left_s as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_pieces_however_many_threads() {
        let (pieces, progress): (Vec<u64>, _) = ((0..100).collect(), Progress::begin());
        for jobs in [1, 3, 1_000] {
            let squares =
                each(&pieces, Some(jobs), &progress, || Ok(()), |(), piece| Ok(piece * piece));
            assert_eq!(
                squares.unwrap(),
                pieces.iter().map(|piece| piece * piece).collect::<Vec<_>>()
            );
        }
        let empty: Vec<u64> =
            each(&[], None, &progress, || Ok(()), |(), piece: &u64| Ok(*piece)).unwrap();
        assert!(empty.is_empty());
    }

    #[test]
    fn the_first_error_is_the_whole_ones() {
        let refused = |(): &mut (), piece: &u64| match piece {
            7 => Err(UsageError("seven".to_owned(), None)),
            other => Ok(*other),
        };
        let pieces: Vec<u64> = (0..10).collect();
        let error = each(&pieces, Some(2), &Progress::begin(), || Ok(()), refused).unwrap_err();
        assert_eq!(error.to_string(), "seven");
    }
}
