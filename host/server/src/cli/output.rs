//! Printing: colour only on terminals, no panic where the reader has gone away,
//! errors as one sentence, then what lies beneath it.

use std::{
    fs,
    io::{self, ErrorKind, Write as _},
    path::Path,
    process::ExitCode,
};

use anstyle::{AnsiColor, Style};
use anyhow::Context as _;

/// What was asked for is so.
pub(crate) const OK: u8 = 0;
/// The thing that was asked says no: an unknown decision, a host that does not
/// answer, a story that came out wrong.
pub(crate) const NO: u8 = 1;
/// The question was wrong: arguments, configuration or policy.
pub(crate) const USAGE: u8 = 2;

pub(crate) const HEADING: Style = Style::new().bold();
pub(crate) const FAINT: Style = Style::new().dimmed();
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
pub(crate) const CAREFUL: Style = AnsiColor::Yellow.on_default();
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();

/// An error whose remedy is another command line or configuration.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct UsageError(pub String, #[source] pub Option<anyhow::Error>);

impl UsageError {
    /// Keeps the sentence and the causes of `error`.
    pub(crate) fn of(error: impl Into<anyhow::Error>) -> Self {
        let error = error.into();
        Self(error.to_string(), error.source().map(chain))
    }
}

/// Rebuilds a chain of causes, so that it can be owned.
fn chain(cause: &(dyn std::error::Error + 'static)) -> anyhow::Error {
    match cause.source() {
        None => anyhow::anyhow!("{cause}"),
        Some(deeper) => chain(deeper).context(cause.to_string()),
    }
}

/// Standard output does not take what is written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to standard output")]
pub(crate) struct NotPrinted(#[from] io::Error);

/// Writes to standard output, without colour codes where it is no terminal.
pub(crate) fn print(text: &str) -> Result<(), NotPrinted> {
    let mut out = anstream::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// Writes a file that was asked for.
pub(crate) fn write(file: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}

/// Says something beside what was asked for, on standard error.
pub(crate) fn remark(text: &str) {
    let line = format!("{} {text}\n", styled(CAREFUL, "note:"));
    // Nobody is left to be told if it has gone away.
    let _ = anstream::stderr().lock().write_all(line.as_bytes());
}

/// Says what is wrong, on standard error, where there is more than one thing.
pub(crate) fn complain(text: &str) {
    // Nobody is left to be told if it has gone away; the exit code tells, too.
    let _ = anstream::stderr().lock().write_all(format!("{text}\n").as_bytes());
}

/// `text` from elsewhere, on one line and without what terminals obey.
pub(crate) fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c.is_control() {
            true => shown.extend(c.escape_unicode()),
            false => shown.push(c),
        }
    }
    shown
}

/// `text` in a style.
pub(crate) fn styled(style: Style, text: &str) -> String {
    format!("{style}{text}{style:#}")
}

/// Makes headings, which are the lines that are not indented, bold.
pub(crate) fn bold_headings(text: &str) -> String {
    let style = |line: &str| {
        if line.is_empty() || line.starts_with(' ') {
            format!("{line}\n")
        } else {
            format!("{}\n", styled(HEADING, line))
        }
    };
    text.lines().map(style).collect()
}

/// Prints an error, if it is one for people, and gives the exit code.
pub(crate) fn finish(result: anyhow::Result<u8>) -> ExitCode {
    let error = match result {
        Ok(code) => return ExitCode::from(code),
        Err(error) => error,
    };
    // Whoever read has seen enough: `reprieve decisions | head`.
    if error.chain().any(has_no_reader) {
        return ExitCode::from(OK);
    }
    let code = if error.is::<UsageError>() { USAGE } else { NO };
    // Nothing is left to do if standard error has gone away, too.
    let _ = anstream::stderr().lock().write_all(render(&error).as_bytes());
    ExitCode::from(code)
}

/// Only of our own output: a host that hangs up is no reader.
fn has_no_reader(cause: &(dyn std::error::Error + 'static)) -> bool {
    let printing = cause.downcast_ref::<NotPrinted>();
    printing.is_some_and(|NotPrinted(error)| error.kind() == ErrorKind::BrokenPipe)
}

/// One sentence, then one line for each cause that adds something.
fn render(error: &anyhow::Error) -> String {
    let mut text = format!("{} {error}\n", styled(BAD, "error:"));
    let mut above = error.to_string();
    for cause in error.chain().skip(1) {
        let cause = cause.to_string();
        if !above.contains(&cause) {
            text += &format!("  {} {cause}\n", styled(FAINT, "because:"));
        }
        above = cause;
    }
    text
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn an_error_shows_its_causes_once() {
        let error = Err::<(), _>(io::Error::other("disk full"))
            .context("cannot write x")
            .context("cannot write x")
            .unwrap_err();
        let text = anstream::adapter::strip_str(&render(&error)).to_string();
        assert_eq!(text, "error: cannot write x\n  because: disk full\n");
    }

    #[test]
    fn a_terminal_obeys_nobody_elses_text() {
        assert_eq!(plain("sent \u{1b}[2J\ntwice: é"), "sent \\u{1b}[2J\\u{a}twice: é");
    }

    #[test]
    fn a_usage_error_keeps_its_causes() {
        let inner = anyhow::anyhow!("line 3").context("refused");
        let error = anyhow::Error::new(UsageError::of(inner));
        assert!(error.is::<UsageError>());
        let text = anstream::adapter::strip_str(&render(&error)).to_string();
        assert_eq!(text, "error: refused\n  because: line 3\n");
    }

    #[test]
    fn a_reader_that_has_gone_away_is_no_error_and_a_host_that_has_is_one() {
        let broken = || io::Error::from(ErrorKind::BrokenPipe);
        let printing = anyhow::Error::new(NotPrinted(broken())).context("printing");
        assert!(printing.chain().any(has_no_reader));
        let asking = anyhow::Error::new(broken()).context("no host answers");
        assert!(!asking.chain().any(has_no_reader));
        let full = anyhow::Error::new(NotPrinted(ErrorKind::StorageFull.into()));
        assert!(!full.chain().any(has_no_reader));
    }
}
