//! What processes cost, and what is asked of an Engine.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy},
    net::{UnixListener, UnixStream},
    task::AbortHandle,
};

/// More than any question of the host is long.
const CHUNK_BYTES: usize = 16 * 1024;
/// For a process that was started to show up.
const LOOK_EVERY: Duration = Duration::from_millis(20);
const MAX_LOOKS: u32 = 500;

/// A process of this machine.
#[derive(Clone, Copy)]
pub(crate) struct Process(u32);

impl Process {
    pub(crate) fn of(pid: u32) -> Self {
        Self(pid)
    }

    pub(crate) fn this() -> Self {
        Self(std::process::id())
    }

    pub(crate) fn ask_to_end(self) {
        let pid = rustix::process::Pid::from_raw(self.0.cast_signed()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    }

    /// The one of that name whose command line names a path, once it is there.
    pub(crate) async fn named(name: &str, path: &Path) -> Self {
        let mut look = tokio::time::interval(LOOK_EVERY);
        for _ in 0..MAX_LOOKS {
            look.tick().await;
            if let Some(found) = Self::find(name, path) {
                return found;
            }
        }
        panic!("no {name} names {}", path.display());
    }

    fn find(name: &str, path: &Path) -> Option<Self> {
        let path = path.display().to_string();
        let is_it = |pid: &u32| {
            let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let command = String::from_utf8_lossy(&command).into_owned();
            let program = command.split('\0').next().unwrap_or_default();
            program.rsplit('/').next() == Some(name) && command.contains(&path)
        };
        let entries = fs::read_dir("/proc").unwrap().flatten();
        let mut pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.find(is_it).map(Self)
    }

    /// On all cores together, since it began: the kernel counts in 10 ms.
    pub(crate) fn cpu(self) -> Duration {
        const TICK_MS: u64 = 10;
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0)).unwrap();
        // The name, in parentheses, may hold anything; utime and stime are the
        // 14th and 15th of all.
        let (_, rest) = stat.rsplit_once(") ").unwrap();
        let ticks = rest.split(' ').skip(11).take(2);
        Duration::from_millis(
            ticks.map(|ticks| ticks.parse::<u64>().unwrap()).sum::<u64>() * TICK_MS,
        )
    }

    pub(crate) fn resident_mib(self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0)).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        let kib: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        kib / 1_024.0
    }
}

/// A socket in front of an Engine's that counts what is asked.
pub(crate) struct CountingSocket {
    path: PathBuf,
    counts: Arc<Counts>,
    serving: AbortHandle,
}

#[derive(Default)]
struct Counts {
    inspects: AtomicU64,
    others: AtomicU64,
}

impl CountingSocket {
    pub(crate) fn before(engine: PathBuf, path: PathBuf) -> Self {
        let listener = UnixListener::bind(&path).unwrap();
        let counts = Arc::new(Counts::default());
        let counted = Arc::clone(&counts);
        let serving = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (engine, counts) = (engine.clone(), Arc::clone(&counted));
                // Whoever goes away first, the connection is over.
                tokio::spawn(async move { pass(client, &engine, &counts).await });
            }
        });
        Self { path, counts, serving: serving.abort_handle() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Inspects, and all other questions.
    pub(crate) fn asked(&self) -> (u64, u64) {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (of(&self.counts.inspects), of(&self.counts.others))
    }
}

impl Drop for CountingSocket {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn pass(client: UnixStream, engine: &Path, counts: &Counts) -> io::Result<()> {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_engine, mut to_engine) = UnixStream::connect(engine).await?.into_split();
    let answers = tokio::spawn(async move { copy(&mut from_engine, &mut to_client).await });
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let read = from_client.read(&mut chunk).await?;
        if read == 0 {
            break;
        }
        for line in String::from_utf8_lossy(&chunk[..read]).lines() {
            if line.ends_with(" HTTP/1.1") {
                let is_inspect = line.contains("/containers/")
                    && line.contains("/json")
                    && !line.contains("/containers/json");
                let count = if is_inspect { &counts.inspects } else { &counts.others };
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
        to_engine.write_all(&chunk[..read]).await?;
    }
    answers.abort();
    Ok(())
}

/// As a checker does that asks the runtime about every container in turn: an
/// inspect of each within a round, evenly spread, for so long. How many.
pub(crate) async fn inspect_in_rounds(
    engine: &Path,
    ids: &[String],
    round: Duration,
    lasts: Duration,
) -> u64 {
    let mut tick = tokio::time::interval(round / u32::try_from(ids.len()).unwrap());
    let over = tokio::time::Instant::now() + lasts;
    let mut inspects = 0;
    for id in ids.iter().cycle() {
        tick.tick().await;
        if tokio::time::Instant::now() >= over {
            break;
        }
        inspect(engine, id).await;
        inspects += 1;
    }
    inspects
}

/// One question, answered.
pub(crate) async fn inspect(engine: &Path, id: &str) {
    let mut stream = UnixStream::connect(engine).await.unwrap();
    let question = format!("GET /containers/{id}/json HTTP/1.0\r\n\r\n");
    stream.write_all(question.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.0 200"), "{}", String::from_utf8_lossy(&answer));
}
