//! Rules about Rust files: their size, and which line may stand in which room.

use super::Finding;
use super::code::{code, has_word};
use crate::files::{File, Tree};

const FILE_LINES_WARN: usize = 400;
const FILE_LINES_MAX: usize = 600;
const COLUMNS_MAX: usize = 100;
/// How far above an ordering its SYNC comment may stand.
const SYNC_LINES: usize = 8;

const LIBRARY: &str = "crates/twocan/src/";

/// Files beside `sys` and `region` that may say `unsafe`, each with its reason.
const UNSAFE_ALLOWED: [(&str, &str); 9] = [
    ("crates/twocan/src/region", "all raw pointers into a channel's shared memory"),
    ("crates/twocan/src/raw.rs", "the copies between private memory and shared memory"),
    ("crates/twocan/src/map/memory.rs", "all raw pointers into a map's shared memory"),
    ("crates/twocan/src/map/view.rs", "as_slice and as_mut_slice are unsafe for their callers"),
    ("crates/twocan/src/channel/delivery.rs", "as_slice is unsafe for its callers"),
    ("crates/twocan/src/loom_models.rs", "tells loom that its checked cells may be shared"),
    ("crates/twocan/tests/", "tests fork, change the user and map memory as a hostile peer does"),
    ("bench/src/candidates/", "maps memory for the limits, reads in place, calls C"),
    ("crates/twocan/src/event/words.rs", "one cast from the mapping to the two words"),
];

/// The one folder that talks to the operating system.
const SYSTEM: &str = "crates/twocan/src/sys/";
/// The one file that chooses an operating system.
const SYSTEM_SEAM: &str = "crates/twocan/src/sys/mod.rs";

/// Files beside the seam that may choose by system, each with its reason.
const SYSTEM_ALLOWED: [(&str, &str); 2] = [
    ("crates/twocan-cli/src/platform.rs", "signals to the command that is run, and its code"),
    ("crates/twocan/benches/first_look.rs", "pinning and counting are the system's"),
];

/// The facade (core | loom).
const ATOMICS: &str = "crates/twocan/src/sync.rs";
/// Files beside the facade that may name the atomics of `std` or `core`, each with its reason.
const ATOMICS_ALLOWED: [(&str, &str); 4] = [
    (
        "crates/twocan/src/sys/",
        "counters and probes inside the process; no model reaches the system",
    ),
    ("crates/twocan/src/loom_models.rs", "counts executions outside the model"),
    ("crates/twocan/src/raw.rs", "copies of 1 and 2 bytes, for which the facade has no type"),
    ("crates/twocan/src/map/", "the user's own atomics in a map are part of the public face"),
];

fn allowed(list: &[(&str, &str)], path: &str) -> bool {
    list.iter().any(|(start, _)| path.starts_with(start))
}

/// Findings on the lines of `file` that `breaks` says so of; comments and strings are blank.
fn lines(file: &File, says: &str, breaks: impl Fn(&str) -> bool) -> Vec<Finding> {
    let text = code(&file.text);
    let broken = text.lines().enumerate().filter(|(_, line)| breaks(line));
    broken.map(|(at, _)| Finding::error(&file.path, at + 1, says)).collect()
}

/// A file is one thing to read: 400 lines is a warning, 600 the end.
pub(crate) fn file_length(tree: &Tree) -> Vec<Finding> {
    let long = |file: &File| {
        let lines = file.text.lines().count();
        (lines > FILE_LINES_WARN).then(|| Finding {
            warning: lines <= FILE_LINES_MAX,
            ..Finding::error(
                &file.path,
                0,
                format!("{lines} lines; {FILE_LINES_WARN} is plenty, {FILE_LINES_MAX} the limit"),
            )
        })
    };
    tree.rust().filter_map(long).collect()
}

/// 100 columns. rustfmt leaves long comments and strings alone; this does not. Links and rows of a
/// table may be longer: they cannot be broken.
pub(crate) fn columns(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in tree.rust() {
        for (at, line) in file.text.lines().enumerate() {
            let columns = line.chars().count();
            let row = line.trim_start().trim_start_matches(['/', '!', ' ']).starts_with('|');
            if columns > COLUMNS_MAX && !row && !line.contains("https://") {
                let text = format!("{columns} columns; {COLUMNS_MAX} is the limit");
                found.push(Finding::error(&file.path, at + 1, text));
            }
        }
    }
    found
}

/// `unsafe` only where raw memory and system calls are. Integration tests and examples are programs
/// of users.
pub(crate) fn unsafe_rooms(tree: &Tree) -> Vec<Finding> {
    let says =
        "`unsafe` outside its rooms (sys, region, map/memory; the list with reasons is in xtask)";
    let outside = |f: &&File| !f.path.starts_with(SYSTEM) && !allowed(&UNSAFE_ALLOWED, &f.path);
    tree.rust().filter(outside).flat_map(|f| lines(f, says, |l| has_word(l, "unsafe"))).collect()
}

/// The operating system is chosen in one file, and called from one folder of the library. A whole
/// integration test may be for one system.
pub(crate) fn system_rooms(tree: &Tree) -> Vec<Finding> {
    let chooses = |line: &str| {
        let whole_test = line.starts_with("#![cfg(target_os");
        let by_family =
            line.contains("cfg") && ["unix", "windows"].iter().any(|w| has_word(line, w));
        !whole_test && (by_family || line.contains("target_os") || line.contains("target_family"))
    };
    let calls = |line: &str| line.contains("rustix::") || line.contains("libc::");
    let mut found = Vec::new();
    for file in tree.rust().filter(|f| f.path.starts_with("crates/")) {
        if file.path != SYSTEM_SEAM && !allowed(&SYSTEM_ALLOWED, &file.path) {
            found.extend(lines(file, "chooses by operating system; only sys/mod.rs does", chooses));
        }
        let test = file.path.ends_with("/tests.rs");
        if file.path.starts_with(LIBRARY) && !file.path.starts_with(SYSTEM) && !test {
            found.extend(lines(file, "calls the operating system; only sys does", calls));
        }
    }
    found
}

/// Another ABI is spoken by the system's room alone (and later by a crate made for it); tests may
/// declare what they call.
pub(crate) fn extern_rooms(tree: &Tree) -> Vec<Finding> {
    let says = "`extern` function outside sys";
    let speaks = |line: &str| line.contains("extern \"") || line.contains("extern fn");
    let outside = |f: &&File| {
        let test = f.path.contains("/tests/");
        f.path.starts_with("crates/") && !f.path.starts_with(SYSTEM) && !test
    };
    tree.rust().filter(outside).flat_map(|f| lines(f, says, speaks)).collect()
}

/// The library's atomics come through the facade, or the loom models would not see them. Clippy
/// cannot hold this: it looks through re-exports and would refuse the facade's own users.
pub(crate) fn atomics(tree: &Tree) -> Vec<Finding> {
    let says = "atomics of std or core; use crate::sync";
    let names = |line: &str| {
        ["std::sync::atomic", "core::sync::atomic"].iter().any(|path| line.contains(path))
    };
    // Tests beside the code count with atomics of their own.
    let outside = |f: &&File| {
        let test = f.path.ends_with("/tests.rs");
        let ours = f.path.starts_with(LIBRARY) && f.path != ATOMICS && !test;
        ours && !allowed(&ATOMICS_ALLOWED, &f.path)
    };
    tree.rust().filter(outside).flat_map(|f| lines(f, says, names)).collect()
}

/// An ordering stronger than Relaxed has its `// SYNC name` a few lines above. The system's room
/// keeps its words to itself; tests may be stronger than they need.
pub(crate) fn paired_orderings(tree: &Tree) -> Vec<Finding> {
    let strong = |line: &str| {
        let words = ["Acquire", "Release", "AcqRel", "SeqCst"];
        words.iter().any(|word| line.contains(&format!("Ordering::{word}")))
    };
    let concerned = |f: &&File| {
        let outside = f.path.starts_with(SYSTEM) || f.path.ends_with("/tests.rs");
        f.path.starts_with(LIBRARY) && !outside
    };
    let mut found = Vec::new();
    for file in tree.rust().filter(concerned) {
        let said: Vec<&str> = file.text.lines().collect();
        let code = code(&file.text);
        let tests = said.iter().position(|line| line.starts_with("#[cfg(test)]"));
        for (at, _) in code.lines().enumerate().filter(|(_, line)| strong(line)) {
            let above = &said[at.saturating_sub(SYNC_LINES)..at];
            let named = above.iter().any(|line| line.contains("// SYNC "));
            if !named && tests.is_none_or(|tests| at < tests) {
                let says = "an ordering without its `// SYNC name` comment";
                found.push(Finding::error(&file.path, at + 1, says));
            }
        }
    }
    found
}

/// `#[ignore]` says why.
pub(crate) fn ignored(tree: &Tree) -> Vec<Finding> {
    let says = "an ignored test without a reason: #[ignore = \"..\"]";
    tree.rust().flat_map(|f| lines(f, says, |l| l.contains("#[ignore]"))).collect()
}

/// No unfinished bodies.
pub(crate) fn leftovers(tree: &Tree) -> Vec<Finding> {
    let says = "an unfinished body";
    let left = |line: &str| line.contains("todo!") || line.contains("unimplemented!");
    tree.rust().flat_map(|f| lines(f, says, left)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(rule: fn(&Tree) -> Vec<Finding>, path: &str, text: &str) -> usize {
        rule(&Tree::of(&[(path, text)])).iter().filter(|f| !f.warning).count()
    }

    #[test]
    fn long_files_are_warned_about_then_refused() {
        let file = |lines: usize| Tree::of(&[("crates/a.rs", &"x\n".repeat(lines))]);
        assert_eq!(file_length(&file(FILE_LINES_WARN)), []);
        let warned = file_length(&file(FILE_LINES_WARN + 1));
        assert!(warned[0].warning);
        assert!(!file_length(&file(FILE_LINES_MAX + 1))[0].warning);
    }

    #[test]
    fn long_lines_are_refused_in_characters_not_bytes() {
        assert_eq!(errors(columns, "a.rs", &"가".repeat(COLUMNS_MAX)), 0);
        assert_eq!(errors(columns, "a.rs", &"x".repeat(COLUMNS_MAX + 1)), 1);
        assert_eq!(errors(columns, "a.md", &"x".repeat(COLUMNS_MAX + 1)), 0);
    }

    #[test]
    fn unsafe_stays_in_its_rooms() {
        let text = "// unsafe in a comment\nlet p = unsafe { *q };\n";
        assert_eq!(errors(unsafe_rooms, "crates/twocan/src/ring.rs", text), 1);
        assert_eq!(errors(unsafe_rooms, "crates/twocan/src/sys/linux/futex.rs", text), 0);
        assert_eq!(errors(unsafe_rooms, "crates/twocan/src/region.rs", text), 0);
        assert_eq!(errors(unsafe_rooms, "crates/twocan/src/map/memory.rs", text), 0);
        assert_eq!(errors(unsafe_rooms, "crates/twocan/src/map/stream.rs", text), 1);
    }

    #[test]
    fn the_system_is_named_in_one_file() {
        let text = "#[cfg(target_os = \"linux\")]\nmod linux;\n#[cfg(unix)]\nfn f() {}\n";
        assert_eq!(errors(system_rooms, "crates/twocan/src/event.rs", text), 2);
        assert_eq!(errors(system_rooms, SYSTEM_SEAM, text), 0);
        let call = "let map = rustix::mm::mmap();\n";
        assert_eq!(errors(system_rooms, "crates/twocan/src/region.rs", call), 1);
        assert_eq!(errors(system_rooms, "crates/twocan/src/sys/linux/memory.rs", call), 0);
        assert_eq!(errors(system_rooms, "crates/twocan/tests/peer.rs", call), 0);
        let test = "#![cfg(target_os = \"linux\")]\n";
        assert_eq!(errors(system_rooms, "crates/twocan/tests/corpses.rs", test), 0);
    }

    #[test]
    fn extern_functions_stay_in_sys() {
        let text = "extern \"C\" fn child() {}\nextern crate alloc;\n";
        assert_eq!(errors(extern_rooms, "crates/twocan/src/channel/mod.rs", text), 1);
        assert_eq!(errors(extern_rooms, "crates/twocan/src/sys/linux/fork.rs", text), 0);
    }

    #[test]
    fn atomics_come_through_the_facade() {
        let text = "use std::sync::atomic::AtomicU64;\n";
        assert_eq!(errors(atomics, "crates/twocan/src/ring.rs", text), 1);
        assert_eq!(errors(atomics, ATOMICS, text), 0);
        assert_eq!(errors(atomics, "crates/twocan/src/event/tests.rs", text), 0);
        assert_eq!(errors(atomics, "crates/twocan-cli/src/main.rs", text), 0);
    }

    #[test]
    fn orderings_name_their_pair() {
        let path = "crates/twocan/src/ring/producer.rs";
        let store = "word.store(1, Ordering::Release);\n";
        assert_eq!(errors(paired_orderings, path, store), 1);
        assert_eq!(errors(paired_orderings, path, &format!("// SYNC a: pairs with b\n{store}")), 0);
        let far = format!("// SYNC a\n{}{store}", "x();\n".repeat(SYNC_LINES));
        assert_eq!(errors(paired_orderings, path, &far), 1);
        assert_eq!(
            errors(paired_orderings, path, &format!("#[cfg(test)]\nmod t {{}}\n{store}")),
            0
        );
        assert_eq!(errors(paired_orderings, path, "word.load(Ordering::Relaxed);\n"), 0);
    }

    #[test]
    fn ignored_tests_say_why() {
        let path = "crates/twocan/tests/kill.rs";
        assert_eq!(errors(ignored, path, "#[ignore]\nfn t() {}\n"), 1);
        assert_eq!(errors(ignored, path, "#[ignore = \"takes an hour\"]\nfn t() {}\n"), 0);
    }

    #[test]
    fn unfinished_bodies_are_refused() {
        let path = "crates/twocan/src/ring.rs";
        assert_eq!(errors(leftovers, path, "fn f() { todo!() }\nfn g() { unimplemented!() }\n"), 2);
        assert_eq!(errors(leftovers, path, "// todo! later\nlet s = \"todo!\";\n"), 0);
    }
}
