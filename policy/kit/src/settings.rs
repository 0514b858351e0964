//! Reads settings.

use alloc::string::String;

/// What is wrong with the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key. Empty for the settings as a whole.
    pub path: String,
    /// What, with the value and the range that is allowed.
    pub message: String,
}
