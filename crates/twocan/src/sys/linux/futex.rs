//! Sleeping on words of memory.
use crate::sync::AtomicU32;

/// A word to sleep on while it holds `expected`.
#[derive(Debug, Clone, Copy)]
pub struct Word {
    pub(crate) address: *const AtomicU32,
    pub(crate) expected: u32,
    pub(crate) shared: bool,
}

pub(crate) fn wake_all_local(_word: &AtomicU32) {}
