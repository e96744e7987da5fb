//! What connections cost on which nothing happens: opens thousands, sends one request on each, and reads the gateway's
//! resident memory before, while they are idle, and when they have been closed. Each must still serve a request after it.
//!
//! ```sh
//! cargo bench -p portcullis-tests --bench idle                      # 10,000, plain HTTP/1.1
//! cargo bench -p portcullis-tests --bench idle -- --tls --http2
//! cargo bench -p portcullis-tests --bench idle -- --connections 40000
//! ```

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use portcullis_tests::{Authority, Connection, Folder, Gateway, TlsClient, Upstream, write_pair};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::TcpSocket;
use tokio::time::sleep;

/// Resident memory at most, with 10,000 connections of HTTP/1.1 open. More of them may take as much more.
const MOST_MIB: usize = 200;
/// Connections that are opened, or asked, at once.
const AT_ONCE: usize = 64;
/// Connections from one address: there are 28,000 ports for them.
const FROM_ONE: usize = 20_000;

struct Wanted {
    connections: usize,
    tls: bool,
    http2: bool,
}

fn main() -> ExitCode {
    let Some(wanted) = wanted(std::env::args().skip(1)) else {
        eprintln!("usage: idle [--connections N] [--tls] [--http2]");
        return ExitCode::from(2);
    };
    if let Err(why) = raise_descriptors(wanted.connections) {
        eprintln!("{why}");
        return ExitCode::from(3);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    if runtime.block_on(measure(&wanted)) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// `cargo bench` passes `--bench`; `cargo test` does not, and only wants to see that it runs.
fn wanted(mut arguments: impl Iterator<Item = String>) -> Option<Wanted> {
    let mut wanted = Wanted {
        connections: 200,
        tls: false,
        http2: false,
    };
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--bench" => wanted.connections = 10_000,
            "--test" => {}
            "--connections" => wanted.connections = arguments.next()?.parse().ok()?,
            "--tls" => wanted.tls = true,
            "--http2" => wanted.http2 = true,
            _ => return None,
        }
    }
    Some(wanted)
}

/// Takes as many descriptors as the system gives, for this process and those that it starts.
fn raise_descriptors(connections: usize) -> Result<(), String> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Nofile, raised).map_err(|error| error.to_string())?;
    // Besides the connections: what a program has open anyway.
    let needed = connections as u64 + 500;
    match limit.maximum {
        Some(most) if most < needed => Err(format!(
            "{connections} connections take {needed} descriptors, and `ulimit -Hn` is {most}"
        )),
        _ => Ok(()),
    }
}

async fn measure(wanted: &Wanted) -> bool {
    let upstream = Upstream::answering("hello").await;
    let (folder, authority) = (Folder::new(), Authority::new());
    write_pair(&folder, "a", &authority.issue(&["localhost"]));
    let tls = match wanted.tls {
        true => "tls = { certificates = { certificate = 'a.pem', key = 'a.key' } }",
        false => "",
    };
    let configuration = format!(
        r#"
        [[listener]]
        name = "edge"
        address = "127.0.0.1:0"
        {tls}
        [server]
        limits = {{ connections = 1_000_000, connections_per_client = 1_000_000 }}
        timeouts = {{ idle = "1h" }}
        [log]
        access = "off"
        [upstream.service]
        targets = ["{upstream}"]
        [[route]]
        match = "/"
        to = "service"
        "#
    );
    let gateway = Gateway::start_in(folder, configuration, &[]).await;
    let client = wanted.tls.then(|| TlsClient::trusting(&authority));
    let address = match wanted.tls {
        true => gateway.secure_address(),
        false => gateway.address(),
    };

    let before = settled(&gateway).await;
    let descriptors = gateway.fds();
    let open =
        stream::iter(0..wanted.connections).map(|number| connect(address, number, client.as_ref(), wanted.http2));
    let connections: Vec<Connection> = open.buffer_unordered(AT_ONCE).collect().await;
    let open = settled(&gateway).await;
    let opened = gateway.fds() - descriptors;
    let asked = stream::iter(connections).map(async |mut connection| {
        assert_eq!(connection.get("/").await.status(), 200, "after it was idle");
        connection
    });
    let connections: Vec<Connection> = asked.buffer_unordered(AT_ONCE).collect().await;
    let asked = settled(&gateway).await;
    drop(connections);
    let closed = settled(&gateway).await;

    let kind = format!(
        "{}{}",
        if wanted.http2 { "HTTP/2" } else { "HTTP/1.1" },
        if wanted.tls { " over TLS" } else { "" }
    );
    println!("{} idle connections, {kind}", wanted.connections);
    println!("{:<28} {:>10} {:>18}", "resident memory", "MiB", "KiB a connection");
    for (when, rss) in [
        ("before", before),
        ("idle after one request", open),
        ("idle after another one", asked),
        ("closed", closed),
    ] {
        let each = rss.saturating_sub(before) as f64 / wanted.connections as f64;
        println!("{when:<28} {:>10.1} {each:>18.2}", rss as f64 / 1024.0);
    }
    let all_open = opened >= wanted.connections;
    if !all_open {
        println!("only {opened} descriptors more were open");
    }
    let most = MOST_MIB * 1024 * wanted.connections.max(10_000) / 10_000;
    let within = open.max(asked) < most as u64;
    if !within {
        println!("more than {} MiB", most / 1024);
    }
    // HTTP/2 cannot rest.
    all_open && (within || wanted.http2)
}

/// A connection that has served one request.
async fn connect(address: SocketAddr, number: usize, tls: Option<&TlsClient>, http2: bool) -> Connection {
    let socket = TcpSocket::new_v4().expect("a socket");
    let from = Ipv4Addr::new(127, 0, 1, (number / FROM_ONE) as u8 + 1);
    socket.bind((from, 0).into()).expect("an address of this machine");
    let socket = socket.connect(address).await.expect("a connection");
    let mut connection = match (tls, http2) {
        (None, false) => Connection::over_http1(socket).await.expect("a connection"),
        (None, true) => Connection::over_http2(socket).await,
        (Some(client), http2) => {
            let session = client.over(socket, "localhost").await.expect("a session");
            match http2 {
                false => Connection::over_http1(session).await.expect("a connection"),
                true => Connection::over_http2(session).await,
            }
        }
    };
    assert_eq!(connection.get("/").await.status(), 200);
    connection
}

/// The gateway's resident memory in KiB, once it no longer changes: the allocator gives pages back with some delay.
async fn settled(gateway: &Gateway) -> u64 {
    let mut last = gateway.rss_kib();
    let mut same = 0;
    for _ in 0..60 {
        sleep(Duration::from_millis(500)).await;
        let now = gateway.rss_kib();
        same = if now.abs_diff(last) < 64 { same + 1 } else { 0 };
        last = now;
        if same == 6 {
            break;
        }
    }
    last
}
