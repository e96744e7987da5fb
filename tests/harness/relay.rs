//! Something between a client of HTTP/3 and its server that sees what passes, and may lose it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// Passes packets of one client to a server, and the answers back. Ends when dropped.
#[derive(Debug)]
pub struct Relay {
    address: SocketAddr,
    seen: Arc<Seen>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Seen {
    loses_answers: AtomicBool,
    answers: AtomicUsize,
    retries: AtomicUsize,
}

impl Relay {
    /// Before this server.
    pub async fn before(server: SocketAddr) -> Self {
        let [front, back] = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0"));
        let (front, back) = (front.await.expect("a free port"), back.await.expect("a free port"));
        back.connect(server).await.expect("an address");
        let address = front.local_addr().expect("an address");
        let seen = Arc::new(Seen::default());
        let task = tokio::spawn(pass(front, back, seen.clone()));
        Relay { address, seen, task }
    }

    /// Where its client sends to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on its client hears nothing.
    pub fn lose_answers(&self) {
        self.seen.loses_answers.store(true, Ordering::SeqCst);
    }

    /// Packets of the server so far, lost or not.
    pub fn answers(&self) -> usize {
        self.seen.answers.load(Ordering::SeqCst)
    }

    /// Those of them that ask the client to show that it gets what is sent to its address.
    pub fn retries(&self) -> usize {
        self.seen.retries.load(Ordering::SeqCst)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(front: UdpSocket, back: UdpSocket, seen: Arc<Seen>) {
    let (mut there, mut here) = ([0; 2048], [0; 2048]);
    let mut client = None;
    loop {
        tokio::select! {
            Ok((length, from)) = front.recv_from(&mut there) => {
                client = Some(from);
                let _ = back.send(&there[..length]).await;
            }
            Ok(length) = back.recv(&mut here) => {
                seen.answers.fetch_add(1, Ordering::SeqCst);
                if is_retry(&here[..length]) {
                    seen.retries.fetch_add(1, Ordering::SeqCst);
                }
                if let Some(client) = client && !seen.loses_answers.load(Ordering::SeqCst) {
                    let _ = front.send_to(&here[..length], client).await;
                }
            }
        }
    }
}

/// A long header of type 3 (RFC 9000 section 17.2.5), of version 1.
fn is_retry(packet: &[u8]) -> bool {
    matches!(packet, [first, 0, 0, 0, 1, ..] if first & 0b1111_0000 == 0b1111_0000)
}
