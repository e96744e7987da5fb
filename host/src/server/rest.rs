//! An HTTP/1 connection on which nothing happens for a while. Between two requests the protocol has nothing to remember: its
//! buffers, which are most of what a connection takes, are given back, and it begins anew with the next byte.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, ReadBuf};

use super::activity::{Activity, Order};
use crate::socket::Socket;

/// How long a connection is idle before it rests. Clients that come again sooner find it as they left it.
pub(super) const RESTS_AFTER: Duration = Duration::from_secs(1);

/// Bytes that a resting connection reads at first: a common head.
const FIRST: usize = 4 << 10;

/// Waits for what the client sends next; nothing where it has closed. An error where something else is asked of the
/// connection first.
pub(super) async fn rest(socket: &mut Socket, activity: &Activity) -> Result<io::Result<Bytes>, Order> {
    poll_fn(|cx| {
        // On the stack: what waits must hold nothing.
        let mut bytes = [0; FIRST];
        let mut read = ReadBuf::new(&mut bytes);
        match Pin::new(&mut *socket).poll_read(cx, &mut read) {
            Poll::Ready(Ok(())) => Poll::Ready(Ok(Ok(Bytes::copy_from_slice(read.filled())))),
            Poll::Ready(Err(error)) => Poll::Ready(Ok(Err(error))),
            Poll::Pending => activity
                .take_order(cx.waker())
                .map_or(Poll::Pending, |order| Poll::Ready(Err(order))),
        }
    })
    .await
}
