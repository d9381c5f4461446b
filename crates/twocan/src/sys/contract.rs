//! What every system's floor does: the sentences of the contract in `sys/mod.rs`, tried one by one.
//!
//! It uses nothing but the contract. What needs a second process is in tests/objects.rs.

mod channel;

use super::dir::{Directory, PATIENCE};
use super::fd::Fd;
use super::futex::{self, Outcome, Word};
use super::memory::{Mapping, page_size};
use super::object::{self, Opening, Spec};
use super::permission::Permission;
use crate::sync::{AtomicU32, Ordering};
use crate::{ErrorKind, Sharing};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(30);

fn soon() -> Option<Instant> {
    Some(Instant::now() + SHORT)
}

fn late() -> Option<Instant> {
    Some(Instant::now() + LONG)
}

/// A hash and a file name that no other test uses.
fn unique() -> (u128, String) {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let n = COUNT.fetch_add(1, Ordering::Relaxed);
    let pid = std::process::id();
    (u128::from(pid) << 32 | u128::from(n), format!("contract-{pid}-{n}.test"))
}

fn spec(len: u64) -> Spec {
    let permission = Permission::of(&Sharing::CurrentUser).unwrap();
    Spec { len, allocate: true, permission, inheritable: false }
}

fn opening() -> Opening {
    Opening { write: true, permission: spec(1).permission, inheritable: false }
}

#[test]
fn a_changed_word_does_not_sleep() {
    for n in [1, 2, 128, 129, 400] {
        let words: Vec<AtomicU32> = (0..n).map(|_| AtomicU32::new(7)).collect();
        for shared in [false, true] {
            let list = |changed: usize| -> Vec<Word> {
                let expected = |i| if i == changed { 6 } else { 7 };
                let make = |(i, w): (usize, &AtomicU32)| match shared {
                    true => Word::shared(w, expected(i)),
                    false => Word::local(w, expected(i)),
                };
                words.iter().enumerate().map(make).collect()
            };
            for changed in [0, n - 1] {
                assert_ne!(futex::wait(&list(changed), late()), Outcome::TimedOut);
            }
            let start = Instant::now();
            assert_eq!(futex::wait(&list(n), soon()), Outcome::TimedOut, "{n} words");
            assert!(start.elapsed() >= SHORT, "never early");
        }
    }
}

#[test]
fn a_wake_reaches_all_who_sleep() {
    let (shared, local) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    for use_shared in [false, true] {
        let word = if use_shared { &shared } else { &local };
        word.store(0, Ordering::SeqCst);
        let sleepers: Vec<_> = (0..4)
            .map(|n| {
                let word = Arc::clone(word);
                let other = AtomicU32::new(0);
                thread::spawn(move || {
                    while word.load(Ordering::Acquire) == 0 {
                        let mine = match use_shared {
                            true => Word::shared(&word, 0),
                            false => Word::local(&word, 0),
                        };
                        let list = [mine, Word::local(&other, 0)];
                        let outcome = futex::wait(&list[..1 + n % 2], late());
                        assert_ne!(outcome, Outcome::TimedOut, "a lost wake");
                    }
                })
            })
            .collect();
        thread::sleep(SHORT);
        match use_shared {
            true => futex::add_one_and_wake_all(word).unwrap(),
            false => {
                word.store(1, Ordering::Release);
                futex::wake_all_local(word);
            }
        }
        sleepers.into_iter().for_each(|s| s.join().unwrap());
        assert_eq!(word.load(Ordering::SeqCst), 1);
    }
    futex::wake_all(&shared);
}

#[test]
fn a_lock_keeps_threads_out_and_lets_other_names_in() {
    let dir = Directory::open().unwrap();
    let ((a, _), (b, _)) = (unique(), unique());
    let lock = dir.lock(a, PATIENCE).unwrap();
    assert!(dir.try_lock(a).unwrap().is_none());
    assert!(dir.try_lock(b).unwrap().is_some());
    let error = dir.lock(a, SHORT).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Stuck);
    assert_eq!(error.holders()[0].pid(), Some(std::process::id()));
    let path = dir.path().display().to_string();
    let pid = std::process::id();
    assert_eq!(
        error.to_string(),
        format!(
            "pid {pid} has locked {path} and does not go on. If it is stopped, continue it: \
             kill -CONT {pid}"
        )
    );
    drop(lock);
    assert!(dir.try_lock(a).unwrap().is_some());

    // Many threads, one lock: never two inside.
    let inside = Arc::new(AtomicBool::new(false));
    let enter = |_| {
        let inside = Arc::clone(&inside);
        thread::spawn(move || {
            let dir = Directory::open().unwrap();
            for _ in 0..200 {
                let lock = dir.lock(a, LONG).unwrap();
                assert!(!inside.swap(true, Ordering::SeqCst), "two inside");
                inside.store(false, Ordering::SeqCst);
                drop(lock);
            }
        })
    };
    let threads: Vec<_> = (0..4).map(enter).collect();
    threads.into_iter().for_each(|t| t.join().unwrap());
}

#[test]
fn hashes_at_the_ends_can_be_locked() {
    let dir = Directory::open().unwrap();
    for hash in [0, 1, u128::from(u64::MAX), i64::MAX as u128, u128::MAX] {
        drop(dir.lock(hash, PATIENCE).unwrap());
    }
}

#[test]
fn an_object_lives_as_long_as_it_is_held() {
    let dir = Directory::open().unwrap();
    let (hash, file_name) = unique();
    let lock = dir.lock(hash, PATIENCE).unwrap();
    assert!(object::open(&dir, &lock, &file_name, &opening()).unwrap().is_none());
    assert!(object::look(&dir, &file_name).is_none());

    let fill = |file: std::os::fd::BorrowedFd<'_>| {
        rustix::io::pwrite(file, b"whole", 0)?;
        Ok(())
    };
    let prepared = object::prepare(&dir, &spec(5), fill).unwrap();
    assert!(object::look(&dir, &file_name).is_none(), "no name yet");
    let first = prepared.publish(&dir, &lock, &file_name).unwrap();
    let look = object::look(&dir, &file_name).unwrap();
    assert!(look.held && look.len == 5);
    let second = object::prepare(&dir, &spec(5), |_| Ok(())).unwrap();
    let refused = second.publish(&dir, &lock, &file_name).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::AlreadyExists);

    let other = object::open(&dir, &lock, &file_name, &opening()).unwrap().unwrap();
    assert_eq!(object::id_of(&first).unwrap(), object::id_of(&other).unwrap());
    assert!(!object::remove_corpse(&dir, &lock, &file_name));
    drop(lock);
    object::release(&dir, hash, &file_name, first, false);
    assert!(object::look(&dir, &file_name).unwrap().held);
    object::release(&dir, hash, &file_name, other, false);
    assert!(object::look(&dir, &file_name).is_none(), "gone with the last");
}

#[test]
fn what_nobody_holds_is_not_found() {
    let dir = Directory::open().unwrap();
    let (hash, file_name) = unique();
    let lock = dir.lock(hash, PATIENCE).unwrap();
    let prepared = object::prepare(&dir, &spec(5), |_| Ok(())).unwrap();
    // Closed without a word, as by a kill.
    drop(prepared.publish(&dir, &lock, &file_name).unwrap());
    assert!(!object::look(&dir, &file_name).unwrap().held);
    assert!(object::open(&dir, &lock, &file_name, &opening()).unwrap().is_none());
    assert!(object::look(&dir, &file_name).is_none(), "the corpse is removed");
}

#[test]
fn a_late_release_spares_a_successor_of_the_same_name() {
    let dir = Directory::open().unwrap();
    let (hash, file_name) = unique();
    let make = || {
        let lock = dir.lock(hash, PATIENCE).unwrap();
        let prepared = object::prepare(&dir, &spec(5), |_| Ok(())).unwrap();
        prepared.publish(&dir, &lock, &file_name).unwrap()
    };
    let first = make();
    // Somebody sweeps the directory, and the name is made again.
    let lock = dir.lock(hash, PATIENCE).unwrap();
    object::remove(&dir, &lock, &file_name);
    drop(lock);
    let second = make();
    object::release(&dir, hash, &file_name, first, false);
    assert!(object::look(&dir, &file_name).unwrap().held);
    object::release(&dir, hash, &file_name, second, false);
    assert!(object::look(&dir, &file_name).is_none());
}

#[test]
fn mapped_memory_is_zero_shared_and_ends_where_it_ends() {
    let dir = Directory::open().unwrap();
    let (hash, file_name) = unique();
    let lock = dir.lock(hash, PATIENCE).unwrap();
    let len = page_size() + 10;
    let prepared = object::prepare(&dir, &spec(len as u64), |_| Ok(())).unwrap();
    let file = prepared.publish(&dir, &lock, &file_name).unwrap();
    drop(lock);
    let map = || {
        let protection = super::memory::Protection::READ_WRITE;
        Mapping::of_file(file.as_fd(), 0, len, protection, false).unwrap()
    };
    let (a, b) = (map(), map());
    a.populate(0, len, true).unwrap();
    a.populate(len - 1, 1, false).unwrap();
    a.populate(len, 0, false).unwrap();
    let at = |m: &Mapping, i: usize| m.base().as_ptr().wrapping_add(i).cast::<AtomicU32>();
    for i in (0..len - 4).step_by(4) {
        // SAFETY: within both mappings, aligned, and atomic.
        let (x, y) = unsafe { (&*at(&a, i), &*at(&b, i)) };
        assert_eq!(y.load(Ordering::SeqCst), 0);
        x.store(i as u32, Ordering::SeqCst);
        assert_eq!(y.load(Ordering::SeqCst), i as u32);
    }
    a.flush(0, len).unwrap();
    assert_eq!(a.len(), len);
    object::release(&dir, hash, &file_name, file, false);
}

#[test]
fn descriptors_can_be_handed_out_and_made_in_numbers() {
    let pair =
        || rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map(|(r, w)| (vec![r, w], 5));
    let (fds, five) = Fd::make_all(pair).unwrap();
    assert_eq!((fds.len(), five), (2, 5));
    let [reader, writer] = <[Fd; 2]>::try_from(fds).unwrap();
    let writer = writer.into_owned().unwrap();
    drop(writer);
    assert_eq!(rustix::io::read(&reader, &mut [0; 4]).unwrap(), 0, "end of file: it was closed");
    let failed = Fd::make(|| Err::<rustix::fd::OwnedFd, _>(rustix::io::Errno::MFILE));
    assert!(failed.is_err());
    assert!(!reader.is_forked());
}
