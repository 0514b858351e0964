//! The operator's listener over TLS, and the command line as its client: the real
//! program on both sides, with a certificate that nobody else trusts.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on may say so by panicking")]

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
    time::Duration,
};

/// For what has no other end. Nothing here is timed.
const PATIENCE: Duration = Duration::from_secs(120);

/// Connections that never say a word.
const SILENT: usize = 50;

struct Host {
    process: Child,
    folder: tempfile::TempDir,
    /// Of the operator's listener.
    endpoint: String,
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A certificate for this machine, and its key.
fn certificate(folder: &Path, name: &str) -> PathBuf {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let file = folder.join(name);
    fs::write(file.with_extension("pem"), made.cert.pem()).unwrap();
    fs::write(file.with_extension("key"), made.signing_key.serialize_pem()).unwrap();
    file.with_extension("pem")
}

impl Host {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        certificate(folder.path(), "own");
        let config = "proxy.listen = \"127.0.0.1:0\"\nlog.level = \"warn\"\n\
             [admin]\nlisten = \"127.0.0.1:0\"\ntls = { cert = \"own.pem\", key = \"own.key\" }\n\
             [workspaces.alpha]\ntenant = \"acme\"\ncommand = [\"{reprieve}\", \"agent\"]\n";
        fs::write(folder.path().join("reprieve.toml"), config).unwrap();
        let mut process = reprieve(folder.path())
            .args(["run", "--config"])
            .arg(folder.path().join("reprieve.toml"))
            .arg("--state-dir")
            .arg(folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines =
            BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
        let told = lines.find(|line| line.trim_start().starts_with("operator")).unwrap();
        let endpoint = told.split_whitespace().nth(1).unwrap().to_owned();
        // What it prints later must not stall it.
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, folder, endpoint }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn address(&self) -> &str {
        self.endpoint.trim_start_matches("https://").trim_end_matches('/')
    }

    /// The command line, told of the host by a context.
    fn ask(&self, arguments: &[&str]) -> (i32, String, String) {
        let output = reprieve(self.folder.path()).args(arguments).output().unwrap();
        let Output { status, stdout, stderr } = output;
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (status.code().unwrap(), text(stdout), text(stderr))
    }

    fn told(&self, arguments: &[&str]) -> String {
        let (code, told, error) = self.ask(arguments);
        assert_eq!(code, 0, "{arguments:?}: {error}");
        told
    }

    fn use_context(&self) {
        let (token, ca) = (self.path("admin.token"), self.path("own.pem"));
        let files = ["--token-file", &token, "--ca", &ca];
        self.told(
            &[&["context", "set", "here", "--endpoint", &self.endpoint][..], &files].concat(),
        );
        self.told(&["context", "use", "here"]);
    }
}

fn reprieve(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reprieve"));
    command.env_clear().env("HOME", home).stdin(Stdio::null());
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command
}

#[test]
fn the_command_line_reaches_a_host_over_tls_whoever_else_keeps_it_waiting() {
    let host = Host::start();
    assert!(host.endpoint.starts_with("https://"), "{}", host.endpoint);
    let silent: Vec<_> = (0..SILENT).map(|_| TcpStream::connect(host.address()).unwrap()).collect();
    host.use_context();
    assert!(host.told(&["context", "list"]).starts_with("* here"));
    assert!(host.told(&["workspaces"]).contains("alpha"));

    let secret = host.told(&["token", "create", "anna", "--role", "viewer", "--tenant", "acme"]);
    assert!(host.told(&["token", "list"]).contains("anna"));
    let (code, _, error) = host.ask(&["restart", "alpha", "--token", secret.trim()]);
    assert_eq!((code, error.contains("viewer")), (1, true), "{error}");
    host.told(&["token", "revoke", "anna"]);
    let (code, _, error) = host.ask(&["workspaces", "--token", secret.trim()]);
    assert_eq!((code, error.contains("not known")), (1, true), "{error}");
    let record = host.told(&["audit"]);
    for part in ["POST   /admin/v1/tokens", "403 POST   /admin/v1/workspaces/alpha/restart"] {
        assert!(record.contains(part), "{part}: {record}");
    }
    assert!(!record.contains(secret.trim()), "no token is on record");
    drop(silent);
}

#[test]
fn a_host_that_cannot_show_who_it_is_is_told_nothing() {
    let host = Host::start();
    certificate(host.folder.path(), "another");
    let (another, own) = (host.path("another.pem"), host.path("own.pem"));
    let plain = host.endpoint.replace("https", "http");
    let token = host.path("admin.token");
    for (case, endpoint, ca, expected) in [
        ("another certificate", host.endpoint.as_str(), Some(&another), 1),
        ("whom the machine trusts", &host.endpoint, None, 1),
        ("plain HTTP", &plain, Some(&own), 1),
        ("its own", &host.endpoint, Some(&own), 0),
    ] {
        let mut arguments = vec!["workspaces", "--endpoint", endpoint, "--token-file", &token];
        arguments.extend(ca.iter().flat_map(|ca| ["--ca", ca.as_str()]));
        let (code, _, error) = host.ask(&arguments);
        assert_eq!(code, expected, "{case}: {error}");
    }
    let mut stream = TcpStream::connect(host.address()).unwrap();
    stream.write_all(b"GET /admin/v1/health HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP/"), "nothing is said in the clear");
}

#[test]
fn what_is_decided_elsewhere_is_followed_as_it_happens() {
    let host = Host::start();
    host.use_context();
    let mut follower = reprieve(host.folder.path())
        .args(["decisions", "--follow", "--json", "--workspace", "alpha"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(follower.stdout.take().unwrap()).lines().map_while(Result::ok);
    let (send, told) = mpsc::channel();
    std::thread::spawn(move || lines.for_each(|line| drop(send.send(line))));
    // Whatever was decided at the start shows that it follows.
    let first = told.recv_timeout(PATIENCE).unwrap();
    assert!(first.contains("\"workspace\":\"alpha\""), "{first}");
    host.told(&["restart", "alpha"]);
    let ruled = std::iter::from_fn(|| told.recv_timeout(PATIENCE).ok())
        .find(|line| line.contains("\"cause\":\"operator\"") || line.contains("\"operator\""));
    let ruled: serde_json::Value = serde_json::from_str(&ruled.unwrap()).unwrap();
    let id = ruled["id"].as_str().unwrap();
    assert!(host.told(&["explain", id]).contains("alpha"));
    assert!(host.told(&["decisions", "--limit", "1000"]).contains(id));
    follower.kill().unwrap();
    follower.wait().unwrap();
}

#[test]
fn a_listener_for_other_machines_needs_a_certificate_or_somebody_who_takes_the_risk() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("reprieve.toml");
    for (admin, code, said) in [
        ("listen = \"0.0.0.0:8485\"", 2, "admin.tls"),
        ("listen = \"[::]:8485\"", 2, "admin.insecure"),
        ("listen = \"0.0.0.0:8485\"\ninsecure = true", 0, "INSECURE"),
        ("listen = \"0.0.0.0:8485\"\ntls = { cert = \"c\", key = \"k\" }", 2, "no certificate"),
    ] {
        fs::write(&file, format!("[admin]\n{admin}\n")).unwrap();
        let mut command = reprieve(folder.path());
        let output = command.args(["check", "--config"]).arg(&file).output().unwrap();
        let told = [output.stdout, output.stderr].concat();
        let told = String::from_utf8(told).unwrap();
        assert_eq!(output.status.code(), Some(code), "{admin}: {told}");
        assert!(told.contains(said), "{admin}: {told}");
    }
}
