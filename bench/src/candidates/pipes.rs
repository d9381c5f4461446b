//! Pipes.

use super::End;
use super::shared::wait_for;
use super::sockets::read_ahead;
use crate::task::{Place, Side, Work};
use anyhow::Result;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::pipe::fcntl_setpipe_size;
use std::fs::{File, OpenOptions};
use std::io::{BufReader, Read, Write};

/// A pipe in each direction, made as FIFOs so that two strangers can open them.
pub(crate) struct Pipe {
    out: File,
    inn: BufReader<File>,
    outgoing: Vec<u8>,
    incoming: Vec<u8>,
}

impl End for Pipe {
    const HOW: &'static str = "a FIFO in each direction, F_SETPIPE_SZ of 1 MiB asked for; \
        write_all, read_exact through a BufReader of 64 KiB";

    fn does(work: Work, _size: usize) -> bool {
        work != Work::Wake
    }

    fn open(place: &Place, side: Side) -> Result<Self> {
        let (there, back) = (place.path("there"), place.path("back"));
        if side == Side::A {
            for path in [&back, &there] {
                mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0)?;
            }
        } else {
            wait_for(&there)?;
        }
        // Both ends open the same one first, since each waits there for the other.
        let reader = |path| OpenOptions::new().read(true).open(path);
        let writer = |path| OpenOptions::new().write(true).open(path);
        let (inn, out) = if side == Side::A {
            let out = writer(&there)?;
            (reader(&back)?, out)
        } else {
            (reader(&there)?, writer(&back)?)
        };
        if !place.many {
            // A wish: the system may allow less.
            let _ = fcntl_setpipe_size(&out, 1 << 20);
        }
        let (outgoing, incoming) = (vec![0; place.size], vec![0; place.size]);
        Ok(Pipe { out, inn: BufReader::with_capacity(read_ahead(place), inn), outgoing, incoming })
    }

    #[inline]
    fn send(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> Result<()> {
        fill(&mut self.outgoing[..len]);
        self.out.write_all(&self.outgoing[..len])?;
        Ok(())
    }

    #[inline]
    fn recv<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<R> {
        self.inn.read_exact(&mut self.incoming)?;
        Ok(read(&self.incoming))
    }
}
