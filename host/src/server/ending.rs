//! How an HTTP/1 connection ends, so that its client gets to read the last answer.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::pipeline::ExchangeId;
use crate::rejection::Rejection;

/// How long a client may take to accept the refusal of its request.
const LAST_WORD: Duration = Duration::from_secs(1);
/// How long, and how many bytes, a client may go on sending what nobody reads.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 256 << 10;

/// Refuses a request that is no exchange, and closes.
pub(super) async fn refuse(mut socket: impl AsyncRead + AsyncWrite + Unpin, rejection: &Rejection, id: ExchangeId) {
    let message = refusal(rejection, id);
    if let Ok(Ok(())) = timeout(LAST_WORD, socket.write_all(&message)).await {
        linger(socket).await;
    }
}

/// Closes a connection whose client may still be sending. To close with bytes unread would reset the connection, and the
/// reset could overtake the answer (RFC 9112 section 9.6).
pub(super) async fn linger(mut socket: impl AsyncRead + AsyncWrite + Unpin) {
    let discard = async {
        socket.shutdown().await?;
        let mut buffer = vec![0; 16 << 10];
        let mut left = LINGER_BYTES;
        while left > 0 {
            match socket.read(&mut buffer).await? {
                0 => break,
                read => left = left.saturating_sub(read),
            }
        }
        std::io::Result::Ok(())
    };
    let _ = timeout(LINGER, discard).await;
}

/// Closes a connection that has nothing more to say.
pub(super) async fn close(mut socket: impl AsyncWrite + Unpin) {
    let _ = timeout(LAST_WORD, socket.shutdown()).await;
}

/// A whole HTTP/1.1 message that refuses a request and closes the connection.
fn refusal(rejection: &Rejection, id: ExchangeId) -> Bytes {
    let reply = rejection.reply(id);
    let mut message = format!(
        "HTTP/1.1 {} {}\r\nconnection: close\r\ncontent-length: {}\r\ndate: {}\r\n",
        reply.status.as_str(),
        reply.status.canonical_reason().unwrap_or_default(),
        reply.body.len(),
        httpdate::fmt_http_date(SystemTime::now()),
    )
    .into_bytes();
    for (name, value) in &reply.headers {
        message.extend_from_slice(name.as_str().as_bytes());
        message.extend_from_slice(b": ");
        message.extend_from_slice(value.as_bytes());
        message.extend_from_slice(b"\r\n");
    }
    message.extend_from_slice(b"\r\n");
    message.extend_from_slice(&reply.body);
    message.into()
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    #[tokio::test]
    async fn a_refusal_is_read_to_its_end_by_a_client_that_still_sends() {
        let (gateway, mut client) = duplex(1024);
        let refused = async { refuse(gateway, &Rejection::BadRequest("two Host fields"), ExchangeId::draw()).await };
        let sent = async {
            client.write_all(&[b'x'; 100 << 10]).await.unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            answer
        };

        let ((), answer) = tokio::join!(refused, sent);

        assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
        assert!(answer.contains("two Host fields"), "{answer}");
    }

    #[tokio::test]
    async fn a_client_that_reads_and_sends_nothing_is_left_in_time() {
        let (gateway, _client) = duplex(8);
        timeout(
            LAST_WORD + LINGER * 2,
            refuse(gateway, &Rejection::RequestTimeout, ExchangeId::draw()),
        )
        .await
        .unwrap();
    }

    #[tokio::test]
    async fn a_client_that_goes_on_sending_is_left_after_so_many_bytes() {
        let (gateway, mut client) = duplex(1024);
        let ((), sent) = tokio::join!(linger(gateway), client.write_all(&[b'x'; 512 << 10]));
        assert!(sent.is_err());
    }
}
