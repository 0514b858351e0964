//! Whom an event hits.

use std::collections::BTreeSet;

use serde::{Deserialize, Deserializer, de};

use super::Group;

/// `"all"`, `"ws-3"`, `"ws-3..ws-9"`, `"node-2"`, `"tenant acme"`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Who {
    #[default]
    All,
    /// Numbers from 1, both included.
    Workspaces(u32, u32),
    /// From 1.
    Node(u32),
    Tenant(String),
}

/// Who is where: enough to know whether a name names somebody.
pub(crate) struct Placed {
    workspaces: u32,
    nodes: u32,
    tenants: BTreeSet<String>,
}

impl Placed {
    pub(crate) fn of(groups: &[Group]) -> Self {
        Self {
            workspaces: groups.iter().map(|group| group.count).sum(),
            nodes: groups.iter().map(|group| group.nodes).sum(),
            tenants: groups.iter().map(|group| group.tenant.clone()).collect(),
        }
    }

    /// Why it names nobody. None: it names somebody.
    pub(crate) fn lacks(&self, who: &Who) -> Option<String> {
        match who {
            Who::All => None,
            Who::Workspaces(first, last) => {
                let is_there = (1..=self.workspaces).contains(first) && last <= &self.workspaces;
                (!is_there || last < first)
                    .then(|| format!("there are ws-1 to ws-{}, in this order", self.workspaces))
            }
            Who::Node(node) => (!(1..=self.nodes).contains(node))
                .then(|| format!("there are node-1 to node-{}", self.nodes)),
            Who::Tenant(tenant) => (!self.tenants.contains(tenant)).then(|| {
                let known: Vec<&str> = self.tenants.iter().map(String::as_str).collect();
                format!("there is no tenant {tenant:?}; there are {}", known.join(", "))
            }),
        }
    }
}

fn parse(text: &str) -> Option<Who> {
    let workspace = |text: &str| text.trim().strip_prefix("ws-")?.parse::<u32>().ok();
    if text == "all" {
        return Some(Who::All);
    }
    if let Some(node) = text.strip_prefix("node-") {
        return node.parse().ok().map(Who::Node);
    }
    if let Some(tenant) = text.strip_prefix("tenant ") {
        return Some(Who::Tenant(tenant.to_owned()));
    }
    match text.split_once("..") {
        Some((first, last)) => Some(Who::Workspaces(workspace(first)?, workspace(last)?)),
        None => workspace(text).map(|number| Who::Workspaces(number, number)),
    }
}

impl<'de> Deserialize<'de> for Who {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse(&text).ok_or_else(|| {
            let shown: String = text.chars().take(40).collect();
            de::Error::custom(format_args!(
                "{shown:?} names nobody: write \"all\", \"ws-3\", \"ws-3..ws-9\", \"node-2\" or \"tenant acme\""
            ))
        })
    }
}
