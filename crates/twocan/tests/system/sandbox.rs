//! A program that locks itself in after it has begun: what its channels were promised before is
//! refused afterwards. By then both ends leave their fences to whoever goes to sleep, and the call
//! for a fence on all processors (membarrier) is no longer there.

use crate::jail::{Answer, Rule, refuse_here};
use crate::roles::leave_with_the_input;
use crate::support::{Child, LONG, say, unique};
use crate::{refused, trust};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use twocan::{Channel, RecvError};

/// Messages in a row: more than an end sends with fences before it asks for the other way.
const BURST: u64 = 1000;
/// Bursts before the two must have come to terms.
const PATIENCE: u64 = 2000;
/// Bursts that are sent when both processes are registered, so that both ends know.
const SETTLING: u64 = 50;

pub fn play(args: &[&str]) -> bool {
    if let ["opens", name] = *args {
        opens(name);
        return true;
    }
    let ["locks itself in", way, name] = *args else { return false };
    let mut end = Channel::open(name).unwrap();
    say("open");
    stream(&mut end, false);
    match way {
        "all of it" => refused::install("membarrier", libc::EPERM),
        _ => watch_this_thread(),
    }
    say("locked in");
    leave_with_the_input();
    loop {
        match end.recv() {
            Ok(message) => drop(end.send(&*message).unwrap()),
            Err(RecvError::PeerClosed) => {
                let seen = [&REFUSED, &RESTED].map(|n| n.load(Ordering::Relaxed).to_string());
                say(&format!("closed {}", seen.join(" ")));
            }
            Err(e) => say(&format!("{e}")),
        }
    }
}

/// Is this process registered? `None`: the kernel does not say (before 6.3), or has no such fence.
fn is_registered() -> Option<bool> {
    const QUERY: i32 = 0;
    const GET_REGISTRATIONS: i32 = 1 << 9;
    const REGISTER_GLOBAL_EXPEDITED: libc::c_long = 1 << 2;
    // SAFETY: no memory.
    let ask = |command: i32| unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) };
    let known = ask(QUERY) & REGISTER_GLOBAL_EXPEDITED != 0 && ask(GET_REGISTRATIONS) >= 0;
    known.then(|| ask(GET_REGISTRATIONS) & REGISTER_GLOBAL_EXPEDITED != 0)
}

/// Opens an end as a process of one thread, which is forked for that, and beside another thread;
/// says whether each was registered then.
fn opens(name: &str) {
    let is_registered_with = |end: &str| {
        let _end = Channel::open(&format!("{name}-{end}")).unwrap();
        is_registered() == Some(true)
    };
    // SAFETY: the child is a thread of its own that opens an end, and leaves without a look back.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let registered = is_registered_with("one");
        // SAFETY: ends the process.
        unsafe { libc::_exit(i32::from(registered)) };
    }
    let mut status = 0;
    // SAFETY: one integer that the call fills.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    let (stop, wait) = std::sync::mpsc::channel::<()>();
    let other = std::thread::spawn(move || wait.recv().unwrap_err());
    let beside = is_registered_with("more");
    drop(stop);
    other.join().unwrap();
    say(&format!("alone {} beside another {beside}", libc::WEXITSTATUS(status) == 1));
}

/// To register takes a process of one thread a microsecond, and any other milliseconds, for which
/// no `open` waits.
#[test]
fn a_process_of_one_thread_is_registered_with_its_first_end() {
    if is_registered().is_none() {
        return eprintln!("skipped: the kernel does not tell of registrations for membarrier");
    }
    let mut child = Child::start("sandbox", &["opens", &unique("alone")]);
    child.expect("alone true beside another false");
    child.finish();
}

/// A burst there and a burst back, until both processes are registered and some time has passed.
fn stream(end: &mut Channel, asks: bool) {
    let mut settled = 0;
    for _ in 0..PATIENCE {
        let here = u64::from(is_registered() == Some(true));
        let mut there = 0;
        for turn in [asks, !asks] {
            for _ in 0..BURST {
                if turn {
                    end.send_timeout(here.to_le_bytes(), LONG).unwrap();
                } else {
                    there = end.recv_timeout(LONG).unwrap().read::<u64>().unwrap();
                }
            }
        }
        settled += here & there;
        // One of the two says when it is over.
        let mut over = u64::from(settled >= SETTLING);
        if asks {
            end.send_timeout(over.to_le_bytes(), LONG).unwrap();
        } else {
            over = end.recv_timeout(LONG).unwrap().read().unwrap();
        }
        if over == 1 {
            return;
        }
    }
    panic!("after {PATIENCE} bursts the two are not registered");
}

static REFUSED: AtomicU64 = AtomicU64::new(0);
static RESTED: AtomicU64 = AtomicU64::new(0);
/// A call was refused, and the thread has not slept since.
static DUE: AtomicBool = AtomicBool::new(false);

/// From here on this thread's calls of membarrier are refused, and it is counted what it does
/// instead.
fn watch_this_thread() {
    // SAFETY: a handler that is written for signals: atomics and one system call.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        let handler: extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void) = trapped;
        action.sa_sigaction = handler as usize;
        action.sa_flags = libc::SA_SIGINFO;
        assert_eq!(libc::sigaction(libc::SIGSYS, &raw const action, std::ptr::null_mut()), 0);
    }
    let calls = [libc::SYS_membarrier, libc::SYS_nanosleep, libc::SYS_clock_nanosleep];
    let rule = |call| Rule { call, when: vec![], answer: Answer::Signal };
    refuse_here(&calls.map(rule)).unwrap();
}

/// In place of a call that was not let through.
extern "C" fn trapped(_signal: i32, _info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let context = context.cast::<libc::ucontext_t>();
    // SAFETY: the kernel hands over a context that is ours to change until we return.
    let answer = unsafe { accumulator(&mut *context) };
    let call = *answer;
    *answer = 0;
    if call == libc::SYS_membarrier {
        REFUSED.fetch_add(1, Ordering::Relaxed);
        DUE.store(true, Ordering::Relaxed);
        *answer = -i64::from(libc::EPERM);
        return;
    }
    if DUE.swap(false, Ordering::Relaxed) {
        RESTED.fetch_add(1, Ordering::Relaxed);
    }
    // SAFETY: no descriptors; it only takes its time.
    unsafe { libc::poll(std::ptr::null_mut(), 0, 2) };
}

/// Holds the number of the call, and takes its answer.
#[cfg(target_arch = "x86_64")]
fn accumulator(context: &mut libc::ucontext_t) -> &mut i64 {
    &mut context.uc_mcontext.gregs[libc::REG_RAX as usize]
}

/// On other processors nothing is trapped: see `can_trap`.
#[cfg(not(target_arch = "x86_64"))]
fn accumulator(_context: &mut libc::ucontext_t) -> &mut i64 {
    unreachable!("no filter was installed")
}

fn can_trap() -> bool {
    cfg!(target_arch = "x86_64")
}

/// Both ends work without fences. Then one process may call for a fence no more: as a whole, or on
/// the thread that sleeps. The pair goes on, nobody sleeps beside a message, sessions come and go,
/// and each refused call is made up for by a sleep in which every processor writes out what it
/// holds.
#[test]
fn a_pair_of_which_one_end_locks_itself_in_goes_on() {
    if is_registered().is_none() {
        return eprintln!("skipped: the kernel does not tell of registrations for membarrier");
    }
    if std::thread::available_parallelism().is_ok_and(|cores| cores.get() < 2) {
        return eprintln!("skipped: with one core no end leaves out its fences");
    }
    let rounds = crate::setting("TWOCAN_ROUNDS", 200).min(2000);
    let mut refusals = 0;
    for way in ["all of it", "one thread"] {
        if way == "one thread" && !can_trap() {
            eprintln!("skipped: no filter that reports is written for this processor");
            continue;
        }
        let name = unique("locked");
        let mut child = Child::start("sandbox", &["locks itself in", way, &name]);
        child.expect("open");
        let mut end = Channel::open(&name).unwrap();
        stream(&mut end, true);
        child.expect("locked in");
        for session in 0..3 {
            for n in 0..rounds {
                if n % 4 == 0 {
                    // By now it sleeps.
                    std::thread::sleep(std::time::Duration::from_millis(1));
                }
                end.send_timeout(n.to_le_bytes(), LONG).unwrap();
                assert_eq!(end.recv_timeout(LONG).unwrap().read::<u64>().unwrap(), n);
            }
            drop(end);
            let said = child.hear();
            let words: Vec<&str> = said.split(' ').collect();
            let ["closed", refused, rested] = words[..] else { panic!("{said:?}") };
            let (refused, rested): (u64, u64) = (refused.parse().unwrap(), rested.parse().unwrap());
            assert_eq!(refused, rested, "{way}, session {session}: not made up for");
            refusals = refused.max(refusals);
            end = Channel::open(&name).unwrap();
        }
        drop(end);
        child.finish();
        // It went without a goodbye: whoever comes next clears up behind it.
        drop(Channel::open(&name).unwrap());
    }
    if can_trap() {
        assert!(refusals > 0, "no end had left out its fences");
    }
    trust("locked-in", format!("{refusals} refused fences made up for, no wake lost"));
}
