//! The tool as people and scripts use it: the real binary, its output and its exit codes.
//!
//! Each test has names of its own (`TWOCAN_DIR` in a temporary directory), so they run side by
//! side. Waits are bounded; nothing asserts how long something takes.

mod chat;
mod demo;
mod event;
mod manual;
mod map;
mod pipe;
mod rig;
mod send_recv;
mod tmux;
