//! The only operating-system calls of the crate. This file is the one place that names an operating system; each
//! system mirrors the same file names and signatures below its folder, and `tests` here holds the contract suite.
#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
pub(crate) use linux::*;
