//! `reprieve workspaces` and the verbs: what an operator asks of a running host.

use clap::Args;
use reprieve_core::{ids::WorkspaceId, time::Millis};

use super::{
    client::{Verb, WorkspaceLine, Workspaces},
    connection::AdminArgs,
    output::{self, CAREFUL, GOOD, HEADING},
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

/// One line a workspace, the columns as wide as they need to be.
fn table(workspaces: &Workspaces) -> String {
    const HEADINGS: [&str; 7] =
        ["workspace", "tenant", "state", "life", "newest sign", "queued", "address"];
    let rows: Vec<[String; 7]> = workspaces.workspaces.iter().map(cells).collect();
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([HEADINGS[column].len()]).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..HEADINGS.len()).map(width).collect();
    let pad = |column: usize, text: &str| format!("{text:<0$}", widths[column]);

    let headings: Vec<_> =
        (0..HEADINGS.len()).map(|column| pad(column, HEADINGS[column])).collect();
    let mut text = output::styled(HEADING, headings.join("  ").trim_end()) + "\n";
    for row in &rows {
        let style = if row[2] == "online" { GOOD } else { CAREFUL };
        let cells = row.iter().enumerate().map(|(column, cell)| match column {
            2 => output::styled(style, &pad(column, cell)),
            _ => pad(column, cell),
        });
        text += cells.collect::<Vec<_>>().join("  ").trim_end();
        text.push('\n');
    }
    text
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
        let workspaces =
            Workspaces { workspaces: vec![line("alpha", "online"), line("b", "hibernated")] };
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
