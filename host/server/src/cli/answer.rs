//! What subcommands share that ask a running host and show what it answers.

use clap::Args;
use serde_json::Value;

use super::{connection::AdminArgs, output};

/// Who is asked, and how the answer is shown.
#[derive(Args, Clone, Debug)]
pub(super) struct AnswerArgs {
    /// As the host tells it, for machines.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    pub(super) admin: AdminArgs,
}

impl AnswerArgs {
    /// Prints the answer, as it is or in words.
    pub(super) fn show(
        &self,
        answer: &Value,
        prose: impl Fn(&Value) -> String,
    ) -> anyhow::Result<u8> {
        let text = if self.json { format!("{answer:#}\n") } else { prose(answer) };
        output::print(&text)?;
        Ok(output::OK)
    }
}
