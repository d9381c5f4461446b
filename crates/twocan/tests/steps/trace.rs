//! Another process, one instruction at a time. x86-64.

use crate::support::LONG;
use crate::zygote::strike;
use std::collections::HashMap;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// Where a window begins: a traced process stops, and goes on behind it.
#[inline(never)]
pub fn begin() {
    // SAFETY: a trap that the tracer takes; without a tracer it ends the process.
    unsafe { std::arch::asm!("int3") }
}

/// Where a window ends: nobody comes past it.
#[inline(never)]
pub fn end() -> ! {
    // SAFETY: as above; the tracer kills the process here.
    unsafe { std::arch::asm!("ud2", options(noreturn)) }
}

/// Why a traced thread stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// At the beginning of the window, or one instruction further.
    Trap,
    /// In front of a system call, or behind it.
    Call,
    /// At the end of the window.
    End,
    /// It has made a thread.
    Thread(i32),
    /// It was stopped for the tracer, or is new.
    Held,
    /// It runs or sleeps still.
    Nothing,
    /// The process has ended.
    Gone,
}

/// A limit is counted in looks: a machine that stands still for a minute has spent one.
pub const LOOK: Duration = Duration::from_secs(1);

/// Kills a process that is led for too long: then whoever waits for it sees it gone.
pub struct Watchdog(#[allow(dead_code, reason = "its end calls the dog off")] Sender<()>);

impl Watchdog {
    pub fn over(pid: i32) -> Watchdog {
        let (end, ended) = channel();
        std::thread::spawn(move || {
            for _ in 0..2 * LONG.as_secs() {
                if ended.recv_timeout(LOOK) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
            strike(pid);
        });
        Watchdog(end)
    }
}

/// A traced thread.
#[derive(Debug, Clone, Copy)]
pub struct Thread(pub i32);

/// May this process trace others? An error says why not.
pub fn allowed(pid: i32) -> Result<(), String> {
    let thread = Thread::seize(pid, 0)?;
    thread.interrupt();
    thread.wait();
    thread.let_go();
    Ok(())
}

impl Thread {
    /// It goes on running. `follow`: threads that it makes are traced as well.
    pub fn seize(tid: i32, follow: i32) -> Result<Thread, String> {
        let options = libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_EXITKILL | follow;
        let thread = Thread(tid);
        match thread.ask(libc::PTRACE_SEIZE, options as usize) {
            0 => Ok(thread),
            _ => Err(format!("ptrace: {}", std::io::Error::last_os_error())),
        }
    }

    fn ask(self, request: libc::c_uint, data: usize) -> libc::c_long {
        // SAFETY: requests whose data is a number; none of them writes our memory.
        unsafe { libc::ptrace(request, self.0, 0usize, data) }
    }

    /// One instruction. A system call is one.
    pub fn step(self) {
        self.ask(libc::PTRACE_SINGLESTEP, 0);
    }

    /// Until it stands in front of the next system call, or behind the one it is in.
    pub fn to_call(self) {
        self.ask(libc::PTRACE_SYSCALL, 0);
    }

    /// Until something else stops it.
    pub fn go_on(self) {
        self.ask(libc::PTRACE_CONT, 0);
    }

    pub fn interrupt(self) {
        self.ask(libc::PTRACE_INTERRUPT, 0);
    }

    /// Not traced any more. It must stand still.
    pub fn let_go(self) {
        self.ask(libc::PTRACE_DETACH, 0);
    }

    /// Follows no threads any more.
    pub fn follow_none(self) {
        let options = libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_EXITKILL;
        self.ask(libc::PTRACE_SETOPTIONS, options as usize);
    }

    /// Waits until it stands still. Whoever asks sees to it that this ends: see `Watchdog`.
    pub fn wait(self) -> Stop {
        let mut status = 0;
        // SAFETY: room for one status.
        match unsafe { libc::waitpid(self.0, &mut status, libc::__WALL) } {
            tid if tid == self.0 => self.stop(status),
            _ => Stop::Gone,
        }
    }

    /// As `wait`, for a thread that may be asleep in a system call for long.
    pub fn wait_for(self, patience: Duration) -> Stop {
        let mut deadline = None;
        for look in 0.. {
            let mut status = 0;
            // SAFETY: room for one status.
            match unsafe { libc::waitpid(self.0, &mut status, libc::__WALL | libc::WNOHANG) } {
                0 => {}
                tid if tid == self.0 => return self.stop(status),
                _ => return Stop::Gone,
            }
            if look < 50 {
                std::thread::yield_now(); // it may want our processor
                continue;
            }
            if Instant::now() > *deadline.get_or_insert_with(|| Instant::now() + patience) {
                break;
            }
            std::thread::sleep(Duration::from_micros(50));
        }
        Stop::Nothing
    }

    fn stop(self, status: i32) -> Stop {
        if !libc::WIFSTOPPED(status) {
            return Stop::Gone;
        }
        match (libc::WSTOPSIG(status), status >> 16) {
            (libc::SIGTRAP, libc::PTRACE_EVENT_CLONE) => {
                let mut tid: libc::c_ulong = 0;
                // SAFETY: room for one number.
                unsafe { libc::ptrace(libc::PTRACE_GETEVENTMSG, self.0, 0usize, &mut tid) };
                Stop::Thread(tid as i32)
            }
            (_, event) if event != 0 => Stop::Held,
            (libc::SIGTRAP, _) => Stop::Trap,
            (signal, _) if signal == libc::SIGTRAP | 0x80 => Stop::Call,
            (libc::SIGILL, _) => Stop::End,
            (signal, _) => panic!("the traced thread got signal {signal}"),
        }
    }

    /// The address of its next instruction. It must stand still.
    pub fn place(self) -> u64 {
        self.registers().rip
    }

    fn registers(self) -> libc::user_regs_struct {
        let mut registers = std::mem::MaybeUninit::<libc::user_regs_struct>::zeroed();
        // SAFETY: room for the registers; all zeros are registers too.
        unsafe {
            libc::ptrace(libc::PTRACE_GETREGS, self.0, 0usize, registers.as_mut_ptr());
            registers.assume_init()
        }
    }

    /// Is its next instruction a system call?
    pub fn is_at_call(self, known: &mut HashMap<u64, bool>) -> bool {
        let at = self.place();
        *known.entry(at).or_insert_with(|| {
            // SAFETY: reads the other process's memory, none of ours.
            let word = unsafe { libc::ptrace(libc::PTRACE_PEEKTEXT, self.0, at as usize, 0usize) };
            word & 0xFFFF == 0x050F
        })
    }

    /// Takes the kernel's word that it is dead, so that its parent hears of it.
    pub fn bury(self) {
        loop {
            let mut status = 0;
            // SAFETY: room for one status.
            let tid = unsafe { libc::waitpid(self.0, &mut status, libc::__WALL) };
            if tid != self.0 || !libc::WIFSTOPPED(status) {
                return;
            }
        }
    }
}

/// What another process can see of a traced one without its doing: memory that it shares and may
/// write. (Everything else takes a system call.)
pub struct Outside {
    ranges: Vec<libc::iovec>,
    bytes: Vec<u8>,
}

impl Outside {
    /// As it is now. A system call may change where it lies.
    pub fn of(thread: Thread) -> Outside {
        let maps = std::fs::read_to_string(format!("/proc/{}/maps", thread.0)).unwrap();
        let ranges = maps.lines().filter_map(|line| {
            let (range, rest) = line.split_once(' ')?;
            if !rest.starts_with("rw-s") && !rest.starts_with("-w-s") {
                return None;
            }
            let (from, to) = range.split_once('-')?;
            let number = |text| usize::from_str_radix(text, 16).expect("an address");
            let (from, to) = (number(from), number(to));
            Some(libc::iovec { iov_base: from as *mut _, iov_len: to - from })
        });
        let mut outside = Outside { ranges: ranges.collect(), bytes: Vec::new() };
        outside.has_changed(thread);
        outside
    }

    /// Since the last look.
    pub fn has_changed(&mut self, thread: Thread) -> bool {
        let len = self.ranges.iter().map(|range| range.iov_len).sum();
        let mut bytes = vec![0u8; len];
        if len > 0 {
            let here = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: len };
            let count = self.ranges.len() as libc::c_ulong;
            // SAFETY: writes into `bytes`, which has room for all ranges; the other process's
            // memory is read by the kernel.
            let read = unsafe {
                libc::process_vm_readv(thread.0, &here, 1, self.ranges.as_ptr(), count, 0)
            };
            assert_eq!(read, len as isize, "{}", std::io::Error::last_os_error());
        }
        let changed = bytes != self.bytes;
        self.bytes = bytes;
        changed
    }
}
