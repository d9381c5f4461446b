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

/// The full fence of the wake handshake: the strongest there is, as cheap as the processor has it.
#[cfg(not(loom))]
pub(crate) use crate::raw::full_fence;

/// The full fence of the wake handshake.
#[cfg(loom)]
pub(crate) fn full_fence() {
    // SYNC armed, credited: as in raw::full_fence.
    fence(Ordering::SeqCst);
}
