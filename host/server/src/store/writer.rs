//! The one writer, with group commit.
//!
//! Every write is a job. Jobs go over a bounded channel to one task, which runs
//! whatever waits (at most [`MAX_BATCH`]) in one transaction and tells the
//! callers after it is on disk. Each job has a savepoint of its own, so one that
//! fails takes none with it. Batches run on tokio's blocking threads: the loop
//! never waits for the disk, and virtual time stands still meanwhile.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use parking_lot::Mutex;
use reprieve_core::evidence::StoreFault;
use rusqlite::{Connection, TransactionBehavior};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    task::JoinHandle,
};

use super::folder::Folder;

/// Jobs in one transaction at most: what a caller may have to wait for beside
/// its own.
const MAX_BATCH: usize = 256;

/// Jobs that wait for the writer at most; who comes later waits to be let in.
const MAX_WAITING: usize = 1_024;

/// What the waiting jobs carry at most, in KiB: a full queue of large answers
/// must not fill the memory.
const MAX_WAITING_KIB: u32 = 64 * 1_024;

/// Tells the caller, once the batch is on disk.
type Settle = Box<dyn FnOnce() + Send>;
type Work = Box<dyn FnOnce(&Connection) -> rusqlite::Result<Settle> + Send>;

enum Order {
    Write { work: Work, room: OwnedSemaphorePermit },
    Stop,
}

/// A handle of the writer. All clones are one writer.
#[derive(Clone, Debug)]
pub(super) struct Writer {
    orders: mpsc::Sender<Order>,
    room: Arc<Semaphore>,
    faults: Arc<AtomicU64>,
    /// The newest batch could not be written, or none is any more.
    failing: Arc<AtomicBool>,
    task: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Writer {
    /// The folder stays claimed for as long as its writer writes.
    pub(super) fn start(connection: Arc<Mutex<Connection>>, folder: Option<Folder>) -> Self {
        let (orders, received) = mpsc::channel(MAX_WAITING);
        let faults = Arc::new(AtomicU64::new(0));
        let failing = Arc::new(AtomicBool::new(false));
        let (told, counted) = (Arc::clone(&failing), Arc::clone(&faults));
        let task = tokio::spawn(run(received, connection, folder, counted, told));
        Self {
            orders,
            room: Arc::new(Semaphore::new(MAX_WAITING_KIB as usize)),
            faults,
            failing,
            task: Arc::new(Mutex::new(Some(task))),
        }
    }

    pub(super) fn fault_count(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.faults)
    }

    pub(super) fn faults(&self) -> u64 {
        self.faults.load(Ordering::Relaxed)
    }

    pub(super) fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    /// Runs `work` and returns when it is on disk.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StoreFault> {
        self.write_then(bytes, work, |_| ()).await
    }

    /// The same, and calls `committed` as soon as it is on disk, even if the
    /// caller has gone meanwhile: memory follows the disk whatever happens to a
    /// request.
    pub(super) async fn write_then<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
        committed: impl FnOnce(&T) + Send + 'static,
    ) -> Result<T, StoreFault> {
        let (reply, answer) = oneshot::channel();
        // A job that fails drops `reply`: the caller hears of every failure so.
        let work: Work = Box::new(move |connection| {
            let value = work(connection)?;
            Ok(Box::new(move || {
                committed(&value);
                let _ = reply.send(value);
            }))
        });
        let kib = u32::try_from(bytes / 1_024 + 1).unwrap_or(u32::MAX).min(MAX_WAITING_KIB);
        let outcome = async {
            let room = Arc::clone(&self.room).acquire_many_owned(kib).await.ok()?;
            self.orders.send(Order::Write { work, room }).await.ok()?;
            answer.await.ok()
        };
        outcome.await.ok_or_else(|| {
            self.faults.fetch_add(1, Ordering::Relaxed);
            StoreFault::Unavailable
        })
    }

    /// Finishes what waits and lets the folder go.
    pub(super) async fn stop(&self) {
        let _ = self.orders.send(Order::Stop).await;
        let task = self.task.lock().take();
        if let Some(task) = task {
            let _ = task.await;
        }
    }
}

/// Ends when it is told to stop, or when the last handle is gone.
async fn run(
    mut orders: mpsc::Receiver<Order>,
    connection: Arc<Mutex<Connection>>,
    folder: Option<Folder>,
    faults: Arc<AtomicU64>,
    failing: Arc<AtomicBool>,
) {
    let mut received = Vec::with_capacity(MAX_BATCH);
    while orders.recv_many(&mut received, MAX_BATCH).await > 0 {
        let (mut batch, mut rooms, mut stop) = (Vec::new(), Vec::new(), false);
        for order in received.drain(..) {
            match order {
                Order::Write { work, room } => {
                    batch.push(work);
                    rooms.push(room);
                }
                Order::Stop => stop = true,
            }
        }
        let connection = Arc::clone(&connection);
        let ran = tokio::task::spawn_blocking(move || commit(&mut connection.lock(), batch)).await;
        let failed = match ran {
            Ok(Ok(())) => None,
            Ok(Err(failure)) => Some(failure.to_string()),
            Err(panicked) => Some(panicked.to_string()),
        };
        if failing.swap(failed.is_some(), Ordering::Relaxed) != failed.is_some() {
            let faults = faults.load(Ordering::Relaxed);
            match failed {
                Some(failure) => tracing::error!(failure, faults, "the store cannot be written"),
                None => tracing::info!(faults, "the store can be written again"),
            }
        }
        drop(rooms);
        if stop {
            break;
        }
    }
    failing.store(true, Ordering::Relaxed);
    drop(connection);
    drop(folder);
}

/// Runs a batch in one transaction. On an error none of it counts, and dropping
/// the batch tells every caller.
fn commit(connection: &mut Connection, batch: Vec<Work>) -> rusqlite::Result<()> {
    let mut transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut settles = Vec::with_capacity(batch.len());
    for work in batch {
        let savepoint = transaction.savepoint()?;
        match work(&savepoint) {
            Ok(settle) => {
                savepoint.commit()?;
                settles.push(settle);
            }
            Err(failure) => {
                tracing::warn!(%failure, "a write failed");
                drop(savepoint);
                // A full disk ends the whole transaction by itself. What follows
                // would then be committed one by one, and denied.
                if transaction.is_autocommit() {
                    return Err(failure);
                }
            }
        }
    }
    transaction.commit()?;
    settles.into_iter().for_each(|settle| settle());
    Ok(())
}
