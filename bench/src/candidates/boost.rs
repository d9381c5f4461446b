//! Boost.Interprocess message_queue, through a few lines of C++ (`boost.cpp`), where its headers
//! are.

use super::End;
use crate::task::{Place, Side, Work};
use anyhow::Result;

/// A queue in each direction.
pub(crate) struct Boost {
    #[cfg(has_boost)]
    out: bound::Queue,
    #[cfg(has_boost)]
    inn: bound::Queue,
    #[cfg(has_boost)]
    outgoing: Vec<u8>,
    #[cfg(has_boost)]
    incoming: Vec<u8>,
}

impl End for Boost {
    const HOW: &'static str = "message_queue of 1 MiB (4 to 1024 messages), send, receive; its \
        mutex and condition in shared memory";

    fn does(work: Work, _size: usize) -> bool {
        work != Work::Wake
    }

    #[cfg(not(has_boost))]
    fn missing() -> Option<String> {
        Some(env!("BENCH_BOOST_MISSING").to_owned())
    }

    #[cfg(not(has_boost))]
    fn open(_place: &Place, _side: Side) -> Result<Self> {
        anyhow::bail!(env!("BENCH_BOOST_MISSING"))
    }

    #[cfg(not(has_boost))]
    fn send(&mut self, _len: usize, _fill: impl FnOnce(&mut [u8])) -> Result<()> {
        anyhow::bail!(env!("BENCH_BOOST_MISSING"))
    }

    #[cfg(not(has_boost))]
    fn recv<R>(&mut self, _read: impl FnOnce(&[u8]) -> R) -> Result<R> {
        anyhow::bail!(env!("BENCH_BOOST_MISSING"))
    }

    #[cfg(has_boost)]
    fn open(place: &Place, side: Side) -> Result<Self> {
        let name = |way: &str| format!("{}-{way}", place.name());
        let ready = place.path("boost");
        let (out, inn) = if side == Side::A {
            let depth = place.depth(1024);
            let make = |way| bound::Queue::create(&name(way), depth, place.size);
            let queues = (make("ab")?, make("ba")?);
            std::fs::write(&ready, "")?;
            queues
        } else {
            super::shared::wait_for(&ready)?;
            let queues = (bound::Queue::open(&name("ba"))?, bound::Queue::open(&name("ab"))?);
            ["ab", "ba"].iter().for_each(|way| bound::remove(&name(way)));
            queues
        };
        Ok(Boost { out, inn, outgoing: vec![0; place.size], incoming: vec![0; place.size] })
    }

    #[cfg(has_boost)]
    fn send(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> Result<()> {
        fill(&mut self.outgoing[..len]);
        self.out.send(&self.outgoing[..len])
    }

    #[cfg(has_boost)]
    fn recv<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<R> {
        self.inn.receive(&mut self.incoming)?;
        Ok(read(&self.incoming))
    }

    #[cfg(has_boost)]
    fn clean(place: &Place) {
        for way in ["ab", "ba"] {
            bound::remove(&format!("{}-{way}", place.name()));
        }
    }
}

/// The face of `boost.cpp`.
#[cfg(has_boost)]
mod bound {
    use anyhow::{Result, ensure};
    use std::ffi::{CString, c_char, c_int, c_void};
    use std::ptr::NonNull;

    unsafe extern "C" {
        fn bench_boost_create(name: *const c_char, depth: usize, size: usize) -> *mut c_void;
        fn bench_boost_open(name: *const c_char) -> *mut c_void;
        fn bench_boost_send(queue: *mut c_void, bytes: *const c_void, len: usize) -> c_int;
        fn bench_boost_receive(
            queue: *mut c_void,
            bytes: *mut c_void,
            room: usize,
            len: *mut usize,
        ) -> c_int;
        fn bench_boost_close(queue: *mut c_void);
        fn bench_boost_remove(name: *const c_char);
    }

    pub(super) struct Queue(NonNull<c_void>);

    impl Queue {
        fn of(queue: *mut c_void) -> Result<Queue> {
            NonNull::new(queue).map(Queue).ok_or_else(|| anyhow::anyhow!("Boost refuses the queue"))
        }

        pub(super) fn create(name: &str, depth: usize, size: usize) -> Result<Queue> {
            let name = CString::new(name)?;
            // SAFETY: a C string that lives through the call.
            Queue::of(unsafe { bench_boost_create(name.as_ptr(), depth, size) })
        }

        pub(super) fn open(name: &str) -> Result<Queue> {
            let name = CString::new(name)?;
            // SAFETY: as above.
            Queue::of(unsafe { bench_boost_open(name.as_ptr()) })
        }

        pub(super) fn send(&mut self, bytes: &[u8]) -> Result<()> {
            let (from, len) = (bytes.as_ptr().cast(), bytes.len());
            // SAFETY: a queue that is open, and bytes that live through the call.
            let done = unsafe { bench_boost_send(self.0.as_ptr(), from, len) };
            ensure!(done == 0, "Boost refuses to send");
            Ok(())
        }

        pub(super) fn receive(&mut self, bytes: &mut [u8]) -> Result<()> {
            let mut len = 0;
            let (to, room) = (bytes.as_mut_ptr().cast(), bytes.len());
            // SAFETY: as above; no more than `room` bytes are written.
            let done = unsafe { bench_boost_receive(self.0.as_ptr(), to, room, &mut len) };
            ensure!(done == 0 && len == bytes.len(), "Boost gave {len} bytes");
            Ok(())
        }
    }

    impl Drop for Queue {
        fn drop(&mut self) {
            // SAFETY: made by `new`, closed once.
            unsafe { bench_boost_close(self.0.as_ptr()) }
        }
    }

    pub(super) fn remove(name: &str) {
        if let Ok(name) = CString::new(name) {
            // SAFETY: a C string that lives through the call.
            unsafe { bench_boost_remove(name.as_ptr()) }
        }
    }
}
