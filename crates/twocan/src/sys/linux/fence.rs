//! The asymmetric fence: the side that seldom needs order pays for both.

use std::sync::atomic::{AtomicBool, Ordering};

use rustix::thread::{MembarrierCommand, MembarrierQuery, membarrier, membarrier_query};

/// Lets `everywhere` of any process reach the threads of this one. Takes up to tens of
/// milliseconds where there are other threads, as the kernel waits until each of them has passed
/// it.
pub(crate) fn register() -> bool {
    if std::env::var_os("TWOCAN_TEST_NO_MEMBARRIER").is_some() {
        return false;
    }
    let needed = MembarrierQuery::REGISTER_GLOBAL_EXPEDITED | MembarrierQuery::GLOBAL_EXPEDITED;
    let done = membarrier_query().contains(needed)
        && membarrier(MembarrierCommand::RegisterGlobalExpedited).is_ok();
    REGISTERED.fetch_or(done, Ordering::Relaxed);
    done
}

static REGISTERED: AtomicBool = AtomicBool::new(false);

/// Has `register` succeeded in this process? Until then nobody leaves a fence to its sleepers.
pub(crate) fn is_registered() -> bool {
    REGISTERED.load(Ordering::Relaxed)
}

/// A full fence on every thread that runs in a registered process, this one included: what one of
/// them stored before is seen after this, and what it loads afterwards is no older than this.
pub(crate) fn everywhere() {
    let done = membarrier(MembarrierCommand::GlobalExpedited);
    // Nobody calls this before `register` has succeeded, and from then on it cannot fail.
    debug_assert!(done.is_ok(), "{done:?}");
}
