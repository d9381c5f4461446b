//! Noticing that a file has lost its name.

use super::dir::Directory;
use super::fd::Fd;
use rustix::fs::inotify;
use rustix::io::Errno;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;

/// Watches the names of any number of files; one for the whole process, as a user has few of them.
#[derive(Debug)]
pub(crate) struct Names(Fd);

impl Names {
    pub(crate) fn new() -> io::Result<Names> {
        let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
        Ok(Names(Fd::make(|| inotify::init(flags))?))
    }

    /// Watches `file`, which exists; the number stands for it in `stirred`.
    pub(crate) fn watch(&self, dir: &Directory, file: &str) -> io::Result<i32> {
        let path = format!("/proc/self/fd/{}/{file}", dir.fd().as_raw_fd());
        // A lost name changes the count of links, which is an attribute.
        let what = inotify::WatchFlags::ATTRIB | inotify::WatchFlags::MOVE_SELF;
        Ok(inotify::add_watch(&self.0, path, what)?)
    }

    /// Watches it no longer.
    pub(crate) fn forget(&self, number: i32) {
        // Gone by itself when the file is.
        let _ = inotify::remove_watch(&self.0, number);
    }

    /// The files of which something was reported since the last call.
    pub(crate) fn stirred(&self) -> Vec<i32> {
        let mut space = [MaybeUninit::uninit(); 1024];
        let mut events = inotify::Reader::new(&self.0, &mut space);
        let mut numbers = Vec::new();
        loop {
            match events.next() {
                Ok(event) => numbers.push(event.wd()),
                Err(Errno::INTR) => {}
                Err(_) => return numbers,
            }
        }
    }

    pub(crate) fn fd(&self) -> &Fd {
        &self.0
    }
}

/// Has the file no name any more?
pub(crate) fn is_nameless(file: &Fd) -> bool {
    rustix::fs::fstat(file).is_ok_and(|stat| stat.st_nlink == 0)
}
