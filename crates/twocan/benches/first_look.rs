//! A first look at speed: two processes, each on a core of its own, in one run with what the
//! machine itself allows.
//!
//! ```text
//! cargo bench -p twocan --bench first_look [-- --quick] [-- CASE..]
//! ```
//!
//! The rounds of all cases alternate, and only figures of one run are compared. The second process
//! is this program again. What it does not show: other machines, other sizes, more than one pair at
//! a time, a busy machine.

#[cfg(target_os = "linux")]
mod look;

#[cfg(target_os = "linux")]
fn main() {
    look::main();
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("this first look is for Linux");
}
