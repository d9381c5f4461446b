//! The one place where atomics come from: `core` in the product, `loom` in the models (`--cfg
//! loom`).

#[cfg(not(loom))]
pub(crate) use core::hint::spin_loop;
#[cfg(not(loom))]
pub(crate) use core::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

#[cfg(loom)]
pub(crate) use loom::hint::spin_loop;
#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

/// Keeps the compiler from moving accesses over it; the processor may.
#[inline]
pub(crate) fn compiler_fence() {
    // SYNC armed: the sleeper's call for a fence on all processors makes a full one of it.
    core::sync::atomic::compiler_fence(Ordering::SeqCst);
}

/// The value, of which the compiler forgets that it equals another.
#[cfg(not(loom))]
pub(crate) use crate::raw::unrelated;
#[cfg(loom)]
pub(crate) fn unrelated(value: u64) -> u64 {
    value
}

/// Lets some nanoseconds pass.
#[cfg(not(loom))]
pub(crate) use crate::raw::delay;
#[cfg(loom)]
pub(crate) fn delay(_turns: u32) {
    spin_loop();
}

/// The full fence of the wake handshake: the strongest there is, as cheap as the processor has it.
#[cfg(not(loom))]
pub(crate) use crate::raw::full_fence;

/// The full fence of the wake handshake.
#[cfg(loom)]
pub(crate) fn full_fence() {
    // SYNC armed, credited: as in raw::full_fence.
    fence(Ordering::SeqCst);
}
