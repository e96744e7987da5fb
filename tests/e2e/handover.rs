//! A new gateway takes the place of one that runs, and no client is refused or cut off.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use portcullis_tests::{Folder, Gateway, Process, Request, Upstream, eventually, free_address, gateway_binary};
use tokio::sync::Semaphore;

/// A configuration at these addresses, from which another gateway can take over.
fn configuration(address: SocketAddr, admin: SocketAddr, upstream: &Upstream) -> String {
    format!(
        r#"
        [server]
        listen = ["{address}"]
        admin = "{admin}"
        threads = 2
        handover = "handover.sock"
        [upstream.service]
        targets = ["{upstream}"]
        [[route]]
        match = "/{{rest...}}"
        to = "service"
        "#
    )
}

/// Starts a second gateway with the same file and waits until it serves.
async fn follow(gateway: &Gateway) -> Process {
    let file = gateway.file();
    let successor = Process::start(
        ["run".as_ref(), "-c".as_ref(), file.as_os_str()],
        &[],
        gateway.folder().path(),
    );
    eventually("the second gateway is ready", async || {
        assert_eq!(successor.exit_code(), None, "{}", successor.stderr().join("\n"));
        successor.stderr().iter().any(|line| line.ends_with(" ready"))
    })
    .await;
    successor
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_gateway_takes_over_under_load_and_nobody_is_refused() {
    let upstream = Upstream::answering("hello").await;
    let (address, admin) = (free_address(), free_address());
    let gateway = Gateway::start(configuration(address, admin, &upstream)).await;
    let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut clients = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (stop, answered) = (stop.clone(), answered.clone());
        // A new connection for each request: those that wait to be accepted are what a handover could lose.
        clients.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let response = Request::to(address, "GET", "/").try_send().await.expect("an answer");
                assert_eq!(response.text(), "hello");
                answered.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let some_more = async || {
        let before = answered.load(Ordering::Relaxed);
        eventually("the clients go on", async || {
            answered.load(Ordering::Relaxed) > before + 200
        })
        .await;
    };
    some_more().await;

    let second = follow(&gateway).await;
    assert_eq!(gateway.exited().await, 0, "the first one has ended well");
    some_more().await;
    // And from the second one to a third.
    let third = follow(&gateway).await;
    assert_eq!(second.exited().await, 0);
    some_more().await;

    stop.store(true, Ordering::Relaxed);
    while let Some(ended) = clients.join_next().await {
        ended.expect("no client was refused or cut off");
    }
    assert_eq!(third.exit_code(), None);
}

#[tokio::test]
async fn what_is_under_way_ends_where_it_began() {
    let release = Arc::new(Semaphore::new(0));
    let released = release.clone();
    let upstream = Upstream::with(move |_| {
        let released = released.clone();
        async move {
            released.acquire().await.expect("a semaphore").forget();
            http::Response::new(portcullis_tests::full("slow"))
        }
    })
    .await;
    let (address, admin) = (free_address(), free_address());
    let gateway = Gateway::start(configuration(address, admin, &upstream)).await;
    let slow = tokio::spawn(Request::to(address, "GET", "/").send());
    eventually("the request is under way", async || upstream.in_flight() == 1).await;

    let _second = follow(&gateway).await;

    // Whoever asks the admin address hears of the new one, though the old one is still at work.
    assert!(gateway.runs());
    for _ in 0..10 {
        assert_eq!(Request::to(admin, "GET", "/ready").send().await.status(), 200);
    }
    release.add_permits(1);
    assert_eq!(slow.await.expect("no panic").text(), "slow");
    assert_eq!(gateway.exited().await, 0);
}

#[tokio::test]
async fn a_successor_with_a_bad_configuration_leaves_things_as_they_are() {
    let upstream = Upstream::answering("hello").await;
    let (address, admin) = (free_address(), free_address());
    let gateway = Gateway::start(configuration(address, admin, &upstream)).await;
    let bad = gateway.folder().write("bad.toml", "version = 1\n");

    let second = Process::start(
        ["run".as_ref(), "-c".as_ref(), bad.as_os_str()],
        &[],
        gateway.folder().path(),
    );

    assert_eq!(second.exited().await, 1);
    assert_eq!(gateway.get("/").await.text(), "hello");
    let third = follow(&gateway).await;
    assert_eq!((gateway.exited().await, third.exit_code()), (0, None));
}

#[tokio::test]
async fn a_gateway_that_is_told_to_stop_closes_its_sockets_and_the_next_one_starts_afresh() {
    let upstream = Upstream::answering("hello").await;
    let (address, admin) = (free_address(), free_address());
    let gateway = Gateway::start(configuration(address, admin, &upstream)).await;
    assert_eq!(gateway.stop().await, 0);
    assert!(Request::to(address, "GET", "/").try_send().await.is_err());

    let _second = follow(&gateway).await;

    assert_eq!(Request::to(address, "GET", "/").send().await.text(), "hello");
}

#[tokio::test]
async fn sockets_that_systemd_opened_are_used() {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = socket.local_addr().expect("an address");
    let folder = Folder::new();
    let file = folder.write(
        "portcullis.toml",
        format!(
            "version = 1\n[server]\nlisten = ['{address}']\nthreads = 2\n\
             [[route]]\nmatch = '/'\nrespond = {{ body = 'hello' }}\n"
        ),
    );
    // A client that knocks before there is a process waits in the queue.
    let early = tokio::spawn(Request::to(address, "GET", "/").send());
    rustix::io::fcntl_setfd(&socket, rustix::io::FdFlags::empty()).expect("a descriptor to be inherited");
    // As systemd does it (sd_listen_fds(3)): the sockets from descriptor 3 on, and who they are for.
    let script = format!(
        "exec 3<&{}; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" run -c \"$1\"",
        socket.as_raw_fd()
    );
    let mut child = Command::new("bash")
        .args(["-c", &script])
        .arg(gateway_binary())
        .arg(&file)
        .env("PORTCULLIS_WASM_CACHE", folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("bash");

    assert_eq!(early.await.expect("no panic").text(), "hello");
    assert_eq!(Request::to(address, "GET", "/").send().await.text(), "hello");
    child.kill().expect("it runs");
    child.wait().expect("it has ended");
}
