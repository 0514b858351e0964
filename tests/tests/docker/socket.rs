//! A socket between the backend and the daemon that lies on demand, or at random
//! by a seed.

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{UnixListener, UnixStream},
};

/// More than any question of the backend is long.
const MAX_QUESTION_BYTES: usize = 64 * 1024;
/// More than a list of the tests' containers is long.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lie {
    /// Closes before the daemon has heard anything.
    Cut,
    /// Closes once the daemon has heard it.
    CutAfterQuestion,
    /// The daemon hears nothing, and nobody answers.
    Stall,
    /// The daemon hears it, and nobody answers.
    Swallow,
    /// Half an answer, then the end.
    Half,
    /// Half an answer, then nothing.
    SlowBody,
    /// Some bytes of the answer are others.
    Garble,
    /// The daemon hears it, and what answers is no HTTP.
    NoHttp,
    Broken500,
    Overloaded503,
    /// Whoever answers knows nothing of containers.
    Wrong404,
    /// The very words of the daemon, about a container that is there.
    Convincing404,
}

const ALL: [Lie; 12] = [
    Lie::Cut,
    Lie::CutAfterQuestion,
    Lie::Stall,
    Lie::Swallow,
    Lie::Half,
    Lie::SlowBody,
    Lie::Garble,
    Lie::NoHttp,
    Lie::Broken500,
    Lie::Overloaded503,
    Lie::Wrong404,
    Lie::Convincing404,
];

enum Honesty {
    Honest,
    /// About questions whose path holds this.
    About(&'static str, Lie),
    /// So many of a hundred questions.
    AtRandom(Box<StdRng>, u32),
}

pub(crate) struct LyingSocket {
    dir: tempfile::TempDir,
    honesty: Arc<Mutex<Honesty>>,
    open: Arc<AtomicUsize>,
    told: Arc<AtomicUsize>,
    asked: Arc<AtomicUsize>,
    serving: tokio::task::AbortHandle,
}

impl LyingSocket {
    pub(crate) fn before(daemon: PathBuf) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("docker.sock")).unwrap();
        let honesty = Arc::new(Mutex::new(Honesty::Honest));
        let (open, told) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let asked = Arc::new(AtomicUsize::new(0));
        let counted =
            (Arc::clone(&honesty), Arc::clone(&open), Arc::clone(&told), Arc::clone(&asked));
        let serving = tokio::spawn(async move {
            let (honesty, open, told, asked) = counted;
            while let Ok((client, _)) = listener.accept().await {
                let (honesty, open, told, daemon) =
                    (Arc::clone(&honesty), Arc::clone(&open), Arc::clone(&told), daemon.clone());
                open.fetch_add(1, Ordering::SeqCst);
                asked.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(async move {
                    // Whoever goes away first, the connection is over.
                    let _ = converse(client, &daemon, &honesty, &told).await;
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { dir, honesty, open, told, asked, serving: serving.abort_handle() }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("docker.sock")
    }

    pub(crate) fn lie_about(&self, path: &'static str, lie: Lie) {
        *self.honesty.lock() = Honesty::About(path, lie);
    }

    pub(crate) fn lie_at_random(&self, seed: u64, percent: u32) {
        *self.honesty.lock() = Honesty::AtRandom(Box::new(StdRng::seed_from_u64(seed)), percent);
    }

    pub(crate) fn be_honest(&self) {
        *self.honesty.lock() = Honesty::Honest;
    }

    /// Connections that neither side has closed.
    pub(crate) fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    /// So far: the client makes a connection for each.
    pub(crate) fn questions(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    pub(crate) fn lies_told(&self) -> usize {
        self.told.load(Ordering::SeqCst)
    }
}

impl Drop for LyingSocket {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn converse(
    mut client: UnixStream,
    daemon: &PathBuf,
    honesty: &Mutex<Honesty>,
    told: &AtomicUsize,
) -> io::Result<()> {
    let question = question(&mut client).await?;
    let (lie, noise) = match &mut *honesty.lock() {
        Honesty::Honest => (None, 0),
        Honesty::About(path, lie) => (is_about(&question, path).then_some(*lie), 0),
        Honesty::AtRandom(random, percent) => {
            let lies = random.random_range(0..100) < *percent;
            (ALL.choose(random).copied().filter(|_| lies), random.random())
        }
    };
    let Some(lie) = lie else {
        let mut daemon = UnixStream::connect(daemon).await?;
        daemon.write_all(&question).await?;
        copy_bidirectional(&mut client, &mut daemon).await?;
        return Ok(());
    };
    told.fetch_add(1, Ordering::SeqCst);
    let heard = match lie {
        Lie::CutAfterQuestion | Lie::Swallow | Lie::NoHttp => {
            let mut daemon = UnixStream::connect(daemon).await?;
            daemon.write_all(&question).await?;
            Some(daemon)
        }
        _ => None,
    };
    let said: Vec<u8> = match lie {
        Lie::Cut | Lie::CutAfterQuestion | Lie::Stall | Lie::Swallow => vec![],
        Lie::NoHttp => b"220 mail.example.com ESMTP\r\n".to_vec(),
        Lie::Broken500 => text("500 Internal Server Error", r#"{"message":"No such container"}"#),
        Lie::Overloaded503 => text("503 Service Unavailable", ""),
        Lie::Wrong404 => text("404 Not Found", "404 page not found"),
        Lie::Convincing404 => text("404 Not Found", r#"{"message":"No such container: x"}"#),
        Lie::Half | Lie::SlowBody | Lie::Garble => twisted(daemon, &question, lie, noise).await?,
    };
    client.write_all(&said).await?;
    if matches!(lie, Lie::Stall | Lie::Swallow | Lie::SlowBody) {
        // Until the client has had enough.
        let _ = client.read_u8().await;
    }
    drop(heard);
    Ok(())
}

/// The answer of the daemon, and what becomes of it.
async fn twisted(daemon: &PathBuf, question: &[u8], lie: Lie, noise: u64) -> io::Result<Vec<u8>> {
    let mut daemon = UnixStream::connect(daemon).await?;
    // Without this the daemon would wait for another question.
    let question =
        String::from_utf8_lossy(question).replacen("\r\n", "\r\nConnection: close\r\n", 1);
    daemon.write_all(question.as_bytes()).await?;
    let mut answer = vec![0; MAX_ANSWER_BYTES];
    // One read for the stream of events, which does not end.
    let mut length = daemon.read(&mut answer).await?;
    if !question.contains("/events") {
        while let read @ 1.. = daemon.read(&mut answer[length..]).await? {
            length += read;
        }
    }
    answer.truncate(length);
    let mut random = StdRng::seed_from_u64(noise);
    match lie {
        Lie::Garble if !answer.is_empty() => {
            for _ in 0..random.random_range(1..=3) {
                let at = random.random_range(0..answer.len());
                answer[at] = random.random();
            }
        }
        _ => answer.truncate(random.random_range(0..=length / 2 + 1).min(length)),
    }
    Ok(answer)
}

async fn question(client: &mut UnixStream) -> io::Result<Vec<u8>> {
    let mut question = Vec::new();
    while !question.ends_with(b"\r\n\r\n") && question.len() < MAX_QUESTION_BYTES {
        question.push(client.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&question).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.and_then(|length| length.parse().ok()).unwrap_or_default()];
    client.read_exact(&mut body).await?;
    question.extend(body);
    Ok(question)
}

fn is_about(question: &[u8], path: &str) -> bool {
    String::from_utf8_lossy(question).lines().next().is_some_and(|line| line.contains(path))
}

fn text(status: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}
