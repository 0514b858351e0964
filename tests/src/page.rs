//! The commands of a page of the documentation, run as whoever reads it would.

use std::process::Stdio;

use tokio::process::Command;

use crate::{Program, reprieve};

/// A command of a console block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageCommand {
    pub line: String,
    /// What its comment promises: `# exits with 1`.
    pub exit_code: i32,
}

/// The commands in the console blocks of a page, in their order. Other lines of a
/// block are what a command prints.
pub fn commands(page: &str) -> Vec<PageCommand> {
    let mut within = false;
    let mut commands = Vec::new();
    for line in page.lines() {
        match line {
            "```console" => within = true,
            "```" => within = false,
            _ if within => {
                let Some(line) = line.strip_prefix("$ ") else { continue };
                let (command, comment) = line.split_once(" # ").unwrap_or((line, ""));
                let exit_code =
                    comment.strip_prefix("exits with ").map_or(0, |code| code.parse().unwrap());
                commands.push(PageCommand { line: command.trim().to_owned(), exit_code });
            }
            _ => {}
        }
    }
    commands
}

impl Program {
    /// Runs a command of a page in the host's folder: its exit code, and what it
    /// prints. `reprieve` is the program under test; what cargo builds is kept, for
    /// the next page.
    pub async fn run_command(&self, command: &str) -> (i32, String) {
        let program = reprieve();
        let beside = program.parent().unwrap();
        let path = std::env::var("PATH").unwrap_or_default();
        let output = Command::new("sh")
            .args(["-c", command])
            .current_dir(self.folder())
            .env("PATH", format!("{}:{path}", beside.display()))
            .env("CARGO_TARGET_DIR", beside.join("pages"))
            .env("REPRIEVE_CONFIG", self.folder().join("reprieve.toml"))
            .env("REPRIEVE_STATE_DIR", self.folder())
            .stdin(Stdio::null())
            .output()
            .await
            .unwrap();
        let told = [output.stdout, output.stderr].concat();
        (output.status.code().unwrap(), String::from_utf8(told).unwrap())
    }
}
