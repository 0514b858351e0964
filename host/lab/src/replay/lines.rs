//! Decisions as `reprieve decisions --json` prints them: one JSON object a line.

use reprieve_core::decision::Decision;

/// The longest line that is looked at: far more than the evidence of a decision.
pub const MAX_LINE_BYTES: usize = 1 << 20;

/// Why a line is no decision.
#[derive(Debug, thiserror::Error)]
pub enum BadLine {
    #[error("is no decision: {detail}")]
    Malformed { detail: String },
    #[error("is longer than {MAX_LINE_BYTES} bytes, and no decision is")]
    Oversized,
    #[error("{detail}; was it written by a newer version?")]
    Newer { detail: String },
}

/// Reads one line. None: it is empty.
pub fn read_line(line: &[u8]) -> Result<Option<Decision>, BadLine> {
    let line = line.trim_ascii();
    if line.is_empty() {
        return Ok(None);
    }
    if line.len() > MAX_LINE_BYTES {
        return Err(BadLine::Oversized);
    }
    let error = match serde_json::from_slice(line) {
        Ok(decision) => return Ok(Some(decision)),
        Err(error) => error,
    };
    // Lines are counted here, so the place within the line is what is left to say.
    let text = error.to_string();
    let detail = text.replace(" at line 1 column ", ", at character ");
    // Words are only ever added: one that nobody knows is a newer one.
    if text.contains("unknown variant") || text.contains("unknown field") {
        return Err(BadLine::Newer { detail });
    }
    Err(BadLine::Malformed { detail })
}
