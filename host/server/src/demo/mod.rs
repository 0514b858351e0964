//! The stories, played live: a real host, real child processes, real requests.
//!
//! Only what a kernel cannot be made to show on demand is injected ([`faults`]):
//! a runtime that does not answer, and one that says "not running" about a
//! process that runs. Windows are a tenth of the defaults, so that a story takes
//! seconds. Each story says what it saw: processes that lived and were killed,
//! and processes that were dead and were not brought back.

mod false_after_pong;
mod faults;
mod http;
mod one_change;
mod six_containers;
mod stage;
mod timeline;

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use self::{stage::Stage, timeline::Timeline};

/// Play a story live on real processes and print its timeline.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  reprieve demo six-containers
  reprieve demo six-containers --policy trust-the-probe
  reprieve demo one-change-four-restarts --json
  reprieve demo false-after-pong --policy count-debounce

Exit code: 0 if the story came out right, 1 if the policy did damage.")]
pub struct DemoArgs {
    /// Which story.
    #[arg(value_enum)]
    pub story: Story,

    /// A policy component, or the name of a built-in policy.
    #[arg(long, short, value_name = "FILE|NAME")]
    pub policy: Option<PathBuf>,

    /// The timeline as JSON, one object a line.
    #[arg(long)]
    pub json: bool,
}

/// What went wrong in production.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Story {
    /// The runtime stalls while forwards fail: six healthy containers were
    /// recreated in one second.
    SixContainers,
    /// One change of a secret restarted a slow instance four times.
    OneChangeFourRestarts,
    /// One false reading, 0.7 s after a healthy answer, stopped a workspace.
    FalseAfterPong,
}

/// What a story came to.
#[derive(Debug, Default)]
struct Findings {
    /// What should have been and was not, one sentence each.
    damage: Vec<String>,
}

impl Findings {
    /// Notes the damage unless `right`.
    fn expect(&mut self, right: bool, damage: impl FnOnce() -> String) {
        if !right {
            self.damage.push(damage());
        }
    }
}

/// Plays a story. Whether it came out right.
pub async fn run(args: DemoArgs) -> anyhow::Result<bool> {
    let timeline = Timeline::start(args.json);
    let workspaces = match args.story {
        Story::SixContainers => six_containers::FLEET,
        Story::OneChangeFourRestarts | Story::FalseAfterPong => 1,
    };
    let stage = Stage::set(args.story, workspaces, args.policy.as_deref(), &timeline).await?;
    let findings = match args.story {
        Story::SixContainers => six_containers::play(&stage, &timeline).await,
        Story::OneChangeFourRestarts => one_change::play(&stage, &timeline).await,
        Story::FalseAfterPong => false_after_pong::play(&stage, &timeline).await,
    };
    let policy = stage.policy();
    stage.strike().await;
    let findings = findings?;
    for damage in &findings.damage {
        timeline.damage(damage)?;
    }
    timeline.close(&policy, findings.damage.is_empty())?;
    Ok(findings.damage.is_empty())
}
