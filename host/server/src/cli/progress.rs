//! How far long work has come, on standard error. On a terminal that is one line,
//! written over and over; in a log it is a line now and then.

use std::{
    io::{IsTerminal as _, Write as _},
    time::{Duration, Instant},
};

use parking_lot::Mutex;

/// How often a log gets a line. What ends sooner needs none.
const LOGGED_EVERY: Duration = Duration::from_secs(30);
/// Takes a line off a terminal.
const ERASE: &str = "\r\u{1b}[K";

/// Of one command, however much it has to do. Takes its line off the terminal when it
/// is dropped.
#[derive(Debug)]
pub(super) struct Progress {
    on_terminal: bool,
    /// When a log was given its newest line; at first, when this began.
    logged: Mutex<Instant>,
}

impl Progress {
    pub(super) fn begin() -> Self {
        let on_terminal = std::io::stderr().is_terminal();
        Self { on_terminal, logged: Mutex::new(Instant::now()) }
    }

    /// `line` is asked for only where it is shown.
    pub(super) fn tell(&self, line: impl FnOnce() -> String) {
        if self.on_terminal {
            write(&format!("{ERASE}{}", line()));
        } else if self.is_due(Instant::now()) {
            write(&(line() + "\n"));
        }
    }

    fn is_due(&self, now: Instant) -> bool {
        let mut logged = self.logged.lock();
        let is_due = now.duration_since(*logged) >= LOGGED_EVERY;
        if is_due {
            *logged = now;
        }
        is_due
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.on_terminal {
            write(ERASE);
        }
    }
}

/// As it is: that a terminal wants no colour is no reason to leave a line standing.
fn write(text: &str) {
    let mut err = std::io::stderr().lock();
    // Whoever does not see it waits all the same.
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_gets_a_line_now_and_then_and_none_at_first() {
        let progress = Progress::begin();
        let began = *progress.logged.lock();
        let is_due = |ms: &u64| progress.is_due(began + Duration::from_millis(*ms));
        let asked = [0, 29_999, 30_000, 30_001, 59_000, 60_000, 200_000];
        let told: Vec<u64> = asked.into_iter().filter(is_due).collect();
        assert_eq!(told, [30_000, 60_000, 200_000]);
    }
}
