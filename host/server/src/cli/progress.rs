//! How far long work has come, on standard error. On a terminal that is one line,
//! written over and over; in a log it is a line now and then.

use std::{
    io::{IsTerminal as _, Write as _},
    time::{Duration, Instant},
};

use parking_lot::Mutex;

/// How often the line on a terminal changes at most.
const REDRAWN_EVERY: Duration = Duration::from_millis(100);
/// How often a log gets a line. What ends sooner needs none.
const LOGGED_EVERY: Duration = Duration::from_secs(30);

/// Ends, and takes its line off the terminal, when it is dropped.
#[derive(Debug)]
pub(super) struct Progress {
    on_terminal: bool,
    began: Instant,
    newest: Mutex<Option<Instant>>,
}

impl Progress {
    pub(super) fn begin() -> Self {
        Self {
            on_terminal: std::io::stderr().is_terminal(),
            began: Instant::now(),
            newest: Mutex::default(),
        }
    }

    pub(super) fn took(&self) -> Duration {
        self.began.elapsed()
    }

    /// `line` is asked for only where it is shown.
    pub(super) fn tell(&self, line: impl FnOnce() -> String) {
        if !self.is_due(Instant::now()) {
            return;
        }
        let line = match self.on_terminal {
            true => format!("\r\u{1b}[K{}", line()),
            false => line() + "\n",
        };
        write(&line);
    }

    fn is_due(&self, now: Instant) -> bool {
        let mut newest = self.newest.lock();
        let is_due = match (*newest, self.on_terminal) {
            (None, true) => true,
            (Some(newest), true) => now.duration_since(newest) >= REDRAWN_EVERY,
            (newest, false) => now.duration_since(newest.unwrap_or(self.began)) >= LOGGED_EVERY,
        };
        if is_due {
            *newest = Some(now);
        }
        is_due
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.on_terminal && self.newest.lock().is_some() {
            write("\r\u{1b}[K");
        }
    }
}

fn write(text: &str) {
    let mut err = anstream::stderr().lock();
    // Whoever does not see it waits all the same.
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_told_at_once_and_a_log_now_and_then() {
        for (on_terminal, ms, expected) in [
            (true, &[0, 50, 99, 100, 150, 250][..], &[0, 100, 250][..]),
            (false, &[0, 29_999, 30_000, 59_000, 60_000], &[30_000, 60_000]),
        ] {
            let mut progress = Progress::begin();
            progress.on_terminal = on_terminal;
            let at = |ms: u64| progress.began + Duration::from_millis(ms);
            let told: Vec<u64> = ms.iter().copied().filter(|ms| progress.is_due(at(*ms))).collect();
            assert_eq!(told, expected, "on a terminal: {on_terminal}");
            progress.on_terminal = false;
        }
    }
}
