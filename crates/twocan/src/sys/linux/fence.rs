//! The asymmetric fence: the side that seldom needs order pays for both.

use std::sync::atomic::{AtomicBool, Ordering};

use rustix::thread::{MembarrierCommand, MembarrierQuery, membarrier, membarrier_query};

/// May `register` be tried? Tests forbid it. Reads the environment: to be asked on a thread of the
/// application.
pub(crate) fn is_allowed() -> bool {
    std::env::var_os("TWOCAN_TEST_NO_MEMBARRIER").is_none()
}

/// Lets `everywhere` of any process reach the threads of this one. Takes up to tens of
/// milliseconds where there are other threads, as the kernel waits until each of them has passed
/// it.
pub(crate) fn register() -> bool {
    let needed = MembarrierQuery::REGISTER_GLOBAL_EXPEDITED | MembarrierQuery::GLOBAL_EXPEDITED;
    membarrier_query().contains(needed)
        && membarrier(MembarrierCommand::RegisterGlobalExpedited).is_ok()
}

/// `register`, if this is the only thread: then the kernel waits for nobody, and it takes a
/// microsecond.
pub(crate) fn register_alone() -> bool {
    // Beside the directory's two links each thread is one.
    let alone = rustix::fs::stat("/proc/self/task").is_ok_and(|tasks| tasks.st_nlink == 3);
    alone && register()
}

static RELIED_UPON: AtomicBool = AtomicBool::new(false);

/// An end of this process is about to say that it takes part.
pub(crate) fn rely() {
    RELIED_UPON.store(true, Ordering::Relaxed);
}

/// Does an end of this process take part, or did one ever? Until then nobody leaves a fence to its
/// sleepers.
pub(crate) fn is_relied_upon() -> bool {
    RELIED_UPON.load(Ordering::Relaxed)
}

/// A full fence on every thread that runs in a registered process, this one included: what one of
/// them stored before is seen after this, and what it loads afterwards is no older than this.
///
/// It can be refused: a process that locked itself into a sandbox after it had registered may not
/// call it any more. Then a millisecond takes its place, in which every processor has long written
/// out what it held back (that takes microseconds at worst, and a switch of threads does it, too).
pub(crate) fn everywhere() {
    let refused = membarrier(MembarrierCommand::GlobalExpedited).is_err();
    if refused && !cfg!(twocan_mutant = "refusal-ignored") {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}
