//! What the configuration takes, how it says no, and that the commented file and
//! the published schema tell the same.

use reprieve_core::settings::{Layer, Layers, Source};
use reprieve_policy::FromSettings as _;
use serde_json::Value;

use super::*;

const WORKSPACE: &str = "[workspaces.a]\ncommand = [\"agent\"]\n";

fn refusal(text: &str) -> String {
    Config::parse("test.toml", text).expect_err(text).to_string()
}

#[test]
fn an_empty_file_is_a_configuration() {
    let config = Config::parse("test.toml", "").unwrap();
    assert_eq!(config.proxy, ProxyConfig::default());
    assert!(config.workspaces.is_empty());
}

#[test]
fn a_refusal_names_the_place_the_value_and_the_remedy() {
    for (case, text, parts) in [
        (
            "unknown key",
            "\n[proxy]\nlisten_on = \"x\"\n",
            &["test.toml:3:1: proxy.listen_on", "there is no such key", "`listen`"][..],
        ),
        (
            "unknown section",
            "[prxy]\n",
            &["test.toml:1:2: prxy", "there is no such key", "`proxy`"][..],
        ),
        (
            "mistyped value",
            "[proxy]\npreflight = \"yes\"\n",
            &["test.toml:2:13: proxy.preflight", "\"yes\"", "expected a boolean"][..],
        ),
        (
            "a length without its unit",
            "[proxy]\nidle_timeout = 30\n",
            &["test.toml:2:16: proxy.idle_timeout", "\"30\"", "100ms to 1d", "\"30s\""][..],
        ),
        (
            "a length out of range",
            "[queue]\nmax_age = \"31d\"\n",
            &["test.toml:2:11: queue.max_age", "\"31d\"", "1s to 30d"][..],
        ),
        (
            "a size out of range",
            "[proxy]\nbody_limit = \"65MiB\"\n",
            &["proxy.body_limit", "\"65MiB\"", "1KiB to 64MiB"][..],
        ),
        (
            "a count out of range",
            "[queue]\ncapacity = 0\n",
            &["test.toml:2:12: queue.capacity", "0 is not valid", "1 to 100000"][..],
        ),
        (
            "a status that is none of failure",
            "[proxy]\nfailed_statuses = [200]\n",
            &["proxy.failed_statuses", "\"200\"", "400 to 599"][..],
        ),
        (
            "a share of more than all",
            "[telemetry]\nsample_ratio = 1.5\n",
            &["test.toml:2:16: telemetry.sample_ratio", "1.5", "0.0 to 1.0"][..],
        ),
        (
            "a share that is no number",
            "[telemetry]\nsample_ratio = nan\n",
            &["telemetry.sample_ratio", "NaN", "0.0 to 1.0"][..],
        ),
        (
            "a collector that is spoken to in another way",
            "[telemetry]\notlp_endpoint = \"grpc://otel:4317\"\n",
            &["test.toml:2:1: telemetry.otlp_endpoint", "grpc://otel", "http or https"][..],
        ),
        (
            "a secret in the collector's URL",
            "[telemetry]\notlp_endpoint = \"https://me:pass@otel\"\n",
            &["telemetry.otlp_endpoint", "https://otel is not", "otlp_headers_file"][..],
        ),
        (
            "headers for nobody",
            "[telemetry]\notlp_headers_file = \"h\"\n",
            &["test.toml:2:1: telemetry.otlp_headers_file", "set otlp_endpoint"][..],
        ),
        ("malformed", "[proxy\n", &["test.toml:1:"][..]),
        (
            "truncated",
            "[proxy]\nlisten = \"127.0",
            &["test.toml:2:16:", "invalid basic string"][..],
        ),
        ("written twice", "[log]\n[log]\n", &["test.toml:2:", "duplicate"][..]),
        (
            "a workspace without a command",
            "[workspaces.a]\ntenant = \"t\"\n",
            &["test.toml:1:", "workspaces.a", "command"][..],
        ),
        (
            "an empty command",
            "[workspaces.a]\ncommand = []\n",
            &["test.toml:2:1: workspaces.a.command", "empty", "name a program"][..],
        ),
        (
            "a name that is none",
            "[workspaces.\"../x\"]\ncommand = [\"agent\"]\n",
            &["test.toml:1:", "../x", "1 to 63 characters"][..],
        ),
        (
            "a kind that is none",
            &format!("{WORKSPACE}kind = \"docker\"\n"),
            &["workspaces.a.kind", "`docker`", "`process`"][..],
        ),
        (
            "a variable that the host gives",
            &format!("{WORKSPACE}env = {{ PORT = \"1\" }}\n"),
            &["workspaces.a.env", "PORT is given by the host"][..],
        ),
        (
            "an address elsewhere",
            &format!("{WORKSPACE}address = \"http://169.254.169.254/\"\n"),
            &["test.toml:3:1: workspaces.a.address", "169.254.169.254", "loopback"][..],
        ),
        (
            "one address twice",
            "[workspaces.a]\ncommand = [\"x\"]\naddress = \"http://127.0.0.1:1\"\n\
             [workspaces.b]\ncommand = [\"x\"]\naddress = \"http://127.0.0.1:1\"\n",
            &["test.toml:6:1: workspaces.b.address", "workspace a"][..],
        ),
        (
            "a token that can be guessed",
            &format!("{WORKSPACE}token = \"short\"\n"),
            &["workspaces.a.token", "5 characters", "at least 16"][..],
        ),
        (
            "two tokens",
            &format!("{WORKSPACE}token = \"0123456789abcdef\"\ntoken_file = \"t\"\n"),
            &["workspaces.a.token_file", "keep one"][..],
        ),
        (
            "certificates without TLS",
            "[control_planes.c]\nurl = \"http://c.example/\"\nca_file = \"ca.pem\"\n",
            &["test.toml:3:1: control_planes.c.ca_file", "write https"][..],
        ),
        (
            "one port twice",
            "[admin]\nlisten = \"127.0.0.1:8484\"\n",
            &["test.toml:2:1: admin.listen", "proxy.listen"][..],
        ),
        (
            "tokens in the clear",
            "[admin]\nlisten = \"0.0.0.0:8485\"\n",
            &["test.toml:2:1: admin.listen", "admin.tls", "admin.insecure"][..],
        ),
        (
            "a public URL that is none",
            "[proxy]\npublic_url = \"ftp://x/\"\n",
            &["proxy.public_url", "ftp://x/", "http or https"][..],
        ),
    ] {
        let message = refusal(text);
        for part in parts {
            assert!(message.contains(part), "{case}: {message:?} lacks {part:?}");
        }
    }
}

#[test]
fn a_token_is_shown_nowhere() {
    let text = format!("{WORKSPACE}token = \"0123456789abcdef\"\n");
    let mut config = Config::parse("test.toml", &text).unwrap();
    config.source = failure::Text::default();
    assert!(!format!("{config:?}").contains("0123456789"));
    assert!(!serde_json::to_string(&config).unwrap().contains("0123456789"));
    assert!(!refusal(&text.replace("cdef", "c ef")).contains("0123456789"));
}

#[test]
fn paths_are_relative_to_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("reprieve.toml");
    let text = format!(
        "state_dir = \"state\"\n[policy]\nfile = \"p/q.wasm\"\n{WORKSPACE}token_file = \"t\"\n"
    );
    std::fs::write(&file, text).unwrap();

    let missing = Config::load(&file).unwrap_err().to_string();
    assert!(missing.contains("token file"), "{missing}");

    std::fs::write(folder.path().join("t"), "0123456789abcdef\n").unwrap();
    let config = Config::load(&file).unwrap();
    assert_eq!(config.state_dir, Some(folder.path().join("state")));
    assert_eq!(config.policy.file, Some(folder.path().join("p/q.wasm")));
    let workspace = &config.workspaces[&"a".parse().unwrap()];
    assert_eq!(workspace.token, Some(Secret::new("0123456789abcdef".into())));
}

#[test]
fn authorities_that_are_none_are_refused_before_anything_starts() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("reprieve.toml");
    let text = "[control_planes.c]\nurl = \"https://c.example/\"\nca_file = \"ca.pem\"\n";
    std::fs::write(&file, text).unwrap();
    let refusal = || {
        let failure = Config::load(&file).unwrap_err();
        let cause = std::error::Error::source(&failure).expect("a cause").to_string();
        format!("{failure}: {cause}")
    };
    let key = format!("{}:3:1: control_planes.c.ca_file", file.display());
    let ca_file = folder.path().join("ca.pem").display().to_string();
    let section =
        |body: &str| format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n");
    let (cut, nonsense) = ("-----BEGIN CERTIFICATE-----\nAAAA\n".to_owned(), section("AAAA"));
    for (case, pem, words) in [
        ("no file", None, "cannot read"),
        ("an empty one", Some(String::new()), "holds no certificate"),
        ("another kind of file", Some("0123456789abcdef\n".to_owned()), "holds no certificate"),
        ("cut short", Some(cut), "is not PEM"),
        ("no base64", Some(section("<html>")), "is not PEM"),
        ("no certificate", Some(nonsense), "certificate 1 in"),
    ] {
        if let Some(pem) = pem {
            std::fs::write(folder.path().join("ca.pem"), pem).unwrap();
        }
        let said = refusal();
        for part in [&key, &ca_file, words] {
            assert!(said.contains(part), "{case}: {said:?} lacks {part:?}");
        }
    }
}

#[test]
fn a_missing_file_is_named_with_the_remedy() {
    let message = Config::load(Path::new("/nowhere/r.toml")).unwrap_err().to_string();
    assert!(message.contains("/nowhere/r.toml") && message.contains("--config"), "{message}");
}

#[test]
fn every_layer_of_settings_reaches_the_book() {
    let config = Config::parse(
        "test.toml",
        "[policy.settings]\nx = 1\n[tenants.t.settings]\nx = 2\ny = [1]\n\
         [workspaces.a]\ntenant = \"t\"\ncommand = [\"c\"]\nsettings = { z = true }\n",
    )
    .unwrap();
    let layers = Layers::default().with(Source::File, config.settings_book());
    let of = Layer::of_workspace(&"t".parse().unwrap(), &"a".parse().unwrap());
    let effective = layers.effective(&of);
    assert_eq!(Value::Object(effective), serde_json::json!({"x": 2, "y": [1], "z": true}));
}

#[test]
fn what_is_probably_a_mistake_is_warned_about() {
    let config = Config::parse(
        "test.toml",
        "[tenants.t]\n[admin]\nlisten = \"0.0.0.0:1\"\ninsecure = true\n",
    )
    .unwrap();
    let warnings = config.warnings().join("\n");
    assert!(warnings.contains("tenants.t: no workspace"), "{warnings}");
    assert!(warnings.contains("admin.insecure: INSECURE"), "{warnings}");
    assert_eq!(Config::embedded().unwrap().warnings(), Vec::<String>::new());
}

#[test]
fn the_commented_file_writes_out_the_defaults() {
    let config = Config::embedded().unwrap();
    let workspaces = config.workspaces.clone();
    let expected = Config {
        workspaces: workspaces.clone(),
        source: config.source.clone(),
        ..Config::default()
    };
    assert_eq!(config, expected);

    let [alpha, beta, gamma] = workspaces.into_values().collect::<Vec<_>>().try_into().unwrap();
    assert_eq!(WorkspaceConfig { settings: serde_json::Map::new(), ..gamma }, beta);
    assert_eq!(WorkspaceConfig { labels: BTreeMap::new(), ..alpha }, beta);
}

/// The commented file with the examples set, too.
fn embedded_with_examples() -> String {
    let set = |line: &str| {
        let example = line
            .strip_prefix('#')
            .filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '['));
        example.unwrap_or(line).to_owned() + "\n"
    };
    EMBEDDED.lines().map(set).collect()
}

#[test]
fn every_example_in_the_commented_file_is_valid() {
    let text = embedded_with_examples().replace("token_file = ", "# ");
    assert_ne!(text, EMBEDDED);
    Config::parse("examples", &text).unwrap();
}

#[test]
fn every_key_of_the_schema_is_in_the_commented_file() {
    let document: toml::Table = toml::from_str(&embedded_with_examples()).unwrap();
    let document = serde_json::to_value(document).unwrap();
    let mut keys = 0;
    compare(&schema(), &schema(), &document, "", &mut keys);
    assert!(keys > 40, "only {keys} keys were compared");
}

#[test]
fn every_setting_of_the_default_policy_is_in_the_commented_file() {
    let schema: Value = serde_json::from_str(reprieve_default_policy::Settings::SCHEMA).unwrap();
    let document: toml::Table = toml::from_str(&embedded_with_examples()).unwrap();
    let document = serde_json::to_value(document).unwrap();
    let written = document["policy"]["settings"].as_object().unwrap();
    for (key, setting) in schema["properties"].as_object().unwrap() {
        assert_eq!(written.get(key), setting.get("default"), "{key}");
    }
    assert_eq!(written.len(), schema["properties"].as_object().unwrap().len());
}

/// Walks the schema and the document side by side.
fn compare(root: &Value, schema: &Value, document: &Value, path: &str, keys: &mut u32) {
    let schema = match schema["$ref"].as_str() {
        Some(reference) => root.pointer(reference.trim_start_matches('#')).unwrap(),
        None => schema,
    };
    if let Some(properties) = schema["properties"].as_object() {
        for (key, inner) in properties {
            let path = format!("{path}.{key}");
            let value = document.get(key).unwrap_or_else(|| panic!("reprieve.toml lacks {path}"));
            let described = |of: &Value| of["description"].as_str().is_some_and(|d| !d.is_empty());
            let referred =
                inner["$ref"].as_str().and_then(|r| root.pointer(r.trim_start_matches('#')));
            assert!(
                described(inner) || referred.is_some_and(described),
                "{path} has no description"
            );
            *keys += 1;
            compare(root, inner, value, &path, keys);
        }
    } else if schema["additionalProperties"].is_object() {
        // A map by name: its entries together write out every key.
        let entries = document.as_object().into_iter().flatten();
        let written = entries.filter_map(|(_, entry)| entry.as_object()).flatten();
        let together: serde_json::Map<_, _> =
            written.map(|(key, value)| (key.clone(), value.clone())).collect();
        if !together.is_empty() {
            let path = format!("{path}.*");
            compare(root, &schema["additionalProperties"], &together.into(), &path, keys);
        }
    }
}

#[test]
fn the_published_schema_is_the_one_of_the_types() {
    let published = include_str!("../../../../docs/reprieve.schema.json");
    let current = format!("{:#}\n", schema());
    assert!(
        published == current,
        "docs/reprieve.schema.json is out of date; run: cargo run -- schema > docs/reprieve.schema.json"
    );
}
