//! What a child does to itself: refused system calls, limits, file systems, namespaces.

use std::ffi::CString;
use std::io;

fn ok(code: i32) -> io::Result<()> {
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A condition on the low half of an argument: `(argument & mask == value) == wanted`.
#[derive(Clone, Copy)]
pub struct When {
    pub argument: u32,
    pub mask: u32,
    pub value: u32,
    pub wanted: bool,
}

impl When {
    pub const fn is(argument: u32, value: u32) -> When {
        When { argument, mask: u32::MAX, value, wanted: true }
    }

    pub const fn is_not(argument: u32, value: u32) -> When {
        When { argument, mask: u32::MAX, value, wanted: false }
    }

    /// All of `bits` are set.
    pub const fn has(argument: u32, bits: u32) -> When {
        When { argument, mask: bits, value: bits, wanted: true }
    }
}

/// What becomes of a system call that is not let through.
#[derive(Clone, Copy)]
pub enum Answer {
    /// It answers this errno.
    Errno(i32),
    /// The process dies of SIGSYS.
    Death,
    /// The thread gets the signal SIGSYS, whose handler says what the call answers.
    Signal,
}

/// A system call that from now on is answered in this way.
pub struct Rule {
    pub call: libc::c_long,
    pub when: Vec<When>,
    pub answer: Answer,
}

/// Installs a filter for all threads of this process, and for its children. For ever.
pub fn refuse(rules: &[Rule]) -> io::Result<()> {
    filter(rules, libc::SECCOMP_FILTER_FLAG_TSYNC)
}

/// The same for this thread alone, and for those that it starts.
pub fn refuse_here(rules: &[Rule]) -> io::Result<()> {
    filter(rules, 0)
}

fn filter(rules: &[Rule], flags: libc::c_ulong) -> io::Result<()> {
    const NUMBER: u32 = 0;
    const ARGUMENTS: u32 = 16;
    let load = |at| libc::sock_filter {
        code: (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16,
        jt: 0,
        jf: 0,
        k: at,
    };
    let give =
        |k| libc::sock_filter { code: (libc::BPF_RET | libc::BPF_K) as u16, jt: 0, jf: 0, k };
    let mask = |k| libc::sock_filter {
        code: (libc::BPF_ALU | libc::BPF_AND | libc::BPF_K) as u16,
        jt: 0,
        jf: 0,
        k,
    };
    let skip_if = |k, equal: bool, skip: u8| libc::sock_filter {
        code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16,
        jt: if equal { skip } else { 0 },
        jf: if equal { 0 } else { skip },
        k,
    };
    let mut program = Vec::new();
    for rule in rules {
        let length = rule.when.len() as u8 * 3 + 1;
        program.push(load(NUMBER));
        program.push(skip_if(rule.call as u32, false, length));
        for (i, when) in rule.when.iter().enumerate() {
            program.push(load(ARGUMENTS + 8 * when.argument));
            program.push(mask(when.mask));
            program.push(skip_if(when.value, !when.wanted, length - 3 * (i as u8 + 1)));
        }
        program.push(give(match rule.answer {
            Answer::Errno(errno) => libc::SECCOMP_RET_ERRNO | errno as u32,
            Answer::Death => libc::SECCOMP_RET_KILL_PROCESS,
            Answer::Signal => libc::SECCOMP_RET_TRAP,
        }));
    }
    program.push(give(libc::SECCOMP_RET_ALLOW));
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: a live program of the length given; it changes nothing but what calls answer.
    unsafe {
        ok(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))?;
        ok(
            libc::syscall(
                libc::SYS_seccomp,
                libc::SECCOMP_SET_MODE_FILTER,
                flags,
                &raw const filter,
            ) as i32,
        )
    }
}

/// Lowers (or raises) the soft limit of this process.
pub fn limit(what: libc::__rlimit_resource_t, most: u64) -> io::Result<()> {
    let mut limits = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: a live struct.
    unsafe {
        ok(libc::getrlimit(what, &raw mut limits))?;
        limits.rlim_cur = most.min(limits.rlim_max);
        ok(libc::setrlimit(what, &raw const limits))
    }
}

/// Leaves some namespaces of the parent's. (Of processes and time: for the next children.)
pub fn leave(namespaces: i32) -> io::Result<()> {
    // SAFETY: no memory.
    unsafe { ok(libc::unshare(namespaces)) }
}

/// From now on mounts are this process's own.
pub fn own_mounts() -> io::Result<()> {
    leave(libc::CLONE_NEWNS)?;
    mount(None, "/", None, libc::MS_REC | libc::MS_PRIVATE, None)
}

pub fn mount(
    source: Option<&str>,
    target: &str,
    kind: Option<&str>,
    flags: libc::c_ulong,
    options: Option<&str>,
) -> io::Result<()> {
    let text = |s: Option<&str>| s.map(|s| CString::new(s).unwrap());
    let (source, kind, options) = (text(source), text(kind), text(options));
    let target = CString::new(target).unwrap();
    let at = |s: &Option<CString>| s.as_ref().map_or(std::ptr::null(), |s| s.as_ptr());
    // SAFETY: C strings that live through the call.
    unsafe { ok(libc::mount(at(&source), target.as_ptr(), at(&kind), flags, at(&options).cast())) }
}

pub fn unmount(target: &str) -> io::Result<()> {
    let target = CString::new(target).unwrap();
    // SAFETY: a C string that lives through the call.
    unsafe { ok(libc::umount(target.as_ptr())) }
}

/// A small file system in memory at `path`.
pub fn mount_memory(path: &str, options: &str) -> io::Result<()> {
    mount(Some("tmpfs"), path, Some("tmpfs"), 0, Some(options))
}

/// How many descriptors this process has.
pub fn descriptors() -> usize {
    // One of them reads the list.
    std::fs::read_dir("/proc/self/fd").unwrap().count() - 1
}

/// The lowest number that no descriptor has.
pub fn next_descriptor() -> u64 {
    // SAFETY: a descriptor that is made and closed here.
    unsafe {
        let fd = libc::dup(0);
        assert!(fd >= 0, "no descriptor is left");
        libc::close(fd);
        fd as u64
    }
}

/// Descriptors for ever, until those that there are have no free number among them.
pub fn fill_gaps() {
    let highest = || {
        let numbers = std::fs::read_dir("/proc/self/fd").unwrap();
        let number = |entry: io::Result<std::fs::DirEntry>| {
            entry.unwrap().file_name().to_str().unwrap().parse::<u64>().unwrap()
        };
        numbers.map(number).max().unwrap()
    };
    while next_descriptor() < highest() {
        // SAFETY: a descriptor that is nobody's.
        assert!(unsafe { libc::dup(0) } >= 0, "no descriptor is left");
    }
}

/// A number from `/proc/self/status`, such as `VmSize` or `Threads` (kibibytes, or pieces).
pub fn status(field: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|l| l.strip_prefix(field)?.strip_prefix(':')).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// The next sound of the alarm clock ends this process.
pub fn alarm(seconds: u32) {
    // SAFETY: no memory.
    unsafe { libc::alarm(seconds) };
}

pub fn signal(pid: u32, signal: i32) {
    // SAFETY: a signal to a process that a test started.
    unsafe { libc::kill(pid as i32, signal) };
}
