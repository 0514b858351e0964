//! What the configuration takes, and how it says no.

use super::*;

fn refusal(text: &str) -> String {
    Config::parse("test.toml", text).expect_err(text).to_string()
}

#[test]
fn an_empty_file_is_a_configuration() {
    let config = Config::parse("test.toml", "").unwrap();
    assert_eq!(config.proxy, ProxyConfig::default());
    assert!(config.workspaces.is_empty());
}
