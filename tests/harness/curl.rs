//! curl, as people use it.

use std::process::Stdio;

use tokio::process::Command;

use crate::within;

/// What curl said.
#[derive(Debug)]
pub struct Curled {
    /// curl's own exit code: 0 where there was an answer.
    pub code: i32,
    /// Heads and body of all that was answered.
    pub text: String,
    /// What curl complained of.
    pub complaint: String,
}

/// Runs `curl --silent --show-error --include` with these arguments, and nothing of the user's configuration.
///
/// ```no_run
/// # async fn test() {
/// let answer = portcullis_tests::curl(&["--insecure", "https://localhost:8443/"]).await;
/// assert_eq!(answer.code, 0, "{answer:?}");
/// # }
/// ```
pub async fn curl(arguments: &[&str]) -> Curled {
    let ran = Command::new("curl")
        .args(["--disable", "--silent", "--show-error", "--include", "--noproxy", "*"])
        .args(arguments)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = within("curl ends", ran).await.expect("curl runs");
    Curled {
        code: output.status.code().unwrap_or(-1),
        text: String::from_utf8_lossy(&output.stdout).into_owned(),
        complaint: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}
