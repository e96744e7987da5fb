//! A bare socket, for what no client library would send.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::within;

/// A socket and what has been read from it.
#[derive(Debug)]
pub struct Raw {
    socket: Box<dyn Socket>,
    read: Vec<u8>,
}

/// Whatever carries bytes both ways.
trait Socket: AsyncRead + AsyncWrite + Unpin + Send + std::fmt::Debug {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + std::fmt::Debug> Socket for S {}

impl Raw {
    /// Connects.
    pub async fn connect(address: SocketAddr) -> Self {
        Raw::over(TcpStream::connect(address).await.expect("a connection"))
    }

    /// Over a socket that is there already.
    pub fn over(socket: TcpStream) -> Self {
        socket.set_nodelay(true).expect("TCP_NODELAY");
        Raw::over_any(socket)
    }

    /// The same for a socket of any kind.
    pub fn over_any(socket: impl AsyncRead + AsyncWrite + Unpin + Send + std::fmt::Debug + 'static) -> Self {
        Raw {
            socket: Box::new(socket),
            read: vec![],
        }
    }

    /// Sends bytes. A peer that has closed already is not an error: what it said can still be read.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        _ = within("bytes are taken", self.socket.write_all(bytes.as_ref())).await;
    }

    /// Sends the FIN, and goes on reading.
    pub async fn finish(&mut self) {
        _ = self.socket.shutdown().await;
    }

    /// Reads until `mark` has come and gives everything up to and with it. What is left when the peer closes first is
    /// given as it is.
    pub async fn read_until(&mut self, mark: &str) -> String {
        within(&format!("{mark:?} comes"), async {
            loop {
                let found = self
                    .read
                    .windows(mark.len())
                    .position(|window| window == mark.as_bytes());
                if let Some(at) = found {
                    let rest = self.read.split_off(at + mark.len());
                    let taken = std::mem::replace(&mut self.read, rest);
                    return String::from_utf8_lossy(&taken).into_owned();
                }
                if !self.read_some().await {
                    return String::from_utf8_lossy(&std::mem::take(&mut self.read)).into_owned();
                }
            }
        })
        .await
    }

    /// Reads a message's head.
    pub async fn read_head(&mut self) -> String {
        self.read_until("\r\n\r\n").await
    }

    /// Reads so many bytes; fewer where the peer closes first.
    pub async fn take(&mut self, bytes: usize) -> Vec<u8> {
        within(&format!("{bytes} bytes come"), async {
            while self.read.len() < bytes && self.read_some().await {}
            let rest = self.read.split_off(bytes.min(self.read.len()));
            std::mem::replace(&mut self.read, rest)
        })
        .await
    }

    /// Reads until the peer closes, by FIN or reset.
    pub async fn read_to_end(&mut self) -> String {
        within("the peer closes", async { while self.read_some().await {} }).await;
        String::from_utf8_lossy(&std::mem::take(&mut self.read)).into_owned()
    }

    /// Sends a request and reads what comes until the peer closes.
    pub async fn answer_to(mut self, request: impl AsRef<[u8]>) -> String {
        self.send(request).await;
        self.read_to_end().await
    }

    /// Whether nothing, not even a FIN, comes for this long.
    pub async fn is_silent_for(&mut self, time: Duration) -> bool {
        tokio::time::timeout(time, self.read_some()).await.is_err()
    }

    /// Reads exactly so many bytes; fewer where the peer closes first.
    pub async fn read_exactly(&mut self, count: usize) -> Vec<u8> {
        within("bytes come", async {
            while self.read.len() < count && self.read_some().await {}
        })
        .await;
        self.read.drain(..count.min(self.read.len())).collect()
    }

    /// Reads at most `most` bytes, as a slow reader does, and throws them away. Gives how many there were.
    pub async fn sip(&mut self, most: usize) -> usize {
        let mut bytes = vec![0; most];
        within("bytes come", self.socket.read(&mut bytes)).await.unwrap_or(0)
    }

    /// Sends bytes; false where the peer has closed, or does not take them for a while.
    pub async fn try_send(&mut self, bytes: &[u8]) -> bool {
        let sent = tokio::time::timeout(Duration::from_secs(2), self.socket.write_all(bytes)).await;
        matches!(sent, Ok(Ok(())))
    }

    /// What has come and was not read yet.
    pub(crate) fn unread(&mut self) -> &mut Vec<u8> {
        &mut self.read
    }

    /// Reads what comes next; false where the peer has closed.
    pub(crate) async fn read_some(&mut self) -> bool {
        self.socket.read_buf(&mut self.read).await.is_ok_and(|read| read > 0)
    }
}
