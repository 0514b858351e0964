//! Prints what happens, with the time since the story began.

use std::{
    io::{self, Write as _},
    time::Instant,
};

use anstyle::{AnsiColor, Style};
use serde_json::json;

const QUIET: Style = Style::new().dimmed();
const GOOD: Style = AnsiColor::Green.on_default().bold();
const BAD: Style = AnsiColor::Red.on_default().bold();

#[derive(Clone, Debug)]
pub(super) struct Timeline {
    began: Instant,
    json: bool,
}

impl Timeline {
    pub(super) fn start(json: bool) -> Self {
        Self { began: Instant::now(), json }
    }

    /// Something that the story does or a caller sees.
    pub(super) fn tell(&self, who: &str, what: &str) -> io::Result<()> {
        self.line(Style::new(), "story", who, what)
    }

    /// Something that the host did.
    pub(super) fn host(&self, who: &str, what: &str) -> io::Result<()> {
        self.line(QUIET, "host", who, what)
    }

    pub(super) fn damage(&self, what: &str) -> io::Result<()> {
        self.line(BAD, "damage", "", what)
    }

    pub(super) fn close(&self, policy: &str, right: bool) -> io::Result<()> {
        if self.json {
            let end = json!({
                "at_ms": self.elapsed_ms(), "kind": "end", "policy": policy, "right": right,
            });
            return print(&format!("{end}\n"));
        }
        let (style, verdict) = if right {
            (GOOD, "RIGHT: no live workspace was restarted, and exactly what had to be was.")
        } else {
            (BAD, "DAMAGE: this policy did what the story tells.")
        };
        print(&format!("\n{style}{verdict}{style:#} (policy {policy})\n"))
    }

    fn line(&self, style: Style, kind: &str, who: &str, what: &str) -> io::Result<()> {
        let at_ms = self.elapsed_ms();
        if self.json {
            let line = json!({"at_ms": at_ms, "kind": kind, "workspace": who, "what": what});
            return print(&format!("{line}\n"));
        }
        let (secs, tenths) = (at_ms / 1_000, at_ms % 1_000 / 100);
        print(&format!("{style}{secs:>4}.{tenths} s  {who:<6} {what}{style:#}\n"))
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Colour only where it is seen.
fn print(text: &str) -> io::Result<()> {
    let mut out = anstream::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
