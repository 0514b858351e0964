//! `reprieve token`: who may use the admin API.

use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use http::{HeaderMap, Method};
use reprieve_core::{
    access::Role,
    ids::{TenantId, TokenName},
    time::UnixMillis,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    connection::AdminArgs,
    explain::facts,
    output::{self, CAREFUL},
    table,
};

/// Make, list and revoke tokens of the admin API.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  reprieve token create ci --role viewer --tenant acme --expires 30d
  reprieve token create anna --role operator > anna.token
  reprieve token list
  reprieve token revoke ci")]
pub(crate) struct TokenArgs {
    #[command(subcommand)]
    command: TokenCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum TokenCommand {
    /// Make a token. It is printed once, and is not to be had again.
    Create(CreateArgs),
    /// List what is known of each token.
    List(ListArgs),
    /// Let nobody in with a token any more.
    Revoke(RevokeArgs),
}

#[derive(Args, Clone, Debug)]
struct CreateArgs {
    /// What it is called: in lists, and in the audit log.
    name: TokenName,

    /// What it may do: viewer, operator or policy-admin.
    #[arg(long, value_name = "ROLE")]
    role: Role,

    /// Whose workspaces it is about. Give it several times for several tenants.
    /// Default: everybody's.
    #[arg(long = "tenant", value_name = "NAME")]
    tenants: Vec<TenantId>,

    /// How long it is good for: 12h, 30d. Default: until it is revoked.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    expires: Option<Duration>,

    #[command(flatten)]
    admin: AdminArgs,
}

#[derive(Args, Clone, Debug)]
struct ListArgs {
    /// As the host tells it, for machines.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    admin: AdminArgs,
}

#[derive(Args, Clone, Debug)]
struct RevokeArgs {
    name: TokenName,

    #[command(flatten)]
    admin: AdminArgs,
}

#[derive(Deserialize)]
struct Created {
    token: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Tokens {
    tokens: Vec<Token>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Token {
    name: String,
    role: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tenants: Option<Vec<String>>,
    created_ms: u64,
    created_by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_used_ms: Option<u64>,
}

pub(crate) async fn token(args: &TokenArgs) -> anyhow::Result<u8> {
    match &args.command {
        TokenCommand::Create(args) => create(args).await,
        TokenCommand::List(args) => list(args).await,
        TokenCommand::Revoke(args) => revoke(args).await,
    }
}

/// Prints the token alone, so that it can go into a file.
async fn create(args: &CreateArgs) -> anyhow::Result<u8> {
    let mut body = json!({"name": args.name.as_str(), "role": args.role.as_str()});
    if !args.tenants.is_empty() {
        body["tenants"] = args.tenants.iter().map(TenantId::as_str).collect();
    }
    if let Some(expires) = args.expires {
        body["expires_in_ms"] = u64::try_from(expires.as_millis()).unwrap_or(u64::MAX).into();
    }
    let client = args.admin.client()?;
    let (_, answer) = client.ask(Method::POST, "tokens", &HeaderMap::new(), Some(&body)).await?;
    let created: Created =
        serde_json::from_slice(&answer).context("the host answers with another shape")?;
    output::print(&format!("{}\n", created.token))?;
    Ok(output::OK)
}

async fn list(args: &ListArgs) -> anyhow::Result<u8> {
    let tokens: Tokens = args.admin.client()?.get("tokens").await?;
    let text = match args.json {
        true => serde_json::to_string_pretty(&tokens)? + "\n",
        false => {
            let headings = ["token", "role", "tenants", "created by", "expires", "last used"];
            let rows: Vec<_> = tokens.tokens.iter().map(cells).collect();
            table::print(headings, &rows, |column, _| (column == 1).then_some(CAREFUL))
        }
    };
    output::print(&text)?;
    Ok(output::OK)
}

async fn revoke(args: &RevokeArgs) -> anyhow::Result<u8> {
    let path = format!("tokens/{}", args.name);
    args.admin.client()?.ask(Method::DELETE, &path, &HeaderMap::new(), None).await?;
    output::print(&format!("{} is revoked\n", args.name))?;
    Ok(output::OK)
}

fn cells(token: &Token) -> [String; 6] {
    let date =
        |at: Option<u64>| at.map_or_else(|| "never".to_owned(), |at| facts::date(UnixMillis(at)));
    [
        token.name.clone(),
        token.role.clone(),
        token.tenants.as_ref().map_or_else(|| "all".to_owned(), |names| names.join(", ")),
        token.created_by.clone(),
        date(token.expires_ms),
        date(token.last_used_ms),
    ]
}
