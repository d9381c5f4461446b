//! The asymmetric fence: the side that seldom needs order pays for both.

use rustix::thread::{MembarrierCommand, MembarrierQuery, membarrier, membarrier_query};

/// Lets `everywhere` of any process reach the threads of this one. Takes up to tens of
/// milliseconds where there are other threads, as the kernel waits until each of them has passed
/// it.
pub(crate) fn register() -> bool {
    if std::env::var_os("TWOCAN_TEST_NO_MEMBARRIER").is_some() {
        return false;
    }
    let needed = MembarrierQuery::REGISTER_GLOBAL_EXPEDITED | MembarrierQuery::GLOBAL_EXPEDITED;
    membarrier_query().contains(needed)
        && membarrier(MembarrierCommand::RegisterGlobalExpedited).is_ok()
}

/// A full fence on every thread that runs in a registered process, this one included: what one of
/// them stored before is seen after this, and what it loads afterwards is no older than this.
pub(crate) fn everywhere() {
    let done = membarrier(MembarrierCommand::GlobalExpedited);
    // Nobody calls this before `register` has succeeded, and from then on it cannot fail.
    debug_assert!(done.is_ok(), "{done:?}");
}
