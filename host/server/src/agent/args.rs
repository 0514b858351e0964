//! The command line of `reprieve agent`.

use std::net::IpAddr;

use clap::Args;
use url::Url;

/// Run an A2A agent that echoes what it is told, and misbehaves on demand.
///
/// It answers both generations of the protocol (0.3 and 1.0), serves its agent
/// card, and sends heartbeats to the proxy that REPRIEVE_URL names.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  reprieve agent --port 9000
  reprieve agent --port 9000 --late-ms 3000
  curl -X POST localhost:9000/switch -H 'content-type: application/json' -d '{\"busy\": true}'

POST /switch changes at run time what the agent does; GET /switch shows it:
  busy, hang, close_early, reset, beats, ignore_term   true or false
  late_ms, refuse_ms                                   milliseconds
  crash                                                true: at once")]
pub struct AgentArgs {
    /// Address to listen on.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub host: IpAddr,

    /// Port to listen on; 0 picks a free one.
    #[arg(long, value_name = "PORT", env = "PORT", default_value_t = 0)]
    pub port: u16,

    /// Name on the agent card.
    #[arg(long, value_name = "NAME", env = "REPRIEVE_WORKSPACE", default_value = "echo")]
    pub name: String,

    /// Proxy that gets the heartbeats. Absent: none are sent.
    #[arg(long, value_name = "URL", env = "REPRIEVE_URL")]
    pub heartbeat_url: Option<Url>,

    /// Token for the heartbeats.
    #[arg(long, value_name = "TOKEN", env = "REPRIEVE_TOKEN", hide_env_values = true)]
    pub token: Option<String>,

    /// Life that beats, counted by the host.
    #[arg(long, value_name = "N", env = "REPRIEVE_LIFE")]
    pub life: Option<u64>,

    /// Milliseconds between two heartbeats.
    #[arg(long, value_name = "MS", default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(50..=3_600_000))]
    pub beat_every_ms: u64,

    /// Requests it takes at once, told with each heartbeat.
    #[arg(long, value_name = "N", default_value_t = 16)]
    pub capacity: u32,

    /// Milliseconds before it listens at all.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub boot_ms: u64,

    /// Answer every request with 503 busy.
    #[arg(long)]
    pub busy: bool,

    /// Take requests and never answer.
    #[arg(long)]
    pub hang: bool,

    /// Milliseconds before each answer.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    pub late_ms: u64,

    /// Close connections before any answer (EOF).
    #[arg(long)]
    pub close_early: bool,

    /// Reset connections before any answer (RST).
    #[arg(long)]
    pub reset: bool,

    /// Send no heartbeats.
    #[arg(long)]
    pub no_beats: bool,

    /// Live on after SIGTERM.
    #[arg(long)]
    pub ignore_term: bool,
}
