//! Removing what crashed programs left under names that nobody asks for again: their memory would
//! stay taken.

use crate::name::files::{self, SeatFiles};
use crate::sys::dir::Directory;
use crate::sys::object::{self, UNFINISHED};
use crate::sys::socket::{Connection, Reached};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Most files looked at, and most corpses removed, in one sweep.
const LOOKS_MAX: usize = 1024;
const REMOVALS_MAX: usize = 64;

/// A process sweeps no more often than this.
const EVERY: Duration = Duration::from_secs(1);

/// Sweeps, if this process has not done so within the last second.
pub(crate) fn sometimes(dir: &Directory) {
    static LAST: Mutex<Option<Instant>> = Mutex::new(None);
    let now = Instant::now();
    {
        let Ok(mut last) = LAST.try_lock() else { return };
        if last.is_some_and(|t| now.duration_since(t) < EVERY) {
            return;
        }
        *last = Some(now);
    }
    sweep(dir);
}

/// Removes corpses, without waiting for any lock. Returns how many.
pub(super) fn sweep(dir: &Directory) -> usize {
    let mut names = dir.file_names();
    // Not always the same ones first, if there are more than one sweep looks at.
    let start = start_of(names.len());
    names.rotate_left(start);
    names.iter().take(LOOKS_MAX).filter(|n| remove_if_dead(dir, n)).take(REMOVALS_MAX).count()
}

fn start_of(len: usize) -> usize {
    let nanos = std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |d| d.subsec_nanos());
    if len <= LOOKS_MAX { 0 } else { nanos as usize % len }
}

fn remove_if_dead(dir: &Directory, file_name: &str) -> bool {
    if let Some(seat) = SeatFiles::of_socket(file_name) {
        return remove_bare_socket(dir, seat);
    }
    let seat = SeatFiles::of_record(file_name);
    let hash = if let Some((_, hash, _)) = files::object(file_name) {
        hash
    } else if let Some(seat) = seat {
        seat.hash
    } else if file_name.starts_with(UNFINISHED) {
        0
    } else {
        return false;
    };
    // A look without the lock first: most are alive.
    if object::look(dir, file_name).is_none_or(|look| look.held) {
        return false;
    }
    let Ok(Some(lock)) = dir.try_lock(hash) else { return false };
    if object::look(dir, file_name).is_none() || !object::remove_corpse(dir, &lock, file_name) {
        return false;
    }
    if let Some(seat) = seat {
        object::remove(dir, &lock, &seat.socket());
    }
    true
}

/// A seat's socket whose record is gone: its end was killed between the two removals. (One that is
/// just being dropped listens still.)
fn remove_bare_socket(dir: &Directory, seat: SeatFiles) -> bool {
    let (socket, record) = (seat.socket(), seat.record());
    let bare = || {
        let free = matches!(Connection::reach(dir.fd(), &socket), Ok(Reached::Free));
        free && object::look(dir, &record).is_none()
    };
    // Looked at twice: without the lock, and again under it.
    if object::look(dir, &record).is_some() || !bare() {
        return false;
    }
    let Ok(Some(lock)) = dir.try_lock(seat.hash) else { return false };
    let dead = bare();
    if dead {
        object::remove(dir, &lock, &socket);
    }
    dead
}
