//! The operator's listener over TLS, and the command line as its client: the real
//! program on both sides, with a certificate that nobody else trusts.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on may say so by panicking")]

use std::{
    fs,
    io::{BufRead as _, BufReader, Read, Write as _},
    net::{TcpListener, TcpStream},
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
        Self::start_on(0)
    }

    /// 0: any port.
    fn start_on(port: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        certificate(folder.path(), "own");
        let config = format!(
            "proxy.listen = \"127.0.0.1:0\"\nlog.level = \"warn\"\n\
             [admin]\nlisten = \"127.0.0.1:{port}\"\n\
             tls = {{ cert = \"own.pem\", key = \"own.key\" }}\n\
             [workspaces.alpha]\ntenant = \"acme\"\ncommand = [\"{{reprieve}}\", \"agent\"]\n"
        );
        fs::write(folder.path().join("reprieve.toml"), config).unwrap();
        let (process, endpoint) = Self::spawn(folder.path());
        Self { process, folder, endpoint }
    }

    /// Killed, and started anew.
    fn start_again(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        (self.process, self.endpoint) = Self::spawn(self.folder.path());
    }

    fn spawn(folder: &Path) -> (Child, String) {
        let mut process = reprieve(folder)
            .args(["run", "--config"])
            .arg(folder.join("reprieve.toml"))
            .arg("--state-dir")
            .arg(folder)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines =
            BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
        let told = lines.find(|line| line.trim_start().starts_with("operator")).unwrap();
        let endpoint = told.split_whitespace().nth(1).unwrap().to_owned();
        // What it prints later must not stall it.
        std::thread::spawn(move || lines.for_each(drop));
        (process, endpoint)
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
    for (case, endpoint, ca, expected, said) in [
        ("another certificate", host.endpoint.as_str(), Some(&another), 1, "--ca"),
        ("whom the machine trusts", &host.endpoint, None, 1, "--ca"),
        ("plain HTTP", &plain, Some(&own), 1, "write https://"),
        ("its own", &host.endpoint, Some(&own), 0, ""),
    ] {
        let mut arguments = vec!["workspaces", "--endpoint", endpoint, "--token-file", &token];
        arguments.extend(ca.iter().flat_map(|ca| ["--ca", ca.as_str()]));
        let (code, _, error) = host.ask(&arguments);
        assert_eq!(code, expected, "{case}: {error}");
        assert!(error.contains(said), "{case}: {error}");
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

/// The lines of a process, as they come.
fn lines_of(pipe: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (send, lines) = mpsc::channel();
    let read = BufReader::new(pipe).lines().map_while(Result::ok);
    std::thread::spawn(move || read.for_each(|line| drop(send.send(line))));
    lines
}

#[test]
fn whoever_follows_is_told_of_a_host_that_went_away_and_then_of_what_it_decides() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut host = Host::start_on(port);
    host.use_context();
    let mut follower = reprieve(host.folder.path())
        .args(["decisions", "--follow", "--json", "--workspace", "alpha"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let printed = lines_of(follower.stdout.take().unwrap());
    let remarked = lines_of(follower.stderr.take().unwrap());
    let mut ids = Vec::new();
    // Orders a restart, and reads until the newest decision then is printed.
    let mut hears_of_a_restart = |host: &Host| {
        // While it still begins, another one is refused.
        assert!((0..1_000).any(|_| host.ask(&["restart", "alpha"]).0 == 0));
        let newest = host.told(&["decisions", "--limit", "1", "--json", "--workspace", "alpha"]);
        let id = |line: &str| {
            let decision: serde_json::Value = serde_json::from_str(line).unwrap();
            decision["id"].as_str().unwrap().to_owned()
        };
        while ids.last() != Some(&id(&newest)) {
            ids.push(id(&printed.recv_timeout(PATIENCE).unwrap()));
        }
    };
    hears_of_a_restart(&host);
    host.start_again();
    let mut told: Vec<String> = Vec::new();
    while !told.last().is_some_and(|remark| remark.contains("connected again")) {
        told.push(remarked.recv_timeout(PATIENCE).unwrap());
    }
    assert!(told[0].starts_with("note: ") && told[0].contains(&host.endpoint), "{told:?}");
    hears_of_a_restart(&host);
    let mut once = ids.clone();
    once.sort();
    once.dedup();
    assert_eq!(once.len(), ids.len(), "none twice: {ids:?}");

    let pid = rustix::process::Pid::from_child(&follower);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    let ended = follower.wait().unwrap();
    assert_eq!(ended.code(), Some(0), "Ctrl-C is no failure: {ended}");
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
