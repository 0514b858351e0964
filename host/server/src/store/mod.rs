//! Stub.

use std::path::Path;

use reprieve_core::{
    decision::Decision, evidence::StoreFault, ids::DecisionId, ports::DecisionFilter,
};

/// Reads decisions beside a running host.
#[derive(Debug)]
pub struct DecisionReader;

impl DecisionReader {
    pub fn open(_state_dir: &Path) -> Result<Self, StoreFault> {
        Err(StoreFault::Unavailable)
    }

    pub fn get(&self, _id: &DecisionId) -> Result<Option<Decision>, StoreFault> {
        Err(StoreFault::Unavailable)
    }

    pub fn list(&self, _filter: &DecisionFilter) -> Result<Vec<Decision>, StoreFault> {
        Err(StoreFault::Unavailable)
    }
}
