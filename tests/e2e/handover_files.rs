//! Whose the file of a Unix socket is while one gateway takes over from another, and what becomes of the two.

use std::os::fd::AsRawFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use portcullis_tests::{Folder, Gateway, Process, Raw, Upstream, eventually, gateway_binary};

const ANSWER: &str = "[[route]]\nmatch = '/'\nrespond = { body = 'hello' }\n";

/// A gateway at `app.sock` of this folder, from which another can take over.
fn configuration(folder: &Folder, more: &str) -> String {
    let path = folder.path().join("app.sock");
    format!(
        "version = 1\n[server]\nthreads = 2\nhandover = \"handover.sock\"\n{more}\n[[listener]]\nname = \"app\"\n\
         address = \"unix:{}\"\n{ANSWER}",
        path.display()
    )
}

/// An upstream that nobody knows to be well or not, so that a gateway is not ready for a while.
async fn undecided() -> (Upstream, String) {
    let upstream = Upstream::raw(async |_| std::future::pending().await).await;
    let settings = format!(
        "[upstream.undecided]\ntargets = [\"{upstream}\"]\nhealth = {{ path = \"/\", every = \"60s\", timeout = \"60s\" }}\n\
         [[route]]\nmatch = \"/undecided\"\nto = \"undecided\"\n"
    );
    (upstream, settings)
}

fn start(file: &Path) -> Process {
    let folder = file.parent().expect("a folder");
    Process::start(["run".as_ref(), "-c".as_ref(), file.as_os_str()], &[], folder)
}

async fn until_it_says(process: &Process, words: &str) {
    eventually(&format!("it says `{words}`"), async || {
        assert_eq!(process.exit_code(), None, "{}", process.stderr().join("\n"));
        process.stderr().iter().any(|line| line.contains(words))
    })
    .await;
}

async fn answers(path: &Path) -> bool {
    let Ok(socket) = tokio::net::UnixStream::connect(path).await else {
        return false;
    };
    let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    Raw::over_any(socket).answer_to(request).await.ends_with("hello")
}

fn socket_of(folder: &Folder) -> PathBuf {
    folder.path().join("app.sock")
}

#[tokio::test]
async fn the_last_gateway_removes_it_and_none_before() {
    let folder = Folder::new();
    let path = socket_of(&folder);
    let text = configuration(&folder, "");
    let first = Gateway::start_in(folder, text, &[]).await;

    let second = start(&first.file());
    until_it_says(&second, " ready").await;
    assert_eq!(first.exited().await, 0);
    assert!(answers(&path).await);
    let third = start(&first.file());
    until_it_says(&third, " ready").await;
    assert_eq!(second.exited().await, 0);
    assert!(answers(&path).await);

    third.signal("TERM");
    assert_eq!(third.exited().await, 0);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_successor_that_fails_leaves_it() {
    let folder = Folder::new();
    let path = socket_of(&folder);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("an address");
    let bad = folder.write(
        "bad.toml",
        configuration(
            &folder,
            &format!("[[listener]]\nname = 'second'\naddress = '{address}'\n"),
        ),
    );
    let text = configuration(&folder, "");
    let gateway = Gateway::start_in(folder, text, &[]).await;

    let second = start(&bad);

    assert_eq!(second.exited().await, 3);
    assert!(second.stderr().join("\n").contains("cannot be listened on"));
    assert!(answers(&path).await);
    assert_eq!(gateway.stop().await, 0);
    assert!(!path.exists());
}

#[tokio::test]
async fn who_is_told_to_stop_while_another_takes_over_leaves_it_to_the_other() {
    let folder = Folder::new();
    let path = socket_of(&folder);
    let (_upstream, settings) = undecided().await;
    let slow = folder.write("slow.toml", configuration(&folder, &settings));
    let text = configuration(&folder, "");
    let gateway = Gateway::start_in(folder, text, &[]).await;
    let second = start(&slow);
    until_it_says(&second, "listening on").await;

    assert_eq!(gateway.stop().await, 0);

    assert!(answers(&path).await, "the second one has it");
    until_it_says(&second, " ready").await;
    assert!(answers(&path).await);
    second.signal("TERM");
    assert_eq!(second.exited().await, 0);
    assert!(!path.exists());
}

#[tokio::test]
async fn of_two_gateways_one_stays_when_the_other_was_not_ready_in_time() {
    let folder = Folder::new();
    let path = socket_of(&folder);
    let (_upstream, settings) = undecided().await;
    let slow = folder.write("slow.toml", configuration(&folder, &settings));
    let text = configuration(&folder, "[server.timeouts]\nhandover = \"100ms\"\n");
    let gateway = Gateway::start_in(folder, text, &[]).await;

    let second = start(&slow);

    assert_eq!(second.exited().await, 3);
    let said = second.stderr().join("\n");
    assert!(said.contains("has stopped waiting for this one"), "{said}");
    assert!(gateway.runs() && answers(&path).await);
    // And the next one may try.
    let third = start(&gateway.file());
    until_it_says(&third, " ready").await;
    assert_eq!(gateway.exited().await, 0);
}

#[tokio::test]
async fn what_systemd_has_opened_no_gateway_removes() {
    let folder = Folder::new();
    let path = socket_of(&folder);
    let file = folder.write("portcullis.toml", configuration(&folder, ""));
    let socket = UnixListener::bind(&path).expect("a socket");
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::empty()).expect("a descriptor to be inherited");
    let script = format!(
        "exec 3<&{}; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" run -c \"$1\"",
        socket.as_raw_fd()
    );
    let mut first = Command::new("bash")
        .args(["-c", &script])
        .arg(gateway_binary())
        .arg(&file)
        .current_dir(folder.path())
        .env("PORTCULLIS_WASM_CACHE", folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("bash");
    eventually("it can be followed", async || {
        folder.path().join("handover.sock").exists()
    })
    .await;

    let second = start(&file);
    until_it_says(&second, " ready").await;
    assert!(first.wait().expect("it has ended").success());
    assert!(answers(&path).await);
    second.signal("TERM");

    assert_eq!(second.exited().await, 0);
    assert!(path.exists());
}
