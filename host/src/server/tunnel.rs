//! A client's connection and a target's, joined after both have left HTTP: bytes go both ways until both sides have ended.

use std::cell::Cell;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use hyper::rt::ReadBuf;
use hyper::upgrade::OnUpgrade;
use tokio::time::{Sleep, sleep_until};

use super::activity::{Activity, Order};
use super::completion::Completion;
use crate::rejection::Outcome;
use crate::upstream::{Duplex, Released, Upgraded};

/// An exchange whose response was 101. It ends when this is dropped.
pub(super) struct Tunnel {
    completion: Completion,
    upgraded: Upgraded,
}

/// How long a tunnel may do nothing.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// Without a byte in either direction.
    idle: Duration,
    /// With bytes that the other side does not take; or without a byte where one side has ended, and the other may have
    /// forgotten to.
    stall: Duration,
}

impl Tunnel {
    pub(super) fn new(completion: Completion, upgraded: Upgraded) -> Tunnel {
        Tunnel { completion, upgraded }
    }

    /// Joins the two sides until both have ended, one has failed, nothing has moved for too long, or the gateway ends. The
    /// client gets `unsent` first.
    pub(super) async fn run(self, client: Released, unsent: Bytes) {
        let activity = self.completion.connection.activity.clone();
        // What HTTP was kept waiting for is over.
        activity.unblocked();
        self.join(client, unsent, Some(&activity)).await;
    }

    /// The same over one stream of the client's HTTP/2 connection, which ends with it.
    pub(super) async fn run_in_stream(mut self, stream: OnUpgrade) {
        let Ok(stream) = stream.await else {
            self.completion.tunnelled(0, 0, Outcome::ClientGone);
            return;
        };
        let client = Released {
            socket: Box::new(stream),
            ahead: Bytes::new(),
        };
        self.join(client, Bytes::new(), None).await;
    }

    async fn join(mut self, client: Released, unsent: Bytes, orders: Option<&Activity>) {
        let connection = self.completion.connection.clone();
        let Some(mut target) = self.upgraded.released().await else {
            self.completion.tunnelled(0, 0, Outcome::Broken("upstream-reset"));
            return;
        };
        let timeouts = self.completion.timeouts();
        let limits = Limits {
            idle: timeouts.upgrade_idle,
            stall: timeouts.stall,
        };
        let before = unsent.len() as u64;
        if before > 0 {
            target.ahead = [unsent, target.ahead].concat().into();
        }
        let upgraded = connection.worker.upgraded().hold();
        let (sent, received, ended) = join(client, target, limits, orders).await;
        drop(upgraded);
        self.completion.tunnelled(sent, received.saturating_sub(before), ended);
    }
}

/// Bytes that went to the target and to the client, and how it ended. `orders` are for the tunnel where it has a connection for
/// itself.
async fn join(client: Released, target: Released, limits: Limits, orders: Option<&Activity>) -> (u64, u64, Outcome) {
    let (mut client_socket, mut target_socket) = (client.socket, target.socket);
    let (mut up, mut down) = (Way::beginning_with(client.ahead), Way::beginning_with(target.ahead));
    let mut last = Instant::now();
    let mut alarm = pin!(sleep_until((last + limits.idle).into()));
    let ended = poll_fn(|cx| {
        while let Some(order) = orders.and_then(|activity| activity.take_order(cx.waker())) {
            // To drain is to wait for it: nobody can be asked to finish in a protocol that is not known.
            if order == Order::Close {
                return Poll::Ready(Outcome::Broken("drained"));
            }
        }
        let moved = up.moved + down.moved;
        let up_ended = match up.poll(&mut client_socket, &mut target_socket, cx) {
            Poll::Ready(Err(End::Reading)) => return Poll::Ready(Outcome::ClientGone),
            Poll::Ready(Err(End::Writing)) => return Poll::Ready(Outcome::Broken("upstream-reset")),
            polled => polled.is_ready(),
        };
        let down_ended = match down.poll(&mut target_socket, &mut client_socket, cx) {
            Poll::Ready(Err(End::Reading)) => return Poll::Ready(Outcome::Broken("upstream-reset")),
            Poll::Ready(Err(End::Writing)) => return Poll::Ready(Outcome::ClientGone),
            polled => polled.is_ready(),
        };
        if up_ended && down_ended {
            return Poll::Ready(Outcome::Upgraded);
        }
        if moved != up.moved + down.moved {
            last = Instant::now();
        }
        poll_limits(limits, last, &up, &down, alarm.as_mut(), cx)
    })
    .await;
    (up.moved, down.moved, ended)
}

/// Ready when nothing has happened for too long. The alarm is only moved back when it rings, so that traffic sets no timer.
fn poll_limits(
    limits: Limits,
    last: Instant,
    up: &Way,
    down: &Way,
    mut alarm: Pin<&mut Sleep>,
    cx: &mut Context<'_>,
) -> Poll<Outcome> {
    let idle = if up.ended || down.ended {
        limits.idle.min(limits.stall)
    } else {
        limits.idle
    };
    let deadlines = [
        (Some(last + idle), "upgrade-idle"),
        (up.blocked.map(|since| since + limits.stall), "upstream-timeout"),
        (down.blocked.map(|since| since + limits.stall), "client-gone"),
    ];
    let deadlines = deadlines.into_iter().filter_map(|(at, word)| Some((at?, word)));
    let Some((due, word)) = deadlines.min_by_key(|(at, _)| *at) else {
        return Poll::Pending;
    };
    if alarm.deadline() > due.into() {
        alarm.as_mut().reset(due.into());
    }
    loop {
        ready!(alarm.as_mut().poll(cx));
        if alarm.deadline() >= due.into() {
            return Poll::Ready(Outcome::Broken(word));
        }
        alarm.as_mut().reset(due.into());
    }
}

/// One of the two directions.
struct Way {
    /// Read, and not yet taken by the other side. While there is any, nothing more is read.
    rest: Bytes,
    /// Bytes that the other side has taken.
    moved: u64,
    /// Since when the other side has taken nothing of what there is.
    blocked: Option<Instant>,
    /// The socket written to may hold bytes back.
    unflushed: bool,
    /// No more will come.
    ended: bool,
    /// And the other side has been told.
    told: bool,
}

/// The side that failed: the one that is read, or the one that is written to.
enum End {
    Reading,
    Writing,
}

/// Bytes read at once.
const PIECE: usize = 16 << 10;
/// How often one direction may go on before it is the turn of the thread's other work.
const ROUNDS: usize = 32;

thread_local! {
    /// What is being read: a tunnel that is idle holds no buffer.
    static SCRATCH: Cell<Option<Box<[u8]>>> = const { Cell::new(None) };
}

impl Way {
    fn beginning_with(ahead: Bytes) -> Way {
        Way {
            rest: ahead,
            moved: 0,
            blocked: None,
            unflushed: false,
            ended: false,
            told: false,
        }
    }

    /// Moves what there is. Ready when the direction has ended.
    fn poll(&mut self, from: &mut dyn Duplex, to: &mut dyn Duplex, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        for _ in 0..ROUNDS {
            ready!(self.poll_write(to, cx)).map_err(|_| End::Writing)?;
            if self.ended {
                return self.poll_tell(to, cx).map_err(|_| End::Writing);
            }
            let Poll::Ready(read) = self.poll_read(from, to, cx) else {
                if self.unflushed {
                    match Pin::new(&mut *to).poll_flush(cx) {
                        Poll::Ready(Ok(())) => self.unflushed = false,
                        Poll::Ready(Err(_)) => return Poll::Ready(Err(End::Writing)),
                        Poll::Pending => {}
                    }
                }
                return Poll::Pending;
            };
            read?;
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Writes what was left over.
    fn poll_write(&mut self, to: &mut dyn Duplex, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.rest.is_empty() {
            let Poll::Ready(written) = Pin::new(&mut *to).poll_write(cx, &self.rest) else {
                self.blocked.get_or_insert_with(Instant::now);
                return Poll::Pending;
            };
            let written = taken(written)?;
            self.took(written);
            self.rest.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    /// Reads once, and hands on as much of it as the other side takes at once.
    fn poll_read(&mut self, from: &mut dyn Duplex, to: &mut dyn Duplex, cx: &mut Context<'_>) -> Poll<Result<(), End>> {
        let mut scratch = SCRATCH.take().unwrap_or_else(|| vec![0; PIECE].into());
        let mut buffer = ReadBuf::new(&mut scratch);
        let polled = Pin::new(&mut *from).poll_read(cx, buffer.unfilled());
        let mut left = buffer.filled();
        let result = match polled {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(_)) => Poll::Ready(Err(End::Reading)),
            Poll::Ready(Ok(())) if left.is_empty() => {
                self.ended = true;
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Ok(())) => match Pin::new(&mut *to).poll_write(cx, left).map(taken) {
                Poll::Ready(Ok(written)) => {
                    self.took(written);
                    left = &left[written..];
                    Poll::Ready(Ok(()))
                }
                Poll::Ready(Err(_)) => Poll::Ready(Err(End::Writing)),
                // The next round finds out again that it must wait.
                Poll::Pending => Poll::Ready(Ok(())),
            },
        };
        if !left.is_empty() {
            self.rest = Bytes::copy_from_slice(left);
        }
        SCRATCH.set(Some(scratch));
        result
    }

    /// Tells the other side that no more will come; it may go on sending.
    fn poll_tell(&mut self, to: &mut dyn Duplex, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.told {
            ready!(Pin::new(&mut *to).poll_shutdown(cx))?;
            self.told = true;
        }
        Poll::Ready(Ok(()))
    }

    fn took(&mut self, written: usize) {
        self.moved += written as u64;
        self.blocked = None;
        self.unflushed = true;
    }
}

/// What a write took. A socket that takes nothing for good would be asked for ever.
fn taken(written: io::Result<usize>) -> io::Result<usize> {
    match written {
        Ok(0) => Err(ErrorKind::WriteZero.into()),
        written => written,
    }
}

#[cfg(test)]
mod tests {
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    const LIMITS: Limits = Limits {
        idle: Duration::from_secs(3600),
        stall: Duration::from_secs(60),
    };

    /// The two ends of a tunnel, and how it will have ended.
    fn tunnel(
        limits: Limits,
        ahead: &'static [u8],
    ) -> (DuplexStream, DuplexStream, impl Future<Output = (u64, u64, Outcome)>) {
        let ((client, inner), (target, outer)) = (duplex(1024), duplex(1024));
        let side = |socket, ahead| Released {
            socket: Box::new(TokioIo::new(socket)),
            ahead: Bytes::from_static(ahead),
        };
        let (inner, outer) = (side(inner, ahead), side(outer, b""));
        let joined = async move { join(inner, outer, limits, Some(&Activity::new())).await };
        (client, target, joined)
    }

    #[tokio::test]
    async fn what_was_read_ahead_comes_first_and_each_side_ends_by_itself() {
        let (mut client, mut target, joined) = tunnel(LIMITS, b"early ");
        let ends = async {
            client.write_all(b"hello").await.unwrap();
            client.shutdown().await.unwrap();
            let mut got = String::new();
            target.read_to_string(&mut got).await.unwrap();
            assert_eq!(got, "early hello");
            // The other direction is still open.
            let answer = async move { target.write_all(&[b'x'; 100_000]).await };
            let mut got = Vec::new();
            let (written, read) = tokio::join!(answer, client.read_to_end(&mut got));
            assert_eq!((written.unwrap(), read.unwrap()), ((), 100_000));
        };

        let (ended, ()) = tokio::join!(joined, ends);

        assert_eq!(ended, (11, 100_000, Outcome::Upgraded));
    }

    #[tokio::test]
    async fn silence_ends_it_and_any_byte_puts_that_off() {
        let idle = Duration::from_millis(200);
        let (mut client, mut target, joined) = tunnel(Limits { idle, ..LIMITS }, b"");
        let begin = Instant::now();
        let ends = async {
            tokio::time::sleep(idle / 2).await;
            client.write_all(b"x").await.unwrap();
            target.read_u8().await.unwrap();
        };

        let (ended, ()) = tokio::join!(joined, ends);

        assert_eq!(ended, (1, 0, Outcome::Broken("upgrade-idle")));
        assert!(begin.elapsed() >= idle + idle / 2, "{:?}", begin.elapsed());
    }

    #[tokio::test]
    async fn who_takes_nothing_is_left_in_time() {
        let limits = Limits {
            stall: Duration::from_millis(50),
            ..LIMITS
        };
        let (_client, mut target, joined) = tunnel(limits, b"");
        let ends = target.write_all(&[b'x'; 100_000]);

        let (ended, _) = tokio::join!(joined, ends);

        assert_eq!(ended, (0, 1024, Outcome::Broken("client-gone")));
    }
}
