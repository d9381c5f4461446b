//! What can be seen of two processes from outside: memory, processor time, context switches.

use std::fs;

/// Sums over processes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Seen {
    /// Bytes that are theirs alone, or their share of what they map together.
    pub(crate) private: f64,
    pub(crate) shared: f64,
    pub(crate) threads: f64,
    pub(crate) descriptors: f64,
    pub(crate) voluntary: f64,
    pub(crate) involuntary: f64,
    /// Nanoseconds on a processor.
    pub(crate) busy: f64,
}

impl std::ops::Sub for Seen {
    type Output = Seen;
    fn sub(self, before: Seen) -> Seen {
        Seen {
            private: self.private - before.private,
            shared: self.shared - before.shared,
            threads: self.threads - before.threads,
            descriptors: self.descriptors - before.descriptors,
            voluntary: self.voluntary - before.voluntary,
            involuntary: self.involuntary - before.involuntary,
            busy: self.busy - before.busy,
        }
    }
}

/// The number in the line that begins so.
fn number(text: &str, start: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(start));
    let word = line.and_then(|line| line.split_whitespace().next());
    word.and_then(|word| word.parse().ok()).unwrap_or(0.0)
}

pub(crate) fn look(pids: &[u32]) -> Seen {
    let mut seen = Seen::default();
    for pid in pids {
        let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
        let rollup = read(&format!("/proc/{pid}/smaps_rollup"));
        seen.private += (number(&rollup, "Pss_Anon:") + number(&rollup, "Pss_File:")) * 1024.0;
        seen.shared += number(&rollup, "Pss_Shmem:") * 1024.0;
        let entries = |what| fs::read_dir(format!("/proc/{pid}/{what}")).into_iter().flatten();
        seen.descriptors += entries("fd").count() as f64;
        for task in entries("task").flatten().map(|task| task.path()) {
            let read = |file| fs::read_to_string(task.join(file)).unwrap_or_default();
            let status = read("status");
            seen.threads += 1.0;
            seen.voluntary += number(&status, "voluntary_ctxt_switches:");
            seen.involuntary += number(&status, "nonvoluntary_ctxt_switches:");
            seen.busy += number(&read("schedstat"), "");
        }
    }
    seen
}

/// Bytes of shared memory in the whole machine, mapped or not.
pub(crate) fn shared_memory() -> f64 {
    number(&fs::read_to_string("/proc/meminfo").unwrap_or_default(), "Shmem:") * 1024.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    #[test]
    fn work_and_sleep_are_seen() {
        let pid = [std::process::id()];
        let before = look(&pid);
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(50) {
            std::hint::spin_loop();
        }
        std::thread::sleep(Duration::from_millis(1));
        let spent = look(&pid) - before;
        assert!(spent.busy > 0.0 && spent.voluntary >= 1.0, "{spent:?}");
    }
}
