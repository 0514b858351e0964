//! `reprieve workspaces` and the verbs: what an operator asks of a running host.

use clap::Args;
use reprieve_core::{ids::WorkspaceId, time::Millis};

use super::{
    client::{Verb, WorkspaceLine, Workspaces},
    connection::AdminArgs,
    output::{self, CAREFUL, GOOD},
    table,
};

/// List the workspaces of a running host.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples:
  reprieve workspaces
  reprieve workspaces --json | jq '.workspaces[] | select(.state != \"online\")'")]
pub(crate) struct WorkspacesArgs {
    /// As the host tells it, for machines.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    admin: AdminArgs,
}

/// Which workspace a verb is about.
#[derive(Args, Clone, Debug)]
pub(crate) struct VerbArgs {
    /// The workspace's name.
    workspace: WorkspaceId,

    #[command(flatten)]
    admin: AdminArgs,
}

pub(crate) async fn list(args: &WorkspacesArgs) -> anyhow::Result<u8> {
    let workspaces = args.admin.client()?.workspaces().await?;
    let text = if args.json {
        serde_json::to_string_pretty(&workspaces)? + "\n"
    } else {
        table(&workspaces)
    };
    output::print(&text)?;
    Ok(output::OK)
}

pub(crate) async fn act(args: &VerbArgs, verb: Verb) -> anyhow::Result<u8> {
    let told = args.admin.client()?.act(&args.workspace, verb).await?;
    output::print(&format!("{told}\n"))?;
    Ok(output::OK)
}

fn table(workspaces: &Workspaces) -> String {
    let headings = ["workspace", "tenant", "state", "life", "newest sign", "queued", "address"];
    let rows: Vec<_> = workspaces.workspaces.iter().map(cells).collect();
    table::print(headings, &rows, |column, cell| match (column, cell) {
        (2, "online") => Some(GOOD),
        (2, _) => Some(CAREFUL),
        _ => None,
    })
}

fn cells(line: &WorkspaceLine) -> [String; 7] {
    let unknown = || "-".to_owned();
    [
        line.id.to_string(),
        line.tenant.clone(),
        line.state.clone(),
        line.life.to_string(),
        line.newest_sign_ms.map_or_else(unknown, |age| format!("{} ago", Millis(age))),
        line.queue_depth.map_or_else(unknown, |depth| depth.to_string()),
        line.address.clone().unwrap_or_else(unknown),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_lines_up() {
        let line = |id: &str, state: &str| WorkspaceLine {
            id: id.parse().unwrap(),
            tenant: "acme".into(),
            state: state.into(),
            life: 2,
            address: Some("http://127.0.0.1:9001/".into()),
            newest_sign_ms: Some(1_500),
            queue_depth: None,
        };
        let workspaces = Workspaces::of(vec![line("alpha", "online"), line("b", "hibernated")]);
        let text = anstream::adapter::strip_str(&table(&workspaces)).to_string();
        insta::assert_snapshot!(text, @r"
        workspace  tenant  state       life  newest sign  queued  address
        alpha      acme    online      2     1.5 s ago    -       http://127.0.0.1:9001/
        b          acme    hibernated  2     1.5 s ago    -       http://127.0.0.1:9001/
        ");
    }

    #[test]
    fn what_a_host_leaves_out_is_unknown() {
        let json = r#"{"workspaces": [{"id": "a", "tenant": "t", "state": "paused", "more": 1}]}"#;
        let workspaces: Workspaces = serde_json::from_str(json).unwrap();
        assert_eq!(cells(&workspaces.workspaces[0])[4..], ["-", "-", "-"]);
    }
}
