//! Channels between real processes, told as stories: a scripted peer does one thing a line and says what came of it.

#![allow(unreachable_pub, reason = "one program: what its files share is pub")]

#[path = "../support/mod.rs"]
mod support;

mod script;
mod stage;

mod departures;
mod fake;
mod hostile;
mod long;
mod resume;
mod seats;
mod talk;
mod waits;

#[test]
#[ignore = "a second process of the other tests"]
fn child() {
    if support::role().is_some() {
        script::play();
    }
}
