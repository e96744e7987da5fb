//! Listeners of any kind.

use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// A listener of any kind.
pub(crate) trait Accept: Send + Sync + 'static {
    type Socket: Send;

    fn next(&self) -> impl Future<Output = std::io::Result<Self::Socket>> + Send;
}

impl Accept for TcpListener {
    type Socket = TcpStream;

    async fn next(&self) -> std::io::Result<TcpStream> {
        let (socket, _) = self.accept().await?;
        socket.set_nodelay(true)?;
        Ok(socket)
    }
}

impl Accept for UnixListener {
    type Socket = UnixStream;

    async fn next(&self) -> std::io::Result<UnixStream> {
        Ok(self.accept().await?.0)
    }
}
