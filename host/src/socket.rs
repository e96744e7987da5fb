//! A connection's bytes, on either side of the gateway: TCP or a Unix socket, bare or under TLS.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use smallvec::SmallVec;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsStream;
use tokio_rustls::rustls::CommonState;

/// What the protocols read from and write to.
#[derive(Debug)]
pub(crate) enum Socket {
    /// As it comes.
    Plain(Transport),
    /// Encrypted. In a box, since a session's state is large and most plain connections should not pay for it.
    Tls(Box<TlsStream<Rewound>>),
}

/// What carries the bytes.
#[derive(Debug)]
pub(crate) enum Transport {
    /// IPv4 or IPv6.
    Tcp(TcpStream),
    /// A socket of this machine.
    Unix(UnixStream),
}

/// A transport of which the first bytes have been read already.
#[derive(Debug)]
pub(crate) struct Rewound {
    ahead: Bytes,
    transport: Transport,
}

impl Socket {
    /// The state of the TLS session, if there is one.
    pub(crate) fn tls(&self) -> Option<&CommonState> {
        match self {
            Socket::Plain(_) => None,
            Socket::Tls(stream) => Some(stream.get_ref().1),
        }
    }
}

impl Transport {
    /// The address at this end, where it is one of a network.
    pub(crate) fn local_address(&self) -> Option<SocketAddr> {
        match self {
            Transport::Tcp(stream) => stream.local_addr().ok(),
            Transport::Unix(_) => None,
        }
    }
}

impl Rewound {
    /// A transport that begins with what has been read of it.
    pub(crate) fn new(ahead: Bytes, transport: Transport) -> Rewound {
        Rewound { ahead, transport }
    }
}

impl From<TcpStream> for Transport {
    fn from(stream: TcpStream) -> Transport {
        Transport::Tcp(stream)
    }
}

impl From<UnixStream> for Transport {
    fn from(stream: UnixStream) -> Transport {
        Transport::Unix(stream)
    }
}

impl From<Transport> for Rewound {
    fn from(transport: Transport) -> Rewound {
        let ahead = Bytes::new();
        Rewound { ahead, transport }
    }
}

impl<T: Into<Transport>> From<T> for Socket {
    fn from(stream: T) -> Socket {
        Socket::Plain(stream.into())
    }
}

/// What reads and writes bytes, whatever it is.
trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

impl Socket {
    /// Whatever is not plain TCP. Apart, so that the protocols' ten calls for a request are inlined where it is plain TCP.
    #[inline(never)]
    fn otherwise(&mut self) -> Pin<&mut dyn Stream> {
        match self {
            Socket::Plain(transport) => Pin::new(transport),
            Socket::Tls(stream) => Pin::new(&mut **stream),
        }
    }
}

/// The same call on whichever it is.
macro_rules! either {
    ($self:ident => $call:ident($($argument:expr),*)) => {
        match $self.get_mut() {
            Socket::Plain(Transport::Tcp(stream)) => Pin::new(stream).$call($($argument),*),
            socket => socket.otherwise().$call($($argument),*),
        }
    };
}

impl AsyncRead for Socket {
    #[inline]
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        either!(self => poll_read(cx, buf))
    }
}

impl AsyncWrite for Socket {
    #[inline]
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        either!(self => poll_write(cx, buf))
    }

    #[inline]
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Socket::Plain(Transport::Tcp(stream)) => poll_write_pieces(Pin::new(stream), cx, bufs),
            socket => socket.otherwise().poll_write_vectored(cx, bufs),
        }
    }

    #[inline]
    fn is_write_vectored(&self) -> bool {
        match self {
            Socket::Plain(transport) => transport.is_write_vectored(),
            Socket::Tls(stream) => stream.is_write_vectored(),
        }
    }

    #[inline]
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self => poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self => poll_shutdown(cx))
    }
}

/// Bytes in pieces that are copied together rather than written as a list.
const TOGETHER: usize = 2 << 10;

/// Writes pieces. Few bytes, or one piece, go out by the kernel's simpler call, which does not read a list first: for a small
/// response that saves more than the copy costs.
fn poll_write_pieces(
    stream: Pin<&mut TcpStream>,
    cx: &mut Context<'_>,
    pieces: &[IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    if let [piece] = pieces {
        return stream.poll_write(cx, piece);
    }
    if pieces.iter().map(|piece| piece.len()).sum::<usize>() > TOGETHER {
        return stream.poll_write_vectored(cx, pieces);
    }
    let mut together = SmallVec::<[u8; TOGETHER]>::new();
    pieces.iter().for_each(|piece| together.extend_from_slice(piece));
    stream.poll_write(cx, &together)
}

/// The same call, whichever variant it is.
macro_rules! whichever {
    ($self:ident => $call:ident($($argument:expr),*)) => {
        match $self.get_mut() {
            Transport::Tcp(stream) => Pin::new(stream).$call($($argument),*),
            Transport::Unix(stream) => Pin::new(stream).$call($($argument),*),
        }
    };
}

impl AsyncRead for Transport {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        whichever!(self => poll_read(cx, buf))
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        whichever!(self => poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        whichever!(self => poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Transport::Tcp(stream) => stream.is_write_vectored(),
            Transport::Unix(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        whichever!(self => poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        whichever!(self => poll_shutdown(cx))
    }
}

impl AsyncRead for Rewound {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let rewound = self.get_mut();
        if rewound.ahead.is_empty() {
            return Pin::new(&mut rewound.transport).poll_read(cx, buf);
        }
        let length = rewound.ahead.len().min(buf.remaining());
        buf.put_slice(&rewound.ahead.split_to(length));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Rewound {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().transport).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().transport).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.transport.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().transport).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().transport).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn what_was_read_ahead_comes_first() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(b"world").await.unwrap();
        drop(theirs);
        let mut rewound = Rewound::new(Bytes::from_static(b"hello "), ours.into());

        let mut text = String::new();
        rewound.read_to_string(&mut text).await.unwrap();

        assert_eq!(text, "hello world");
    }

    #[tokio::test]
    async fn several_pieces_are_written_at_once() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut socket = Socket::from(ours);
        assert!(socket.is_write_vectored() && socket.tls().is_none());

        let pieces = [IoSlice::new(b"hello "), IoSlice::new(b"world")];
        assert_eq!(socket.write_vectored(&pieces).await.unwrap(), 11);
        socket.shutdown().await.unwrap();

        let mut text = String::new();
        theirs.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "hello world");
    }
}
