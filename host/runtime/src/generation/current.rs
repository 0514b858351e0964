//! The generation in force.

use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use super::Generation;

/// The generation in force. Replaced whole; a request that took a snapshot keeps
/// it to its end.
#[derive(Debug)]
pub struct Current {
    in_force: RwLock<Arc<Generation>>,
    /// Held by whoever makes the next one, so that none is made from one that is
    /// in force no more.
    writer: Mutex<()>,
}

impl Current {
    pub fn new(generation: Generation) -> Self {
        Self { in_force: RwLock::new(Arc::new(generation)), writer: Mutex::new(()) }
    }

    /// Never waits for an update.
    pub fn snapshot(&self) -> Arc<Generation> {
        Arc::clone(&self.in_force.read())
    }

    /// Makes the next generation from the one in force and puts it in its place.
    /// On an error everything stays as it is. What has to be so before the next
    /// generation decides (that it is on disk) belongs into `next`.
    ///
    /// One update at a time: blocks while others are under way, so call it where
    /// blocking is allowed.
    pub fn update<E>(
        &self,
        next: impl FnOnce(&Generation) -> Result<Generation, E>,
    ) -> Result<Arc<Generation>, E> {
        let _one_at_a_time = self.writer.lock();
        let next = Arc::new(next(&self.snapshot())?);
        let former = std::mem::replace(&mut *self.in_force.write(), Arc::clone(&next));
        // Tidied up after readers have been let in.
        drop(former);
        Ok(next)
    }
}
