//! Addresses at which there is no service.

use std::net::SocketAddr;

use tokio::net::TcpStream;

use crate::Upstream;

impl Upstream {
    /// An address on which nobody listens.
    pub async fn absent() -> SocketAddr {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket
            .bind("127.0.0.1:0".parse().expect("an address"))
            .expect("a free port");
        let address = socket.local_addr().expect("an address");
        // Bound and never listening: while the test process lives nobody else is given this port.
        std::mem::forget(socket);
        address
    }

    /// An address that answers no attempt to connect, neither with yes nor with no.
    pub async fn full() -> Self {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket
            .bind("127.0.0.1:0".parse().expect("an address"))
            .expect("a free port");
        let address = socket.local_addr().expect("an address");
        let listener = socket.listen(0).expect("a listener");
        // With nobody accepting, these fill the queue; the kernel then drops what else knocks.
        let mut waiting = tokio::task::JoinSet::new();
        for _ in 0..4 {
            waiting.spawn(TcpStream::connect(address));
        }
        let mut inside = Vec::new();
        while let Ok(Some(Ok(Ok(socket)))) =
            tokio::time::timeout(std::time::Duration::from_millis(200), waiting.join_next()).await
        {
            inside.push(socket);
        }
        let task = tokio::spawn(async move {
            std::future::pending::<()>().await;
            drop((listener, waiting, inside));
        });
        Upstream::running(address, task)
    }
}
