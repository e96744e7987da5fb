//! From one gateway process to the next without a refused connection: the old one passes its listening sockets on, and
//! drains once the new one serves.
//!
//! ```text
//! new: connects ──> old: sends each socket in a packet of its own (SCM_RIGHTS, unix(7)), and `end`
//! new: listens with them, says `ready` ──> old: says `yours`, takes no more connections, finishes those it has, ends
//! ```
//!
//! `yours` is the moment at which the address changes hands, and the files of Unix sockets with it. Before it, whatever
//! becomes of the new gateway, the old one has lost nothing. An old one that has stopped waiting says `too late`, and the new
//! one ends; one that is not there any more says nothing, and the new one goes on alone.
//!
//! The sockets themselves move, queues and all. Were the new process to bind sockets of its own with `SO_REUSEPORT`, closing
//! the old ones would reset the connections that wait in their queues, since Linux moves those only with
//! `net.ipv4.tcp_migrate_req` (5.14 and later, off by default).

use std::io::{self, ErrorKind, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::cmsg_space;
use rustix::fs::{Mode, chmod};
use rustix::net::sockopt::{Timeout, set_socket_timeout, socket_peercred};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, connect, listen, recvmsg, sendmsg,
    socket_with,
};
use tokio::sync::oneshot;

use super::inherited::Inherited;

const SOCKET: &[u8] = b"socket";
const SOCKET_AND_FILE: &[u8] = b"socket and file";
const END: &[u8] = b"end";
const READY: &[u8] = b"ready";
const YOURS: &[u8] = b"yours";
const TOO_LATE: &[u8] = b"too late";

/// How long either side waits for a packet that the other has at hand.
const PATIENCE: Duration = Duration::from_secs(10);

/// A listening socket on its way from one process to the next.
#[derive(Debug)]
pub(crate) struct Passed {
    pub(crate) socket: OwnedFd,
    /// Whether the file that it is bound to becomes the other's as well.
    pub(crate) with_file: bool,
}

/// The gateway that this one follows. It goes on serving until it is told that this one is ready, or sees it end.
#[derive(Debug)]
pub(crate) struct Predecessor(OwnedFd);

impl Predecessor {
    /// Takes the sockets of the gateway that listens at `path`; none where no gateway does.
    ///
    /// # Errors
    ///
    /// There is one, but it does not pass its sockets on.
    pub(crate) fn take_over(path: &Path) -> io::Result<Option<(Predecessor, Inherited)>> {
        let socket = seqpacket()?;
        match connect(&socket, &SocketAddrUnix::new(path)?) {
            Ok(()) => {}
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::CONNREFUSED) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        is_ours(&socket)?;
        set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE))?;
        let mut sockets = Vec::new();
        loop {
            match receive(&socket)? {
                (Word::Socket { with_file }, Some(socket)) => sockets.push(Passed { socket, with_file }),
                (Word::End, _) => return Ok(Some((Predecessor(socket), Inherited::from_gateway(sockets)))),
                // It is about to end by itself.
                (Word::Nothing, _) if sockets.is_empty() => return Ok(None),
                _ => return Err(io::Error::new(ErrorKind::InvalidData, "it speaks another protocol")),
            }
        }
    }

    /// This gateway serves now: the old one is to end, and the files of its sockets are this one's.
    ///
    /// # Errors
    ///
    /// The old one has stopped waiting, and goes on.
    pub(crate) fn ready(self) -> Result<(), TooLate> {
        let told = send(&self.0, READY, None);
        let answer = match receive(&self.0) {
            // Said once where the other end was closed with something unread, whatever it has said before.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => receive(&self.0),
            answer => answer,
        };
        match (told, answer) {
            (_, Ok((Word::TooLate, _))) => return Err(TooLate),
            (_, Ok((Word::Yours, _))) => {}
            (Err(_), _) | (_, Ok((Word::Nothing, _))) => {
                tracing::warn!("the gateway that ran before has ended by itself");
            }
            (Ok(()), _) => tracing::warn!("the gateway that ran before has not answered that it ends"),
        }
        Ok(())
    }
}

/// The gateway before this one has stopped waiting for it.
#[derive(Debug, thiserror::Error)]
#[error(
    "the gateway that runs already has stopped waiting for this one, and goes on; start this one again, or let that one wait \
     for longer (`server.timeouts.handover`)"
)]
pub(crate) struct TooLate;

/// Waits for the gateway that will follow this one, until it is dropped.
#[derive(Debug)]
pub(crate) struct Successor {
    ready: oneshot::Receiver<()>,
    passing: Arc<Mutex<Passing>>,
}

/// What there is to pass on, and whether somebody has it.
#[derive(Debug)]
struct Passing {
    sockets: Vec<Passed>,
    /// Another gateway has the sockets, and may be about to serve.
    taken: bool,
}

impl Successor {
    /// Listens at `path` and passes these sockets on to whoever connects, as long as it is run by the same user; who has them
    /// has `patience` to be ready.
    ///
    /// # Errors
    ///
    /// The path cannot be listened at.
    pub(crate) fn await_at(path: &Path, sockets: Vec<Passed>, patience: Duration) -> io::Result<Successor> {
        let listener = listen_at(path)?;
        let (sender, ready) = oneshot::channel();
        let (path, passing) = (path.to_owned(), Passing { sockets, taken: false });
        let passing = Arc::new(Mutex::new(passing));
        let own = passing.clone();
        // A thread of its own: it waits for months and works for a moment.
        thread::Builder::new().name("handover".to_owned()).spawn(move || {
            while !sender.is_closed() {
                match accept_with(&listener, SocketFlags::CLOEXEC) {
                    Ok(successor) => match pass_on(&successor, &own, patience) {
                        Ok(()) => {
                            let _ = sender.send(());
                            break;
                        }
                        Err(error) => tracing::warn!(%error, path = %path.display(), "no other gateway took over; this one goes on"),
                    },
                    Err(error) => {
                        tracing::warn!(%error, "handover: a connection could not be accepted");
                        thread::park_timeout(Duration::from_secs(1));
                    }
                }
            }
        })?;
        Ok(Successor { ready, passing })
    }

    /// Passes nothing on any more. Whether another gateway has the sockets, and serves or may be about to: then their files
    /// are not to be removed.
    pub(crate) fn close(self) -> bool {
        let mut passing = lock(&self.passing);
        passing.sockets.clear();
        passing.taken
    }

    /// Waits until another gateway serves in this one's place.
    pub(crate) async fn ready(&mut self) {
        if (&mut self.ready).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// Closes the sockets: a gateway that ends without a successor must not leave them open, with nobody to serve who connects.
impl Drop for Successor {
    fn drop(&mut self) {
        lock(&self.passing).sockets.clear();
    }
}

fn lock(passing: &Mutex<Passing>) -> MutexGuard<'_, Passing> {
    passing.lock().unwrap_or_else(PoisonError::into_inner)
}

fn pass_on(successor: &OwnedFd, passing: &Mutex<Passing>, patience: Duration) -> io::Result<()> {
    is_ours(successor)?;
    set_socket_timeout(successor, Timeout::Send, Some(PATIENCE))?;
    set_socket_timeout(successor, Timeout::Recv, Some(patience))?;
    {
        let mut passing = lock(passing);
        if passing.sockets.is_empty() {
            return Err(io::Error::other("this gateway is ending"));
        }
        for Passed { socket, with_file } in &passing.sockets {
            let word = if *with_file { SOCKET_AND_FILE } else { SOCKET };
            send(successor, word, Some(socket.as_fd()))?;
        }
        send(successor, END, None)?;
        passing.taken = true;
    }
    let ended = match receive(successor) {
        // It may have ended after all: then this is not heard, and nothing has changed hands.
        Ok((Word::Ready, _)) => return send(successor, YOURS, None).inspect_err(|_| lock(passing).taken = false),
        Ok(_) => io::Error::new(ErrorKind::UnexpectedEof, "it ended before it was ready"),
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            let _ = send(successor, TOO_LATE, None);
            io::Error::new(
                ErrorKind::TimedOut,
                "it was not ready in time (`server.timeouts.handover`)",
            )
        }
        Err(error) => error,
    };
    lock(passing).taken = false;
    Err(ended)
}

/// Sockets are passed between processes of one user, or from and to root's.
fn is_ours(peer: &OwnedFd) -> io::Result<()> {
    let (theirs, own) = (socket_peercred(peer)?.uid, rustix::process::geteuid());
    if theirs == own || theirs.is_root() {
        return Ok(());
    }
    Err(io::Error::new(
        ErrorKind::PermissionDenied,
        "the other process is run by another user",
    ))
}

fn seqpacket() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC;
    Ok(socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?)
}

/// Listens at a path of which only this user may know. What an earlier gateway left there is replaced.
fn listen_at(path: &Path) -> io::Result<OwnedFd> {
    let socket = seqpacket()?;
    // Bound under another name and moved in place, so that it is never there with other permissions, and a gateway that is
    // still there is not cut off before this one listens.
    let name: PathBuf = format!("{}.{}", path.display(), std::process::id()).into();
    let _ = std::fs::remove_file(&name);
    bind(&socket, &SocketAddrUnix::new(&name)?)?;
    chmod(&name, Mode::RUSR | Mode::WUSR)?;
    listen(&socket, 4)?;
    std::fs::rename(&name, path)?;
    Ok(socket)
}

enum Word {
    Socket {
        with_file: bool,
    },
    End,
    Ready,
    Yours,
    TooLate,
    /// The other process has ended, or closed its end.
    Nothing,
    Other,
}

fn send(peer: &OwnedFd, word: &[u8], socket: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let passed: Vec<BorrowedFd<'_>> = socket.into_iter().collect();
    if !passed.is_empty() {
        ancillary.push(SendAncillaryMessage::ScmRights(&passed));
    }
    sendmsg(peer, &[IoSlice::new(word)], &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}

fn receive(peer: &OwnedFd) -> io::Result<(Word, Option<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut bytes = [0; 16];
    let read = recvmsg(
        peer,
        &mut [IoSliceMut::new(&mut bytes)],
        &mut ancillary,
        RecvFlags::CMSG_CLOEXEC,
    )?
    .bytes;
    let word = match &bytes[..read] {
        SOCKET => Word::Socket { with_file: false },
        SOCKET_AND_FILE => Word::Socket { with_file: true },
        END => Word::End,
        READY => Word::Ready,
        YOURS => Word::Yours,
        TOO_LATE => Word::TooLate,
        [] => Word::Nothing,
        _ => Word::Other,
    };
    let passed = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut passed) => passed.next(),
        _ => None,
    });
    Ok((word, passed))
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};

    use super::*;

    fn await_at(path: &Path, socket: TcpListener) -> Successor {
        let passed = Passed {
            socket: socket.into(),
            with_file: false,
        };
        Successor::await_at(path, vec![passed], Duration::from_millis(100)).unwrap()
    }

    fn is_taking_over(successor: &Successor) -> bool {
        lock(&successor.passing).taken
    }

    #[tokio::test]
    async fn sockets_and_what_waits_in_them_go_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("handover.sock");
        assert!(Predecessor::take_over(&path).unwrap().is_none());
        let old = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = old.local_addr().unwrap();
        let mut waiting = TcpStream::connect(address).unwrap();
        waiting.write_all(b"x").unwrap();
        let mut successor = await_at(&path, old);

        let (predecessor, mut inherited) = Predecessor::take_over(&path).unwrap().unwrap();
        predecessor.ready().unwrap();

        successor.ready().await;
        let new = inherited.tcp(address).pop().unwrap();
        assert_eq!(new.accept().unwrap().1, waiting.local_addr().unwrap());
    }

    #[tokio::test]
    async fn a_successor_that_ends_before_it_is_ready_leaves_things_as_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("handover.sock");
        let old = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut successor = await_at(&path, old);

        drop(Predecessor::take_over(&path).unwrap().unwrap());

        let early = tokio::time::timeout(Duration::from_millis(50), successor.ready()).await;
        assert!(early.is_err());
        assert!(!is_taking_over(&successor));
        let (predecessor, _) = Predecessor::take_over(&path).unwrap().unwrap();
        assert!(is_taking_over(&successor));
        predecessor.ready().unwrap();
        successor.ready().await;
    }

    #[tokio::test]
    async fn who_is_too_late_is_told_so_and_the_next_one_may_try() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("handover.sock");
        let mut successor = await_at(&path, TcpListener::bind("127.0.0.1:0").unwrap());
        let (late, _) = Predecessor::take_over(&path).unwrap().unwrap();
        while is_taking_over(&successor) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }

        assert!(late.ready().is_err());

        let (predecessor, _) = Predecessor::take_over(&path).unwrap().unwrap();
        predecessor.ready().unwrap();
        successor.ready().await;
    }

    #[test]
    fn a_predecessor_that_is_not_there_any_more_holds_nobody_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("handover.sock");
        let gone = listen_at(&path).unwrap();
        let ended = thread::spawn(move || {
            let successor = accept_with(&gone, SocketFlags::CLOEXEC).unwrap();
            send(&successor, END, None).unwrap();
        });
        let (predecessor, _) = Predecessor::take_over(&path).unwrap().unwrap();
        ended.join().unwrap();

        assert!(predecessor.ready().is_ok());
    }
}
