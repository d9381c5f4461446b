//! Coming and going: nothing is left behind, by whoever is killed in the middle of it, nor by
//! whoever comes and goes ten thousand times.
//!
//! `TWOCAN_KILLS` sets the number of kills for each of the objects (default 80), `TWOCAN_CYCLES`
//! how often one process opens and closes all of them (default 200), `TWOCAN_SEED` repeats the
//! moments.

#![allow(unreachable_pub, reason = "one program: what its files share is pub")]

#[path = "../support/chance.rs"]
mod chance;
#[path = "../support/mod.rs"]
mod support;
#[path = "../support/zygote.rs"]
mod zygote;

mod comings;
mod household;

use support::{on_stage, say, seed, setting};

#[test]
#[ignore = "a second process of the other tests"]
fn child() {
    let words = support::role().unwrap_or_default();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["zygote"] => zygote::serve(comings::play),
        ["comings"] => {
            let seed = seed();
            say(&format!("TWOCAN_SEED={seed}"));
            comings::kill_all(setting("TWOCAN_KILLS").unwrap_or(80), seed);
        }
        ["household"] => household::run(setting("TWOCAN_CYCLES").unwrap_or(200)),
        _ => {}
    }
}

/// What of the directory is not the lock file, which is there for ever.
fn files() -> Vec<String> {
    let dir = std::env::var_os("TWOCAN_DIR").expect("set by the test");
    let names = std::fs::read_dir(dir).unwrap().flatten();
    let names = names.map(|file| file.file_name().to_string_lossy().into_owned());
    names.filter(|name| name != ".lock").collect()
}

#[test]
fn whoever_is_killed_while_it_makes_or_opens_or_closes_leaves_nothing() {
    on_stage("comings");
}

#[test]
fn whoever_comes_and_goes_again_and_again_does_not_grow() {
    on_stage("household");
}
