//! Seats and sessions: sockets that keep messages apart and carry descriptors.

use super::closer::Shy;
use super::fd::Fd;
use super::permission::Permission;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, Shutdown, SocketAddrUnix, SocketFlags,
    SocketType,
};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Connections that wait in a listener's queue. A full queue means "held": whoever finds it so
/// tries again.
const BACKLOG: i32 = 16;
/// Most descriptors that one message carries; more is a protocol violation.
pub(crate) const MAX_FDS: usize = 12;
const SOCKET: SocketFlags = SocketFlags::CLOEXEC.union(SocketFlags::NONBLOCK);

/// Through the directory's descriptor: the path stays below the limit of 108 bytes whatever the
/// directory is called.
fn address(dir: BorrowedFd<'_>, file: &str) -> io::Result<SocketAddrUnix> {
    Ok(SocketAddrUnix::new(format!("/proc/self/fd/{}/{file}", dir.as_raw_fd()))?)
}

fn socket() -> io::Result<Fd> {
    Fd::make(|| rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SOCKET, None))
}

/// A seat: bound to its file, listening for life.
#[derive(Debug)]
pub(crate) struct Listener(Shy);

impl Listener {
    /// Binds `file` (which must not exist) in `dir` and listens.
    pub(crate) fn bind(dir: BorrowedFd<'_>, file: &str) -> io::Result<Listener> {
        let fd = socket()?;
        // The file begins closed to all others, whatever the umask is; `files::permit` opens it.
        rustix::fs::fchmod(&fd, rustix::fs::Mode::from_raw_mode(0o600))?;
        rustix::net::bind(&fd, &address(dir, file)?)?;
        rustix::net::listen(&fd, BACKLOG)?;
        Ok(Listener(Shy::new(fd)))
    }

    /// The next connection, if one waits.
    pub(crate) fn accept(&self) -> io::Result<Option<Connection>> {
        let accepted = Fd::make(|| {
            loop {
                match rustix::net::accept_with(&self.0, SOCKET) {
                    Err(Errno::INTR | Errno::CONNABORTED) => {}
                    other => return other,
                }
            }
        });
        match accepted {
            Ok(fd) => Ok(Some(Connection::of(fd))),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Frees the seat at once, also when a forked child still holds the descriptor.
    pub(crate) fn shutdown(&self) {
        // Refused only for a socket that is not listening any more.
        let _ = rustix::net::shutdown(&self.0, Shutdown::Both);
    }

    pub(crate) fn fd(&self) -> &Fd {
        self.0.fd()
    }
}

/// What an attempt to reach a seat found.
#[derive(Debug)]
pub(crate) enum Reached {
    /// Nobody listens there.
    Free,
    /// Somebody does, but its queue is full.
    Busy,
    Connected(Connection),
}

/// What stood on a connection.
#[derive(Debug)]
pub(crate) enum Received {
    Nothing,
    /// The other side is gone, and everything it had sent has been read.
    End,
    Message(Vec<u8>, Vec<Shy>),
    /// Longer than asked for, or with more descriptors than any message has.
    Oversized,
    /// This process has no room for the descriptors that came along; the message is still queued.
    Short,
}

/// One side of a session, or of an attempt at one.
#[derive(Debug)]
pub(crate) struct Connection(Shy);

impl Connection {
    fn of(fd: Fd) -> Connection {
        Connection(Shy::new(fd))
    }

    /// Connects to the seat `file` without ever waiting.
    pub(crate) fn reach(dir: BorrowedFd<'_>, file: &str) -> io::Result<Reached> {
        let fd = socket()?;
        loop {
            return match rustix::net::connect(&fd, &address(dir, file)?) {
                Ok(()) => Ok(Reached::Connected(Connection::of(fd))),
                Err(Errno::NOENT | Errno::CONNREFUSED) => Ok(Reached::Free),
                Err(Errno::AGAIN) => Ok(Reached::Busy),
                Err(Errno::INTR) => continue,
                Err(e) => Err(e.into()),
            };
        }
    }

    /// Two connected ends without a seat.
    pub(crate) fn pair() -> io::Result<(Connection, Connection)> {
        let (mut fds, ()) = Fd::make_all(|| -> rustix::io::Result<_> {
            let (a, b) =
                rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SOCKET, None)?;
            Ok((vec![a, b], ()))
        })?;
        match (fds.pop(), fds.pop()) {
            (Some(b), Some(a)) => Ok((Connection::of(a), Connection::of(b))),
            _ => Err(io::ErrorKind::Other.into()),
        }
    }

    /// A connection that this process inherited under the number `raw`; `None` if there is none of
    /// the right kind.
    pub(crate) fn inherited(raw: i32) -> Option<Connection> {
        if raw <= 2 {
            return None;
        }
        // SAFETY: only looked at while borrowed here; a closed or foreign number makes the calls
        // below fail.
        let seen = unsafe { BorrowedFd::borrow_raw(raw) };
        let kind = rustix::net::sockopt::socket_type(seen).ok()?;
        if kind != SocketType::SEQPACKET {
            return None;
        }
        rustix::io::fcntl_setfd(seen, rustix::io::FdFlags::CLOEXEC).ok()?;
        rustix::io::ioctl_fionbio(seen, true).ok()?;
        // SAFETY: the number came in the invitation for exactly this use, and the invitation is
        // taken out of the environment before: nobody else in this process owns it.
        let fd = Fd::make(|| Ok::<_, Errno>(unsafe { OwnedFd::from_raw_fd(raw) })).ok()?;
        Some(Connection::of(fd))
    }

    /// The descriptor for a child to inherit: out of the registry that closes ours in children,
    /// still CLOEXEC. `None` in a forked child, where it is closed.
    pub(crate) fn into_inheritable(self) -> Option<OwnedFd> {
        self.0.trusted()?.into_owned()
    }

    /// Queues one message with descriptors. Does not wait: a full queue is an error.
    pub(crate) fn send(&self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        let iov = [IoSlice::new(bytes)];
        loop {
            return match rustix::net::sendmsg(&self.0, &iov, &mut control, flags) {
                Ok(n) if n == bytes.len() => Ok(()),
                Ok(_) => Err(io::ErrorKind::WriteZero.into()),
                Err(Errno::INTR) => continue,
                Err(e) => Err(e.into()),
            };
        }
    }

    /// Reads what was queued, up to `max` bytes, without waiting. A reset is reported before what
    /// was queued ahead of it: reading goes on behind it.
    pub(crate) fn recv(&self, max: usize) -> Received {
        let mut resets = 0;
        loop {
            match self.recv_once(max) {
                Ok(received) => return received,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Received::Nothing,
                Err(e) if e.kind() == io::ErrorKind::ConnectionReset && resets < 2 => {
                    resets += 1;
                    if cfg!(twocan_mutant = "reset-is-the-end") {
                        return Received::End;
                    }
                }
                Err(_) => return Received::End,
            }
        }
    }

    /// Looks first, and takes the message out only when its descriptors have arrived whole: a
    /// process that is short of them for a moment must not lose a WELCOME.
    fn recv_once(&self, max: usize) -> io::Result<Received> {
        let seen = self.look(max)?;
        if matches!(seen, Received::Message(..)) {
            // Without room for descriptors: the kernel drops the queued copies, never the last
            // ones, as `seen` has them too. What is oversized stays queued, and goes with the
            // connection.
            let flags = RecvFlags::DONTWAIT | RecvFlags::TRUNC;
            rustix::net::recv(&self.0, &mut [0u8; 1][..], flags)?;
        }
        Ok(seen)
    }

    fn look(&self, max: usize) -> io::Result<Received> {
        look(&self.0, max)
    }

    /// Ends the connection for both sides, also when a forked child still holds the descriptor.
    pub(crate) fn shutdown(&self) {
        let _ = rustix::net::shutdown(&self.0, Shutdown::Both);
    }

    /// Was it made before the fork that made this process?
    pub(crate) fn is_forked(&self) -> bool {
        self.0.fd().is_forked()
    }

    /// Who is at the other side: for a connection made by `reach`, the process that listens; for an
    /// accepted one, the process that connected; for `pair`, the process that made it.
    pub(crate) fn process(&self) -> Process {
        let credentials = peer_credentials(self.0.as_fd());
        let pid = credentials.and_then(|c| u32::try_from(c.pid).ok()).filter(|pid| *pid != 0);
        let me = rustix::process::getpid().as_raw_nonzero().get() as u32;
        let own = pid == Some(me);
        Process {
            pid,
            uid: credentials.map(|c| c.uid),
            // Our own pidfd would tell nothing: while we can look, it lives.
            pidfd: if own || cfg!(twocan_mutant = "sockets-tell-all") {
                None
            } else {
                peer_pidfd(self.0.as_fd())
            },
        }
    }

    pub(crate) fn fd(&self) -> &Fd {
        self.0.fd()
    }
}

/// SO_PEERCRED. Not by rustix, whose process id cannot be 0: that is the answer for a process of
/// another pid namespace.
fn peer_credentials(socket: BorrowedFd<'_>) -> Option<libc::ucred> {
    let mut credentials = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut len = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: `credentials` and `len` are writable and say their true size.
    let code = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut credentials).cast(),
            &raw mut len,
        )
    };
    (code == 0).then_some(credentials)
}

/// Reads the next message and leaves it in the queue.
fn look(socket: &Shy, max: usize) -> io::Result<Received> {
    let mut bytes = vec![0; max];
    let (fds, result) = Fd::make_all(|| -> rustix::io::Result<_> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT | RecvFlags::PEEK;
        let mut iov = [IoSliceMut::new(&mut bytes)];
        let result = rustix::net::recvmsg(socket, &mut iov, &mut control, flags)?;
        let fds = control
            .drain()
            .filter_map(|m| match m {
                RecvAncillaryMessage::ScmRights(fds) => Some(fds),
                _ => None,
            })
            .flatten()
            .collect();
        Ok((fds, (result.bytes, result.flags)))
    })?;
    let (len, flags) = result;
    let fds: Vec<Shy> = fds.into_iter().map(Shy::new).collect();
    if flags.contains(ReturnFlags::CTRUNC) && fds.len() < MAX_FDS {
        return Ok(Received::Short);
    }
    if flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Ok(Received::Oversized);
    }
    if len == 0 {
        return Ok(Received::End); // we never send an empty message
    }
    bytes.truncate(len);
    Ok(Received::Message(bytes, fds))
}

/// SO_PEERPIDFD (Linux 6.5); `None` on older kernels, where the socket alone tells of a death.
fn peer_pidfd(socket: BorrowedFd<'_>) -> Option<Fd> {
    const SO_PEERPIDFD: i32 = 77;
    Fd::make(|| {
        let mut raw: i32 = -1;
        let mut len = size_of::<i32>() as libc::socklen_t;
        // SAFETY: `raw` and `len` are writable and say their true size.
        let code = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                SO_PEERPIDFD,
                (&raw mut raw).cast(),
                &raw mut len,
            )
        };
        if code != 0 || raw < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just made this descriptor for us.
        Ok(unsafe { OwnedFd::from_raw_fd(raw) })
    })
    .ok()
}

/// A process as the kernel names it.
#[derive(Debug)]
pub(crate) struct Process {
    /// `None` when it lives in another pid namespace.
    pub(crate) pid: Option<u32>,
    pub(crate) uid: Option<u32>,
    pidfd: Option<Fd>,
}

impl Process {
    /// Is it dead? Only the kernel says so; without a pidfd the answer is no, and the socket's end
    /// must tell.
    pub(crate) fn is_dead(&self) -> bool {
        self.pidfd.as_ref().is_some_and(|fd| {
            let mut fds = [PollFd::new(fd, PollFlags::IN)];
            matches!(poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })), Ok(1))
        })
    }

    /// May a process of its user be at the other end?
    pub(crate) fn is_welcome(&self, permission: Permission) -> bool {
        permission.lets_in(self.uid)
    }

    /// Its user, for the words of an error.
    pub(crate) fn owner_name(&self) -> String {
        self.uid.map_or("nobody knows whom".to_owned(), super::user::name_of)
    }

    pub(crate) fn pidfd(&self) -> Option<&Fd> {
        self.pidfd.as_ref()
    }

    /// The process said who it is by a pidfd of its own (an inherited connection names its maker).
    pub(crate) fn introduced(pidfd: Fd, pid: u32, uid: Option<u32>) -> Process {
        Process { pid: Some(pid), uid, pidfd: Some(pidfd) }
    }
}

/// This process's own pidfd, to introduce itself; `None` where the system has no such thing: then
/// the socket alone tells of a death.
pub(crate) fn own_pidfd() -> io::Result<Option<Fd>> {
    let flags = rustix::process::PidfdFlags::empty();
    match Fd::make(|| rustix::process::pidfd_open(rustix::process::getpid(), flags)) {
        Ok(fd) => Ok(Some(fd)),
        Err(e) => match Errno::from_io_error(&e) {
            Some(Errno::NOSYS | Errno::PERM) => Ok(None),
            _ => Err(e),
        },
    }
}

/// A doorbell: `ours` polls readable after the other side rang on `theirs`.
pub(crate) fn doorbell() -> io::Result<(Shy, Shy)> {
    let (ours, theirs) = Connection::pair()?;
    Ok((ours.0, theirs.0))
}

/// Is it a socket of the kind that `doorbell` makes? Asks nothing that could wait.
pub(crate) fn is_doorbell(fd: &Shy) -> bool {
    use rustix::net::sockopt::{socket_domain, socket_type};
    socket_domain(fd).is_ok_and(|d| d == AddressFamily::UNIX)
        && socket_type(fd).is_ok_and(|t| t == SocketType::SEQPACKET)
}

/// Rings. A full queue is a bell that rings already; a closed one has nobody to hear it.
pub(crate) fn ring(bell: &Shy) {
    let _ = rustix::net::send(bell, &[1], SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
}

/// Takes the rings out of a doorbell that were there. False = there is something else in it, and it
/// stays there: to take that out could mean to close it, which may take its time.
pub(crate) fn empty_doorbell(bell: &Shy) -> bool {
    // An honest peer rings once for each arm; more rings than these are heard again, no more.
    for _ in 0..4 {
        match look(bell, 1) {
            Ok(Received::Message(bytes, fds)) if bytes == [1] && fds.is_empty() => {
                let flags = RecvFlags::DONTWAIT | RecvFlags::TRUNC;
                if rustix::net::recv(bell, &mut [0u8; 1][..], flags).is_err() {
                    return true;
                }
            }
            Ok(Received::Message(..) | Received::Oversized | Received::Short) => return false,
            // Empty; or the peer is gone, which others find out.
            Ok(Received::Nothing | Received::End) | Err(_) => return true,
        }
    }
    true
}
