//! A child process whose output is collected line by line.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::command::{gateway_binary, target_folder};
use crate::eventually;

type Lines = Arc<Mutex<Vec<String>>>;

/// A running `portcullis`, or another program. Killed when dropped.
#[derive(Debug)]
pub struct Process {
    child: Mutex<Child>,
    stdout: Lines,
    stderr: Lines,
}

impl Process {
    /// Starts `portcullis` with these arguments.
    pub fn start(
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
        environment: &[(&str, &str)],
        folder: &Path,
    ) -> Self {
        let mut command = Command::new(gateway_binary());
        command.args(arguments);
        Process::gateway(command, environment, folder)
    }

    /// The same from a shell whose soft limit of open files is this one.
    pub fn start_with_descriptors(
        descriptors: u64,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
        folder: &Path,
    ) -> Self {
        let mut command = Command::new("sh");
        command
            .args(["-c", &format!("ulimit -Sn {descriptors}; exec \"$0\" \"$@\"")])
            .arg(gateway_binary())
            .args(arguments);
        Process::gateway(command, &[], folder)
    }

    fn gateway(mut command: Command, environment: &[(&str, &str)], folder: &Path) -> Self {
        command
            .env("PORTCULLIS_WASM_CACHE", target_folder().join("portcullis-test-cache"))
            .env("NO_COLOR", "1")
            .envs(environment.iter().copied())
            .current_dir(folder);
        Process::of(command)
    }

    /// Opens a page in a browser without a window. Its profile goes into this folder.
    pub fn browser(page: &str, profile: &Path) -> Self {
        Self::browser_with(&[], page, profile)
    }

    /// The same, with more arguments.
    pub fn browser_with(arguments: &[String], page: &str, profile: &Path) -> Self {
        let mut command = Command::new("chromium");
        command
            // Tests may run as root, for whom it has no sandbox.
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--no-first-run",
                "--disable-dev-shm-usage",
            ])
            .arg(format!("--user-data-dir={}", profile.display()))
            .arg("--remote-debugging-port=0")
            .args(arguments)
            .arg(page)
            .env("HOME", profile);
        Process::of(command)
    }

    /// Starts curl with these arguments, and with no settings of its user's.
    pub fn curl(arguments: &[&str]) -> Self {
        let mut command = Command::new("curl");
        command
            .arg("-q")
            .args(arguments)
            .env_remove("http_proxy")
            .env_remove("ALL_PROXY");
        Process::of(command)
    }

    /// Starts any program.
    pub(crate) fn of(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let stdout = collect(child.stdout.take().expect("a pipe"));
        let stderr = collect(child.stderr.take().expect("a pipe"));
        Process {
            child: Mutex::new(child),
            stdout,
            stderr,
        }
    }

    /// The lines written to standard output so far.
    pub fn stdout(&self) -> Vec<String> {
        self.stdout.lock().expect("lines").clone()
    }

    /// The lines written to standard error so far.
    pub fn stderr(&self) -> Vec<String> {
        self.stderr.lock().expect("lines").clone()
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.lock().expect("the child").id()
    }

    /// Sends a signal by its name: `TERM`, `HUP`, `INT`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("sh")
            .args(["-c", &format!("kill -{name} {}", self.id())])
            .status();
        assert!(sent.is_ok_and(|status| status.success()), "SIG{name} was not sent");
    }

    /// The exit code, or `None` while it runs. A process that a signal ended has the code -1.
    pub fn exit_code(&self) -> Option<i32> {
        let status = self.child.lock().expect("the child").try_wait().expect("its state")?;
        Some(status.code().unwrap_or(-1))
    }

    /// Waits for its end, and for its last words, and gives the exit code.
    pub async fn exited(&self) -> i32 {
        // Each thread that reads a pipe holds its lines until the pipe ends.
        let read = |lines: &Lines| Arc::strong_count(lines) == 1;
        eventually("the process ends", async || {
            self.exit_code().is_some() && read(&self.stdout) && read(&self.stderr)
        })
        .await;
        self.exit_code().expect("it has ended")
    }

    /// Resident memory in KiB.
    pub fn rss_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).expect("a running process");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
        line.split_whitespace()
            .nth(1)
            .and_then(|kib| kib.parse().ok())
            .expect("a figure in kB")
    }

    /// CPU time taken so far, in user mode and in the kernel.
    pub fn cpu_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id())).expect("a running process");
        // The name, in brackets, may hold anything; user and system time are the twelfth and thirteenth after it.
        let (_, fields) = stat.rsplit_once(") ").expect("a name");
        let ticks = fields
            .split(' ')
            .skip(11)
            .take(2)
            .map(|ticks| ticks.parse::<u64>().expect("a figure"));
        // The kernel counts in hundredths of a second, whatever its own clock does.
        Duration::from_millis(ticks.sum::<u64>() * 10)
    }

    /// Open file descriptors.
    pub fn fds(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.id()))
            .expect("a running process")
            .count()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let mut child = self.child.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        // Both fail only where the process has ended already.
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn collect(pipe: impl Read + Send + 'static) -> Lines {
    let lines = Lines::default();
    let collected = lines.clone();
    std::thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut line = Vec::new();
        while pipe.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
            let text = String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']).to_owned();
            collected.lock().expect("lines").push(text);
            line.clear();
        }
    });
    lines
}
