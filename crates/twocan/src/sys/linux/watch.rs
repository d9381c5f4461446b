//! Noticing that a file has lost its name.

use super::dir::Directory;
use super::fd::Fd;
use rustix::fs::inotify;
use rustix::io::Errno;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;

/// Something happened to the links of one file since the last look.
#[derive(Debug)]
pub(crate) struct FileWatch(Fd);

impl FileWatch {
    /// Watches `file`, which exists.
    pub(crate) fn on(dir: &Directory, file: &str) -> io::Result<FileWatch> {
        let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
        let fd = Fd::make(|| inotify::init(flags))?;
        let path = format!("/proc/self/fd/{}/{file}", dir.fd().as_raw_fd());
        // A lost name changes the count of links, which is an attribute.
        let what = inotify::WatchFlags::ATTRIB | inotify::WatchFlags::MOVE_SELF;
        inotify::add_watch(&fd, path, what)?;
        Ok(FileWatch(fd))
    }

    /// Was anything reported? Forgets it.
    pub(crate) fn stirred(&self) -> bool {
        let mut space = [MaybeUninit::uninit(); 512];
        let mut events = inotify::Reader::new(&self.0, &mut space);
        let mut any = false;
        loop {
            match events.next() {
                Ok(_) => any = true,
                Err(Errno::INTR) => {}
                Err(_) => return any,
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
