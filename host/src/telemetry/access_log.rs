//! One line of JSON for each exchange, written by a thread of its own.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::net::IpAddr;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::SystemTime;

use serde::Serialize;

use super::counter::Counter;
use super::metrics::{ACCESS_LOG_DROPPED, Metrics};
use crate::config::resolved;

/// One exchange, as the log tells it.
#[derive(Debug, Serialize)]
pub(crate) struct Line<'a> {
    /// RFC 3339, UTC, milliseconds.
    pub(crate) time: String,
    pub(crate) id: String,
    pub(crate) client: IpAddr,
    pub(crate) method: &'a str,
    pub(crate) host: &'a str,
    pub(crate) path: &'a str,
    pub(crate) route: &'a str,
    pub(crate) status: u16,
    pub(crate) outcome: &'a str,
    pub(crate) duration_us: u64,
    pub(crate) request_bytes: u64,
    pub(crate) response_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) upstream: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) target: Option<&'a str>,
    /// How often a target was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) attempts: Option<u32>,
    pub(crate) protocol: &'static str,
    /// What filters noted.
    #[serde(skip_serializing_if = "Notes::is_empty")]
    pub(crate) notes: Notes<'a>,
}

/// Notes as a JSON object.
#[derive(Debug)]
pub(crate) struct Notes<'a>(pub(crate) &'a [(String, String)]);

impl Notes<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Notes<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// One thread's way to the log. Never waits: a line that finds the queue full is counted and dropped.
#[derive(Debug, Clone)]
pub(crate) struct AccessLog {
    queue: Option<SyncSender<Vec<u8>>>,
    dropped: Counter,
}

/// Keeps the writer; when the last handle to the queue is gone, all lines are written.
#[derive(Debug)]
pub(crate) struct Writer {
    queue: Option<SyncSender<Vec<u8>>>,
    thread: Option<thread::JoinHandle<()>>,
}

/// Lines that may wait.
const QUEUE: usize = 8192;

impl Writer {
    /// Starts the writer, unless the log is off.
    ///
    /// # Errors
    ///
    /// The log file cannot be opened.
    pub(crate) fn start(to: &resolved::AccessLog) -> io::Result<Writer> {
        let out: Box<dyn Write + Send> = match to {
            resolved::AccessLog::Off => {
                return Ok(Writer {
                    queue: None,
                    thread: None,
                });
            }
            resolved::AccessLog::Stdout => Box::new(io::stdout()),
            resolved::AccessLog::Stderr => Box::new(io::stderr()),
            resolved::AccessLog::File(path) => Box::new(OpenOptions::new().create(true).append(true).open(path)?),
        };
        let (queue, lines) = sync_channel(QUEUE);
        let thread = thread::Builder::new()
            .name("access-log".into())
            .spawn(move || write(out, &lines))?;
        Ok(Writer {
            queue: Some(queue),
            thread: Some(thread),
        })
    }

    /// A way to the log for one thread.
    pub(crate) fn handle(&self, metrics: &Metrics, thread: usize) -> AccessLog {
        AccessLog {
            queue: self.queue.clone(),
            dropped: metrics.counter(thread, ACCESS_LOG_DROPPED, Vec::new()),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn write(out: Box<dyn Write + Send>, lines: &Receiver<Vec<u8>>) {
    let mut out = io::BufWriter::with_capacity(64 << 10, out);
    while let Ok(line) = lines.recv() {
        let mut written = out.write_all(&line);
        while let Ok(line) = lines.try_recv() {
            written = written.and_then(|()| out.write_all(&line));
        }
        if let Err(error) = written.and_then(|()| out.flush()) {
            tracing::error!(%error, "the access log cannot be written");
        }
    }
}

impl AccessLog {
    /// Whether lines are wanted at all.
    pub(crate) fn is_on(&self) -> bool {
        self.queue.is_some()
    }

    pub(crate) fn write(&self, line: &Line<'_>) {
        let Some(queue) = &self.queue else { return };
        let mut text = Vec::with_capacity(384);
        if serde_json::to_writer(&mut text, line).is_ok() {
            text.push(b'\n');
            if queue.try_send(text).is_err() {
                self.dropped.add(1);
            }
        }
    }
}

/// Now, in the form of the log.
pub(crate) fn timestamp() -> String {
    humantime::format_rfc3339_millis(SystemTime::now()).to_string()
}
