//! Signals and helper threads.

/// Runs `work` with all signals blocked on this thread. Threads started in it inherit that: no
/// signal handler of the application ever runs on them.
pub(crate) fn without_signals<R>(work: impl FnOnce() -> R) -> R {
    let mut all = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: both point to writable sets; sigfillset initialises the first before it is read.
    let blocked = unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) == 0
    };
    let result = work();
    if blocked {
        // SAFETY: pthread_sigmask has filled `before`.
        unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut());
        }
    }
    result
}

/// How many cores the machine has switched on, whichever of them this process may use.
pub(crate) fn cores_of_the_machine() -> usize {
    // SAFETY: no memory is passed; -1 = not known.
    let cores = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) };
    usize::try_from(cores).unwrap_or(1).max(1)
}
