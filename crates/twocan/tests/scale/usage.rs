//! What a process uses.

use std::fmt;
use std::time::{Duration, Instant};

/// Memory of its own and all it sees (kibibytes), descriptors, threads, mappings.
#[derive(Clone, Copy)]
pub struct Usage {
    private: u64,
    resident: u64,
    descriptors: u64,
    threads: u64,
    mappings: u64,
}

impl Usage {
    pub fn now() -> Usage {
        let text = std::fs::read_to_string("/proc/self/status").unwrap();
        let field = |name: &str| -> u64 {
            let line = text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':'));
            line.unwrap().split_whitespace().next().unwrap().parse().unwrap()
        };
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        // What the allocator takes for itself comes and goes.
        let shared = maps.lines().filter(|l| l.contains("memfd:") || l.contains("twocan"));
        Usage {
            private: field("RssAnon"),
            resident: field("VmRSS"),
            descriptors: std::fs::read_dir("/proc/self/fd").unwrap().count() as u64 - 1,
            threads: field("Threads"),
            mappings: shared.count() as u64,
        }
    }

    /// As `now`, once what is on its way out has gone: a thread that was joined may still be
    /// listed.
    pub fn settled(before: &Usage) -> Usage {
        let late = Instant::now() + Duration::from_secs(5);
        loop {
            let now = Usage::now();
            let gone = now.threads <= before.threads && now.descriptors <= before.descriptors;
            if gone || Instant::now() > late {
                return now;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The same as before, but for what an allocator keeps of freed memory.
    ///
    /// # Panics
    /// If something has grown.
    pub fn is_flat_since(&self, before: &Usage) -> String {
        let words = format!("{before} -> {self}");
        assert_eq!(self.descriptors, before.descriptors, "descriptors: {words}");
        // Fewer is well: one that registers the process for something ends by itself.
        assert!(self.threads <= before.threads, "threads: {words}");
        assert_eq!(self.mappings, before.mappings, "mappings: {words}");
        assert!(self.private <= before.private + before.private / 20 + 1024, "memory: {words}");
        assert!(self.resident <= before.resident + before.resident / 10 + 2048, "memory: {words}");
        let grown = self.private as i64 - before.private as i64;
        let (d, t) = (self.descriptors, self.threads);
        format!(
            "memory {grown:+} KiB of {}, descriptors +0 of {d}, threads +0 of {t}",
            self.private
        )
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Usage { private, resident, descriptors, threads, mappings } = self;
        write!(
            f,
            "{private} KiB own, {resident} KiB resident, {descriptors} descriptors, \
             {threads} threads, {mappings} mappings"
        )
    }
}
