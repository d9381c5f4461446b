//! What a forked child must not keep: it never is a holder, a listener or an end.
//!
//! All descriptors of the library are registered. While `fork` runs, the registry is locked; the
//! child closes everything that is registered and raises the generation, by which handles know that
//! they were made in another process.

use std::cell::UnsafeCell;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

/// How many forks lie between this process and the one that first loaded the library.
static GENERATION: AtomicU32 = AtomicU32::new(0);

/// The open descriptors of the library, one bit for each number.
static REGISTRY: Mutex<Registry> = Mutex::new(Registry { bits: Vec::new() });

pub(super) struct Registry {
    bits: Vec<u64>,
}

impl Registry {
    pub(super) fn insert(&mut self, fd: RawFd) {
        let (at, bit) = place(fd);
        if self.bits.len() <= at {
            self.bits.resize(at + 1, 0);
        }
        self.bits[at] |= bit;
    }

    pub(super) fn remove(&mut self, fd: RawFd) {
        let (at, bit) = place(fd);
        if let Some(word) = self.bits.get_mut(at) {
            *word &= !bit;
        }
    }

    /// In the child: no allocation, nothing but `close`.
    fn close_all(&mut self) {
        for (at, word) in self.bits.iter_mut().enumerate() {
            while *word != 0 {
                let bit = word.trailing_zeros();
                *word &= *word - 1;
                let fd = at as RawFd * 64 + bit as RawFd;
                // SAFETY: the descriptor is registered, so one of our `Fd`s owned it in the parent;
                // in the child no `Fd` of an older generation closes or uses it.
                unsafe {
                    libc::close(fd);
                }
            }
        }
    }
}

fn place(fd: RawFd) -> (usize, u64) {
    let fd = usize::try_from(fd).unwrap_or(0);
    (fd / 64, 1 << (fd % 64))
}

/// The generation of this process; a handle that remembers another one was inherited through
/// `fork`.
pub(crate) fn generation() -> u32 {
    // Changed only in a child that has one thread: Relaxed.
    GENERATION.load(Ordering::Relaxed)
}

/// Keeps `fork` away while descriptors are made, registered or closed. Do not nest.
pub(super) fn registry() -> MutexGuard<'static, Registry> {
    install();
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps `fork` away while `work` runs, for memory that must be marked before a child can copy it.
/// Do not nest, and make or drop no `Fd` inside.
pub(crate) fn kept_away<R>(work: impl FnOnce() -> R) -> R {
    let _registry = registry();
    work()
}

fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        // SAFETY: three plain functions that live as long as the program (the library is never
        // unloaded: -z nodelete).
        let code = unsafe { libc::pthread_atfork(Some(prepare), Some(parent), Some(child)) };
        debug_assert_eq!(code, 0, "pthread_atfork");
    });
}

/// The registry's guard from `prepare` to `parent` or `child`.
struct Held(UnsafeCell<Option<MutexGuard<'static, Registry>>>);

// SAFETY: only the thread inside `fork` touches it, between prepare and parent or child, and
// prepare's lock admits one.
unsafe impl Sync for Held {}

static HELD: Held = Held(UnsafeCell::new(None));

extern "C" fn prepare() {
    let guard = REGISTRY.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: see Held; this thread has just taken the lock.
    unsafe { *HELD.0.get() = Some(guard) };
}

extern "C" fn parent() {
    // SAFETY: see Held; the thread that ran prepare runs this.
    drop(unsafe { (*HELD.0.get()).take() });
}

extern "C" fn child() {
    // SAFETY: see Held; the child has one thread, a copy of the one that ran prepare.
    let guard = unsafe { (*HELD.0.get()).take() };
    if let Some(mut registry) = guard {
        registry.close_all();
    }
    GENERATION.fetch_add(1, Ordering::Relaxed);
}
