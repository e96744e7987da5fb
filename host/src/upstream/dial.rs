//! A TCP connection to one of several addresses.

use std::io::{Error, ErrorKind, Result};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long an address may take before the next one is tried beside it (RFC 8305, section 5).
const HEAD_START: Duration = Duration::from_millis(250);

/// Connects to whichever of these accepts first. They are tried one after the other, beginning anywhere so that
/// connections are spread over them, and side by side where one is slow.
pub(crate) async fn dial(addresses: &[SocketAddr]) -> Result<TcpStream> {
    if let [only] = addresses {
        return TcpStream::connect(only).await;
    }
    let none = || Error::new(ErrorKind::NotFound, "its name has no address");
    let (late, early) = addresses.split_at(fastrand::usize(0..addresses.len().max(1)));
    let mut left = early.iter().chain(late).copied();
    let (mut attempts, mut failed) = (JoinSet::new(), None);
    loop {
        let next = left.next();
        let is_last = next.is_none();
        if let Some(address) = next {
            attempts.spawn(TcpStream::connect(address));
        }
        let ended = if is_last {
            attempts.join_next().await
        } else {
            timeout(HEAD_START, attempts.join_next()).await.unwrap_or(None)
        };
        match ended {
            Some(Ok(Ok(stream))) => return Ok(stream),
            Some(Ok(Err(error))) => failed = Some(error),
            Some(Err(_)) => {}
            None if is_last => return Err(failed.unwrap_or_else(none)),
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    fn block_on<T>(test: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(test)
    }

    #[test]
    fn every_address_is_tried_until_one_accepts() {
        block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let open = listener.local_addr().unwrap();
            let closed = SocketAddr::new([127, 0, 0, 2].into(), open.port());
            for _ in 0..20 {
                let stream = dial(&[closed, open, closed]).await.unwrap();
                assert_eq!(stream.peer_addr().unwrap(), open);
            }
            let refused = dial(&[closed, closed]).await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
            assert_eq!(dial(&[]).await.unwrap_err().kind(), ErrorKind::NotFound);
        });
    }

    #[test]
    fn connections_are_spread_over_all_addresses() {
        block_on(async {
            let first = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let first_address = first.local_addr().unwrap();
            let second_address = SocketAddr::new([127, 0, 0, 2].into(), first_address.port());
            let _second = TcpListener::bind(second_address).await.unwrap();
            let mut seen = [0, 0];
            for _ in 0..64 {
                let stream = dial(&[first_address, second_address]).await.unwrap();
                seen[usize::from(stream.peer_addr().unwrap() == second_address)] += 1;
            }
            assert!(seen.iter().all(|count| *count > 10), "{seen:?}");
        });
    }
}
