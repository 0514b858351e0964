//! What lies beneath an error.

use std::{error::Error, io};

/// Causes of causes that are followed at most.
const MAX_CAUSES: usize = 16;

/// The first cause that is a `T`, however deep it lies; the error itself, too.
pub(crate) fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    let mut cause = Some(error);
    for _ in 0..MAX_CAUSES {
        let error = cause?;
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        cause = match error.downcast_ref::<io::Error>() {
            // Its `source` leaves out the very error that it wraps.
            Some(error) => error.get_ref().map(|inner| inner as &(dyn Error + 'static)),
            None => error.source(),
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_io_error_wraps_is_a_cause_too() {
        let deep = io::Error::other(io::Error::other(std::fmt::Error));
        assert_eq!(find::<std::fmt::Error>(&deep), Some(&std::fmt::Error));
        assert_eq!(find::<std::fmt::Error>(&io::Error::other("text")), None);
    }
}
