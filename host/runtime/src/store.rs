//! What one instance carries on the host's side: its running pass, and the
//! limits that stop it.

use wasmtime::{ResourceLimiter, StoreContextMut, UpdateDeadline};

use crate::{Limits, PolicyFailure, pass::Pass};

/// Core instances of one component: wit-component makes three.
const MAX_CORE_INSTANCES: usize = 16;
const MAX_TABLES: usize = 8;
const MAX_MEMORIES: usize = 4;

/// The data of a wasmtime store.
pub(crate) struct State {
    /// The pass that runs. None while the guest describes itself or opens a
    /// session: settings must not depend on evidence.
    pub(crate) pass: Option<Pass>,
    host_calls: u32,
    /// Timer ticks that the guest may still see in this call.
    ticks_left: u32,
    ticks_per_call: u32,
    memory_bytes: usize,
    memory_limit: usize,
    table_limit: usize,
    /// Why the host ended or refused something; better than the trap that it
    /// leads to.
    stopped: Option<PolicyFailure>,
    limits: Limits,
}

impl State {
    pub(crate) fn new(limits: &Limits, ticks_per_call: u32) -> Self {
        Self {
            pass: None,
            host_calls: limits.host_calls,
            ticks_left: ticks_per_call,
            ticks_per_call,
            memory_bytes: 0,
            memory_limit: limits.memory_bytes,
            table_limit: limits.table_elements,
            stopped: None,
            limits: limits.clone(),
        }
    }

    /// To be called before each entry of the guest.
    pub(crate) fn begin_call(&mut self) {
        self.ticks_left = self.ticks_per_call;
        self.stopped = None;
    }

    /// The pass that runs, with one more call of the guest counted.
    pub(crate) fn running_pass(&mut self) -> wasmtime::Result<&mut Pass> {
        let Self { pass, stopped, host_calls: limit, .. } = self;
        let failure = match pass {
            Some(pass) => {
                if pass.count_call(*limit) {
                    return Ok(pass);
                }
                PolicyFailure::HostCalls { limit: *limit }
            }
            None => PolicyFailure::AskedOutsideJudgement,
        };
        Err(stop(stopped, failure))
    }

    /// Notes why, and gives the trap that ends the guest.
    pub(crate) fn stop(&mut self, failure: PolicyFailure) -> wasmtime::Error {
        stop(&mut self.stopped, failure)
    }

    /// What a failed call failed of.
    pub(crate) fn failure_of(&mut self, source: wasmtime::Error) -> PolicyFailure {
        self.stopped.take().unwrap_or(PolicyFailure::Trapped { source })
    }

    /// What an instance could not be made for.
    pub(crate) fn start_failure_of(&mut self, source: wasmtime::Error) -> PolicyFailure {
        self.stopped.take().unwrap_or(PolicyFailure::NoInstance { source })
    }

    /// Of all its linear memories together.
    pub(crate) const fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    /// One tick seen by the guest. Ticks are counted where the guest sees them
    /// and not on a clock: a guest that the machine does not schedule sees one,
    /// however long it waits, so a starved host does not take its policy for a
    /// loop.
    pub(crate) fn tick(mut store: StoreContextMut<'_, Self>) -> wasmtime::Result<UpdateDeadline> {
        let state = store.data_mut();
        if let Some(left) = state.ticks_left.checked_sub(1) {
            state.ticks_left = left;
            return Ok(UpdateDeadline::Continue(1));
        }
        let limit = state.limits.guest_deadline;
        Err(state.stop(PolicyFailure::Deadline { limit }))
    }

    fn refuse(&mut self, what: &'static str, limit: usize) -> wasmtime::Result<bool> {
        self.stopped = Some(PolicyFailure::Limit { what, limit });
        Ok(false)
    }
}

fn stop(stopped: &mut Option<PolicyFailure>, failure: PolicyFailure) -> wasmtime::Error {
    let text = failure.to_string();
    *stopped = Some(failure);
    wasmtime::Error::msg(text)
}

impl ResourceLimiter for State {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let total = self.memory_bytes.saturating_sub(current).saturating_add(desired);
        if total > self.memory_limit {
            return self.refuse("bytes of memory", self.memory_limit);
        }
        self.memory_bytes = total;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        _current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if desired > self.table_limit {
            return self.refuse("table elements", self.table_limit);
        }
        Ok(true)
    }

    fn instances(&self) -> usize {
        MAX_CORE_INSTANCES
    }

    fn tables(&self) -> usize {
        MAX_TABLES
    }

    fn memories(&self) -> usize {
        MAX_MEMORIES
    }
}
