//! Stub.

/// Play a story live on real processes and print its timeline.
#[derive(clap::Args, Clone, Debug)]
pub struct DemoArgs {
    /// six-containers, one-change-four-restarts or false-after-pong.
    pub story: String,

    /// A policy component, or the name of a built-in policy.
    #[arg(long, short, value_name = "FILE|NAME")]
    pub policy: Option<std::path::PathBuf>,

    /// The timeline as JSON, one object a line.
    #[arg(long)]
    pub json: bool,
}

/// Whether the story came out right.
pub async fn run(args: DemoArgs) -> anyhow::Result<bool> {
    anyhow::bail!("story {} is not there yet", args.story)
}
