//! What children print, copied line by line to the host's own log.
//!
//! Children write to files, so that they neither die nor stall when the host
//! does. One watch on the folder tells which files grew, however many there are.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom},
    mem::MaybeUninit,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::Stdio,
};

use reprieve_core::ids::WorkspaceId;
use rustix::fs::inotify;
use tokio::io::unix::AsyncFd;
use tokio_util::task::AbortOnDropHandle;

use super::{super::kernel::readable_fd, spec::Output};

/// A longer line is cut into pieces of this size.
const MAX_LINE_BYTES: usize = 8 * 1024;
/// A file that was copied this far is emptied. What is printed between the last
/// read and the emptying is lost: a handful of lines in so many megabytes.
const MAX_FILE_BYTES: u64 = 16 * 1024 * 1024;
const READ_BYTES: u64 = 64 * 1024;
const EVENT_BYTES: usize = 4096;

/// Where a child shall print.
pub(super) fn open(
    output: &Output,
    log_dir: &Path,
    workspace: &WorkspaceId,
) -> io::Result<(Stdio, Stdio)> {
    let path = match output {
        Output::Inherit => return Ok((Stdio::inherit(), Stdio::inherit())),
        Output::HostLog => log_dir.join(format!("{workspace}.log")),
        Output::File(path) => path.clone(),
    };
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    Ok((file.try_clone()?.into(), file.into()))
}

/// Copies until it is dropped. Only lines printed from now on.
pub(super) fn follow(log_dir: PathBuf) -> io::Result<AbortOnDropHandle<()>> {
    let watch = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
    inotify::add_watch(&watch, &log_dir, inotify::WatchFlags::MODIFY)?;
    let watch = readable_fd(watch)?;
    let mut tails = Tails::at_the_end(log_dir)?;
    Ok(AbortOnDropHandle::new(tokio::spawn(async move {
        while let Ok(grown) = grown(&watch).await {
            let copied = tokio::task::spawn_blocking(move || {
                tails.copy(&grown);
                tails
            });
            match copied.await {
                Ok(back) => tails = back,
                Err(_) => return,
            }
        }
    })))
}

/// Which files grew. Empty: the kernel lost count, look at all.
async fn grown(watch: &AsyncFd<OwnedFd>) -> io::Result<BTreeSet<String>> {
    loop {
        let mut ready = watch.readable().await?;
        let mut names = BTreeSet::new();
        let mut buffer = [MaybeUninit::uninit(); EVENT_BYTES];
        let mut reader = inotify::Reader::new(watch.get_ref(), &mut buffer);
        let lost_count = loop {
            match reader.next() {
                Ok(event) if event.events().contains(inotify::ReadFlags::QUEUE_OVERFLOW) => {
                    break true;
                }
                Ok(event) => {
                    let name = event.file_name().and_then(|name| name.to_str().ok());
                    names.extend(name.map(str::to_owned));
                }
                Err(_) => break false,
            }
        };
        if lost_count {
            return Ok(BTreeSet::new());
        }
        ready.clear_ready();
        if !names.is_empty() {
            return Ok(names);
        }
    }
}

/// How far each file was copied.
#[derive(Debug)]
struct Tails {
    dir: PathBuf,
    tails: BTreeMap<String, Tail>,
}

#[derive(Debug, Default)]
struct Tail {
    offset: u64,
    /// Printed, and not yet ended by a line feed.
    rest: Vec<u8>,
}

impl Tails {
    fn at_the_end(dir: PathBuf) -> io::Result<Self> {
        let mut tails = BTreeMap::new();
        for entry in fs::read_dir(&dir)? {
            let entry = entry?;
            let tail = Tail { offset: entry.metadata()?.len(), rest: Vec::new() };
            tails.insert(entry.file_name().to_string_lossy().into_owned(), tail);
        }
        Ok(Self { dir, tails })
    }

    fn copy(&mut self, grown: &BTreeSet<String>) {
        let all: Vec<String> = if grown.is_empty() {
            self.tails.keys().cloned().collect()
        } else {
            grown.iter().cloned().collect()
        };
        for name in all {
            let Some(workspace) = name.strip_suffix(".log") else { continue };
            let workspace = workspace.to_owned();
            let path = self.dir.join(&name);
            let tail = self.tails.entry(name).or_default();
            let copied = tail.copy(&path, &mut |line| {
                tracing::info!(target: "reprieve::output", workspace, "{line}");
            });
            if let Err(error) = copied {
                tracing::debug!(workspace, %error, "cannot read a workspace's output");
            }
        }
    }
}

impl Tail {
    fn copy(&mut self, path: &Path, print: &mut dyn FnMut(&str)) -> io::Result<()> {
        let mut file = OpenOptions::new().read(true).write(true).open(path)?;
        if file.metadata()?.len() < self.offset {
            // Somebody emptied it.
            self.offset = 0;
        }
        file.seek(SeekFrom::Start(self.offset))?;
        while self.offset < MAX_FILE_BYTES && self.copy_some(&file, print)? {}
        if self.offset >= MAX_FILE_BYTES {
            file.set_len(0)?;
            self.offset = 0;
        }
        Ok(())
    }

    /// False: there is no more.
    fn copy_some(&mut self, file: &File, print: &mut dyn FnMut(&str)) -> io::Result<bool> {
        let read = file.take(READ_BYTES).read_to_end(&mut self.rest)?;
        self.offset += read as u64;
        let mut printed = 0;
        while let Some((line, taken)) = first_line(&self.rest[printed..]) {
            print(&String::from_utf8_lossy(line));
            printed += taken;
        }
        self.rest.drain(..printed);
        Ok(read > 0)
    }
}

/// The first line, and how many bytes it took with its end.
fn first_line(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let window = &bytes[..bytes.len().min(MAX_LINE_BYTES)];
    match window.iter().position(|byte| *byte == b'\n') {
        Some(end) => Some((window[..end].strip_suffix(b"\r").unwrap_or(&window[..end]), end + 1)),
        None if window.len() == MAX_LINE_BYTES => Some((window, MAX_LINE_BYTES)),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn lines_are_copied_whole_and_long_ones_in_pieces() -> io::Result<()> {
        let long = "x".repeat(MAX_LINE_BYTES + 3);
        for (case, printed, expected) in [
            ("two writes, one line", vec!["he", "llo\n"], vec!["hello".to_owned()]),
            ("two lines", vec!["a\nb\r\nc"], vec!["a".to_owned(), "b".to_owned()]),
            ("empty line", vec!["\n"], vec![String::new()]),
            (
                "long line",
                vec![long.as_str(), "\n"],
                vec!["x".repeat(MAX_LINE_BYTES), "xxx".to_owned()],
            ),
        ] {
            let dir = tempfile::tempdir()?;
            let path = dir.path().join("ws.log");
            let mut child = OpenOptions::new().create(true).append(true).open(&path)?;
            let (mut tail, mut lines) = (Tail::default(), Vec::new());
            for piece in printed {
                child.write_all(piece.as_bytes())?;
                tail.copy(&path, &mut |line| lines.push(line.to_owned()))?;
            }
            assert_eq!(lines, expected, "{case}");
        }
        Ok(())
    }

    #[test]
    fn a_file_that_grew_large_is_emptied_and_followed_on() -> io::Result<()> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("ws.log");
        let mut child = OpenOptions::new().create(true).append(true).open(&path)?;
        let (mut tail, mut lines) = (Tail::default(), 0_u64);
        let line = format!("{}\n", "y".repeat(1023));
        for _ in 0..MAX_FILE_BYTES / 1024 {
            child.write_all(line.as_bytes())?;
        }
        tail.copy(&path, &mut |_| lines += 1)?;
        assert_eq!(fs::metadata(&path)?.len(), 0);
        child.write_all(b"after\n")?;
        tail.copy(&path, &mut |_| lines += 1)?;
        assert_eq!(lines, MAX_FILE_BYTES / 1024 + 1);
        Ok(())
    }
}
