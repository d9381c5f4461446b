//! What the figures were measured on.

use std::fs;
use std::time::Instant;

/// The two cores; one and the same where there is only one.
pub(crate) fn cores() -> [usize; 2] {
    match rustix::thread::sched_getaffinity(None) {
        Ok(set) => {
            let mut cores = (0..1024).filter(|core| set.is_set(*core));
            let first = cores.next().unwrap_or(0);
            [first, cores.next().unwrap_or(first)]
        }
        Err(_) => [0, 0],
    }
}

pub(crate) fn describe() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("unknown", |line| line.trim_start_matches([' ', '\t', ':']));
    let virtual_machine = info.lines().any(|l| l.starts_with("flags") && l.contains("hypervisor"));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let count = info.lines().filter(|line| line.starts_with("processor")).count();
    let kind = if virtual_machine { ", a virtual machine" } else { "" };
    let [a, b] = cores();
    let ties = if a == b {
        "one core only: both ends share it, and the figures are those of one core".to_owned()
    } else {
        format!("the measuring end is tied to core {a}, the answering end to core {b}")
    };
    format!(
        "machine: {model}, {count} cores{kind}; Linux {}\n{ties}\none reading of the clock takes \
         {:.0} ns: medians of round trips come from groups of 16, the tail from single ones",
        kernel.trim(),
        clock_cost()
    )
}

fn clock_cost() -> f64 {
    let start = Instant::now();
    for _ in 0..10_000 {
        std::hint::black_box(Instant::now());
    }
    start.elapsed().as_nanos() as f64 / 10_000.0
}
