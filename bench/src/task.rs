//! What one session is to do, and what it found. Both travel as JSON between the driver and the two
//! ends.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A kind of work; each has a file in `work/`.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Work {
    /// One message there, one back.
    Roundtrip,
    /// One after the other in one direction.
    Stream,
    /// A round trip in which both ends sleep.
    Parked,
    /// From a message on one of many channels to the wake-up of who waits on all of them.
    Wake,
    /// From `open` on both sides to the first message received.
    Open,
    /// What an idle channel holds.
    Memory,
    /// What waiting costs while nothing happens.
    Idle,
}

impl Work {
    pub(crate) const ALL: [Work; 7] = [
        Work::Roundtrip,
        Work::Stream,
        Work::Parked,
        Work::Wake,
        Work::Open,
        Work::Memory,
        Work::Idle,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Work::Roundtrip => "roundtrip",
            Work::Stream => "stream",
            Work::Parked => "parked",
            Work::Wake => "wake",
            Work::Open => "open",
            Work::Memory => "memory",
            Work::Idle => "idle",
        }
    }
}

/// One of the two ends of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Side {
    /// Measures; makes what has to be made before the other can open it.
    A,
    /// Answers.
    B,
}

/// Where the two ends of a session find each other.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Place {
    /// A folder in memory, of this session alone.
    pub(crate) dir: PathBuf,
    /// A name of this session alone, for what has no folder.
    pub(crate) tag: String,
    /// Bytes of a message.
    pub(crate) size: usize,
    /// Which of several channels.
    pub(crate) index: usize,
    pub(crate) work: Work,
    /// Many channels: small buffers.
    pub(crate) many: bool,
}

impl Place {
    /// Bytes that a queue has room for, where a candidate lets one choose.
    const QUEUE: usize = 1 << 20;

    pub(crate) fn nth(&self, index: usize) -> Place {
        Place { index, ..self.clone() }
    }

    pub(crate) fn name(&self) -> String {
        format!("{}-{}", self.tag, self.index)
    }

    pub(crate) fn path(&self, kind: &str) -> PathBuf {
        self.dir.join(format!("{}.{kind}", self.index))
    }

    /// Messages that a queue has room for, where a candidate lets one choose: 1 MiB in all, at
    /// least 4 and at most `most`. A few, if there are many channels.
    pub(crate) fn depth(&self, most: usize) -> usize {
        if self.many {
            return 8.min(most);
        }
        (Place::QUEUE / self.size.max(1)).clamp(4, most)
    }
}

/// One session: two ends, one work, one candidate.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Task {
    pub(crate) work: Work,
    pub(crate) candidate: String,
    pub(crate) place: Place,
    /// How long the measured part lasts.
    pub(crate) millis: u64,
    /// Channels, where there are several; else 1.
    pub(crate) channels: usize,
    /// The cores of the two ends.
    pub(crate) cores: [usize; 2],
}

/// What an end found.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Found {
    /// The median in nanoseconds of the time of one (of groups, where one is too short).
    pub(crate) middle: Option<f64>,
    /// Singles: nanoseconds and how often.
    pub(crate) times: Vec<(u64, u64)>,
    /// Messages, and what all their words add up to.
    pub(crate) count: u64,
    pub(crate) sum: u64,
    /// How long the messages took, in nanoseconds.
    pub(crate) took: u64,
    /// How far apart the two cores were before and after: nanoseconds of a line's round trip.
    pub(crate) lines: Option<(f64, f64)>,
    /// Anything else, by name.
    pub(crate) figures: BTreeMap<String, f64>,
}
