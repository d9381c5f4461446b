//! Two cans and a string, in shared memory: two processes on one machine talk, both ways.
//!
//! * [`Channel`]: messages of any size, in order and whole, between two ends. Either side opens
//!   first; a killed side is started again and goes on; nothing that was accepted is lost while one
//!   attached end lives.
//! * [`MemoryMap`], [`Event`]: named shared memory and named events in the shape that .NET and
//!   Win32 have given them. A name goes with its last holder, kill -9 included.
//! * [`wait_any`], [`wait_all`], [`Until`], [`Cancel`]: waiting on any number of them, with a
//!   deadline or a cancellation, without polling.
//!
//! ```
//! use twocan::Channel;
//! # let name = format!("doc-crate-{}", std::process::id());
//! # let other = std::thread::spawn({
//! #     let name = name.clone();
//! #     move || {
//! #         let mut can = Channel::open(&name).unwrap();
//! #         can.send("hello").unwrap();
//! #         can.recv().unwrap();
//! #         can.close().unwrap();
//! #     }
//! # });
//! let mut can = Channel::open(&name)?; // either side first
//! can.send("hello from here")?; // kept until the other side comes
//! let answer = can.recv()?; // waits for the other side
//! println!("{}", answer.to_str()?);
//! can.close()?; // waits until ours was taken
//! # other.join().unwrap();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Errors
//!
//! [`Error`] says what is wrong and what helps; [`SendError`] and [`RecvError`] are small, with
//! `is_peer_gone` and `is_nothing_yet` for those who need no more.
//!
//! # Platform
//!
//! Linux. Handles are not for forked children: used there they are an error
//! ([`ErrorKind::Forked`]), never a second owner.
//!
//! # Features
//!
//! `tracing`: lines on cold paths (who joined, left, was refused; what was taken over). Never on
//! send or receive.

// `--cfg loom` compiles what the models run (`loom_models`), and nothing else.
#![cfg_attr(loom, allow(dead_code, unused_imports, unused_macros))]

/// A line for the `tracing` feature; nothing without it. Cold paths only.
macro_rules! note {
    ($($arg:tt)*) => {{
        #[cfg(feature = "tracing")]
        tracing::debug!($($arg)*);
        #[cfg(not(feature = "tracing"))]
        let _ = || { let _ = format_args!($($arg)*); };
    }};
}
pub(crate) use note;

#[cfg(not(loom))]
mod channel;
#[cfg(not(loom))]
mod direction;
mod error;
#[cfg(not(loom))]
mod event;
mod layout;
#[cfg(not(loom))]
mod list;
#[cfg(all(test, loom))]
mod loom_models;
#[cfg(not(loom))]
mod map;
#[cfg(not(loom))]
pub mod name;
#[cfg(not(loom))]
mod named;
mod park;
mod peer;
#[cfg(not(loom))]
mod raw;
#[cfg(not(loom))]
mod region;
mod ring;
#[cfg(not(loom))]
mod session;
#[cfg(not(loom))]
mod spin;
mod sync;
#[cfg(not(loom))]
mod sys;
#[cfg(not(loom))]
mod until;
#[cfg(not(loom))]
mod wait;

#[cfg(not(loom))]
pub use channel::*;
pub use error::{CloseError, Error, ErrorKind, Mismatch, RecvError, Result, SendError, Violation};
#[cfg(not(loom))]
pub use event::{Event, EventOptions, Reset};
#[cfg(not(loom))]
pub use list::{Listed, ListedKind, list};
#[cfg(not(loom))]
pub use map::{Access, MapOptions, MemoryMap, View, ViewStream};
#[cfg(not(loom))]
pub use name::{Scope, Sharing};
pub use peer::{MAX_NICK, PeerInfo};
#[cfg(fuzzing)]
#[doc(hidden)]
pub use session::fuzzing;
#[cfg(not(loom))]
pub use until::{Cancel, Until};
#[cfg(not(loom))]
pub use wait::{Waitable, wait_all, wait_any};
#[cfg(not(loom))]
pub use zerocopy;
