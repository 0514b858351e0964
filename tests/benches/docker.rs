//! What watching over containers costs, and how soon an exit is noticed, on a real
//! Docker Engine of its own.
//!
//! `cargo xtask bench docker`; `--json FILE` keeps the figures for machines, too,
//! `REPRIEVE_CONTAINERS=20` is for fewer than 200.
//!
//! - for 30 s, with a fleet that is well: CPU of the watcher and of `dockerd`,
//!   inspects, memory; beside nobody, `docker events` alone, and a checker that
//!   inspects each container every 10 s
//! - 100 agents abort, one after the other: until the Engine reports it, until the
//!   policy's first verdict on it, until DEAD, until the next run; once where the
//!   containers' processes are seen, and once by events alone; beside the least
//!   that anyone needs who follows events and then asks. An exit is at
//!   the Engine's `FinishedAt`, a report at its event's `timeNano`, a verdict at
//!   the decision's `at` and what it took, a run at `StartedAt`: all on this
//!   machine's wall clock

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a benchmark speaks to whoever runs it, and gives up by panicking"
)]

#[path = "docker/meter.rs"]
mod meter;
#[path = "docker/report.rs"]
mod report;

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futures::{StreamExt as _, stream};
use reprieve_core::{
    decision::{Decision, Outcome},
    judgement::{Call, Verdict},
    ports::DecisionFilter,
    time::UnixMillis,
};
use reprieve_server::store::DecisionReader;
use reprieve_tests::{
    engine::{ContainerSpec, Engine},
    reprieve,
};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    net::TcpStream,
    process::{Child, ChildStdout, Command},
    time::{interval, sleep, timeout},
};

use crate::{
    meter::{CountingSocket, Process, inspect, inspect_in_rounds},
    report::{Exits, Report, Times, Watcher, percent},
};

const CONTAINERS: usize = 200;
const EXITS: usize = 100;
/// Of them as many as show what an inspect takes then.
const LOOKS: usize = 20;
/// From the start of one to the exit of the next: the Engine is quiet by then.
const BETWEEN_EXITS: Duration = Duration::from_millis(500);
const WATCHED_FOR: Duration = Duration::from_secs(30);
/// Of the checker.
const ROUND: Duration = Duration::from_secs(10);
/// Who watches the process may know of its end before the Engine's shim has stamped
/// it. Nothing else is judged about that container within so long.
const STAMPED_LATE_MS: f64 = 100.0;
/// Containers that are started at once.
const STARTED_AT_ONCE: usize = 4;
/// For the whole fleet to come up, or to come back.
const PATIENCE: Duration = Duration::from_secs(300);
/// For what a new watcher or a new fleet does at first.
const CALM: Duration = Duration::from_secs(10);
const AGENT_PORT: u16 = 8000;
const MAX_DECISIONS: u32 = 1_000_000;

fn main() {
    let mut wanted = std::env::args().skip(1).filter(|arg| !arg.starts_with('-'));
    if wanted.next().is_some_and(|filter| !"docker".contains(&filter)) {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(run());
}

async fn run() {
    let Some(engine) = Engine::start().await else { return };
    let count = std::env::var("REPRIEVE_CONTAINERS").ok();
    let count = count.map_or(CONTAINERS, |count| count.parse().expect("a number of containers"));
    let state = tempfile::tempdir().unwrap();
    let port = TcpListener::bind((engine.host_ip(), 0)).unwrap().local_addr().unwrap().port();
    let fleet = Fleet::start(&engine, count, port).await;
    eprintln!("{count} containers run");
    sleep(CALM).await;

    let mut watchers = Vec::new();
    watchers.push(fleet.bill("nobody", None, sleep(WATCHED_FOR)).await.0);

    let events = engine.docker_command().arg("events").stdout(Stdio::null()).spawn().unwrap();
    sleep(CALM).await;
    let watcher = Process::of(events.id().unwrap());
    watchers.push(fleet.bill("docker events", Some(watcher), sleep(WATCHED_FOR)).await.0);
    end(events).await;

    let socket = engine.socket();
    let rounds = inspect_in_rounds(&socket, &fleet.ids, ROUND, WATCHED_FOR);
    let (mut bill, inspects) =
        fleet.bill("inspect every 10 s", Some(Process::this()), rounds).await;
    // This process is the checker, and more than that.
    (bill.inspects_per_s, bill.resident_mib) = (per_second(inspects), None);
    watchers.push(bill);

    let looks = fleet.looks(&engine, LOOKS.min(count)).await;

    let counting = CountingSocket::before(socket, state.path().join("counting.sock"));
    let host = Host::start(&engine, &counting, state.path(), port, true).await;
    host.until_online(count).await;
    eprintln!("the host watches over {count}");
    sleep(CALM).await;
    let (inspects_before, others_before) = counting.asked();
    let watcher = host.process;
    let (mut bill, ()) = fleet.bill("reprieve", Some(watcher), sleep(WATCHED_FOR)).await;
    let (inspects, others) = counting.asked();
    bill.inspects_per_s = per_second(inspects - inspects_before);
    bill.other_questions_per_s = Some(per_second(others - others_before));
    watchers.push(bill);
    let watched_for_s = WATCHED_FOR.as_secs_f64();
    Report::print_watchers(count, watched_for_s, &watchers);

    let exits = fleet.exits(&engine, EXITS.min(count)).await;
    let resident_after_exits_mib = watcher.resident_mib();
    let state_dir = host.end().await;
    let seen = Exits::of("by their processes and by events", &exits, looks, &state_dir);
    seen.print();

    let state = tempfile::tempdir().unwrap();
    let counting = CountingSocket::before(engine.socket(), state.path().join("counting.sock"));
    let host = Host::start(&engine, &counting, state.path(), port, false).await;
    host.until_online(count).await;
    sleep(CALM).await;
    let exits = fleet.exits(&engine, EXITS.min(count)).await;
    let state_dir = host.end().await;
    let told = Exits::of("by events alone", &exits, Vec::new(), &state_dir);
    told.print();

    let report = Report {
        machine: std::env::var(report::MACHINE).ok(),
        containers: count,
        watched_for_s,
        watchers,
        exits: vec![seen, told],
        resident_after_exits_mib,
    };
    report.print_memory();
    if let Some(file) = std::env::var_os(report::JSON) {
        report.write(Path::new(&file));
    }
}

fn per_second(count: u64) -> f64 {
    as_f64(count) / WATCHED_FOR.as_secs_f64()
}

async fn end(mut child: Child) {
    Process::of(child.id().unwrap()).ask_to_end();
    child.wait().await.unwrap();
}

/// The containers, and who serves them.
struct Fleet {
    names: Vec<String>,
    ids: Vec<String>,
    dockerd: Process,
}

impl Fleet {
    async fn start(engine: &Engine, count: usize, port: u16) -> Self {
        engine.image().await;
        let url = format!("http://{}:{port}", engine.host_ip());
        let names: Vec<String> = (1..=count).map(|number| format!("ws-{number}")).collect();
        let run = |name: &String| {
            let agent = ContainerSpec::agent(name)
                .env("REPRIEVE_URL", &url)
                .env("REPRIEVE_TOKEN", "a-token-of-the-fleet");
            async move { engine.run(&agent).await }
        };
        let ids = stream::iter(names.iter().map(run)).buffered(STARTED_AT_ONCE).collect().await;
        let dockerd = Process::named("dockerd", &engine.socket()).await;
        Self { names, ids, dockerd }
    }

    /// What it costs while something lasts, which is as long as the fleet is
    /// watched.
    async fn bill<T>(
        &self,
        name: &'static str,
        process: Option<Process>,
        lasts: impl Future<Output = T>,
    ) -> (Watcher, T) {
        let cpu = || (process.map(Process::cpu), self.dockerd.cpu());
        let (before, dockerd_before) = cpu();
        let outcome = lasts.await;
        let (after, dockerd_after) = cpu();
        let part = |cpu| percent(cpu, WATCHED_FOR);
        let bill = Watcher {
            name,
            inspects_per_s: 0.0,
            other_questions_per_s: None,
            cpu_percent: after.zip(before).map(|(after, before)| part(after - before)),
            dockerd_cpu_percent: part(dockerd_after - dockerd_before),
            resident_mib: process.map(Process::resident_mib),
        };
        (bill, outcome)
    }

    /// The least that anyone needs who follows events and then looks: from the
    /// report of an exit to the answer of one inspect.
    async fn looks(&self, engine: &Engine, exits: usize) -> Vec<f64> {
        let names: Vec<&str> = self.names.iter().take(exits).map(String::as_str).collect();
        let before = states(engine, &names).await;
        let mut events = Events::of(engine).await;
        let mut looks = Vec::new();
        for ((name, id), state) in names.iter().zip(&self.ids).zip(&before) {
            abort(state).await;
            let reported_ms = events.next(name, "die").await;
            inspect(&engine.socket(), id).await;
            let answered = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            looks.push(answered.as_secs_f64() * 1_000.0 - reported_ms);
            engine.docker(&["start", name]).await;
            sleep(BETWEEN_EXITS).await;
        }
        end(events.child).await;
        looks
    }

    /// Agents abort, each after the one before it is back; what the Engine says of it.
    async fn exits(&self, engine: &Engine, exits: usize) -> Vec<Exit> {
        let names: Vec<&str> = self.names.iter().take(exits).map(String::as_str).collect();
        let before = states(engine, &names).await;
        let mut events = Events::of(engine).await;
        let mut reported = Vec::new();
        for (name, state) in names.iter().zip(&before) {
            abort(state).await;
            reported.push(events.next(name, "die").await);
            events.next(name, "start").await;
            sleep(BETWEEN_EXITS).await;
        }
        end(events.child).await;
        let now = states(engine, &names).await;
        let exit = |((name, state), reported_ms): ((&&str, &Value), f64)| Exit {
            workspace: (*name).to_owned(),
            ended_ms: wall_ms(state["State"]["FinishedAt"].as_str().unwrap()),
            reported_ms,
            began_again_ms: wall_ms(state["State"]["StartedAt"].as_str().unwrap()),
        };
        names.iter().zip(&now).zip(reported).map(exit).collect()
    }
}

/// The Engine's events about runs.
struct Events {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Events {
    async fn of(engine: &Engine) -> Self {
        let filters = ["type=container", "event=die", "event=start"];
        let mut command = engine.docker_command();
        command.args(["events", "--format", "{{json .}}"]).kill_on_drop(true);
        command.args(filters.iter().flat_map(|filter| ["--filter", filter]));
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Until it has begun; it says nothing then.
        sleep(CALM).await;
        Self { child, lines }
    }

    /// When the next of that kind happened to a container.
    async fn next(&mut self, name: &str, action: &str) -> f64 {
        let next = async {
            loop {
                let line = self.lines.next_line().await.unwrap().expect("the stream goes on");
                let event: Value = serde_json::from_str(&line).unwrap();
                if event["Actor"]["Attributes"]["name"] == name && event["Action"] == action {
                    return as_f64(event["timeNano"].as_u64().unwrap()) / 1e6;
                }
            }
        };
        timeout(PATIENCE, next).await.unwrap_or_else(|_| panic!("no {action} of {name}"))
    }
}

async fn states(engine: &Engine, names: &[&str]) -> Vec<Value> {
    let args = [&["inspect", "--type", "container"], names].concat();
    serde_json::from_str(&engine.docker(&args).await).unwrap()
}

/// The agent ends before it answers.
async fn abort(state: &Value) {
    let ip = state["NetworkSettings"]["IPAddress"].as_str().unwrap();
    let body = r#"{"crash":true}"#;
    let mut stream = TcpStream::connect((ip, AGENT_PORT)).await.unwrap();
    let request = format!(
        "POST /switch HTTP/1.1\r\nHost: {ip}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // Cut off, which is an error or an end.
    let _ = stream.read_to_end(&mut answer).await;
}

/// A host as an operator runs it, on the Engine's machine.
struct Host {
    /// Who started it in the Engine's namespaces; ends with it.
    child: Child,
    process: Process,
    config: PathBuf,
    state_dir: PathBuf,
    admin: String,
}

impl Host {
    async fn start(
        engine: &Engine,
        socket: &CountingSocket,
        folder: &Path,
        port: u16,
        watch_processes: bool,
    ) -> Self {
        let (config, state_dir) = (folder.join("reprieve.toml"), folder.join("state"));
        let admin = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let text = format!(
            "[proxy]\nlisten = \"{}:{port}\"\n[admin]\nlisten = \"{admin}\"\n\
             [docker]\nenabled = true\nwatch_processes = {watch_processes}\nsocket = \"{}\"\n[log]\nlevel = \"warn\"\n\
             [policy.settings]\nsettle = \"1s\"\nrestart_debounce = \"1s\"\n",
            engine.host_ip(),
            socket.path().display()
        );
        std::fs::write(&config, text).unwrap();
        let child = engine
            .beside(reprieve())
            .args(["run", "--config"])
            .arg(&config)
            .arg("--state-dir")
            .arg(&state_dir)
            .env_remove("RUST_LOG")
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self { child, process: Process::named("reprieve", &config).await, config, state_dir, admin }
    }

    /// Where what it wrote down is.
    async fn end(mut self) -> PathBuf {
        self.process.ask_to_end();
        self.child.wait().await.unwrap();
        self.state_dir
    }

    async fn until_online(&self, count: usize) {
        let mut look = interval(Duration::from_secs(1));
        let online = async {
            loop {
                look.tick().await;
                let shown = Command::new(reprieve())
                    .args(["workspaces", "--json", "--config"])
                    .arg(&self.config)
                    .arg("--state-dir")
                    .arg(&self.state_dir)
                    .args(["--admin", &format!("http://{}/", self.admin)])
                    .output()
                    .await
                    .unwrap();
                let shown: Value = serde_json::from_slice(&shown.stdout).unwrap_or_default();
                let all = shown["workspaces"].as_array().cloned().unwrap_or_default();
                if all.iter().filter(|one| one["state"] == "online").count() == count {
                    return;
                }
            }
        };
        timeout(PATIENCE, online).await.expect("the fleet settles");
    }
}

struct Exit {
    workspace: String,
    ended_ms: f64,
    /// By the Engine's event.
    reported_ms: f64,
    began_again_ms: f64,
}

impl Exits {
    /// From the exits to what came of them.
    fn of(known: &'static str, exits: &[Exit], looks: Vec<f64>, state_dir: &Path) -> Self {
        let reader = DecisionReader::open(state_dir).unwrap();
        let newest = DecisionFilter { limit: MAX_DECISIONS, ..DecisionFilter::default() };
        let decisions = reader.list(&newest).unwrap();
        let of = |exit: &Exit, is_it: fn(&Decision) -> bool| {
            let mut of = decisions.iter().filter(|one| one.workspace.as_str() == exit.workspace);
            let found =
                of.find(|one| millis(one.at) + STAMPED_LATE_MS > exit.ended_ms && is_it(one));
            let found = found.unwrap_or_else(|| panic!("nothing about {}", exit.workspace));
            millis(found.at) + as_f64(found.cost.total.0)
        };
        let first = |one: &Decision| matches!(one.call, Call::Judge { .. });
        let dead =
            |one: &Decision| matches!(one.outcome, Outcome::Judged { verdict: Verdict::Dead, .. });
        let all = |of: &dyn Fn(&Exit) -> f64| exits.iter().map(of).collect::<Vec<f64>>();
        let times = [
            ("exit, the Engine's event", all(&|exit| exit.reported_ms - exit.ended_ms)),
            ("event, the answer to one inspect, without reprieve", looks),
            ("exit, first verdict", all(&|exit| of(exit, first) - exit.ended_ms)),
            ("exit, DEAD after the second look", all(&|exit| of(exit, dead) - exit.ended_ms)),
            ("exit, the next run", all(&|exit| exit.began_again_ms - exit.ended_ms)),
        ];
        let times = times.into_iter().filter_map(|(what, each_ms)| Times::of(what, each_ms));
        Self { known, count: exits.len(), times: times.collect() }
    }
}

#[allow(clippy::cast_precision_loss, reason = "figures for people")]
fn as_f64(number: u64) -> f64 {
    number as f64
}

fn millis(at: UnixMillis) -> f64 {
    as_f64(at.0)
}

/// Milliseconds since the epoch of a time as the Engine writes it:
/// `2026-04-16T09:10:26.123456789Z`.
fn wall_ms(text: &str) -> f64 {
    let (date, time) = text.trim_end_matches('Z').split_once('T').unwrap();
    let mut date = date.split('-').map(|part| part.parse::<i64>().unwrap());
    let mut time = time.split(':').map(|part| part.parse::<f64>().unwrap());
    let [year, month, day] = [(); 3].map(|()| date.next().unwrap());
    let [hour, minute, second] = [(); 3].map(|()| time.next().unwrap());
    // Days of the civil calendar, counted from March so that a leap day is last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    let since_epoch = u64::try_from(days - 719_468).unwrap();
    ((as_f64(since_epoch) * 24.0 + hour) * 60.0 + minute) * 60_000.0 + second * 1_000.0
}
