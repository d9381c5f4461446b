//! INT, TERM and HUP become a cancellation, so that a command says goodbye before it ends.

use crate::exit::Failure;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use twocan::Cancel;

/// The signals of this process, from when it was made on. Clones share one state.
#[derive(Clone)]
pub(crate) struct Ending {
    cancel: Cancel,
    /// The signal that came first; 0 = none yet.
    signal: Arc<AtomicI32>,
}

impl Ending {
    /// Watches the signals on a thread of its own, and calls `wake` with each. A second one ends
    /// the process at once.
    pub(crate) fn watch(mut wake: impl FnMut(i32) + Send + 'static) -> Result<Ending, Failure> {
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])
            .map_err(|e| crate::exit::io_failure("signals", &e))?;
        let ending = Ending { cancel: Cancel::new(), signal: Arc::default() };
        let shared = ending.clone();
        std::thread::spawn(move || {
            for signal in signals.forever() {
                if shared.signal.swap(signal, Ordering::Relaxed) != 0 {
                    std::process::exit(128 + signal);
                }
                shared.cancel.cancel();
                wake(signal);
            }
        });
        Ok(ending)
    }

    /// Cancelled by the first signal.
    pub(crate) fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    /// The signal that came, if one did.
    pub(crate) fn signal(&self) -> Option<i32> {
        Some(self.signal.load(Ordering::Relaxed)).filter(|s| *s != 0)
    }

    /// The end by the signal that came; by SIGINT if the cancellation had another cause.
    pub(crate) fn failure(&self) -> Failure {
        Failure::signal(self.signal().unwrap_or(SIGINT))
    }
}
