//! The golden table: judgements that a policy must give before it comes into
//! force, as the operator wrote or recorded them.

use crate::{
    Generation, GenerationRefused,
    table::{Judges, Row},
};

/// The most rows of a golden table.
pub const MAX_GOLDEN_ROWS: usize = 10_000;
/// The most rows that are named when a policy rules otherwise.
const MAX_NAMED: usize = 5;

/// Judgements that a policy must give.
#[derive(Clone, Debug, Default)]
pub struct Golden(Vec<Row>);

/// Why there is no golden table.
#[derive(Debug, thiserror::Error)]
#[error("it has {rows} rows, 1 to {MAX_GOLDEN_ROWS} are allowed")]
pub struct GoldenUnusable {
    pub rows: usize,
}

/// A policy that does not rule as the golden table says.
#[derive(Debug, thiserror::Error)]
pub enum GoldenBroken {
    #[error(
        "it rules {count} of {rows} rows of the golden table otherwise: {}{}",
        differing.join("; "),
        if *count > differing.len() { "; and more" } else { "" }
    )]
    Differs { count: usize, rows: usize, differing: Vec<String> },
    #[error("row {row:?} of the golden table cannot be judged")]
    Settings { row: String, source: GenerationRefused },
}

impl Golden {
    pub fn new(rows: Vec<Row>) -> Result<Self, GoldenUnusable> {
        match rows.len() {
            1..=MAX_GOLDEN_ROWS => Ok(Self(rows)),
            rows => Err(GoldenUnusable { rows }),
        }
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts every row to the policy of `next`, by the settings of `next` where a
    /// row is about a workspace of this host. Blocks for microseconds a row.
    pub fn replay(&self, next: &Generation) -> Result<(), GoldenBroken> {
        let (mut differing, mut count) = (Vec::new(), 0);
        let mut judges = Judges::new(next);
        for row in &self.0 {
            let decided = judges
                .put(row)
                .map_err(|source| GoldenBroken::Settings { row: row.name.clone(), source })?;
            if let Some(difference) = row.difference(&decided.outcome) {
                count += 1;
                if differing.len() < MAX_NAMED {
                    differing.push(difference);
                }
            }
        }
        match count {
            0 => Ok(()),
            _ => Err(GoldenBroken::Differs { count, rows: self.0.len(), differing }),
        }
    }
}
