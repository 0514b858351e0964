//! What a container's labels say about the workspace that it runs.
//!
//! | label | meaning |
//! |---|---|
//! | `reprieve.workspace` | the workspace's name; whoever has it is looked after |
//! | `reprieve.tenant` | whose it is; `default` if it is not said |
//! | `reprieve.port` | where it listens; the exposed TCP port if there is just one |
//! | `reprieve.path` | what its address ends with; `/` if it is not said |
//! | `reprieve.network` | which network's address is used; the first by name otherwise |
//! | `reprieve.depends-on` | workspaces that it needs, divided by commas |
//! | `reprieve.queues-for-itself` | `true` or `false` |
//! | `reprieve.settings.<key>` | a setting of the policy, as TOML or plain text |
//! | `reprieve.label.<key>` | a label that the policy may look at |
//!
//! A container whose labels are not all understood is refused whole: half a
//! description would be somebody else's.

use std::{
    collections::{BTreeMap, HashMap},
    str::FromStr as _,
};

use reprieve_core::{
    ids::{InvalidName, TenantId, WorkspaceId},
    settings::Settings,
};
use serde_json::Value;

use crate::config::workspace::DEFAULT_TENANT;

/// The label that makes a container a workspace.
pub(super) const WORKSPACE: &str = "reprieve.workspace";
const OURS: &str = "reprieve.";
const TENANT: &str = "reprieve.tenant";
const PORT: &str = "reprieve.port";
const PATH: &str = "reprieve.path";
const NETWORK: &str = "reprieve.network";
const DEPENDS_ON: &str = "reprieve.depends-on";
const QUEUES_FOR_ITSELF: &str = "reprieve.queues-for-itself";
const SETTINGS: &str = "reprieve.settings.";
const LABEL: &str = "reprieve.label.";

/// More of `reprieve.settings.` and `reprieve.label.` than any policy reads.
const MAX_LABELS: usize = 256;
/// Docker sets no limit to a label; 4 KiB is more than a setting needs.
const MAX_VALUE_BYTES: usize = 4_096;
/// How deep a setting's key may nest.
const MAX_KEY_PARTS: usize = 8;
/// More than any workspace was seen to need.
const MAX_DEPENDENCIES: usize = 64;

/// A workspace as its container describes it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Description {
    pub(super) workspace: WorkspaceId,
    pub(super) tenant: TenantId,
    pub(super) port: u16,
    pub(super) path: String,
    pub(super) network: Option<String>,
    pub(super) depends_on: Vec<WorkspaceId>,
    pub(super) queues_for_itself: bool,
    pub(super) settings: Settings,
    pub(super) labels: Vec<(String, String)>,
}

/// Why a container is not taken on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum LabelFault {
    #[error("the container has no label {WORKSPACE}")]
    NoWorkspace,
    #[error("label {label}: {source}")]
    Name { label: &'static str, source: InvalidName },
    #[error(
        "label {PORT} is missing, and the container exposes {exposed} TCP ports; set {PORT} to the one that the workspace listens on, 1 to 65535"
    )]
    NoPort { exposed: usize },
    #[error("label {PORT}={value:?} is no port; set it to 1 to 65535")]
    Port { value: String },
    #[error("label {PATH}={value:?} is no path; begin it with '/' and leave out '?' and '#'")]
    Path { value: String },
    #[error("label {label}={value:?} is neither true nor false; set it to one of them")]
    Flag { label: &'static str, value: String },
    #[error("label {DEPENDS_ON} names {workspace} itself; leave it out")]
    DependsOnItself { workspace: WorkspaceId },
    #[error("label {DEPENDS_ON} names {count} workspaces; at most {MAX_DEPENDENCIES} are possible")]
    Dependencies { count: usize },
    #[error(
        "label {label} is no key of a setting; put 1 to {MAX_KEY_PARTS} parts, divided by single dots, after {SETTINGS}"
    )]
    SettingKey { label: String },
    #[error(
        "label {label} and another one give the same setting a value and parts; keep one of the two"
    )]
    SettingTwice { label: String },
    #[error("label {label} has {bytes} bytes; at most {MAX_VALUE_BYTES} are possible")]
    Long { label: String, bytes: usize },
    #[error("{count} labels begin with {OURS}; at most {MAX_LABELS} are possible")]
    Many { count: usize },
    #[error(
        "label {label} is not known; known are {WORKSPACE}, {TENANT}, {PORT}, {PATH}, {NETWORK}, {DEPENDS_ON}, {QUEUES_FOR_ITSELF}, {SETTINGS}<key> and {LABEL}<key>"
    )]
    Unknown { label: String },
}

/// Reads a container's labels. `exposed` are its ports as Docker writes them:
/// `8080/tcp`.
pub(super) fn describe(
    labels: &HashMap<String, String>,
    exposed: &[String],
) -> Result<Description, LabelFault> {
    let ours = ours(labels)?;
    let get = |label: &str| ours.get(label).copied();
    let workspace =
        named::<WorkspaceId>(WORKSPACE, get(WORKSPACE).ok_or(LabelFault::NoWorkspace)?)?;
    let path = get(PATH).unwrap_or("/");
    if !path.starts_with('/') || path.contains(['?', '#']) {
        return Err(LabelFault::Path { value: path.to_owned() });
    }
    let mut settings = Settings::new();
    let mut others = Vec::new();
    for (label, value) in &ours {
        if let Some(key) = label.strip_prefix(SETTINGS) {
            set(&mut settings, label, key, setting(value))?;
        } else if let Some(key) = label.strip_prefix(LABEL) {
            others.push((key.to_owned(), (*value).to_owned()));
        }
    }
    Ok(Description {
        tenant: named::<TenantId>(TENANT, get(TENANT).unwrap_or(DEFAULT_TENANT))?,
        port: port(get(PORT), exposed)?,
        path: path.to_owned(),
        network: get(NETWORK).map(str::to_owned),
        depends_on: depends_on(&workspace, get(DEPENDS_ON))?,
        queues_for_itself: match get(QUEUES_FOR_ITSELF) {
            None | Some("false") => false,
            Some("true") => true,
            Some(value) => {
                let value = value.to_owned();
                return Err(LabelFault::Flag { label: QUEUES_FOR_ITSELF, value });
            }
        },
        settings,
        labels: others,
        workspace,
    })
}

/// The labels that are meant for us, in order, each of a known kind.
fn ours(labels: &HashMap<String, String>) -> Result<BTreeMap<&str, &str>, LabelFault> {
    let ours: BTreeMap<&str, &str> = labels
        .iter()
        .filter(|(label, _)| label.starts_with(OURS))
        .map(|(label, value)| (label.as_str(), value.as_str()))
        .collect();
    if ours.len() > MAX_LABELS {
        return Err(LabelFault::Many { count: ours.len() });
    }
    for (label, value) in &ours {
        let whole =
            [WORKSPACE, TENANT, PORT, PATH, NETWORK, DEPENDS_ON, QUEUES_FOR_ITSELF].contains(label);
        let begun = [SETTINGS, LABEL]
            .iter()
            .any(|prefix| label.strip_prefix(prefix).is_some_and(|key| !key.is_empty()));
        if !whole && !begun {
            return Err(LabelFault::Unknown { label: (*label).to_owned() });
        }
        if value.len() > MAX_VALUE_BYTES {
            return Err(LabelFault::Long { label: (*label).to_owned(), bytes: value.len() });
        }
    }
    Ok(ours)
}

fn named<T: std::str::FromStr<Err = InvalidName>>(
    label: &'static str,
    value: &str,
) -> Result<T, LabelFault> {
    value.parse().map_err(|source| LabelFault::Name { label, source })
}

fn port(label: Option<&str>, exposed: &[String]) -> Result<u16, LabelFault> {
    let Some(value) = label else {
        let tcp: Vec<u16> = exposed
            .iter()
            .filter_map(|port| port.strip_suffix("/tcp")?.parse().ok())
            .filter(|port| *port > 0)
            .collect();
        let [only] = tcp[..] else { return Err(LabelFault::NoPort { exposed: tcp.len() }) };
        return Ok(only);
    };
    match value.parse() {
        Ok(port) if port > 0 => Ok(port),
        Ok(_) | Err(_) => Err(LabelFault::Port { value: value.to_owned() }),
    }
}

fn depends_on(
    workspace: &WorkspaceId,
    label: Option<&str>,
) -> Result<Vec<WorkspaceId>, LabelFault> {
    let names = label.unwrap_or_default().split(',').map(str::trim);
    let mut depends_on = Vec::new();
    for name in names.filter(|name| !name.is_empty()) {
        let on = named::<WorkspaceId>(DEPENDS_ON, name)?;
        if on == *workspace {
            return Err(LabelFault::DependsOnItself { workspace: on });
        }
        if !depends_on.contains(&on) {
            depends_on.push(on);
        }
    }
    match depends_on.len() {
        0..=MAX_DEPENDENCIES => Ok(depends_on),
        count => Err(LabelFault::Dependencies { count }),
    }
}

/// A value of TOML if it is one, else text: `5`, `true` and `["a"]` are what they
/// look like, and so is `60s`.
fn setting(text: &str) -> Value {
    let value = toml::Value::from_str(text).ok().and_then(|value| json(&value));
    value.unwrap_or_else(|| Value::String(text.to_owned()))
}

/// None for what JSON has no word for.
fn json(value: &toml::Value) -> Option<Value> {
    Some(match value {
        toml::Value::String(text) => Value::String(text.clone()),
        toml::Value::Integer(number) => Value::from(*number),
        toml::Value::Float(number) => Value::Number(serde_json::Number::from_f64(*number)?),
        toml::Value::Boolean(flag) => Value::Bool(*flag),
        toml::Value::Datetime(at) => Value::String(at.to_string()),
        toml::Value::Array(items) => Value::Array(items.iter().map(json).collect::<Option<_>>()?),
        toml::Value::Table(table) => {
            let entry = |(key, value): (&String, &toml::Value)| Some((key.clone(), json(value)?));
            Value::Object(table.iter().map(entry).collect::<Option<_>>()?)
        }
    })
}

/// Puts a value where its key says: `a.b` is `b` within `a`.
fn set(settings: &mut Settings, label: &str, key: &str, value: Value) -> Result<(), LabelFault> {
    let parts: Vec<&str> = key.split('.').collect();
    if parts.len() > MAX_KEY_PARTS || parts.iter().any(|part| part.is_empty()) {
        return Err(LabelFault::SettingKey { label: label.to_owned() });
    }
    let twice = || LabelFault::SettingTwice { label: label.to_owned() };
    let (last, above) = parts.split_last().ok_or_else(twice)?;
    let mut table = settings;
    for part in above {
        let within = table.entry(*part).or_insert_with(|| Value::Object(Settings::new()));
        table = within.as_object_mut().ok_or_else(twice)?;
    }
    if table.contains_key(*last) {
        return Err(twice());
    }
    table.insert((*last).to_owned(), value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(labels: &[(&str, &str)], exposed: &[&str]) -> Result<Description, LabelFault> {
        let labels = labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let exposed: Vec<String> = exposed.iter().map(|port| (*port).to_owned()).collect();
        describe(&labels, &exposed)
    }

    #[test]
    fn a_name_and_a_port_are_enough() {
        let described = read(&[(WORKSPACE, "ws-1"), ("com.example", "x")], &["8080/tcp", "53/udp"]);
        let described = described.unwrap();
        assert_eq!(described.workspace.as_str(), "ws-1");
        assert_eq!(described.tenant.as_str(), "default");
        assert_eq!((described.port, described.path.as_str()), (8080, "/"));
        assert!(described.labels.is_empty() && described.depends_on.is_empty());
        assert!(!described.queues_for_itself);
    }

    #[test]
    fn every_label_is_read() {
        let described = read(
            &[
                (WORKSPACE, "ws-1"),
                (TENANT, "acme"),
                (PORT, "9000"),
                (PATH, "/a2a"),
                (NETWORK, "agents"),
                (DEPENDS_ON, "db, cache,db,"),
                (QUEUES_FOR_ITSELF, "true"),
                ("reprieve.label.team", "blue"),
                ("reprieve.label.app.tier", "2"),
                ("reprieve.settings.settle", "90s"),
                ("reprieve.settings.panic_threshold", "40"),
                ("reprieve.settings.restart_budget.restarts", "3"),
                ("reprieve.settings.restart_budget.within", "\"5min\""),
                ("reprieve.settings.trust_reported_exit", "false"),
            ],
            &["8080/tcp", "9090/tcp"],
        );
        let described = described.unwrap();
        assert_eq!(described.tenant.as_str(), "acme");
        assert_eq!((described.port, described.path.as_str()), (9000, "/a2a"));
        assert_eq!(described.network.as_deref(), Some("agents"));
        assert_eq!(described.depends_on, ["db", "cache"].map(|name| name.parse().unwrap()));
        assert!(described.queues_for_itself);
        let labels = [("app.tier", "2"), ("team", "blue")];
        assert_eq!(described.labels, labels.map(|(k, v)| (k.to_owned(), v.to_owned())));
        assert_eq!(
            Value::Object(described.settings),
            json!({
                "settle": "90s",
                "panic_threshold": 40,
                "restart_budget": {"restarts": 3, "within": "5min"},
                "trust_reported_exit": false,
            })
        );
    }

    #[test]
    fn a_setting_is_toml_if_it_can_be() {
        for (text, expected) in [
            ("5", json!(5)),
            ("0.5", json!(0.5)),
            ("true", json!(true)),
            ("[1, \"a\"]", json!([1, "a"])),
            ("{ max = 5 }", json!({"max": 5})),
            ("60s", json!("60s")),
            ("\"5\"", json!("5")),
            ("", json!("")),
            ("nan", json!("nan")),
            ("1\nother = 2", json!("1\nother = 2")),
            ("2026-05-19", json!("2026-05-19")),
        ] {
            assert_eq!(setting(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_container_with_a_bad_label_is_refused_with_the_remedy() {
        let deep = format!("{SETTINGS}{}", ["a"; MAX_KEY_PARTS + 1].join("."));
        let long = "x".repeat(MAX_VALUE_BYTES + 1);
        for (label, value, expected) in [
            ("reprieve.tenent", "acme", "is not known; known are"),
            ("reprieve.settings.", "1", "is not known"),
            (TENANT, "", "tenant name \"\" is not valid"),
            (PORT, "0", "reprieve.port=\"0\" is no port; set it to 1 to 65535"),
            (PORT, "http", "reprieve.port=\"http\" is no port"),
            (PORT, "65536", "is no port"),
            (PATH, "a2a", "begin it with '/'"),
            (PATH, "/a?b", "begin it with '/'"),
            (DEPENDS_ON, "ws-1", "names ws-1 itself"),
            (DEPENDS_ON, "a b", "workspace name \"a b\" is not valid"),
            (QUEUES_FOR_ITSELF, "yes", "neither true nor false"),
            ("reprieve.settings.a..b", "1", "divided by single dots"),
            (&deep, "1", "divided by single dots"),
            ("reprieve.label.x", &long, "at most 4096"),
        ] {
            let refused = read(&[(WORKSPACE, "ws-1"), (label, value)], &["80/tcp"]);
            let text = refused.expect_err(label).to_string();
            assert!(text.contains(expected), "{label}: {text}");
        }
    }

    #[test]
    fn what_cannot_be_guessed_is_asked_for() {
        for (case, labels, exposed, expected) in [
            ("no name", &[(PORT, "80")][..], &[][..], "no label reprieve.workspace"),
            ("no port", &[(WORKSPACE, "a")][..], &["53/udp"][..], "exposes 0 TCP ports"),
            ("two ports", &[(WORKSPACE, "a")][..], &["1/tcp", "2/tcp"][..], "exposes 2 TCP ports"),
            (
                "a value and parts",
                &[(WORKSPACE, "a"), ("reprieve.settings.x", "1"), ("reprieve.settings.x.y", "1")][..],
                &["80/tcp"][..],
                "keep one of the two",
            ),
        ] {
            let text = read(labels, exposed).expect_err(case).to_string();
            assert!(text.contains(expected), "{case}: {text}");
        }
    }
}
