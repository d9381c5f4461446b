//! The asymmetric fence, as far as the session has to do with it: who asks, who takes part, and the
//! fence that a sleeper makes on behalf of its peer. Why it is sound stands at `park::Order`.

use super::state::{Lean, State};
use super::{End, Half};
use crate::region::PeerRegion;
use crate::ring::Memory;
use crate::sync::Ordering;
use crate::sys::fence;

impl End {
    /// A half of this end has made many fences: could both sides do without?
    #[cold]
    pub(crate) fn ask_lean(&self) {
        let mut state = self.lock();
        if state.lean == Lean::No {
            state.lean = Lean::Asked;
            drop(state);
            self.watcher.want_fence(self);
        }
    }

    /// Takes part from now on, if it was asked for and the process is registered. True = changed.
    pub(super) fn check_lean(&self, state: &mut State) -> bool {
        if state.lean != Lean::Asked || !self.watcher.has_fence() {
            return false;
        }
        state.lean = Lean::Yes;
        // Before the word: whoever knows the word may have left a fence out.
        fence::rely();
        // SYNC asym: pairs with `is_lean` and with the peer's.
        self.own.header().asym.store(1, Ordering::Release);
        self.tell();
        true
    }

    /// Does this end take part in the asymmetric fence?
    pub(super) fn is_lean(&self) -> bool {
        // SYNC asym
        self.own.header().asym.load(Ordering::Acquire) != 0
    }

    /// Do halves of the peer leave their fence to the sleeper? Asked after arming and a full fence.
    pub(crate) fn leans(&self, half: Half) -> bool {
        !cfg!(twocan_mutant = "no-membarrier")
            && self.is_lean()
            && self.sleepers(half).kept.iter().any(|peer| takes_part(peer))
    }

    /// After arming, before the look: the fence that halves of the peer may have left out.
    pub(crate) fn fence_for_peer(&self, half: Half) {
        if self.leans(half) {
            fence::everywhere();
        }
    }
}

/// Does the owner of this region take part in the asymmetric fence?
pub(crate) fn takes_part(peer: &PeerRegion) -> bool {
    // SYNC asym: pairs with `check_lean`.
    peer.header().asym.load(Ordering::Acquire) != 0
}
